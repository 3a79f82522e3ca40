//! What is read from the API server (the only place with a client but for ports of pods and the Job of `bench`).

use std::time::Duration;

use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Secret},
    events::v1::Event,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, ValidationDirective},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use serde_json::json;
use stompbroker_operator::{
    api::StompBroker,
    plan::{labels, names},
};

use crate::{cli::Scope, facts::Facts};

/// Who writes, as the API server notes it.
const FIELD_MANAGER: &str = "kubectl-stompbroker";
/// Deadline of a request.
const DEADLINE: Duration = Duration::from_secs(30);
/// Deadline of a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Most objects of a list; a broker has a few hundred pods at most.
const MOST: u32 = 1000;

/// Why the cluster gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no usable kubeconfig.
    #[error("failed to read the kubeconfig; name one by --kubeconfig or KUBECONFIG")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// The kubeconfig gives no client.
    #[error("failed to make a client of the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    /// A request failed.
    #[error("failed to {act}")]
    Request {
        /// What was to be done.
        act: String,
        /// Why it was not.
        #[source]
        source: Box<kube::Error>,
    },
    /// There is no such broker.
    #[error("there is no StompBroker {name:?} in namespace {namespace}{}", known(others))]
    NoBroker {
        /// What was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// Those that are there.
        others: Vec<String>,
    },
    /// The name was left out, and that does not tell which.
    #[error("namespace {namespace} has {} StompBrokers{}; name one", others.len(), known(others))]
    WhichBroker {
        /// Where.
        namespace: String,
        /// Those that are there.
        others: Vec<String>,
    },
    /// A Secret has no such key.
    #[error("the Secret {secret} has no key {key}")]
    NoKey {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The pod belongs to no broker.
    #[error("the pod {0} belongs to no StompBroker; `kubectl stompbroker status` lists the pods of one")]
    NotABroker(String),
}

fn known(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) }
}

/// One namespace of one cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// Connects as `kubectl` would.
    pub(crate) async fn connect(scope: &Scope) -> Result<Self, ClusterError> {
        let options = KubeConfigOptions { context: scope.context.clone(), ..KubeConfigOptions::default() };
        let refuse = |error| ClusterError::Kubeconfig(Box::new(error));
        let mut config = match &scope.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(refuse)?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(refuse)?
            }
            None => Config::from_kubeconfig(&options).await.map_err(refuse)?,
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = None; // messages and benchmarks may take their time; requests have `DEADLINE`
        let namespace = scope.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?;
        Ok(Self { client, namespace })
    }

    /// The broker of this name, or the only one of the namespace.
    pub(crate) async fn broker(&self, name: Option<&str>) -> Result<StompBroker, ClusterError> {
        let all = request("list StompBrokers", self.api::<StompBroker>().list(&most())).await?.items;
        let namespace = self.namespace.clone();
        let names = |all: &[StompBroker]| all.iter().map(kube::ResourceExt::name_any).collect();
        match name {
            Some(name) => {
                let others = names(&all);
                let found = all.into_iter().find(|broker| broker.name_any() == name);
                found.ok_or_else(|| ClusterError::NoBroker { name: name.to_owned(), namespace, others })
            }
            None => <[StompBroker; 1]>::try_from(all)
                .map(|[only]| only)
                .map_err(|all| ClusterError::WhichBroker { namespace, others: names(&all) }),
        }
    }

    /// The broker of this name, if there is one.
    pub(crate) async fn existing(&self, name: &str) -> Result<Option<StompBroker>, ClusterError> {
        request(&format!("get the StompBroker {name}"), self.api::<StompBroker>().get_opt(name)).await
    }

    /// All that is shown of a broker.
    pub(crate) async fn facts(&self, name: Option<&str>) -> Result<Facts, ClusterError> {
        let broker = self.broker(name).await?;
        let selector = labels::to_text(&labels::selector(&broker.name_any()));
        let pods = request("list pods", self.api::<Pod>().list(&most().labels(&selector))).await?.items;
        let autoscalers =
            request("list autoscalers", self.api::<HorizontalPodAutoscaler>().list(&most().labels(&selector))).await?;
        let events = self.events(&broker).await?;
        Ok(Facts { broker, pods, autoscalers: autoscalers.items, events })
    }

    async fn events(&self, broker: &StompBroker) -> Result<Vec<Event>, ClusterError> {
        let about = format!("regarding.uid={}", broker.uid().unwrap_or_default());
        let found = request("list events", self.api::<Event>().list(&most().fields(&about))).await?;
        Ok(found.items)
    }

    /// The pods of a broker that are not on their way out, the ready ones first.
    pub(crate) async fn serving(&self, broker: &str) -> Result<Vec<Pod>, ClusterError> {
        let selector = labels::to_text(&labels::selector(broker));
        let mut pods = request("list pods", self.api::<Pod>().list(&most().labels(&selector))).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| (!crate::facts::is_ready(pod), pod.name_any()));
        Ok(pods)
    }

    /// The broker that a pod belongs to.
    pub(crate) async fn broker_of(&self, pod: &str) -> Result<String, ClusterError> {
        let found = request(&format!("get the pod {pod}"), self.api::<Pod>().get(pod)).await?;
        let is_broker = found.labels().get(labels::NAME).is_some_and(|name| name == labels::PRODUCT);
        let owner = found.labels().get(labels::INSTANCE).filter(|_| is_broker);
        owner.cloned().ok_or_else(|| ClusterError::NotABroker(pod.to_owned()))
    }

    /// A value of a Secret.
    pub(crate) async fn secret(&self, secret: &str, key: &'static str) -> Result<String, ClusterError> {
        let found = request(&format!("get the Secret {secret}"), self.api::<Secret>().get(secret)).await?;
        let value = found.data.as_ref().and_then(|data| data.get(key));
        let text = value.and_then(|value| String::from_utf8(value.0.clone()).ok());
        text.ok_or_else(|| ClusterError::NoKey { secret: secret.to_owned(), key })
    }

    /// The bearer token of a broker's admin ports.
    pub(crate) async fn admin_token(&self, broker: &str) -> Result<String, ClusterError> {
        self.secret(&names::admin_secret(broker), names::ADMIN_TOKEN_KEY).await
    }

    /// Asks the API server whether it would take a manifest, without changing anything.
    pub(crate) async fn dry_run(&self, broker: &StompBroker) -> Result<(), kube::Error> {
        let mut wanted = broker.clone();
        wanted.status = None;
        let parameters = PatchParams {
            dry_run: true,
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(FIELD_MANAGER).force()
        };
        self.api::<StompBroker>().patch(&broker.name_any(), &parameters, &Patch::Apply(&wanted)).await.map(|_| ())
    }

    /// Writes an annotation of a broker, and nothing else.
    pub(crate) async fn annotate(&self, broker: &str, annotation: &str, text: &str) -> Result<(), ClusterError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: text}}}));
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let brokers = self.api::<StompBroker>();
        let answer = brokers.patch_metadata(broker, &parameters, &patch);
        request(&format!("annotate the StompBroker {broker}"), answer).await.map(|_| ())
    }

    /// Objects of the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn most() -> ListParams {
    ListParams::default().limit(MOST)
}

/// Does a request within its deadline.
pub(crate) async fn request<T>(act: &str, answer: impl Future<Output = kube::Result<T>>) -> Result<T, ClusterError> {
    let late = || kube::Error::Service(format!("no answer within {} s", DEADLINE.as_secs()).into());
    let answer = tokio::time::timeout(DEADLINE, answer).await.unwrap_or_else(|_| Err(late()));
    answer.map_err(|source| ClusterError::Request { act: act.to_owned(), source: Box::new(source) })
}

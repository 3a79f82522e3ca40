//! The cluster under test: what a user would do by `kubectl`, with a deadline on every wait.

use std::{
    collections::BTreeMap,
    env,
    fmt::Debug,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use stompbroker_operator::api::{StompBroker, StompBrokerStatus};

use crate::stomp::Login;

/// Namespace that the operator is installed in.
pub const OPERATOR_NAMESPACE: &str = "stompbroker-system";
/// Namespace with the Service `rabbitmq` and the Secrets for it.
pub const UPSTREAM_NAMESPACE: &str = "upstreams";
/// Longest that anything but a rollout may take.
pub const SOON: Duration = Duration::from_secs(90);
/// Longest that a rollout of several pods may take on a small machine.
pub const ROLLOUT: Duration = Duration::from_mins(5);

/// A namespace of its own on the cluster under test.
pub struct World {
    pub client: Client,
    /// The same, but it does not try again what it is refused.
    pub once: Client,
    pub namespace: String,
}

impl World {
    /// Connects, and makes the namespace anew.
    pub async fn new(namespace: &str) -> Self {
        let world = Self::of(namespace).await;
        world.remove().await;
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let labels = BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())]);
        let metadata = ObjectMeta { name: Some(namespace.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        let wanted = Namespace { metadata, ..Namespace::default() };
        namespaces.create(&PostParams::default(), &wanted).await.unwrap();
        world
    }

    /// Connects to a namespace as it is.
    pub async fn of(namespace: &str) -> Self {
        let mut config = config().await;
        let client = Client::try_from(config.clone()).unwrap();
        config.default_retry = false;
        let once = Client::try_from(config).unwrap();
        Self { client, once, namespace: namespace.to_owned() }
    }

    /// Deletes the namespace and waits until it is gone.
    pub async fn remove(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(&self.namespace).await.unwrap().is_none() {
            return;
        }
        // Brokers first: the namespace controller would wait for half of the pods' grace period before it looks again.
        let everything = ListParams::default();
        let _ = self.brokers().delete_collection(&DeleteParams::background(), &everything).await;
        // Those of a test's own, too.
        let _ = self.api::<Deployment>().delete_collection(&DeleteParams::background(), &everything).await;
        let pods: Api<Pod> = self.api();
        eventually(SOON, "the pods to go", || async {
            let left = pods.list(&everything).await.unwrap().items;
            if left.is_empty() { Ok(()) } else { Err(left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()) }
        })
        .await;
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
        eventually(SOON, "the namespace to go", || async {
            match namespaces.get_opt(&self.namespace).await.unwrap() {
                None => Ok(()),
                Some(still) => Err(format!("{:?}", still.status)),
            }
        })
        .await;
    }

    pub fn brokers(&self) -> Api<StompBroker> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a manifest as `kubectl apply --server-side --validate=strict` does.
    pub async fn apply(&self, manifest: &serde_json::Value) -> kube::Result<StompBroker> {
        let name = manifest["metadata"]["name"].as_str().expect("a manifest has a name");
        let parameters = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("e2e").force()
        };
        self.brokers().patch(name, &parameters, &Patch::Apply(manifest)).await
    }

    /// Merges a change into the spec of a broker.
    pub async fn change(&self, name: &str, spec: serde_json::Value) -> kube::Result<StompBroker> {
        self.brokers().patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await
    }

    pub async fn status(&self, name: &str) -> (i64, StompBrokerStatus) {
        let broker = self.brokers().get(name).await.unwrap();
        (broker.metadata.generation.unwrap_or_default(), broker.status.unwrap_or_default())
    }

    /// Waits until a condition has this status for the newest generation; returns its reason and message.
    pub async fn condition(&self, name: &str, kind: &str, status: &str, limit: Duration) -> (String, String) {
        let found = self.condition_so(name, kind, limit, |found| found.status == status).await;
        (found.reason, found.message)
    }

    /// Waits until a condition is false for this reason, whatever it is false for before; returns its message.
    pub async fn false_because(&self, name: &str, kind: &str, reason: &str, limit: Duration) -> String {
        self.condition_so(name, kind, limit, |found| found.status == "False" && found.reason == reason).await.message
    }

    /// Waits for a condition of the newest generation.
    async fn condition_so(
        &self,
        name: &str,
        kind: &str,
        limit: Duration,
        holds: impl Fn(&Condition) -> bool,
    ) -> Condition {
        eventually(limit, &format!("condition {kind} of {name}"), || async {
            let (generation, seen) = self.status(name).await;
            let newest = |found: &&Condition| found.type_ == kind && found.observed_generation == Some(generation);
            let found = seen.conditions.iter().find(newest).filter(|found| holds(found)).cloned();
            found.ok_or_else(|| format!("generation {generation}, {:#?}", seen.conditions))
        })
        .await
    }

    pub async fn ready(&self, name: &str) {
        self.condition(name, "Ready", "True", ROLLOUT).await;
    }

    /// The broker's pods that are not on their way out, by name.
    pub async fn pods(&self, name: &str) -> Vec<Pod> {
        let selector = format!("app.kubernetes.io/name=stompbroker,app.kubernetes.io/instance={name}");
        let pods: Api<Pod> = self.api();
        let mut pods = pods.list(&ListParams::default().labels(&selector)).await.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    pub async fn pod_in_zone(&self, name: &str, zone: &str) -> Pod {
        eventually(SOON, &format!("a ready pod of {name} in {zone}"), || async {
            let pods = self.pods(name).await;
            pods.iter()
                .find(|pod| pod.labels().get("stompbroker.dev/zone").is_some_and(|z| z == zone) && is_ready(pod))
                .cloned()
                .ok_or_else(|| format!("{:?}", pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>()))
        })
        .await
    }

    /// Reads the login that the operator generated, or that somebody else put into a Secret.
    pub async fn login(&self, secret: &str) -> Login {
        let secret = self.api::<Secret>().get(secret).await.unwrap();
        Login { username: key(&secret, "username"), password: key(&secret, "password") }
    }

    /// Copies the upstream's credentials here, since a StompBroker reads Secrets of its own namespace only.
    pub async fn copy_upstream_credentials(&self) {
        let source: Api<Secret> = Api::namespaced(self.client.clone(), UPSTREAM_NAMESPACE);
        for name in ["rabbitmq-system", "rabbitmq-client"] {
            let found = source.get(name).await.unwrap();
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let copy = Secret { metadata, data: found.data, type_: found.type_, ..Secret::default() };
            self.api::<Secret>().create(&PostParams::default(), &copy).await.unwrap();
        }
    }

    /// The operator's Deployment and pods.
    pub fn operator<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE)
    }

    pub async fn deployment(&self, name: &str) -> Option<Deployment> {
        self.api::<Deployment>().get_opt(name).await.unwrap()
    }
}

/// The kubeconfig of the cluster under test.
pub fn config_path() -> PathBuf {
    let path = env::var("STOMPBROKER_E2E_KUBECONFIG").expect(
        "STOMPBROKER_E2E_KUBECONFIG must name the kubeconfig of a cluster with the operator: run `make test-e2e`",
    );
    PathBuf::from(path)
}

async fn config() -> Config {
    let kubeconfig = Kubeconfig::read_from(config_path()).expect("the kubeconfig must be readable");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.read_timeout = Some(Duration::from_secs(30));
    config
}

/// Connects to the cluster under test.
pub async fn client() -> Client {
    Client::try_from(config().await).unwrap()
}

fn key(secret: &Secret, name: &str) -> String {
    let data =
        secret.data.as_ref().and_then(|data| data.get(name)).unwrap_or_else(|| panic!("the Secret has no {name}"));
    String::from_utf8(data.0.clone()).unwrap()
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Where a pod listens.
pub fn address(pod: &Pod, port: u16) -> SocketAddr {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("a ready pod has an address");
    SocketAddr::new(ip.parse().unwrap(), port)
}

pub fn uids(pods: &[Pod]) -> Vec<String> {
    let mut uids: Vec<_> = pods.iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    uids
}

/// Asks again and again until the answer is `Ok`; panics with the last refusal when `limit` is over.
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() > limit => panic!("waited {limit:?} for {what}: {error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

/// Runs a script of `hack/`; panics with its output when it fails.
pub fn hack(script: &str, arguments: &[&str]) {
    hack_output(script, arguments);
}

/// Leaves out what cargo tells this test of its package, which would make a cargo that `command` runs build everything anew.
pub fn as_from_a_shell(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" && name != "CARGO_TARGET_DIR" {
            command.env_remove(name);
        }
    }
}

/// Runs Helm on the operator's release and returns what it printed; panics with its complaints when it fails.
pub fn helm(arguments: &[&str]) -> String {
    helm_in(OPERATOR_NAMESPACE, arguments).unwrap_or_else(|complaints| panic!("{arguments:?}: {complaints}"))
}

/// Runs Helm on a release in a namespace and returns what it printed, or its complaints when it fails.
pub fn helm_in(namespace: &str, arguments: &[&str]) -> Result<String, String> {
    let program = hack_output("cluster/cluster", &["bin", "helm"]);
    let output = Command::new(program.trim())
        .args(arguments)
        .args(["--namespace", namespace])
        .env("KUBECONFIG", config_path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Runs a script of `hack/` and returns what it printed; panics with its output when it fails.
pub fn hack_output(script: &str, arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("hack").join(script);
    let mut command = Command::new(&path);
    as_from_a_shell(command.args(arguments));
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?} failed:\n{printed}{complaints}");
    printed.into_owned()
}

/// One of the project's example manifests, parsed.
pub fn example(name: &str) -> serde_json::Value {
    let [document] = examples(name).try_into().unwrap_or_else(|all| panic!("{name} is not one document: {all:?}"));
    document
}

/// All documents of one of the project's example manifests.
pub fn examples(name: &str) -> Vec<serde_json::Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! What every test needs: a namespace, an operator, and patience with a limit.

mod apiserver;
mod broker;
pub mod chart;
mod kubelet;
mod nats;
mod operator;
mod wire;

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

pub use apiserver::{ControlPlane, define, define_as, install, uninstall};
pub use broker::BrokerPod;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
pub use kubelet::{AdminServer, Kubelet, free_address};
pub use nats::NatsMonitor;
pub use operator::Operator;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use stompbroker_operator::api::StompBroker;
pub use wire::Wire;

/// Longest wait for anything; generous, as machines may be loaded.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `look` sees something and gives it back; ends the test with what `look` last complained of.
pub async fn eventually<T, F>(what: &str, look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    within(PATIENCE, what, look).await
}

/// [`eventually`] with another limit.
pub async fn within<T, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(why) if tokio::time::Instant::now() > deadline => panic!("waited in vain for {what}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// `Ok` when `holds`, else a complaint.
pub fn check(holds: bool, complaint: impl Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{complaint:?}")) }
}

/// Kinds of the children.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}
impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// A namespace of its own for one test.
#[derive(Clone)]
pub struct World {
    pub client: Client,
    pub plane: ControlPlane,
    pub namespace: String,
}

impl World {
    /// A fresh namespace on the shared control plane.
    pub async fn new() -> Self {
        Self::on(ControlPlane::shared().await).await
    }

    /// A fresh namespace on `plane`, where the operator has the rights that the chart gives it.
    pub async fn on(plane: ControlPlane) -> Self {
        let client = plane.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let fresh = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}});
        let fresh = namespaces.create(&PostParams::default(), &serde_json::from_value(fresh).unwrap()).await.unwrap();
        let world = Self { client, plane, namespace: fresh.name_any() };
        chart::grant(&world).await;
        world
    }

    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a StompBroker.
    pub async fn broker(&self, name: &str, spec: serde_json::Value) -> StompBroker {
        self.labelled_broker(name, json!({}), spec).await
    }

    /// Creates a StompBroker with labels.
    pub async fn labelled_broker(&self, name: &str, labels: serde_json::Value, spec: serde_json::Value) -> StompBroker {
        let broker = json!({"apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
                            "metadata": {"name": name, "labels": labels}, "spec": spec});
        self.api().create(&PostParams::default(), &serde_json::from_value(broker).unwrap()).await.unwrap()
    }

    /// Changes a StompBroker's spec.
    pub async fn change(&self, name: &str, spec: serde_json::Value) {
        self.merge::<StompBroker>(name, json!({"spec": spec})).await;
    }

    /// Changes any object as somebody with `kubectl edit` would.
    pub async fn merge<K: Kind>(&self, name: &str, patch: serde_json::Value) {
        let parameters = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        self.api::<K>().patch(name, &parameters, &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn delete<K: Kind>(&self, name: &str) {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates a Secret with a login.
    pub async fn login(&self, name: &str) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                            "stringData": {"username": "u", "password": "p"}});
        let api = self.api::<Secret>();
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }

    /// Waits until the condition `type_` of `broker` has this status and reason.
    pub async fn condition(&self, broker: &str, type_: &str, status: &str, reason: &str) -> Condition {
        let api = self.api::<StompBroker>();
        eventually(&format!("{type_}={status} ({reason}) of {broker}"), async || {
            let broker = api.get_status(broker).await.map_err(|error| error.to_string())?;
            let generation = broker.metadata.generation;
            let status_now = broker.status.unwrap_or_default();
            let found = status_now.conditions.iter().find(|condition| condition.type_ == type_);
            let found = found.ok_or_else(|| format!("no such condition in {:?}", status_now.conditions))?;
            let right = found.status == status && found.reason == reason && found.observed_generation == generation;
            check(right, found).map(|()| found.clone())
        })
        .await
    }

    /// Waits until an object exists.
    pub async fn exists<K: Kind>(&self, name: &str) -> K {
        let api = self.api::<K>();
        eventually(&format!("{} {name}", K::kind(&())), async || {
            api.get_opt(name).await.map_err(|error| error.to_string())?.ok_or_else(|| "there is none".to_owned())
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone<K: Kind>(&self, name: &str) {
        let api = self.api::<K>();
        eventually(&format!("the end of {} {name}", K::kind(&())), async || {
            check(api.get_opt(name).await.map_err(|error| error.to_string())?.is_none(), "it is still there")
        })
        .await;
    }

    /// UID and resourceVersion of every child in the namespace, by kind and name.
    pub async fn children(&self) -> BTreeMap<String, (String, String)> {
        let mut children = BTreeMap::new();
        self.collect::<ServiceAccount>(&mut children).await;
        self.collect::<Secret>(&mut children).await;
        self.collect::<PersistentVolumeClaim>(&mut children).await;
        self.collect::<ConfigMap>(&mut children).await;
        self.collect::<Service>(&mut children).await;
        self.collect::<Ingress>(&mut children).await;
        self.collect::<NetworkPolicy>(&mut children).await;
        self.collect::<PodDisruptionBudget>(&mut children).await;
        self.collect::<StatefulSet>(&mut children).await;
        self.collect::<Deployment>(&mut children).await;
        self.collect::<HorizontalPodAutoscaler>(&mut children).await;
        children
    }

    /// Names of the children, as `Kind/name`.
    pub async fn names(&self) -> Vec<String> {
        self.children().await.into_keys().collect()
    }

    async fn collect<K: Kind>(&self, children: &mut BTreeMap<String, (String, String)>) {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=stompbroker-operator");
        for child in self.api::<K>().list(&ours).await.unwrap() {
            let version = child.resource_version().unwrap();
            children.insert(format!("{}/{}", K::kind(&()), child.name_any()), (child.uid().unwrap(), version));
        }
    }
}

/// A spec with everything that a broker can have: two zones, a relay, autoscaling.
pub fn rich_spec() -> serde_json::Value {
    json!({
        "zones": [{"name": "eu-1a"}, {"name": "eu-1b"}],
        "engine": {"relay": {
            "upstreams": [{"host": "rabbitmq.upstreams", "zone": "eu-1a"}],
            "systemCredentials": {"secretName": "rabbit-system"},
            "clientCredentials": {"secretName": "rabbit-client"},
        }},
        "autoscaling": {"minReplicasPerZone": 2, "maxReplicasPerZone": 4, "targets": {"cpu": 70}},
    })
}

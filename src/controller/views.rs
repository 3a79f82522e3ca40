//! From Kubernetes' objects to what is kept of them (pure).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, PodStatus, Service},
        networking::v1::Ingress,
    },
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta},
};
use kube::Resource as _;

use super::{autoscalers, cache::Entry, exposed, obstacle::obstacle, packed::Packed};
use crate::{
    FIELD_MANAGER,
    api::StompBroker,
    observed::{AutoscalerView, DeploymentView, ExposedView, NatsServerView, PodView, Reading, StatefulSetView},
    plan::{DELETION_COST, DRAINED_ZONE, FAILED, PREVIOUS, REVISION, labels},
};

/// Label by which a ReplicaSet knows its pods.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Label by which a StatefulSet knows what its pods were made from.
const CONTROLLER_REVISION: &str = "controller-revision-hash";

/// What is kept of a child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChildEntry {
    pub(crate) uid: String,
    pub(crate) version: u64,
    /// The controller, when it has one.
    pub(crate) owner: Option<Owner>,
    /// Whether it has a deletion timestamp.
    pub(crate) deleting: bool,
    /// Of the fields that we own. Whoever else changes, adds or deletes one of them takes it out of our hands, so this
    /// number changes with every drift that concerns us and with no other: not with status, not with fields of others.
    pub(crate) fields: u64,
    /// What a Deployment says of itself.
    pub(crate) deployment: Option<Box<KeptDeployment>>,
    /// A PodDisruptionBudget's annotation [`DRAINED_ZONE`].
    pub(crate) drained_zone: Option<Box<str>>,
    /// What a StatefulSet says of itself.
    pub(crate) stateful_set: Option<Box<StatefulSetView>>,
    /// What a HorizontalPodAutoscaler says of itself, without its readings.
    pub(crate) autoscaler: Option<Box<AutoscalerView>>,
    /// What a HorizontalPodAutoscaler has measured.
    pub(crate) readings: Vec<Reading>,
    /// How a Service or an Ingress is reached from outside.
    pub(crate) exposed: Option<Box<ExposedView>>,
}

/// What is kept of a Deployment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptDeployment {
    /// All but its revisions.
    view: DeploymentView,
    revision: Option<Packed>,
    previous: Option<Packed>,
}

impl KeptDeployment {
    fn new(mut view: DeploymentView) -> Self {
        let [revision, previous] =
            [&mut view.revision, &mut view.previous].map(|text| text.take().map(|text| Packed::new(&text)));
        Self { view, revision, previous }
    }

    /// What the pure steps see of it.
    pub(crate) fn view(&self) -> DeploymentView {
        let text = |packed: &Option<Packed>| packed.as_ref().and_then(Packed::text);
        DeploymentView { revision: text(&self.revision), previous: text(&self.previous), ..self.view.clone() }
    }
}

/// The controller of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Whether it is a StompBroker.
    pub(crate) broker: bool,
}

impl ChildEntry {
    pub(crate) fn from_meta(metadata: &ObjectMeta) -> Self {
        let owner =
            metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)).map(|owner| {
                Owner {
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                    uid: owner.uid.clone(),
                    broker: owner.kind == StompBroker::kind(&())
                        && owner.api_version.split('/').next() == Some(&*StompBroker::group(&())),
                }
            });
        let drained_zone = metadata.annotations.as_ref().and_then(|all| all.get(DRAINED_ZONE));
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: version(metadata),
            owner,
            deleting: metadata.deletion_timestamp.is_some(),
            fields: own_fields(metadata),
            deployment: None,
            drained_zone: drained_zone.map(|zone| zone.as_str().into()),
            stateful_set: None,
            autoscaler: None,
            readings: Vec::new(),
            exposed: None,
        }
    }

    pub(crate) fn from_deployment(deployment: &Deployment) -> Self {
        let kept = KeptDeployment::new(deployment_view(deployment));
        Self { deployment: Some(Box::new(kept)), ..Self::from_meta(&deployment.metadata) }
    }

    pub(crate) fn from_stateful_set(stateful_set: &StatefulSet) -> Self {
        let view = Some(Box::new(stateful_set_view(stateful_set)));
        Self { stateful_set: view, ..Self::from_meta(&stateful_set.metadata) }
    }

    pub(crate) fn from_service(service: &Service) -> Self {
        Self { exposed: exposed::service(service).map(Box::new), ..Self::from_meta(&service.metadata) }
    }

    pub(crate) fn from_ingress(ingress: &Ingress) -> Self {
        Self { exposed: exposed::ingress(ingress).map(Box::new), ..Self::from_meta(&ingress.metadata) }
    }

    pub(crate) fn from_autoscaler(autoscaler: &HorizontalPodAutoscaler) -> Self {
        Self {
            autoscaler: Some(Box::new(autoscalers::view(autoscaler))),
            readings: autoscalers::readings(autoscaler),
            ..Self::from_meta(&autoscaler.metadata)
        }
    }

    /// Whether it belongs to the StompBroker with this UID.
    pub(crate) fn is_of(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.broker && owner.uid == uid)
    }
}

impl Entry for ChildEntry {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn broker(&self) -> Option<&str> {
        self.owner.as_ref().filter(|owner| owner.broker).map(|owner| owner.name.as_str())
    }

    fn differs(&self, other: &Self) -> bool {
        // Measurements differ all the time; they are read when there is a decision to explain.
        let Self {
            uid,
            version: _,
            owner,
            deleting,
            fields,
            deployment,
            drained_zone,
            stateful_set,
            autoscaler,
            readings: _,
            exposed,
        } = self;
        (uid, owner, deleting, fields) != (&other.uid, &other.owner, &other.deleting, &other.fields)
            || (deployment, drained_zone) != (&other.deployment, &other.drained_zone)
            || (stateful_set, autoscaler, exposed) != (&other.stateful_set, &other.autoscaler, &other.exposed)
    }
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodEntry {
    pub(crate) uid: String,
    pub(crate) version: u64,
    /// The StompBroker that its labels name.
    pub(crate) broker: Option<String>,
    /// The ReplicaSet's mark.
    pub(crate) template_hash: Option<String>,
    /// Where its admin port is, while its containers run.
    pub(crate) address: Option<String>,
    /// What the pure steps see of it.
    pub(crate) view: PodView,
}

impl PodEntry {
    pub(crate) fn from_pod(pod: &Pod) -> Self {
        let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
        let status = pod.status.as_ref();
        let running = status.and_then(|status| status.phase.as_deref()) == Some("Running");
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            version: version(&pod.metadata),
            broker: label(labels::INSTANCE),
            template_hash: label(TEMPLATE_HASH),
            address: status.and_then(|status| status.pod_ip.clone()).filter(|_| running),
            view: pod_view(pod, label(labels::ZONE).unwrap_or_default()),
        }
    }

    /// Its labels: those that we give it, and the ReplicaSet's.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = labels::common(self.broker.as_deref().unwrap_or_default());
        labels.insert(labels::ZONE.to_owned(), self.view.zone.clone());
        labels.extend(self.template_hash.clone().map(|hash| (TEMPLATE_HASH.to_owned(), hash)));
        labels
    }
}

impl Entry for PodEntry {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn broker(&self) -> Option<&str> {
        self.broker.as_deref()
    }

    fn differs(&self, other: &Self) -> bool {
        let Self { uid, version: _, broker, template_hash: _, address: _, view } = self;
        (uid, broker, view) != (&other.uid, &other.broker, &other.view)
    }
}

/// A pod of ours.
pub(crate) enum AnyPod {
    Broker(Box<PodEntry>),
    Nats(Box<NatsPodEntry>),
}

impl AnyPod {
    pub(crate) fn from_pod(pod: &Pod) -> Self {
        let component = pod.metadata.labels.as_ref().and_then(|labels| labels.get(labels::COMPONENT));
        if component.is_some_and(|component| component == labels::NATS) {
            Self::Nats(Box::new(NatsPodEntry::from_pod(pod)))
        } else {
            Self::Broker(Box::new(PodEntry::from_pod(pod)))
        }
    }
}

/// What is kept of the pod of a NATS server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NatsPodEntry {
    pub(crate) version: u64,
    /// The StompBroker that its labels name.
    pub(crate) broker: Option<String>,
    /// Where its monitoring port is, while its container runs.
    pub(crate) address: Option<String>,
    /// What the pure steps see of it.
    pub(crate) view: NatsServerView,
}

impl NatsPodEntry {
    fn from_pod(pod: &Pod) -> Self {
        let PodEntry { uid, version, broker, template_hash: _, address, view } = PodEntry::from_pod(pod);
        let revision = pod.metadata.labels.as_ref().and_then(|labels| labels.get(CONTROLLER_REVISION)).cloned();
        let PodView { name, ready, terminating, waiting, unschedulable, .. } = view;
        let failing = waiting.or(unschedulable);
        Self {
            version,
            broker,
            address,
            view: NatsServerView { name, uid, ready, terminating, revision, failing, report: None },
        }
    }
}

impl Entry for NatsPodEntry {
    fn uid(&self) -> &str {
        &self.view.uid
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn broker(&self) -> Option<&str> {
        self.broker.as_deref()
    }

    fn differs(&self, other: &Self) -> bool {
        let Self { version: _, broker, address: _, view } = self;
        (broker, view) != (&other.broker, &other.view)
    }
}

/// `resourceVersion` as a number.
pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// A number of the fields that we own; see [`ChildEntry::fields`].
fn own_fields(metadata: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    for entry in own_entries(metadata) {
        entry.operation.hash(&mut hasher);
        entry.api_version.hash(&mut hasher);
        entry.fields_v1.as_ref().map(|fields| fields.0.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

fn own_entries(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let ours =
        |entry: &&ManagedFieldsEntry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.is_none();
    metadata.managed_fields.iter().flatten().filter(ours)
}

fn deployment_view(deployment: &Deployment) -> DeploymentView {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let condition = |type_: &str, wanted: &dyn Fn(&str, Option<&str>) -> bool| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_ && wanted(&condition.status, condition.reason.as_deref()))
            .map(|condition| condition.message.clone().unwrap_or_else(|| type_.to_owned()))
    };
    let owns_replicas = own_entries(&deployment.metadata).any(has_replicas);
    let scaled_by = deployment.metadata.managed_fields.iter().flatten().find(|entry| has_replicas(entry));
    let scaled_by = scaled_by.filter(|_| !owns_replicas).and_then(|entry| entry.manager.clone());
    let annotation = |name: &str| deployment.metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
    DeploymentView {
        current: status.observed_generation >= deployment.metadata.generation,
        desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        replicas: status.replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        revision: annotation(REVISION),
        previous: annotation(PREVIOUS),
        failed: annotation(FAILED),
        // The entry has it; here it would make every version look like news.
        version: 0,
        replica_failure: condition("ReplicaFailure", &|status, _| status == "True"),
        stalled: condition("Progressing", &|_, reason| reason == Some("ProgressDeadlineExceeded")),
        owns_replicas,
        scaled_by,
    }
}

fn stateful_set_view(stateful_set: &StatefulSet) -> StatefulSetView {
    let status = stateful_set.status.as_ref();
    let claim =
        stateful_set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_ref()?.first()?.spec.as_ref());
    let requests = claim.and_then(|claim| claim.resources.as_ref()?.requests.as_ref());
    StatefulSetView {
        current: status.and_then(|status| status.observed_generation) >= stateful_set.metadata.generation,
        update_revision: status.and_then(|status| status.update_revision.clone()),
        revision: stateful_set.metadata.annotations.as_ref().and_then(|all| all.get(REVISION)).cloned(),
        storage: requests.and_then(|requests| requests.get("storage")).map(|size| size.0.clone()),
    }
}

fn has_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

fn pod_view(pod: &Pod, zone: String) -> PodView {
    let annotations = pod.metadata.annotations.as_ref();
    let empty = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&empty);
    let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    let turned = condition("Ready").and_then(|condition| condition.last_transition_time.as_ref());
    let silent_since = turned.or(pod.metadata.creation_timestamp.as_ref()).filter(|_| !ready);
    let containers = || status.container_statuses.iter().flatten();
    let running = status.phase.as_deref() == Some("Running");
    let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    PodView {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        zone,
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        scheduled: pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
        finished,
        unschedulable: condition("PodScheduled")
            .filter(|condition| condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable"))
            .map(|condition| condition.message.clone().unwrap_or_else(|| "no node fits".to_owned())),
        // The node controller turns the pod's condition; the kubelet, which turns the containers', is not heard.
        node_lost: running && !ready && containers().count() > 0 && containers().all(|container| container.ready),
        waiting: obstacle(status),
        disrupted: condition("DisruptionTarget").is_some_and(|condition| condition.status == "True"),
        silent_since: silent_since.map(|time| time.0),
        deletion_cost: annotations.and_then(|all| all.get(DELETION_COST)).and_then(|cost| cost.parse().ok()),
        admin: None,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! values read better inline")]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> PodEntry {
        let labels = json!({"app.kubernetes.io/instance": "trading", "stompbroker.dev/zone": "eu-1"});
        let metadata = json!({"name": "trading-eu-1-x", "uid": "u", "resourceVersion": "7", "labels": labels});
        PodEntry::from_pod(&serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap())
    }

    fn child(managed_fields: serde_json::Value) -> ChildEntry {
        let metadata = json!({"name": "trading", "uid": "u", "resourceVersion": "7", "managedFields": managed_fields});
        ChildEntry::from_meta(&serde_json::from_value(metadata).unwrap())
    }

    fn entry(manager: &str, subresource: Option<&str>, fields: serde_json::Value) -> serde_json::Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
               "fieldsV1": fields, "subresource": subresource})
    }

    #[test]
    fn a_field_that_somebody_else_takes_is_a_difference_and_one_that_was_never_ours_is_not() {
        let ours = entry(FIELD_MANAGER, None, json!({"f:data": {"f:broker.yaml": {}}}));
        let applied = child(json!([ours]));
        let status = entry("kube-controller-manager", Some("status"), json!({"f:status": {}}));
        assert!(!applied.differs(&child(json!([ours, status]))));
        let annotated = entry("kubectl-annotate", None, json!({"f:metadata": {"f:annotations": {"f:x": {}}}}));
        assert!(!applied.differs(&child(json!([ours, annotated]))));
        let taken = entry(FIELD_MANAGER, None, json!({"f:data": {}}));
        assert!(applied.differs(&child(json!([taken]))));
    }

    #[test]
    fn a_pod_that_waits_for_its_image_says_so() {
        let waiting = json!({"reason": "ImagePullBackOff", "message": "no such image"});
        let status = json!({"phase": "Pending", "podIP": "10.0.0.1", "containerStatuses": [
            {"name": "broker", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": waiting}}]});
        let entry = pod(status);
        assert_eq!(entry.view.waiting.as_deref(), Some("ImagePullBackOff: the image i cannot be pulled"));
        assert_eq!(entry.address, None, "its containers do not run");
        assert!(!entry.view.node_lost);
    }

    #[test]
    fn a_pod_that_is_only_starting_has_nothing_to_complain_of() {
        let status = json!({"phase": "Pending", "containerStatuses": [
            {"name": "broker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        assert_eq!(pod(status).view.waiting, None);
    }

    #[test]
    fn a_pod_is_lost_when_its_condition_turned_but_its_containers_are_as_last_heard_of() {
        let status = |ready: &str, container: bool| {
            json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}],
                   "containerStatuses": [{"name": "broker", "image": "i", "imageID": "", "ready": container, "restartCount": 0}]})
        };
        assert!(pod(status("False", true)).view.node_lost);
        assert!(!pod(status("False", false)).view.node_lost);
        let ready = pod(status("True", true));
        assert!(ready.view.ready && !ready.view.node_lost);
        assert_eq!(ready.address.as_deref(), Some("10.0.0.1"));
        assert_eq!((ready.broker.as_deref(), ready.view.zone.as_str()), (Some("trading"), "eu-1"));
    }

    #[test]
    fn an_unschedulable_pod_says_why() {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"});
        assert_eq!(pod(json!({"conditions": [condition]})).view.unschedulable.as_deref(), Some("0/3 nodes"));
    }

    #[test]
    fn a_deployment_counts_only_when_its_controller_has_seen_the_newest_spec() {
        let deployment = |observed: i64| -> Deployment {
            serde_json::from_value(json!({
                "metadata": {"name": "trading", "generation": 3, "annotations": {REVISION: "r2"},
                    "managedFields": [entry(FIELD_MANAGER, None, json!({"f:spec": {"f:replicas": {}}}))]},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "readyReplicas": 1, "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too long"}]},
            }))
            .unwrap()
        };
        let view = deployment_view(&deployment(3));
        assert!(view.current && view.owns_replicas);
        assert_eq!((view.desired, view.ready, view.revision.as_deref()), (2, 1, Some("r2")));
        assert_eq!(view.stalled.as_deref(), Some("too long"));
        assert!(!deployment_view(&deployment(2)).current);
    }
}

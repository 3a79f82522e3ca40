//! From pods to what is kept of them (pure).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::{
    cache::Entry,
    obstacle::obstacle,
    seen::Shape,
    shapes::{Metadata, PodShape},
    uid::Uid,
};
use crate::{
    observed::{NatsServerView, PodView},
    plan::{DELETION_COST, labels},
};

/// Label by which a ReplicaSet knows its pods.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Label by which a StatefulSet knows what its pods were made from.
const CONTROLLER_REVISION: &str = "controller-revision-hash";

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodEntry {
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
    pub(crate) fn from_pod(pod: &PodShape) -> Self {
        let label = |name: &str| pod.metadata.label(name).cloned();
        let status = pod.status.as_ref();
        let running = status.and_then(|status| status.phase.as_deref()) == Some("Running");
        Self {
            version: pod.metadata.version(),
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
    fn uid(&self) -> Uid {
        Uid::new(&self.view.uid)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn broker(&self) -> Option<&str> {
        self.broker.as_deref()
    }

    fn differs(&self, other: &Self) -> bool {
        let Self { version: _, broker, template_hash: _, address: _, view } = self;
        (broker, view) != (&other.broker, &other.view)
    }
}

impl Shape for PodShape {
    type Kept = AnyPod;
    type Kind = Pod;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn kept(self) -> AnyPod {
        if self.metadata.label(labels::COMPONENT).is_some_and(|component| component == labels::NATS) {
            AnyPod::Nats(Box::new(NatsPodEntry::from_pod(&self)))
        } else {
            AnyPod::Broker(Box::new(PodEntry::from_pod(&self)))
        }
    }
}

/// A pod of ours.
#[derive(Clone, Debug)]
pub(crate) enum AnyPod {
    Broker(Box<PodEntry>),
    Nats(Box<NatsPodEntry>),
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
    fn from_pod(pod: &PodShape) -> Self {
        let PodEntry { version, broker, template_hash: _, address, view } = PodEntry::from_pod(pod);
        let revision = pod.metadata.label(CONTROLLER_REVISION).cloned();
        let PodView { name, uid, ready, terminating, waiting, unschedulable, .. } = view;
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
    fn uid(&self) -> Uid {
        Uid::new(&self.view.uid)
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

fn pod_view(pod: &PodShape, zone: String) -> PodView {
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
        deletion_cost: pod.metadata.annotation(DELETION_COST).and_then(|cost| cost.parse().ok()),
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
}

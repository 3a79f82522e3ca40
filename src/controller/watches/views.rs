//! From children to what is kept of them (pure).

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::Service,
        networking::v1::Ingress,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource as _;

use super::{
    autoscalers,
    cache::Entry,
    exposed,
    packed::Packed,
    seen::Shape,
    shapes::{AutoscalerShape, Bare, DeploymentShape, IngressShape, Metadata, ServiceShape, StatefulSetShape, number},
    uid::Uid,
};
use crate::{
    api::StompBroker,
    controller::kinds::Child,
    observed::{AutoscalerView, DeploymentView, ExposedView, StatefulSetView},
    plan::{DRAINED_ZONE, FAILED, PREVIOUS, REVISION},
};

/// What is kept of a child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChildEntry {
    pub(crate) uid: Uid,
    pub(crate) version: u64,
    /// The controller, when it has one.
    pub(crate) owner: Option<Owner>,
    /// Whether it has a deletion timestamp.
    pub(crate) deleting: bool,
    /// Of the fields that we own. Whoever else changes, adds or deletes one of them takes it out of our hands, so this
    /// number changes with every drift that concerns us and with no other: not with status, not with fields of others.
    pub(crate) fields: u64,
    /// What its kind has to tell.
    detail: Detail,
}

/// What a child of some kinds tells.
#[derive(Clone, Debug, PartialEq)]
enum Detail {
    None,
    Deployment(Box<KeptDeployment>),
    /// A PodDisruptionBudget's annotation [`DRAINED_ZONE`].
    DrainedZone(Box<str>),
    StatefulSet(Box<StatefulSetView>),
    Autoscaler(Box<AutoscalerView>),
    /// How a Service or an Ingress is reached from outside.
    Exposed(Box<ExposedView>),
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
pub(crate) enum Owner {
    Broker { name: Box<str>, uid: Uid },
    Other { kind: Box<str>, name: Box<str> },
}

impl ChildEntry {
    /// Of an object that was read whole.
    pub(crate) fn from_meta(metadata: &ObjectMeta) -> Self {
        Self::new(&Metadata::of(metadata), Detail::None)
    }

    fn new(metadata: &Metadata, detail: Detail) -> Self {
        let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let owner = controller.map(|owner| {
            let (kind, name) = (owner.kind.as_str(), owner.name.as_str().into());
            let ours = StompBroker::group(&());
            if kind == StompBroker::kind(&()) && owner.api_version.split('/').next() == Some(&*ours) {
                Owner::Broker { name, uid: Uid::new(&owner.uid) }
            } else {
                Owner::Other { kind: kind.into(), name }
            }
        });
        Self {
            uid: Uid::new(metadata.uid.as_deref().unwrap_or_default()),
            version: metadata.version(),
            owner,
            deleting: metadata.deletion_timestamp.is_some(),
            fields: metadata.managed_fields.own,
            detail,
        }
    }

    /// Whether it belongs to the StompBroker with this UID.
    pub(crate) fn is_of(&self, broker: &str) -> bool {
        matches!(&self.owner, Some(Owner::Broker { uid, .. }) if *uid == Uid::new(broker))
    }

    /// What a Deployment says of itself.
    pub(crate) fn deployment(&self) -> Option<&KeptDeployment> {
        if let Detail::Deployment(kept) = &self.detail { Some(kept) } else { None }
    }

    /// The zone that a PodDisruptionBudget lets be drained.
    pub(crate) fn drained_zone(&self) -> Option<&str> {
        if let Detail::DrainedZone(zone) = &self.detail { Some(zone) } else { None }
    }

    /// What a StatefulSet says of itself.
    pub(crate) fn stateful_set(&self) -> Option<&StatefulSetView> {
        if let Detail::StatefulSet(view) = &self.detail { Some(view) } else { None }
    }

    /// What a HorizontalPodAutoscaler says of itself.
    pub(crate) fn autoscaler(&self) -> Option<&AutoscalerView> {
        if let Detail::Autoscaler(view) = &self.detail { Some(view) } else { None }
    }

    /// How a Service or an Ingress is reached from outside.
    pub(crate) fn exposed(&self) -> Option<&ExposedView> {
        if let Detail::Exposed(view) = &self.detail { Some(view) } else { None }
    }
}

impl Detail {
    /// Measurements differ all the time; they are read when there is a decision to explain.
    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Autoscaler(one), Self::Autoscaler(other)) => {
                let bare = |view: &AutoscalerView| AutoscalerView { readings: Vec::new(), ..view.clone() };
                bare(one) != bare(other)
            }
            (one, other) => one != other,
        }
    }
}

impl Entry for ChildEntry {
    fn uid(&self) -> Uid {
        self.uid.clone()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn broker(&self) -> Option<&str> {
        if let Some(Owner::Broker { name, .. }) = &self.owner { Some(name) } else { None }
    }

    fn differs(&self, other: &Self) -> bool {
        let Self { uid, version: _, owner, deleting, fields, detail } = self;
        (uid, owner, deleting, fields) != (&other.uid, &other.owner, &other.deleting, &other.fields)
            || detail.differs(&other.detail)
    }
}

/// `resourceVersion` as a number.
pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
    number(metadata.resource_version.as_deref())
}

impl<K: Child> Shape for Bare<K> {
    type Kept = ChildEntry;
    type Kind = K;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn kept(self) -> ChildEntry {
        let zone = self.metadata.annotation(DRAINED_ZONE);
        ChildEntry::new(&self.metadata, zone.map_or(Detail::None, |zone| Detail::DrainedZone(zone.as_str().into())))
    }
}

/// Shapes of which a detail is kept.
macro_rules! detailed {
    ($($shape:ident of $kind:ident: $detail:expr;)+) => { $(
        impl Shape for $shape {
            type Kept = ChildEntry;
            type Kind = $kind;

            fn metadata(&self) -> &Metadata {
                &self.metadata
            }

            fn kept(self) -> ChildEntry {
                let detail: fn(&Self) -> Detail = $detail;
                ChildEntry::new(&self.metadata, detail(&self))
            }
        }
    )+ };
}

detailed! {
    DeploymentShape of Deployment: |shape| Detail::Deployment(Box::new(KeptDeployment::new(deployment(shape))));
    StatefulSetShape of StatefulSet: |shape| Detail::StatefulSet(Box::new(stateful_set(shape)));
    ServiceShape of Service: |shape| reached(exposed::service(shape));
    IngressShape of Ingress: |shape| reached(exposed::ingress(shape));
    AutoscalerShape of HorizontalPodAutoscaler: |shape| Detail::Autoscaler(Box::new(autoscalers::view(shape)));
}

fn reached(from_outside: Option<ExposedView>) -> Detail {
    from_outside.map_or(Detail::None, |view| Detail::Exposed(Box::new(view)))
}

fn deployment(deployment: &DeploymentShape) -> DeploymentView {
    let DeploymentShape { metadata, spec, status } = deployment;
    let status = status.clone().unwrap_or_default();
    let condition = |type_: &str, wanted: &dyn Fn(&str, Option<&str>) -> bool| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_ && wanted(&condition.status, condition.reason.as_deref()))
            .map(|condition| condition.message.clone().unwrap_or_else(|| type_.to_owned()))
    };
    DeploymentView {
        current: status.observed_generation >= metadata.generation,
        desired: spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        replicas: status.replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        revision: metadata.annotation(REVISION).cloned(),
        previous: metadata.annotation(PREVIOUS).cloned(),
        failed: metadata.annotation(FAILED).cloned(),
        // The entry has it; here it would make every version look like news.
        version: 0,
        replica_failure: condition("ReplicaFailure", &|status, _| status == "True"),
        stalled: condition("Progressing", &|_, reason| reason == Some("ProgressDeadlineExceeded")),
        owns_replicas: metadata.managed_fields.owns_replicas,
        scaled_by: metadata.managed_fields.scaled_by.clone(),
    }
}

fn stateful_set(stateful_set: &StatefulSetShape) -> StatefulSetView {
    let StatefulSetShape { metadata, spec, status } = stateful_set;
    let status = status.as_ref();
    let claim = spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_ref()?.first()?.spec.as_ref());
    let requests = claim.and_then(|claim| claim.resources.as_ref()?.requests.as_ref());
    StatefulSetView {
        current: status.and_then(|status| status.observed_generation) >= metadata.generation,
        update_revision: status.and_then(|status| status.update_revision.clone()),
        revision: metadata.annotation(REVISION).cloned(),
        storage: requests.and_then(|requests| requests.get("storage")).map(|size| size.0.clone()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::FIELD_MANAGER;

    fn child(managed_fields: &Value) -> ChildEntry {
        let metadata = json!({"name": "trading", "uid": "u", "resourceVersion": "7", "managedFields": managed_fields});
        serde_json::from_value::<Bare<ConfigMap>>(json!({"metadata": metadata})).unwrap().kept()
    }

    fn entry(manager: &str, subresource: Option<&str>, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
               "fieldsV1": fields, "subresource": subresource})
    }

    #[test]
    fn a_field_that_somebody_else_takes_is_a_difference_and_one_that_was_never_ours_is_not() {
        let ours = entry(FIELD_MANAGER, None, &json!({"f:data": {"f:broker.yaml": {}}}));
        let applied = child(&json!([ours]));
        let status = entry("kube-controller-manager", Some("status"), &json!({"f:status": {}}));
        assert!(!applied.differs(&child(&json!([ours, status]))));
        let annotated = entry("kubectl-annotate", None, &json!({"f:metadata": {"f:annotations": {"f:x": {}}}}));
        assert!(!applied.differs(&child(&json!([ours, annotated]))));
        let taken = entry(FIELD_MANAGER, None, &json!({"f:data": {}}));
        assert!(applied.differs(&child(&json!([taken]))));
    }

    #[test]
    fn a_child_belongs_to_the_broker_that_controls_it() {
        let owner = |kind: &str, group: &str| {
            let owner = json!({"apiVersion": format!("{group}/v1alpha1"), "kind": kind, "name": "trading", "uid": "u1", "controller": true});
            let metadata = json!({"name": "trading", "ownerReferences": [owner]});
            serde_json::from_value::<Bare<ConfigMap>>(json!({"metadata": metadata})).unwrap().kept()
        };
        let ours = owner("StompBroker", "stompbroker.dev");
        assert!(ours.is_of("u1") && !ours.is_of("u2"));
        assert_eq!(ours.broker(), Some("trading"));
        for foreign in [owner("StompBroker", "other.example"), owner("Broker", "stompbroker.dev")] {
            assert!(!foreign.is_of("u1"));
            assert_eq!(foreign.broker(), None);
        }
    }

    #[test]
    fn what_an_autoscaler_measures_is_no_difference_and_what_it_decides_is() {
        let autoscaler = |desired: i32, measured: &str| {
            let pods = |field: &str, value: &str| json!({"type": "Pods", "pods": {"metric": {"name": "m"}, field: {"type": "AverageValue", "averageValue": value}}});
            let shape: AutoscalerShape = serde_json::from_value(json!({
                "metadata": {"name": "trading"}, "spec": {"metrics": [pods("target", "70")]},
                "status": {"desiredReplicas": desired, "currentMetrics": [pods("current", measured)]}}))
            .unwrap();
            shape.kept()
        };
        let before = autoscaler(2, "50");
        assert_eq!(before.autoscaler().unwrap().readings.len(), 1);
        assert!(!before.differs(&autoscaler(2, "60")));
        assert!(before.differs(&autoscaler(3, "50")));
    }

    #[test]
    fn a_deployment_counts_only_when_its_controller_has_seen_the_newest_spec() {
        let shape = |observed: i64| -> DeploymentShape {
            serde_json::from_value(json!({
                "metadata": {"name": "trading", "generation": 3, "annotations": {REVISION: "r2"},
                    "managedFields": [entry(FIELD_MANAGER, None, &json!({"f:spec": {"f:replicas": {}}}))]},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "readyReplicas": 1, "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too long"}]},
            }))
            .unwrap()
        };
        let view = shape(3).kept().deployment().unwrap().view();
        assert!(view.current && view.owns_replicas);
        assert_eq!((view.desired, view.ready, view.revision.as_deref()), (2, 1, Some("r2")));
        assert_eq!(view.stalled.as_deref(), Some("too long"));
        assert!(!deployment(&shape(2)).current);
    }
}

//! The parts of Kubernetes' objects that are read (pure). All else in what the API server sends is skipped unread: a pod template
//! alone is more than everything that is kept of a Deployment.

use std::{collections::BTreeMap, marker::PhantomData};

use k8s_openapi::{
    api::{
        apps::v1::{DeploymentStatus, StatefulSetStatus},
        autoscaling::v2::{HorizontalPodAutoscalerStatus, MetricSpec},
        core::v1::{PersistentVolumeClaim, PodStatus, ServicePort, ServiceStatus},
        networking::v1::IngressStatus,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{managed_fields::ManagedFields, seen::Shape};
use crate::api::{StompBroker, StompBrokerStatus};

/// Of `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) generation: Option<i64>,
    pub(crate) creation_timestamp: Option<Time>,
    pub(crate) deletion_timestamp: Option<Time>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    pub(crate) owner_references: Option<Vec<OwnerReference>>,
    pub(crate) managed_fields: ManagedFields,
}

impl Metadata {
    /// Of an object that was read whole.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp.clone(),
            deletion_timestamp: metadata.deletion_timestamp.clone(),
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
            owner_references: metadata.owner_references.clone(),
            managed_fields: metadata.managed_fields.as_deref().unwrap_or_default().into(),
        }
    }

    /// `resourceVersion` as a number.
    pub(crate) fn version(&self) -> u64 {
        number(self.resource_version.as_deref())
    }

    /// The label `name`.
    pub(crate) fn label(&self, name: &str) -> Option<&String> {
        self.labels.as_ref()?.get(name)
    }

    /// The annotation `name`.
    pub(crate) fn annotation(&self, name: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(name)
    }
}

/// A `resourceVersion` as a number; 0 when it is none.
pub(super) fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Of an object of the kind `K`, nothing but its metadata.
#[derive(Deserialize)]
#[serde(bound = "")]
pub(crate) struct Bare<K> {
    pub(crate) metadata: Metadata,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

/// Of an object, its metadata, this of its `spec` and this of its `status`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Parts<Spec, Status> {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<Spec>,
    pub(crate) status: Option<Status>,
}

/// Of a StompBroker, all that is kept, as it was sent.
pub(crate) type BrokerShape = Parts<Box<RawValue>, Box<RawValue>>;
/// Of a StompBroker, what the answer to a write of its status is read for.
pub(crate) type StatusShape = Parts<IgnoredAny, StompBrokerStatus>;
/// Of a Deployment.
pub(crate) type DeploymentShape = Parts<Replicas, DeploymentStatus>;
/// Of a StatefulSet.
pub(crate) type StatefulSetShape = Parts<ClaimTemplates, StatefulSetStatus>;
/// Of a Service.
pub(crate) type ServiceShape = Parts<Ports, ServiceStatus>;
/// Of an Ingress.
pub(crate) type IngressShape = Parts<IgnoredAny, IngressStatus>;
/// Of a HorizontalPodAutoscaler.
pub(crate) type AutoscalerShape = Parts<Metrics, HorizontalPodAutoscalerStatus>;
/// Of a pod.
pub(crate) type PodShape = Parts<Placement, PodStatus>;

/// Of the `spec` of a Deployment.
#[derive(Deserialize)]
pub(crate) struct Replicas {
    pub(crate) replicas: Option<i32>,
}

/// Of the `spec` of a StatefulSet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimTemplates {
    pub(crate) volume_claim_templates: Option<Vec<PersistentVolumeClaim>>,
}

/// Of the `spec` of a Service.
#[derive(Deserialize)]
pub(crate) struct Ports {
    pub(crate) ports: Option<Vec<ServicePort>>,
}

/// Of the `spec` of a HorizontalPodAutoscaler.
#[derive(Deserialize)]
pub(crate) struct Metrics {
    pub(crate) metrics: Option<Vec<MetricSpec>>,
}

/// Of the `spec` of a pod.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placement {
    pub(crate) node_name: Option<String>,
}

impl Shape for StatusShape {
    type Kept = Self;
    type Kind = StompBroker;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn kept(self) -> Self {
        self
    }
}

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
use serde::Deserialize;

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
        self.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
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

/// Of an object of the kind `K`, nothing but its metadata.
#[derive(Deserialize)]
#[serde(bound = "")]
pub(crate) struct Bare<K> {
    pub(crate) metadata: Metadata,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

/// Of a StompBroker, what the answer to a write of its status is read for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StatusShape {
    pub(crate) metadata: Metadata,
    pub(crate) status: Option<StompBrokerStatus>,
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

/// Of a Deployment.
#[derive(Deserialize)]
pub(crate) struct DeploymentShape {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<DeploymentSpecShape>,
    pub(crate) status: Option<DeploymentStatus>,
}

/// Of its `spec`.
#[derive(Deserialize)]
pub(crate) struct DeploymentSpecShape {
    pub(crate) replicas: Option<i32>,
}

/// Of a StatefulSet.
#[derive(Deserialize)]
pub(crate) struct StatefulSetShape {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<StatefulSetSpecShape>,
    pub(crate) status: Option<StatefulSetStatus>,
}

/// Of its `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatefulSetSpecShape {
    pub(crate) volume_claim_templates: Option<Vec<PersistentVolumeClaim>>,
}

/// Of a Service.
#[derive(Deserialize)]
pub(crate) struct ServiceShape {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<ServiceSpecShape>,
    pub(crate) status: Option<ServiceStatus>,
}

/// Of its `spec`.
#[derive(Deserialize)]
pub(crate) struct ServiceSpecShape {
    pub(crate) ports: Option<Vec<ServicePort>>,
}

/// Of an Ingress.
#[derive(Deserialize)]
pub(crate) struct IngressShape {
    pub(crate) metadata: Metadata,
    pub(crate) status: Option<IngressStatus>,
}

/// Of a HorizontalPodAutoscaler.
#[derive(Deserialize)]
pub(crate) struct AutoscalerShape {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<AutoscalerSpecShape>,
    pub(crate) status: Option<HorizontalPodAutoscalerStatus>,
}

/// Of its `spec`.
#[derive(Deserialize)]
pub(crate) struct AutoscalerSpecShape {
    pub(crate) metrics: Option<Vec<MetricSpec>>,
}

/// Of a pod.
#[derive(Deserialize)]
pub(crate) struct PodShape {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Option<PodSpecShape>,
    pub(crate) status: Option<PodStatus>,
}

/// Of its `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpecShape {
    pub(crate) node_name: Option<String>,
}

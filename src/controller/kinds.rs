//! The kinds of children.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::views::ChildEntry;
use crate::plan::ScaledObject;

/// A kind of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ChildKind {
    ServiceAccount,
    Secret,
    PersistentVolumeClaim,
    ConfigMap,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
    Deployment,
    HorizontalPodAutoscaler,
    ScaledObject,
}

impl ChildKind {
    /// Name of the kind.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }
}

/// The Rust type of a [`ChildKind`].
pub(crate) trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind.
    const KIND: ChildKind;

    /// What is kept of it.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_meta(self.meta())
    }
}

macro_rules! children {
    ($($kind:ident),+) => { $(impl Child for $kind { const KIND: ChildKind = ChildKind::$kind; })+ };
}
children!(
    ServiceAccount,
    Secret,
    PersistentVolumeClaim,
    ConfigMap,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    ScaledObject
);

impl Child for Deployment {
    const KIND: ChildKind = ChildKind::Deployment;

    /// Its status is kept as well.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_deployment(self)
    }
}

impl Child for StatefulSet {
    const KIND: ChildKind = ChildKind::StatefulSet;

    /// Its status is kept as well.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_stateful_set(self)
    }
}

impl Child for HorizontalPodAutoscaler {
    const KIND: ChildKind = ChildKind::HorizontalPodAutoscaler;

    /// Its status is kept as well.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_autoscaler(self)
    }
}

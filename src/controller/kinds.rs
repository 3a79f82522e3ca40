//! The kinds of children.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::views::ChildEntry;
use crate::plan::{
    ScaledObject,
    certificate::Certificate,
    gateway::{Http, Route, Tls, TlsAlpha},
};

/// A kind of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ChildKind {
    ServiceAccount,
    Secret,
    Certificate,
    PersistentVolumeClaim,
    ConfigMap,
    Service,
    Ingress,
    HttpRoute,
    TlsRoute,
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
            Self::Certificate => "Certificate",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
            Self::TlsRoute => "TLSRoute",
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
    Certificate,
    PersistentVolumeClaim,
    ConfigMap,
    NetworkPolicy,
    PodDisruptionBudget,
    ScaledObject
);

impl Child for Route<Http> {
    const KIND: ChildKind = ChildKind::HttpRoute;
}

impl Child for Route<Tls> {
    const KIND: ChildKind = ChildKind::TlsRoute;
}

impl Child for Route<TlsAlpha> {
    const KIND: ChildKind = ChildKind::TlsRoute;
}

impl Child for Service {
    const KIND: ChildKind = ChildKind::Service;

    /// Where it is reached is kept as well.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_service(self)
    }
}

impl Child for Ingress {
    const KIND: ChildKind = ChildKind::Ingress;

    /// Where it is reached is kept as well.
    fn entry(&self) -> ChildEntry {
        ChildEntry::from_ingress(self)
    }
}

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

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

use super::watches::{
    seen::Shape,
    shapes::{AutoscalerShape, Bare, DeploymentShape, IngressShape, ServiceShape, StatefulSetShape},
    views::ChildEntry,
};
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

    /// What is read of it.
    type Shape: Shape<Kind = Self, Kept = ChildEntry>;
}

macro_rules! children {
    ($($kind:ty = $variant:ident as $shape:ty;)+) => { $(
        impl Child for $kind {
            type Shape = $shape;

            const KIND: ChildKind = ChildKind::$variant;
        }
    )+ };
}
children! {
    ServiceAccount = ServiceAccount as Bare<Self>;
    Secret = Secret as Bare<Self>;
    Certificate = Certificate as Bare<Self>;
    PersistentVolumeClaim = PersistentVolumeClaim as Bare<Self>;
    ConfigMap = ConfigMap as Bare<Self>;
    Service = Service as ServiceShape;
    Ingress = Ingress as IngressShape;
    Route<Http> = HttpRoute as Bare<Self>;
    Route<Tls> = TlsRoute as Bare<Self>;
    Route<TlsAlpha> = TlsRoute as Bare<Self>;
    NetworkPolicy = NetworkPolicy as Bare<Self>;
    PodDisruptionBudget = PodDisruptionBudget as Bare<Self>;
    StatefulSet = StatefulSet as StatefulSetShape;
    Deployment = Deployment as DeploymentShape;
    HorizontalPodAutoscaler = HorizontalPodAutoscaler as AutoscalerShape;
    ScaledObject = ScaledObject as Bare<Self>;
}

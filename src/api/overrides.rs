//! Patches of the objects that the operator makes: the way out where the spec has no field.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scalars;

/// A patch of some of the objects that the operator makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The objects.
    pub target: OverrideTarget,
    /// Operations of JSON Patch (RFC 6902), done in this order to each object when everything else in the spec is in it.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub patch: Vec<PatchOperation>,
}

/// The objects that a patch is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideTarget {
    /// Their kind.
    pub kind: OverrideKind,
    /// Name of the only one. Absent: all of this kind. Deployments, ConfigMaps and autoscalers are called
    /// `<name>-<zone>`, and `<name>` without zones; `kubectl stompbroker diff` shows all names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
}

/// A kind of objects that can be patched. Secrets cannot: their values are in no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OverrideKind {
    /// The broker's pods, one Deployment for each zone.
    Deployment,
    /// NATS servers that the operator runs, one StatefulSet for each zone.
    StatefulSet,
    /// Where clients connect, and where pods and NATS servers find each other.
    Service,
    /// How browsers come into the cluster.
    Ingress,
    /// Who the pods are.
    ServiceAccount,
    /// Their configuration: labels and annotations only.
    ConfigMap,
    /// Who may connect to whom.
    NetworkPolicy,
    /// How many pods may be evicted: labels and annotations only.
    PodDisruptionBudget,
    /// Volumes: labels and annotations only.
    PersistentVolumeClaim,
    /// Autoscalers.
    HorizontalPodAutoscaler,
    /// Autoscalers of KEDA.
    ScaledObject,
    /// What cert-manager issues the listeners' certificates by.
    Certificate,
    /// How browsers come into the cluster by Gateway API.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// How STOMP over TLS comes into the cluster by Gateway API.
    #[serde(rename = "TLSRoute")]
    TlsRoute,
}

/// One operation of a JSON Patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchOperation {
    /// What is done.
    pub op: PatchVerb,
    /// Where, as JSON Pointer (RFC 6901): a slash within a key is written `~1`, and `-` is the end of a list.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^(/([^/~]|~[01])+)+$"))]
    pub path: String,
    /// The value, of any type; needed but for remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::anything")]
    pub value: Option<Value>,
}

/// What an operation of a JSON Patch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PatchVerb {
    /// Adds a field or an entry of a list; replaces a field that is there.
    Add,
    /// Takes what is there away.
    Remove,
    /// Replaces what is there.
    Replace,
    /// Refuses the whole spec unless exactly this is there.
    Test,
}

/// What `spec.overrides` changes of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideStatus {
    /// Kind of the object.
    pub kind: OverrideKind,
    /// Its name.
    pub name: String,
    /// The paths that are patched.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub paths: Vec<String>,
}

impl OverrideKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::Service,
        Self::Ingress,
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::PersistentVolumeClaim,
        Self::HorizontalPodAutoscaler,
        Self::ScaledObject,
        Self::Certificate,
        Self::HttpRoute,
        Self::TlsRoute,
    ];

    /// Name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Service => "Service",
            Self::Ingress => "Ingress",
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
            Self::Certificate => "Certificate",
            Self::HttpRoute => "HTTPRoute",
            Self::TlsRoute => "TLSRoute",
        }
    }
}

impl PatchVerb {
    /// The word in a patch.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Test => "test",
        }
    }
}

impl PatchOperation {
    /// Whether it is about what pods are made from.
    pub fn is_of_template(&self) -> bool {
        self.path.strip_prefix("/spec/template").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for PatchOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op.as_str(), self.path)
    }
}

impl fmt::Display for OverrideStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, paths } = self;
        write!(f, "{} {name}  {}", kind.as_str(), paths.join(", "))
    }
}

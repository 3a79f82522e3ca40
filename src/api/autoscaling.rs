//! A number of pods that follows the load, and what is reported of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, scalars};

/// A number of pods that follows the load, in each zone by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::autoscaling_bounds_in_order(),
    validation = rules::autoscaling_has_a_most(),
    validation = rules::keda_in_its_mode()
)]
pub struct Autoscaling {
    /// Who decides the number of pods.
    #[serde(default)]
    pub mode: AutoscalingMode,
    /// Fewest pods in a zone; what a new zone begins with.
    #[serde(default = "min_replicas_per_zone")]
    #[schemars(range(min = 1, max = 500))]
    pub min_replicas_per_zone: i32,
    /// Most pods in a zone. May be left out with mode External, where it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub max_replicas_per_zone: Option<i32>,
    /// What the number of pods keeps constant; of several, the one that wants the most pods. Not looked at with mode External.
    #[serde(default)]
    pub targets: AutoscalingTargets,
    /// With mode Keda: what KEDA looks at beside the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<KedaAutoscaling>,
}

/// Who decides the number of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AutoscalingMode {
    /// A HorizontalPodAutoscaler for each zone, made by the operator.
    #[default]
    Hpa,
    /// A ScaledObject of KEDA for each zone, made by the operator.
    Keda,
    /// Whoever writes the scale of the zones' Deployments. The operator never does.
    External,
}

/// What the number of pods keeps constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingTargets {
    /// Mean number of sessions of the pods of a zone, in percent of spec.limits.connectionsPerPod. The autoscaler gets it
    /// from the operator, whose chart has to be installed with customMetrics.enabled.
    #[serde(default = "target_share")]
    #[schemars(range(min = 1, max = 100))]
    pub connections: i32,
    /// Mean rate of SEND frames of the pods of a zone, in percent of spec.limits.messagesPerSecondPerPod, where that is set.
    /// The autoscaler gets it as it gets the sessions.
    #[serde(default = "target_share")]
    #[schemars(range(min = 1, max = 100))]
    pub message_rate: i32,
    /// Mean CPU use of the pods of a zone, in percent of spec.resources.requests.cpu.
    #[serde(default = "target_cpu")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu: i32,
}

/// What KEDA looks at beside the CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KedaAutoscaling {
    /// URL of a Prometheus that scrapes the pods with the labels namespace and pod; sessions and message rate are read
    /// there. Absent: they are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https?://\S+$"))]
    pub prometheus_address: Option<String>,
    /// Further triggers, such as cron.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub triggers: Vec<KedaTrigger>,
}

/// A trigger as KEDA documents it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KedaTrigger {
    /// Name of the scaler, such as cron.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63))]
    pub type_: String,
    /// What the scaler is to do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::texts")]
    pub metadata: BTreeMap<String, String>,
    /// AverageValue, Value or Utilization; absent for the scaler's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub metric_type: Option<String>,
    /// Name of a TriggerAuthentication in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub authentication: Option<String>,
}

/// What is reported of autoscaling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// Who decides the number of pods.
    pub mode: AutoscalingMode,
    /// The pools, one for each zone in the order of the spec, or one without zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["deployment".into()]))]
    pub pools: Vec<AutoscaledPool>,
}

/// What is reported of the number of pods of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaledPool {
    /// Name of the Deployment, whose scale is written.
    pub deployment: String,
    /// Pods wanted now.
    #[serde(default)]
    pub replicas: i32,
    /// What keeps the autoscaler from wanting more or fewer, in its words; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// The last change of the number; absent while there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<ScalingDecision>,
}

/// A change of the number of pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingDecision {
    /// Pods wanted before; absent when nobody saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// Pods wanted since.
    pub to: i32,
    /// When.
    pub at: Time,
    /// What was measured, with the targets; who wrote it, when that was none of the operator's autoscalers.
    pub why: String,
}

impl Default for AutoscalingTargets {
    fn default() -> Self {
        Self { connections: target_share(), message_rate: target_share(), cpu: target_cpu() }
    }
}

impl AutoscalingMode {
    /// The value in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hpa => "Hpa",
            Self::Keda => "Keda",
            Self::External => "External",
        }
    }
}

fn min_replicas_per_zone() -> i32 {
    1
}

fn target_share() -> i32 {
    70
}

fn target_cpu() -> i32 {
    80
}

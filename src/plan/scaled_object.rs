//! ScaledObject of KEDA: the size of an autoscaled pool with the mode Keda.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::{
    autoscaler::{self, Load, MESSAGES_PER_SECOND},
    metadata,
};
use crate::{
    api::AutoscalingMode,
    validate::{Pool, PoolSize, ValidatedBroker},
};

/// What a ScaledObject is to do; of KEDA's fields those that we write.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ScaledObject",
    namespaced,
    schema = "disabled",
    doc = "A ScaledObject of KEDA.",
    derive = "PartialEq"
)]
pub struct ScaledObjectSpec {
    /// What is scaled.
    pub scale_target_ref: ScaleTarget,
    /// Fewest pods.
    pub min_replica_count: i32,
    /// Most pods.
    pub max_replica_count: i32,
    /// What the autoscaler that KEDA makes is to look like.
    pub advanced: Advanced,
    /// What decides.
    pub triggers: Vec<Trigger>,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleTarget {
    /// Its name.
    pub name: String,
}

/// What the autoscaler that KEDA makes is to look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// The autoscaler.
    pub horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig,
}

/// The autoscaler that KEDA makes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HorizontalPodAutoscalerConfig {
    /// How fast the number changes.
    pub behavior: HorizontalPodAutoscalerBehavior,
}

/// Something that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Name of the scaler.
    #[serde(rename = "type")]
    pub type_: String,
    /// What the number is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// What the scaler is to do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What it logs in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,
}

/// A TriggerAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticationRef {
    /// Its name.
    pub name: String,
}

/// The ScaledObject of `pool`, when it is to have one.
pub(super) fn scaled_object(broker: &ValidatedBroker, pool: &Pool) -> Option<ScaledObject> {
    let autoscaling = autoscaler::of_mode(broker, AutoscalingMode::Keda)?;
    let PoolSize::Autoscaled { min, max } = pool.size else { return None };
    let keda = autoscaling.keda.clone().unwrap_or_default();
    let loads = keda
        .prometheus_address
        .iter()
        .flat_map(|address| autoscaler::loads(broker).into_iter().map(|load| prometheus(broker, pool, address, load)));
    let cpu = Trigger {
        type_: "cpu".to_owned(),
        metric_type: Some("Utilization".to_owned()),
        metadata: [("value".to_owned(), autoscaling.targets.cpu.to_string())].into(),
        authentication_ref: None,
    };
    let further = keda.triggers.iter().map(|trigger| Trigger {
        type_: trigger.type_.clone(),
        metric_type: trigger.metric_type.clone(),
        metadata: trigger.metadata.clone(),
        authentication_ref: trigger.authentication.clone().map(|name| AuthenticationRef { name }),
    });
    Some(ScaledObject {
        metadata: metadata::of_pool(broker, pool),
        spec: ScaledObjectSpec {
            scale_target_ref: ScaleTarget { name: pool.name.clone() },
            min_replica_count: min,
            max_replica_count: max,
            advanced: Advanced {
                horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig {
                    behavior: autoscaler::behavior(broker),
                },
            },
            triggers: loads.chain([cpu]).chain(further).collect(),
        },
    })
}

/// The sum over the pool's pods, of which KEDA gives each pod its share.
fn prometheus(broker: &ValidatedBroker, pool: &Pool, address: &str, load: Load) -> Trigger {
    // The two parts that Deployment and ReplicaSet add to the name have no hyphens: zone a is not taken for zone a-b.
    let pods = format!(r#"namespace="{}",pod=~"{}-[0-9a-z]+-[0-9a-z]+""#, broker.namespace, pool.name);
    let query = match load.name {
        MESSAGES_PER_SECOND => {
            format!(r#"sum(rate(stompbroker_frames_total{{command="SEND",direction="in",{pods}}}[1m]))"#)
        }
        name => format!("sum({name}{{{pods}}})"),
    };
    let metadata = [("serverAddress", address.to_owned()), ("query", query), ("threshold", load.target.to_string())];
    Trigger {
        type_: "prometheus".to_owned(),
        metric_type: Some("AverageValue".to_owned()),
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        authentication_ref: None,
    }
}

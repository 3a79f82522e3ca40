//! ScaledObject of KEDA: the size of an autoscaled pool with the mode Keda.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use serde::Serialize;

use super::{
    autoscaler::{self, Load, MESSAGES_PER_SECOND},
    custom::{CustomKind, CustomObject, Unread},
    metadata,
};
use crate::{
    api::AutoscalingMode,
    validate::{Pool, PoolSize, ValidatedBroker},
};

/// A ScaledObject.
pub type ScaledObject = CustomObject<ScaledObjectKind>;

/// The kind of ScaledObjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaledObjectKind;

impl CustomKind for ScaledObjectKind {
    type Status = Unread;

    const GROUP: &'static str = "keda.sh";
    const KIND: &'static str = "ScaledObject";
    const PLURAL: &'static str = "scaledobjects";
    const VERSION: &'static str = "v1alpha1";
}

/// What a ScaledObject is to do; of KEDA's fields those that we write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaledObjectSpec {
    /// What is scaled.
    scale_target_ref: ScaleTarget,
    /// Fewest pods.
    min_replica_count: i32,
    /// Most pods.
    max_replica_count: i32,
    /// What the autoscaler that KEDA makes is to look like.
    advanced: Advanced,
    /// What decides.
    triggers: Vec<Trigger>,
}

/// A Deployment.
#[derive(Serialize)]
struct ScaleTarget {
    /// Its name.
    name: String,
}

/// What the autoscaler that KEDA makes is to look like.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    /// The autoscaler.
    horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig,
}

/// The autoscaler that KEDA makes.
#[derive(Serialize)]
struct HorizontalPodAutoscalerConfig {
    /// How fast the number changes.
    behavior: HorizontalPodAutoscalerBehavior,
}

/// Something that decides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    /// Name of the scaler.
    #[serde(rename = "type")]
    type_: String,
    /// What the number is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_type: Option<String>,
    /// What the scaler is to do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    /// What it logs in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_ref: Option<AuthenticationRef>,
}

/// A TriggerAuthentication.
#[derive(Serialize)]
struct AuthenticationRef {
    /// Its name.
    name: String,
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
    let behavior = autoscaler::behavior(broker);
    let spec = ScaledObjectSpec {
        scale_target_ref: ScaleTarget { name: pool.name.clone() },
        min_replica_count: min,
        max_replica_count: max,
        advanced: Advanced { horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig { behavior } },
        triggers: loads.chain([cpu]).chain(further).collect(),
    };
    Some(ScaledObject::new(metadata::of_pool(broker, pool), &spec))
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

//! HorizontalPodAutoscaler: the size of an autoscaled pool.

use k8s_openapi::{
    api::autoscaling::v2::{
        CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
        HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget,
        PodsMetricSource, ResourceMetricSource,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Settings, metadata};
use crate::{
    api::{Autoscaling, AutoscalingMode},
    validate::{Pool, PoolSize, ValidatedBroker},
};

/// Metric of pods that the operator serves: sessions that have logged in.
pub const SESSIONS: &str = "stompbroker_sessions";
/// Metric of pods that the operator serves: SEND frames in a second, over the last ten seconds.
pub const MESSAGES_PER_SECOND: &str = "stompbroker_messages_per_second";

/// Seconds for which a smaller number has to have been enough before pods go: clients come back in bursts.
const PATIENCE: i32 = 300;
/// Longest period of a policy that the API server takes.
const LONGEST_PERIOD: u64 = 1800;

/// The autoscaler of `pool`, when it is to have one.
pub(super) fn autoscaler(
    broker: &ValidatedBroker,
    pool: &Pool,
    settings: &Settings,
) -> Option<HorizontalPodAutoscaler> {
    let autoscaling = of_mode(broker, AutoscalingMode::Hpa)?;
    let PoolSize::Autoscaled { min, max } = pool.size else { return None };
    let cpu = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(autoscaling.targets.cpu),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    let loads = loads(broker).into_iter().filter(|_| settings.custom_metrics);
    Some(HorizontalPodAutoscaler {
        metadata: metadata::of_pool(broker, pool),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: pool.name.clone(),
            },
            min_replicas: Some(min),
            max_replicas: max,
            metrics: Some(loads.map(Load::metric).chain([cpu]).collect()),
            behavior: Some(behavior(broker)),
        }),
        status: None,
    })
}

/// What the spec says of autoscaling, when it has this mode.
pub(super) fn of_mode(broker: &ValidatedBroker, mode: AutoscalingMode) -> Option<&Autoscaling> {
    broker.spec.autoscaling.as_ref().filter(|autoscaling| autoscaling.mode == mode)
}

/// A metric that pods are held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Name of the metric.
    pub(super) name: &'static str,
    /// What a pod is to have of it on average.
    pub(super) target: u64,
}

impl Load {
    fn metric(self) -> MetricSpec {
        MetricSpec {
            type_: "Pods".to_owned(),
            pods: Some(PodsMetricSource {
                metric: MetricIdentifier { name: self.name.to_owned(), selector: None },
                target: MetricTarget {
                    type_: "AverageValue".to_owned(),
                    average_value: Some(Quantity(self.target.to_string())),
                    ..MetricTarget::default()
                },
            }),
            ..MetricSpec::default()
        }
    }
}

/// What pods are held at beside their CPU: shares of the limits that are set.
pub(super) fn loads(broker: &ValidatedBroker) -> Vec<Load> {
    let Some(autoscaling) = &broker.spec.autoscaling else { return Vec::new() };
    let share = |limit: u32, percent: i32| (u64::from(limit) * u64::try_from(percent).unwrap_or(0) / 100).max(1);
    let sessions = share(broker.limits.connections_per_pod, autoscaling.targets.connections);
    let rate = broker.limits.messages_per_second_per_pod;
    let rate = rate.map(|limit| share(limit, autoscaling.targets.message_rate));
    [Load { name: SESSIONS, target: sessions }]
        .into_iter()
        .chain(rate.map(|target| Load { name: MESSAGES_PER_SECOND, target }))
        .collect()
}

/// More pods at once, fewer one after the other: each gets the time to let its sessions go before the next has to.
pub(super) fn behavior(broker: &ValidatedBroker) -> HorizontalPodAutoscalerBehavior {
    let period = i32::try_from(broker.drain.deadline.0.as_secs().clamp(15, LONGEST_PERIOD)).ok();
    let policy = |type_: &str, value| HPAScalingPolicy {
        type_: type_.to_owned(),
        value,
        period_seconds: period.unwrap_or(PATIENCE),
    };
    HorizontalPodAutoscalerBehavior {
        scale_down: Some(HPAScalingRules {
            stabilization_window_seconds: Some(PATIENCE),
            policies: Some(vec![policy("Pods", 1), policy("Percent", 10)]),
            ..HPAScalingRules::default()
        }),
        scale_up: None,
    }
}

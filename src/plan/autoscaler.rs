//! HorizontalPodAutoscaler: the size of an autoscaled pool.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use super::metadata;
use crate::validate::{Pool, PoolSize, ValidatedBroker};

/// The autoscaler of `pool`, when it is autoscaled.
pub(super) fn autoscaler(broker: &ValidatedBroker, pool: &Pool) -> Option<HorizontalPodAutoscaler> {
    let PoolSize::Autoscaled { min, max, cpu } = pool.size else { return None };
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
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(cpu),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            behavior: None,
        }),
        status: None,
    })
}

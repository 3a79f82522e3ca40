//! From HorizontalPodAutoscalers to what is kept of them (pure).

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerCondition, MetricSpec, MetricStatus};

use super::shapes::AutoscalerShape;
use crate::observed::{AutoscalerView, Reading};

/// Reason of the condition AbleToScale while fewer pods would be enough, but not for long enough yet.
const STABILIZED: &str = "ScaleDownStabilized";

/// What an autoscaler says of itself.
pub(super) fn view(autoscaler: &AutoscalerShape) -> AutoscalerView {
    let status = autoscaler.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |type_: &str, holds: &str| -> Option<&HorizontalPodAutoscalerCondition> {
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == holds)
    };
    let text = |condition: &HorizontalPodAutoscalerCondition| {
        condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_else(|| condition.type_.clone())
    };
    AutoscalerView {
        current: status.current_replicas.unwrap_or_default(),
        desired: status.desired_replicas,
        scaled_at: status.last_scale_time.map(|time| time.0),
        failing: condition("AbleToScale", "False").or_else(|| condition("ScalingActive", "False")).map(text),
        limited: condition("ScalingLimited", "True").map(text),
        shrinking: condition("AbleToScale", "True")
            .is_some_and(|condition| condition.reason.as_deref() == Some(STABILIZED)),
        readings: readings(autoscaler),
    }
}

/// What it has measured, as far as it has a target.
fn readings(autoscaler: &AutoscalerShape) -> Vec<Reading> {
    let targets = autoscaler.spec.as_ref().and_then(|spec| spec.metrics.as_ref());
    let measured = autoscaler.status.as_ref().and_then(|status| status.current_metrics.as_ref());
    let find = |name: &str| targets.into_iter().flatten().find_map(|spec| target(spec).filter(|(of, _)| of == name));
    measured
        .into_iter()
        .flatten()
        .filter_map(current)
        .filter_map(|(metric, value)| find(&metric).map(|(_, target)| Reading { metric, value, target }))
        .collect()
}

fn target(metric: &MetricSpec) -> Option<(String, String)> {
    match (&metric.pods, &metric.resource) {
        (Some(pods), _) => Some((pods.metric.name.clone(), pods.target.average_value.as_ref()?.0.clone())),
        (_, Some(resource)) => Some((resource.name.clone(), percent(resource.target.average_utilization?))),
        _ => None,
    }
}

fn current(metric: &MetricStatus) -> Option<(String, String)> {
    match (&metric.pods, &metric.resource) {
        (Some(pods), _) => Some((pods.metric.name.clone(), pods.current.average_value.as_ref()?.0.clone())),
        (_, Some(resource)) => Some((resource.name.clone(), percent(resource.current.average_utilization?))),
        _ => None,
    }
}

fn percent(value: i32) -> String {
    format!("{value}%")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn autoscaler() -> AutoscalerShape {
        let pods = |field: &str, value: &str| json!({"metric": {"name": "stompbroker_sessions"}, field: {"type": "AverageValue", "averageValue": value}});
        let cpu = |field: &str, value: i32| json!({"name": "cpu", field: {"type": "Utilization", "averageUtilization": value}});
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": format!("the word of {reason}")});
        serde_json::from_value(json!({
            "metadata": {"name": "trading-a"},
            "spec": {"maxReplicas": 4, "scaleTargetRef": {"kind": "Deployment", "name": "trading-a"}, "metrics": [
                {"type": "Pods", "pods": pods("target", "70")}, {"type": "Resource", "resource": cpu("target", 80)}]},
            "status": {"currentReplicas": 2, "desiredReplicas": 3, "lastScaleTime": "2026-01-02T03:04:05Z",
                "currentMetrics": [{"type": "Pods", "pods": pods("current", "84500m")}, {"type": "Resource", "resource": cpu("current", 12)},
                    {"type": ""}],
                "conditions": [condition("AbleToScale", "True", "ScaleDownStabilized"), condition("ScalingActive", "False", "FailedGetPodsMetric"),
                    condition("ScalingLimited", "True", "TooManyReplicas")]},
        }))
        .unwrap()
    }

    #[test]
    fn an_autoscaler_says_what_it_does_what_holds_it_up_and_what_limits_it() {
        let view = view(&autoscaler());
        assert_eq!((view.current, view.desired), (2, 3));
        assert_eq!(view.scaled_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(view.failing.as_deref(), Some("the word of FailedGetPodsMetric"));
        assert_eq!(view.limited.as_deref(), Some("the word of TooManyReplicas"));
        assert!(view.shrinking);
    }

    #[test]
    fn readings_stand_beside_their_targets() {
        let reading = |metric: &str, value: &str, target: &str| Reading {
            metric: metric.to_owned(),
            value: value.to_owned(),
            target: target.to_owned(),
        };
        let expected = [reading("stompbroker_sessions", "84500m", "70"), reading("cpu", "12%", "80%")];
        assert_eq!(readings(&autoscaler()), expected);
    }
}

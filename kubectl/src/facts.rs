//! What `status` and `why` speak of, and what can be said of a pod by itself. Pure.

use k8s_openapi::{
    api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};
use stompbroker_operator::{
    api::{StompBroker, StompBrokerStatus},
    status::ConditionType,
};

/// All that is shown of a broker.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The object itself.
    pub(crate) broker: StompBroker,
    /// Its pods, those on their way out included.
    pub(crate) pods: Vec<Pod>,
    /// Its autoscalers.
    pub(crate) autoscalers: Vec<HorizontalPodAutoscaler>,
    /// What happened to it lately.
    pub(crate) events: Vec<Event>,
}

impl Facts {
    /// What the operator reports; empty before it has looked.
    pub(crate) fn status(&self) -> StompBrokerStatus {
        self.broker.status.clone().unwrap_or_default()
    }
}

/// The condition of a type.
pub(crate) fn condition(status: &StompBrokerStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// The conditions that are not as they are when all is well; `Stalled` says nothing that `Degraded` does not.
pub(crate) fn unwell(status: &StompBrokerStatus) -> impl Iterator<Item = &Condition> {
    ConditionType::ALL
        .iter()
        .filter(|kind| **kind != ConditionType::Stalled)
        .filter_map(|kind| condition(status, *kind).filter(|condition| condition.status != kind.healthy()))
}

/// Whether a pod takes connections.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why a pod does not run, in the words of the scheduler or the kubelet; absent when nothing is in its way.
pub(crate) fn obstacle(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled =
        status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
        });
    if let Some(condition) = unscheduled {
        return Some(format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()));
    }
    status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| *reason != "ContainerCreating")?;
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let exit = last.map(|last| format!(" (last exit code {})", last.exit_code)).unwrap_or_default();
        Some(match &waiting.message {
            Some(message) => format!("{reason}: {message}{exit}"),
            None => format!("{reason}{exit}"),
        })
    })
}

/// One word for a pod, as `kubectl get pods` has it.
pub(crate) fn state(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    if is_ready(pod) {
        return "Ready".to_owned();
    }
    if let Some(obstacle) = obstacle(pod) {
        return obstacle.split(':').next().unwrap_or_default().to_owned();
    }
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned())
}

/// How long ago something was, in the unit that people would take: `40s`, `12m`, `5h`, `3d`.
pub(crate) fn ago(then: &Time, now: Timestamp) -> String {
    let passed = now.duration_since(then.0).max(SignedDuration::ZERO).as_secs();
    match passed {
        ..120 => format!("{passed}s"),
        120..7200 => format!("{}m", passed / 60),
        7200..172_800 => format!("{}h", passed / 3600),
        _ => format!("{}d", passed / 86400),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pod as the API server has it.
    pub(crate) fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let crashing = pod(serde_json::json!({"status": {"phase": "Running", "containerStatuses": [{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"exitCode": 64}}}]}}));
        assert_eq!(obstacle(&crashing).unwrap(), "CrashLoopBackOff: back-off 40s (last exit code 64)");
        assert_eq!(state(&crashing), "CrashLoopBackOff");
        let homeless = pod(serde_json::json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}}));
        assert_eq!(obstacle(&homeless).unwrap(), "Unschedulable: 0/3 nodes");
        let young = pod(serde_json::json!({"status": {"phase": "Pending", "containerStatuses": [{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}]}}));
        assert_eq!((obstacle(&young), state(&young)), (None, "Pending".to_owned()));
    }

    #[test]
    fn times_are_told_in_the_unit_that_people_would_take() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (then, told) in [
            ("2026-03-01T11:59:20Z", "40s"),
            ("2026-03-01T11:48:00Z", "12m"),
            ("2026-03-01T07:00:00Z", "5h"),
            ("2026-02-25T12:00:00Z", "4d"),
            ("2026-03-01T12:00:05Z", "0s"),
        ] {
            assert_eq!(ago(&Time(then.parse().unwrap()), now), told, "{then}");
        }
    }
}

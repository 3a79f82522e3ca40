//! Why the containers of a pod do not run, in words that stay the same as long as nothing new happens (pure): a container that
//! ends again and again is started, ends and waits in turn, for longer each time, and an image that cannot be pulled is waited for
//! and tried again. Each of these would be news otherwise, and a write.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus};

/// Reasons of a waiting container that every start goes through; all others say that something is wrong.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Reasons that take turns while an image cannot be pulled; the second one is told.
const PULLING: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];
/// Reason of a container that waits to be started again.
const CRASHING: &str = "CrashLoopBackOff";

/// Why a container of the pod does not run, as `reason: message`; absent while they are merely being started.
pub(super) fn obstacle(status: &PodStatus) -> Option<String> {
    let starts = status.phase.as_deref() != Some("Succeeded") && status.phase.as_deref() != Some("Failed");
    status.container_statuses.iter().flatten().filter(|_| starts).find_map(|container| of(container, status))
}

fn of(container: &ContainerStatus, pod: &PodStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let last = || container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = |by: Option<&ContainerStateTerminated>| match by {
        None => CRASHING.to_owned(),
        Some(ContainerStateTerminated { exit_code, reason, .. }) => {
            let reason = reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{CRASHING}: the container ends with exit code {exit_code}{reason}")
        }
    };
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().filter(|reason| !STARTING.contains(reason))?;
        return Some(match &waiting.message {
            _ if reason == CRASHING => ended(last()),
            _ if PULLING.contains(&reason) => format!("{}: the image {} cannot be pulled", PULLING[1], container.image),
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        });
    }
    if state.terminated.is_some() {
        return Some(ended(state.terminated.as_ref()));
    }
    last().filter(|_| container.restart_count > 0 && was_never_ready(state, pod)).map(|last| ended(Some(last)))
}

/// Whether the pod has not been ready since its container was started. One that was, and no longer is, did come up.
fn was_never_ready(state: &ContainerState, pod: &PodStatus) -> bool {
    let ready = pod.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let Some(ready) = ready.filter(|ready| ready.status != "True") else { return false };
    let started = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    match (&ready.last_transition_time, started) {
        (Some(turned), Some(started)) => turned.0 <= started.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The pod whose Ready condition turned at 12:00:00, with its container so.
    fn pod(ready: &str, state: &Value, last: &Value, restarts: i32) -> PodStatus {
        serde_json::from_value(json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T12:00:00Z"}],
            "containerStatuses": [{"name": "broker", "image": "registry.test/broker:1", "imageID": "", "ready": ready == "True",
                                   "restartCount": restarts, "state": state, "lastState": last}],
        }))
        .unwrap()
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "reason": "Error"}})
    }

    fn running(since: &str) -> Value {
        json!({"running": {"startedAt": format!("2026-01-01T{since}Z")}})
    }

    #[test]
    fn a_container_that_ends_again_and_again_is_told_of_once() {
        let waiting = |seconds: u32| json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!("back-off {seconds}s")}});
        let first = obstacle(&pod("False", &ended(1), &json!({}), 0)).unwrap();
        assert_eq!(first, "CrashLoopBackOff: the container ends with exit code 1 (Error)");
        for (state, restarts) in
            [(waiting(10), 0), (running("12:00:11"), 1), (ended(1), 1), (waiting(20), 1), (running("12:05:00"), 7)]
        {
            let told = obstacle(&pod("False", &state, &ended(1), restarts));
            assert_eq!(told.as_ref(), Some(&first), "{state}");
        }
        assert_ne!(obstacle(&pod("False", &waiting(20), &ended(64), 8)), Some(first), "another code is news");
    }

    #[test]
    fn a_container_that_came_up_again_is_not_told_of() {
        assert_eq!(obstacle(&pod("True", &running("11:59:00"), &ended(1), 3)), None);
        assert_eq!(obstacle(&pod("False", &running("11:00:00"), &ended(1), 3)), None, "it was ready until twelve");
        assert_eq!(obstacle(&pod("False", &running("12:00:01"), &json!({}), 0)), None, "it starts for the first time");
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_of_once() {
        let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let expected = "ImagePullBackOff: the image registry.test/broker:1 cannot be pulled";
        for state in [waiting("ErrImagePull", "not found"), waiting("ImagePullBackOff", "Back-off pulling image")] {
            assert_eq!(obstacle(&pod("False", &state, &json!({}), 0)).as_deref(), Some(expected));
        }
        let state = waiting("InvalidImageName", "it has blanks");
        assert_eq!(obstacle(&pod("False", &state, &json!({}), 0)).unwrap(), "InvalidImageName: it has blanks");
        assert_eq!(obstacle(&pod("False", &json!({"waiting": {"reason": "ContainerCreating"}}), &json!({}), 0)), None);
    }

    #[test]
    fn a_pod_that_has_ended_for_good_is_not_about_to_start() {
        let mut done = pod("False", &ended(0), &json!({}), 0);
        done.phase = Some("Succeeded".to_owned());
        assert_eq!(obstacle(&done), None);
    }
}

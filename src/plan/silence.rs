//! How long a pod that says nothing is waited for: by the next zone of a rollout, and by a rotation of logins.
//!
//! Counted from when it was first asked in vain, or from when it stopped being ready, as an operator that starts anew sees it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::{
    observed::{Observed, PodView},
    validate::ValidatedBroker,
};

/// By then every kubelet has brought a changed Secret to its pods, and the pods have taken it up.
const SECRETS_ARRIVE: Duration = Duration::from_mins(3);

/// How long silence is waited for, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    now: Timestamp,
    wait: Duration,
}

impl Patience {
    /// That of a rollout.
    pub(crate) fn of_rollout(broker: &ValidatedBroker, now: Timestamp) -> Self {
        Self { now, wait: broker.spec.rollout.silence_wait.0 }
    }

    /// That of a rotation: no less than a Secret takes to its pods.
    pub(crate) fn of_rotation(broker: &ValidatedBroker, now: Timestamp) -> Self {
        Self { now, wait: broker.spec.rollout.silence_wait.0.max(SECRETS_ARRIVE) }
    }

    /// Whether `pod` has said nothing for too long.
    pub(crate) fn is_over(self, pod: &PodView) -> bool {
        self.left(pod).is_some_and(|left| left.is_zero())
    }

    /// How much longer `pod` is waited for; absent when it says what it has to say.
    fn left(self, pod: &PodView) -> Option<Duration> {
        if matches!(pod.admin, Some(Ok(_))) {
            return None;
        }
        let silent = Duration::try_from(self.now.duration_since(pod.silent_since?)).unwrap_or_default();
        Some(self.wait.saturating_sub(silent))
    }
}

/// When somebody is no longer waited for next.
pub(crate) fn due_in(broker: &ValidatedBroker, observed: &Observed) -> Option<Duration> {
    let patience = [Patience::of_rollout(broker, observed.now), Patience::of_rotation(broker, observed.now)];
    let left = patience.into_iter().flat_map(|patience| observed.pods.iter().filter_map(move |pod| patience.left(pod)));
    left.filter(|left| !left.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{controller::testing::report, observed::LoginView, plan::Login};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(name: &str, silent_since: Option<i64>) -> PodView {
        let name = name.to_owned();
        PodView { name, scheduled: true, silent_since: silent_since.map(at), ..PodView::default() }
    }

    #[test]
    fn a_rotation_waits_for_a_silent_pod_so_long_and_for_one_that_speaks_for_ever() {
        let seen = LoginView { digest: Some("now".to_owned()), ..LoginView::default() };
        let before = PodView { admin: Some(Ok(report(0, 0.0))), ..pod("before", None) };
        let pods = [pod("silent", Some(100)), before];
        let waited_for = |second| {
            let patience = Patience { now: at(second), wait: Duration::from_mins(5) };
            let missing = Login::System.acknowledgement(&seen, &pods, patience).missing;
            missing.into_iter().map(|(pod, _)| pod.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(waited_for(399), ["silent", "before"]);
        assert_eq!(waited_for(400), ["before"]);
        assert_eq!(waited_for(100_000), ["before"]);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nobody_up() {
        let patience = Patience { now: at(50), wait: Duration::from_secs(1) };
        assert!(!patience.is_over(&pod("silent", Some(100))));
    }
}

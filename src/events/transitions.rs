//! What turned between two statuses of one StompBroker (pure).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{RolloutPhase, RolloutStatus, RotationPhase, RotationStatus, StompBrokerStatus, ZoneStatus},
    status::{ConditionType, Reason, names},
};

names! {
    /// Reasons of Events that are no turn of a condition.
    pub(crate) enum EventReason {
        /// The first pass has made the children.
        Created,
        /// The number of pods over all zones is to be another.
        Scaled,
        /// The pods of a zone are replaced; the note has the reasons.
        Replacing,
        /// All pods have the revision.
        RolloutCompleted,
        /// Pods are given a new value of a login.
        RotationStarted,
        /// Consumers are given the new value of a login.
        CredentialsSwitched,
        /// Consumers are given the old value of a login again.
        CredentialsSwitchedBack,
        /// A new value that no consumer was given yet is taken from the pods.
        RotationReverted,
        /// The old value of a login is taken from the pods.
        RotationCompleted,
        /// Pods stand in for those of lost zones; the note has how many, and for which zones.
        Respread,
        /// No pods stand in for others any more.
        RespreadEnded,
        /// All pods of a zone may be evicted, and none of other zones.
        ZoneDraining,
        /// A zone that was drained has its pods again.
        ZoneDrained,
        /// The spec wants nothing to be written.
        LeftAlone,
        /// With managementPolicy Observe, what would be written has changed; the note has it.
        WouldChange,
        /// The spec is put into effect again.
        Managed,
    }
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// Whether somebody should look at it.
    pub(crate) warning: bool,
    /// The event's `reason`.
    pub(crate) reason: String,
    /// The event's `note`.
    pub(crate) note: String,
}

impl Transition {
    /// One that is no turn of a condition.
    pub(crate) fn of(reason: EventReason, note: String) -> Self {
        Self { warning: false, reason: reason.as_str().to_owned(), note }
    }
}

/// Conditions that are fine when true; in order of cause and effect. `Ready` comes last as it sums up.
pub(crate) const GOOD: [ConditionType; 9] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::ConfigApplied,
    ConditionType::NatsReady,
    ConditionType::RelayConnected,
    ConditionType::ZonesSatisfied,
    ConditionType::Exposed,
    ConditionType::CertificatesValid,
    ConditionType::Ready,
];

/// Reasons that a pass towards the wanted state always has; they say nothing that is worth an event.
const ON_THE_WAY: [Reason; 9] = [
    Reason::ConfigPending,
    Reason::RollingOut,
    Reason::PodsNotReady,
    Reason::PodsNotAnswering,
    Reason::CatchingUp,
    Reason::AddressPending,
    Reason::RoutePending,
    Reason::CertificatePending,
    Reason::NotAccepted,
];

/// What turned from `old` to `new`; empty when nothing did.
pub(crate) fn transitions(old: Option<&StompBrokerStatus>, new: &StompBrokerStatus) -> Vec<Transition> {
    let find = |status: &StompBrokerStatus, kind: ConditionType| {
        status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).cloned()
    };
    let mut turns = Vec::new();
    for kind in GOOD {
        let (before, after) = (old.and_then(|old| find(old, kind)), find(new, kind));
        turns.extend(after.and_then(|after| turn(kind, before.as_ref(), &after)));
    }
    let (before, after) = (old.and_then(|old| find(old, ConditionType::Degraded)), find(new, ConditionType::Degraded));
    if let Some(after) = after
        && after.status == "True"
        && before.is_none_or(|before| before.status != "True" || before.reason != after.reason)
        // The condition that is the cause has said it already.
        && !turns.iter().any(|turn| turn.warning && turn.reason == after.reason)
    {
        turns.push(Transition { warning: true, reason: after.reason, note: after.message });
    }
    // Those that stand in for others have an event of their own.
    let own = |zone: &ZoneStatus| zone.desired - zone.standing_in;
    let desired = |status: &StompBrokerStatus| status.zones.iter().map(own).sum::<i32>();
    if let Some(old) = old
        && !old.zones.is_empty()
        && !new.zones.is_empty()
        && desired(old) != desired(new)
    {
        let note = format!("from {} to {} pods over all zones", desired(old), desired(new));
        turns.push(Transition::of(EventReason::Scaled, note));
    }
    turns.extend(respread(old, new));
    turns.extend(drained(old.and_then(|old| old.drained_zone.as_deref()), new.drained_zone.as_deref()));
    turns.extend(managed(old, new));
    let logins = |status: &StompBrokerStatus| status.credentials.clone().unwrap_or_default();
    let (before, after) = (old.map(logins).unwrap_or_default(), logins(new));
    for (name, before, after) in [("system", before.system, after.system), ("client", before.client, after.client)] {
        turns.extend(rotation(name, before.rotation.as_ref(), after.rotation.as_ref()));
    }
    turns.extend(rollout(old.and_then(|old| old.last_rollout.as_ref()), new.last_rollout.as_ref()));
    turns
}

/// One event when the operator stops to write, one whenever it would write something else, and one when it writes again.
fn managed(old: Option<&StompBrokerStatus>, new: &StompBrokerStatus) -> Option<Transition> {
    let find = |status: &StompBrokerStatus| {
        status.conditions.iter().find(|condition| condition.type_ == ConditionType::Managed.as_str()).cloned()
    };
    let event = |reason, note| Some(Transition::of(reason, note));
    let before = old.and_then(find);
    let Some(after) = find(new) else {
        return event(EventReason::Managed, before.map(|_| "the spec is put into effect again".to_owned())?);
    };
    let changes: Vec<_> = new.planned_changes.iter().map(ToString::to_string).collect();
    if !changes.is_empty() && old.is_none_or(|old| old.planned_changes != new.planned_changes) {
        return event(EventReason::WouldChange, changes.join("; "));
    }
    let turned = before.is_none_or(|before| before.reason != after.reason);
    if turned { event(EventReason::LeftAlone, after.message) } else { None }
}

/// One event when pods begin to stand in for those of lost zones, and one when they no longer do.
fn respread(old: Option<&StompBrokerStatus>, new: &StompBrokerStatus) -> Option<Transition> {
    let pods = |status: &StompBrokerStatus| status.zones.iter().map(|zone| zone.standing_in).sum::<i32>();
    match (old.map_or(0, pods), pods(new)) {
        (before, 0) if before > 0 => Some(Transition::of(
            EventReason::RespreadEnded,
            "no pods stand in for those of other zones any more".to_owned(),
        )),
        (before, after) if before != after => {
            let given_up = |zone: &&ZoneStatus| zone.outage.as_ref().is_some_and(|one| one.respread_since.is_some());
            let lost: Vec<_> = new.zones.iter().filter(given_up).map(|zone| zone.name.as_str()).collect();
            let note = format!("{after} pods elsewhere stand in for those of zone {}", lost.join(", "));
            Some(Transition::of(EventReason::Respread, note))
        }
        _ => None,
    }
}

/// One event when evictions are let into a zone, and one when it has its pods again.
fn drained(before: Option<&str>, after: Option<&str>) -> Option<Transition> {
    let (reason, note) = match (before, after) {
        (before, Some(zone)) if before != after => (
            EventReason::ZoneDraining,
            format!("all pods of zone {zone} may be evicted, and none of other zones until it has its pods again"),
        ),
        (Some(zone), None) => {
            (EventReason::ZoneDrained, format!("zone {zone} has its pods again, so one pod of any zone may be evicted"))
        }
        _ => return None,
    };
    Some(Transition::of(reason, note))
}

/// One event for each step of a rotation that consumers or their owners may want to know of.
fn rotation(login: &str, before: Option<&RotationStatus>, after: Option<&RotationStatus>) -> Option<Transition> {
    use RotationPhase::{Active, Distributed, Draining, Idle, Retired, Staged};
    let (before, after) = (before?, after?);
    let switched = before.switched_at != after.switched_at;
    let (reason, note) = match (before.phase, after.phase) {
        (Idle | Retired, Staged | Distributed) => (EventReason::RotationStarted, "pods are given a new value"),
        (Staged | Distributed, Active | Draining) => {
            (EventReason::CredentialsSwitched, "consumers are given the new value")
        }
        (Active | Draining, Active | Draining) if switched => {
            (EventReason::CredentialsSwitchedBack, "consumers are given the old value again")
        }
        (Staged | Distributed, Idle | Retired) if !switched => {
            (EventReason::RotationReverted, "the new value is taken from the pods")
        }
        (Active | Draining, Idle | Retired) => (EventReason::RotationCompleted, "the old value is taken from the pods"),
        _ => return None,
    };
    Some(Transition::of(reason, format!("login {login}: {note}")))
}

/// One event for each zone whose pods are replaced, and one in the end. What goes wrong is said by a condition.
fn rollout(before: Option<&RolloutStatus>, after: Option<&RolloutStatus>) -> Option<Transition> {
    let after = after?;
    let same = |before: &&RolloutStatus| before.started_at == after.started_at && before.revision == after.revision;
    let before = before.filter(same);
    let event = |reason, note| Some(Transition::of(reason, note));
    let back = |phase| matches!(phase, RolloutPhase::RollingBack | RolloutPhase::RolledBack);
    if before.is_none_or(|before| before.zone != after.zone || back(before.phase) != back(after.phase)) {
        let zone = after.zone.as_ref().map_or_else(|| "all pods".to_owned(), |zone| format!("the pods of zone {zone}"));
        let reasons: Vec<_> = after.reasons.iter().map(|reason| reason.as_str()).collect();
        return event(EventReason::Replacing, format!("{zone}, for {}", reasons.join(", ")));
    }
    if after.phase == RolloutPhase::Completed && before.is_none_or(|before| before.phase != after.phase) {
        return event(EventReason::RolloutCompleted, format!("all pods have revision {}", after.revision));
    }
    None
}

/// The event of a condition that is fine when true.
fn turn(kind: ConditionType, before: Option<&Condition>, after: &Condition) -> Option<Transition> {
    let same = before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
    if same {
        return None;
    }
    match (after.status.as_str(), before.map(|before| before.status.as_str())) {
        // Turning true is news for the sum and for what was broken, not on the way up from nothing.
        ("True", Some("True")) => None,
        ("True", _) if kind == ConditionType::Ready => Some(normal(kind, after)),
        ("True", _) if kind == ConditionType::RelayConnected => Some(normal(kind, after)),
        ("True", Some("False")) if !before.is_some_and(|before| on_the_way(&before.reason)) => {
            Some(normal(kind, after))
        }
        ("Unknown", _) if after.reason == Reason::PodsPassedOver.as_str() => {
            Some(Transition { warning: true, reason: after.reason.clone(), note: after.message.clone() })
        }
        ("False", _) if on_the_way(&after.reason) => None,
        // The cause has had its own event; the sum only matters when it was true before.
        ("False", was) if kind != ConditionType::Ready || was == Some("True") => {
            Some(Transition { warning: true, reason: after.reason.clone(), note: after.message.clone() })
        }
        _ => None,
    }
}

fn on_the_way(reason: &str) -> bool {
    ON_THE_WAY.iter().any(|on_the_way| on_the_way.as_str() == reason)
}

fn normal(kind: ConditionType, condition: &Condition) -> Transition {
    Transition { warning: false, reason: kind.as_str().to_owned(), note: condition.message.clone() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    fn status(conditions: &[(&str, &str, &str)]) -> StompBrokerStatus {
        let conditions = conditions
            .iter()
            .map(|(type_, status, reason)| Condition {
                type_: (*type_).to_owned(),
                status: (*status).to_owned(),
                reason: (*reason).to_owned(),
                message: format!("{type_} is {status}"),
                last_transition_time: Time(Timestamp::UNIX_EPOCH),
                observed_generation: None,
            })
            .collect();
        StompBrokerStatus { conditions, ..StompBrokerStatus::default() }
    }

    fn reasons(old: &[(&str, &str, &str)], new: &[(&str, &str, &str)]) -> Vec<String> {
        let old = (!old.is_empty()).then(|| status(old));
        transitions(old.as_ref(), &status(new)).into_iter().map(|turn| turn.reason).collect()
    }

    #[test]
    fn nothing_at_rest() {
        let same = [("Ready", "True", "AsExpected"), ("Degraded", "True", "ZoneLost")];
        assert_eq!(reasons(&same, &same), [""; 0]);
    }

    #[test]
    fn a_new_broker_gets_ready_with_one_event() {
        let steps: [&[_]; 3] = [
            &[],
            &[
                ("Accepted", "True", "AsExpected"),
                ("ConfigApplied", "False", "ConfigPending"),
                ("Ready", "False", "RollingOut"),
            ],
            &[
                ("Accepted", "True", "AsExpected"),
                ("ConfigApplied", "True", "AsExpected"),
                ("Ready", "True", "AsExpected"),
            ],
        ];
        assert_eq!(reasons(steps[0], steps[1]), [""; 0]);
        assert_eq!(reasons(steps[1], steps[2]), ["Ready"]);
    }

    #[test]
    fn a_missing_secret_is_said_once_and_its_coming_as_well() {
        let missing = [("ResolvedRefs", "False", "SecretNotFound"), ("Ready", "False", "SecretNotFound")];
        assert_eq!(reasons(&[], &missing), ["SecretNotFound"]);
        assert_eq!(reasons(&missing, &[("ResolvedRefs", "True", "AsExpected")]), ["ResolvedRefs"]);
    }

    #[test]
    fn a_relay_that_changes_its_trouble_is_news() {
        let unreachable = [("RelayConnected", "False", "Unreachable")];
        assert_eq!(reasons(&unreachable, &[("RelayConnected", "False", "AuthFailed")]), ["AuthFailed"]);
        assert_eq!(reasons(&unreachable, &[("RelayConnected", "True", "Connected")]), ["RelayConnected"]);
    }

    #[test]
    fn losing_readiness_warns() {
        let turns = transitions(
            Some(&status(&[("Ready", "True", "AsExpected")])),
            &status(&[("Ready", "False", "ZoneLost"), ("Degraded", "True", "ZoneLost")]),
        );
        assert_eq!(turns.len(), 1, "{turns:?}");
        assert!(turns[0].warning);
        assert_eq!(turns[0].reason, "ZoneLost");
    }

    #[test]
    fn scaling_says_from_and_to() {
        let zones = |desired| StompBrokerStatus {
            zones: vec![ZoneStatus { name: "a".to_owned(), desired, ..ZoneStatus::default() }],
            ..StompBrokerStatus::default()
        };
        let turns = transitions(Some(&zones(2)), &zones(5));
        assert_eq!(turns.len(), 1);
        assert_eq!(turns[0].note, "from 2 to 5 pods over all zones");
    }
}

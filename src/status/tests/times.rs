//! When conditions change, and their form.

use super::*;

#[test]
fn times_move_only_when_a_condition_flips() {
    let mut world = World::new();
    let first = world.now;
    world.broker.status = Some(world.status());
    world.now = "2026-01-02T04:00:00Z".parse().unwrap();
    assert_eq!(
        world.status(),
        world.broker.status.clone().unwrap(),
        "nothing has changed, so nothing is to be written"
    );
    world.zone_a().ready = 1;
    let status = world.status();
    let time = |kind: ConditionType| {
        status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).unwrap().last_transition_time.0
    };
    assert_eq!((time(Ready), time(ZonesSatisfied)), (world.now, world.now));
    assert_eq!((time(Accepted), time(Degraded)), (first, first));
    world.broker.status = Some(status);
    world.now = "2026-01-02T05:00:00Z".parse().unwrap();
    world.observed.pods[0].waiting = Some("CrashLoopBackOff: 1".to_owned());
    let later = world.status();
    let ready = later.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "PodsFailing");
    assert_ne!(ready.last_transition_time.0, world.now, "only the reason has changed");
}

#[test]
fn every_condition_has_a_reason_in_camel_case_and_a_bounded_message() {
    let mut world = World::new();
    world.failure = Some(Failure { reason: Reason::ApplyFailed, message: "ä".repeat(9_000) });
    for condition in world.status().conditions {
        assert!(condition.reason.starts_with(|c: char| c.is_ascii_uppercase()), "{}", condition.reason);
        assert!(condition.reason.chars().all(|c| c.is_ascii_alphanumeric()), "{}", condition.reason);
        assert!(!condition.message.is_empty() && condition.message.len() < 4_096);
    }
}

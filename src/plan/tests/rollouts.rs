//! Zone by zone: who is replaced when, what stops it, and what is told of it.

use super::cluster::{Cluster, SESSIONS};
use crate::api::{RestartReason, RolloutPhase};

const NEW: &str = ", image: new";
const SIDECAR: &str = ", overrides: [{target: {kind: Deployment}, patch: [{op: add, path: /spec/template/spec/containers/-, \
                       value: {name: agent, image: agent}}]}]";

fn admin_of_first(cluster: &mut Cluster, zone: &str, change: impl FnOnce(&mut stompbroker_config::admin::Status)) {
    change(cluster.pods(zone).remove(0).admin.as_mut().unwrap().as_mut().unwrap());
}

#[test]
fn all_zones_are_made_at_once_and_then_there_is_nothing_to_roll() {
    let mut cluster = Cluster::well("");
    assert_eq!(cluster.templates.len(), 3);
    assert_eq!((cluster.pass(), cluster.last()), (vec![], None));
    assert_eq!(cluster.condition("UpdateAvailable").0, "False");
}

#[test]
fn zones_are_replaced_one_after_the_other_in_the_order_of_the_spec() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    for zone in ["a", "b", "c"] {
        assert_eq!(cluster.pass(), [zone]);
        assert_eq!(cluster.pass(), [""; 0], "zone {zone} has not come up");
        assert_eq!(cluster.condition("Progressing").1, "RollingOut");
        let last = cluster.last().unwrap();
        assert_eq!((last.zone.as_deref(), last.phase), (Some(zone), RolloutPhase::Progressing));
        cluster.come_up(zone);
    }
    assert_eq!(cluster.pass(), [""; 0]);
    let last = cluster.last().unwrap();
    assert_eq!((last.phase, last.reasons), (RolloutPhase::Completed, vec![RestartReason::ImageChanged]));
    assert!(last.finished_at.is_some());
    assert_eq!(cluster.images(), ["new", "new", "new"]);
    let zones = cluster.broker.status.as_ref().unwrap().zones.clone();
    assert!(zones.iter().all(|zone| zone.revision.as_ref() == Some(&last.revision)), "{zones:?}");
    assert!(cluster.observed.deployments.values().all(|view| view.previous.is_none()), "nothing to go back to is kept");
}

#[test]
fn the_next_zone_waits_until_every_pod_reports_its_configuration() {
    for spoil in [
        |status: &mut stompbroker_config::admin::Status| status.config.hash = "old".to_owned(),
        |status: &mut stompbroker_config::admin::Status| status.config.rejected = Some("line 1".to_owned()),
        |status: &mut stompbroker_config::admin::Status| status.config.needs_restart = vec!["zone".to_owned()],
    ] {
        let mut cluster = Cluster::well("");
        cluster.edit(NEW);
        cluster.pass();
        cluster.come_up("a");
        admin_of_first(&mut cluster, "a", spoil);
        assert_eq!(cluster.pass(), [""; 0]);
        cluster.come_up("a");
        assert_eq!(cluster.pass(), ["b"]);
    }
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    cluster.pass();
    cluster.come_up("a");
    cluster.pods("a").remove(0).admin = Some(Err("no answer".to_owned()));
    assert_eq!(cluster.pass(), [""; 0], "a pod that says nothing is not known to be well");
}

#[test]
fn a_pod_that_says_nothing_is_waited_for_so_long_and_then_told_of() {
    let mut cluster = Cluster::well("");
    cluster.edit(", image: new, rollout: {silenceWait: 60s, sessionWait: 0s}");
    cluster.pass();
    cluster.come_up("a");
    let now = cluster.observed.now;
    let pod = cluster.pods("a").remove(0);
    (pod.admin, pod.silent_since) = (Some(Err("no answer".to_owned())), Some(now));
    cluster.later(59);
    assert_eq!(cluster.pass(), [""; 0]);
    assert_eq!(cluster.condition("ConfigApplied").1, "PodsNotAnswering");
    cluster.later(1);
    assert_eq!(cluster.pass(), [""; 0], "of its sessions nothing is known, and they are awaited in turn");
    assert_eq!(cluster.condition("ConfigApplied").1, "PodsPassedOver");
    assert_eq!(cluster.pass(), ["b"]);

    cluster.come_up("b");
    let pod = cluster.pods("b").remove(0);
    (pod.ready, pod.admin, pod.silent_since) = (false, Some(Err("no answer".to_owned())), Some(now));
    cluster.zone("b").ready = 1;
    assert_eq!(cluster.pass(), [""; 0], "one that is not even ready is a pod that is missing");
}

#[test]
fn the_next_zone_waits_for_the_sessions_but_not_for_ever() {
    let mut cluster = Cluster::well("");
    cluster.edit(", image: new, rollout: {sessionWait: 30s}");
    cluster.pass();
    cluster.come_up("a");
    for pod in cluster.pods("a") {
        pod.admin.as_mut().unwrap().as_mut().unwrap().sessions.stomp = 1;
    }
    assert_eq!(cluster.pass(), [""; 0]);
    assert!(cluster.condition("Progressing").2.contains("sessions"), "{:?}", cluster.condition("Progressing"));
    cluster.later(29);
    assert_eq!(cluster.pass(), [""; 0]);
    cluster.later(1);
    assert_eq!(cluster.pass(), ["b"]);

    cluster.come_up("b");
    cluster.pods("b").remove(0).admin.as_mut().unwrap().as_mut().unwrap().sessions.stomp = SESSIONS * 3;
    assert_eq!(cluster.pass(), ["c"], "they may be back on other pods");
}

#[test]
fn a_zone_that_is_not_well_stops_the_rollout_before_the_next_one() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    cluster.pass();
    cluster.come_up("a");
    cluster.zone("c").ready = 1;
    assert_eq!(cluster.pass(), [""; 0], "zone c has lost a pod");
    cluster.zone("c").ready = 2;
    assert_eq!(cluster.pass(), ["b"]);
}

#[test]
fn a_zone_that_does_not_come_up_halts_the_rollout_and_degraded_says_why() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    cluster.pass();
    cluster.fail("a");
    assert_eq!(cluster.pass(), [""; 0]);
    let (status, reason, message) = cluster.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RolloutHalted"));
    for part in ["zone a", "zone b, zone c stay", "ImagePullBackOff", "onFailure"] {
        assert!(message.contains(part), "{message} does not say {part}");
    }
    assert_eq!(cluster.last().unwrap().phase, RolloutPhase::Halted);
    assert_eq!(cluster.images(), ["new", "registry.example/stompbroker:1", "registry.example/stompbroker:1"]);
}

#[test]
fn a_correction_replaces_the_broken_zone_at_once_and_the_others_after_it() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    cluster.pass();
    cluster.come_up("a");
    cluster.pass();
    cluster.fail("b");
    assert_eq!(cluster.pass(), [""; 0]);
    cluster.edit(", image: corrected");
    for zone in ["b", "a", "c"] {
        assert_eq!(cluster.pass(), [zone]);
        assert_eq!(cluster.pass(), [""; 0]);
        cluster.come_up(zone);
    }
    cluster.pass();
    assert_eq!(cluster.last().unwrap().phase, RolloutPhase::Completed);
}

#[test]
fn a_zone_without_a_ready_pod_has_nothing_to_lose_and_does_not_wait() {
    let mut cluster = Cluster::well("");
    cluster.zone("c").ready = 0;
    cluster.observed.pods.retain(|pod| pod.zone != "c");
    cluster.edit(NEW);
    assert_eq!(cluster.pass(), ["c"], "and no other is begun while it is not well");
}

#[test]
fn rolling_back_returns_every_zone_one_by_one_and_does_not_try_again_by_itself() {
    let mut cluster = Cluster::well("");
    let before = cluster.templates.clone();
    cluster.edit(", image: new, rollout: {onFailure: Rollback}");
    cluster.pass();
    cluster.come_up("a");
    cluster.pass();
    cluster.fail("b");
    assert_eq!(cluster.pass(), ["b"], "the broken zone goes back first");
    assert_eq!(cluster.last().unwrap().phase, RolloutPhase::RollingBack);
    assert_eq!(cluster.pass(), [""; 0]);
    cluster.come_up("b");
    assert_eq!(cluster.pass(), ["a"]);
    cluster.come_up("a");
    for _ in 0..3 {
        assert_eq!(cluster.pass(), [""; 0]);
    }
    assert_eq!(cluster.templates, before);
    let last = cluster.last().unwrap();
    assert_eq!(last.phase, RolloutPhase::RolledBack);
    assert!(last.reasons.contains(&RestartReason::RolledBack) && last.finished_at.is_some(), "{last:?}");
    let (status, reason, message) = cluster.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RolledBack"));
    assert!(message.contains("zone b") && message.contains("spec.rollout.restart"), "{message}");

    cluster.edit(", image: newer, rollout: {onFailure: Rollback}");
    assert_eq!(cluster.pass(), ["a"], "another revision is tried");
    assert_eq!(cluster.condition("Degraded").0, "False");
}

#[test]
fn a_rollback_that_was_broken_off_between_two_writes_goes_on() {
    let mut cluster = Cluster::well("");
    cluster.edit(", image: new, rollout: {onFailure: Rollback}");
    cluster.pass();
    cluster.fail("a");
    assert_eq!(cluster.pass_until(1).0, ["a"], "and the operator dies before it writes the status");
    cluster.come_up("a");
    for _ in 0..3 {
        assert_eq!(cluster.pass(), [""; 0]);
    }
    assert_eq!(cluster.condition("Degraded").1, "RolledBack");
}

#[test]
fn a_rollout_that_was_broken_off_between_two_writes_goes_on_and_is_told() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    assert_eq!(cluster.pass_until(1).0, ["a"]);
    assert_eq!(cluster.last(), None, "the operator died before it wrote the status");
    assert_eq!(cluster.pass(), [""; 0]);
    let last = cluster.last().unwrap();
    assert_eq!((last.zone.as_deref(), last.reasons), (Some("a"), vec![RestartReason::ImageChanged]));
    cluster.come_up("a");
    assert_eq!(cluster.pass(), ["b"]);
}

#[test]
fn a_zone_that_waits_can_be_scaled_and_keeps_its_template() {
    let mut cluster = Cluster::well("");
    cluster.edit(NEW);
    cluster.pass();
    let waiting = cluster.templates["trading-b"].clone();
    cluster.edit(", image: new, rollout: {sessionWait: 5s}");
    cluster.broker.spec.replicas = Some(9);
    cluster.pass();
    assert_eq!((cluster.zone("b").desired, &cluster.templates["trading-b"]), (3, &waiting));
}

#[test]
fn every_restart_has_its_reason() {
    for (change, reason) in [
        (", image: new", RestartReason::ImageChanged),
        (", imagePullSecrets: [{name: registry}]", RestartReason::PullSecretsChanged),
        (", resources: {requests: {cpu: 1}}", RestartReason::ResourcesChanged),
        (", listeners: {stomp: {port: 61617}}", RestartReason::ListenersChanged),
        (", drain: {deadline: 1m}", RestartReason::DrainChanged),
        (", rollout: {restart: now}", RestartReason::RestartRequested),
        (SIDECAR, RestartReason::OverridesChanged),
    ] {
        let mut cluster = Cluster::well("");
        cluster.edit(&format!("{change}, heartbeat: 5s"));
        assert_eq!(cluster.pass(), ["a"], "{change}");
        assert_eq!(cluster.last().unwrap().reasons, [reason], "{change}");
    }
}

#[test]
fn an_override_of_pods_goes_from_zone_to_zone_and_back_once_and_no_further() {
    let mut cluster = Cluster::well("");
    let plain = cluster.templates.clone();
    for change in [SIDECAR, ""] {
        cluster.edit(change);
        for zone in ["a", "b", "c"] {
            assert_eq!(cluster.pass(), [zone], "{change}");
            cluster.come_up(zone);
        }
        for _ in 0..3 {
            assert_eq!(cluster.pass(), [""; 0], "{change}");
        }
        assert_eq!(cluster.templates == plain, change.is_empty());
        assert_eq!(cluster.condition("UpdateAvailable").0, "False");
    }
}

#[test]
fn an_override_of_something_else_than_pods_replaces_none() {
    let mut cluster = Cluster::well("");
    cluster.edit(
        ", overrides: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations/team, value: a}]}, \
         {target: {kind: Service, name: trading}, patch: [{op: add, path: /metadata/annotations/team, value: a}]}]",
    );
    assert_eq!(cluster.pass(), [""; 0]);
}

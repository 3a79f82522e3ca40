//! Who decides the numbers of pods, what has been decided, and why.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::{
    api::{AutoscaledPool, ScalingDecision},
    observed::{AutoscalerView, Reading},
};

fn autoscaled(more: &str) -> World {
    let mut world = World::of(&format!(
        "{{autoscaling: {{minReplicasPerZone: 2, maxReplicasPerZone: 6{more}}}, zones: [{{name: a}}, {{name: b}}], \
         engine: {{relay: {{upstreams: [{{host: rabbitmq}}], systemCredentials: {{secretName: s}}, \
         clientCredentials: {{secretName: c}}}}}}}}"
    ));
    for name in ["trading-a", "trading-b"] {
        let view = AutoscalerView { current: 2, desired: 2, ..AutoscalerView::default() };
        world.observed.autoscalers.insert(name.to_owned(), view);
    }
    world.observed.keda = true;
    world
}

impl World {
    /// The next pass begins with the status of this one.
    fn pass(&mut self) -> AutoscaledPool {
        let status = self.status();
        let pool = status.autoscaling.as_ref().unwrap().pools[0].clone();
        self.broker.status = Some(status);
        pool
    }

    fn autoscaler(&mut self) -> &mut AutoscalerView {
        self.observed.autoscalers.get_mut("trading-a").unwrap()
    }
}

#[test]
fn a_decision_is_told_once_with_its_numbers_and_what_was_measured() {
    let mut world = autoscaled("");
    assert_eq!(world.pass().last_decision, None);
    let at: Timestamp = "2026-01-02T03:00:00Z".parse().unwrap();
    let reading = |metric: &str, value: &str, target: &str| Reading {
        metric: metric.to_owned(),
        value: value.to_owned(),
        target: target.to_owned(),
    };
    let readings = vec![reading("stompbroker_sessions", "84500m", "70"), reading("cpu", "12%", "80%")];
    *world.autoscaler() =
        AutoscalerView { current: 2, desired: 3, scaled_at: Some(at), readings, ..AutoscalerView::default() };
    world.zone_a().desired = 3;
    let why = "84.5 sessions a pod (target 70), CPU use of 12% of the request (target 80%)".to_owned();
    let decision = ScalingDecision { from: Some(2), to: 3, at: Time(at), why };
    let pool = world.pass();
    assert_eq!((pool.deployment.as_str(), pool.replicas), ("trading-a", 3));
    assert_eq!(pool.last_decision, Some(decision.clone()));
    // What is measured later does not change what was decided.
    world.autoscaler().current = 3;
    world.autoscaler().readings = vec![reading("stompbroker_sessions", "56", "70")];
    assert_eq!(world.pass().last_decision, Some(decision));
}

#[test]
fn what_limits_an_autoscaler_is_told() {
    let mut world = autoscaled("");
    world.autoscaler().limited = Some("more than the maximum".to_owned());
    assert_eq!(world.pass().limited_by.as_deref(), Some("more than the maximum"));
}

#[test]
fn a_number_that_somebody_else_writes_is_told_with_who_did() {
    let mut world = autoscaled(", mode: External");
    assert_eq!(world.pass().last_decision, None);
    world.zone_a().desired = 4;
    world.zone_a().scaled_by = Some("custom-scaler".to_owned());
    let decision = world.pass().last_decision.unwrap();
    assert_eq!((decision.from, decision.to, decision.why.as_str()), (Some(2), 4, "written by custom-scaler"));
    expect(&world, &[(Autoscaled, "True", "External")], "");
}

#[test]
fn an_autoscaler_that_does_not_act_is_told_and_is_no_reason_to_alarm() {
    let mut world = autoscaled("");
    expect(&world, &[(Autoscaled, "True", "AsExpected")], "");
    world.autoscaler().failing = Some("no metrics known".to_owned());
    expect(&world, &[(Autoscaled, "False", "AutoscalerFailing"), (Degraded, "False", "AsExpected")], "");
    let (_, _, message) = read(&world.status(), Autoscaled);
    assert_eq!(message, "zone a: no metrics known");
}

#[test]
fn without_custom_metrics_the_condition_says_what_to_install() {
    let mut world = autoscaled("");
    world.custom_metrics = false;
    expect(&world, &[(Autoscaled, "True", "CpuOnly")], "");
    let (_, _, message) = read(&world.status(), Autoscaled);
    assert!(message.contains("customMetrics.enabled"), "{message}");
}

#[test]
fn keda_that_is_missing_is_something_wrong_with_a_way_out() {
    let mut world = autoscaled(", mode: Keda");
    expect(&world, &[(Autoscaled, "True", "AsExpected")], "");
    world.observed.keda = false;
    expect(&world, &[(Autoscaled, "False", "KedaMissing"), (Degraded, "True", "KedaMissing")], "install KEDA");
}

#[test]
fn without_autoscaling_nothing_is_said_of_it() {
    let status = World::new().status();
    assert_eq!(status.autoscaling, None);
    assert!(!status.conditions.iter().any(|condition| condition.type_ == "Autoscaled"));
}

//! What users read of pods, rollouts and zones.

use stompbroker_config::admin::{DrainPhase, DrainStatus};

use super::*;

#[test]
fn all_is_well() {
    let world = World::new();
    expect(
        &world,
        &[
            (Ready, "True", "AsExpected"),
            (Progressing, "False", "AsExpected"),
            (Degraded, "False", "AsExpected"),
            (Accepted, "True", "AsExpected"),
            (ResolvedRefs, "True", "AsExpected"),
            (ConfigApplied, "True", "AsExpected"),
            (RelayConnected, "True", "Connected"),
            (ZonesSatisfied, "True", "AsExpected"),
            (UpdateAvailable, "False", "AsExpected"),
        ],
        "all 4 pods are ready",
    );
    let status = world.status();
    assert_eq!(status.observed_generation, Some(7));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    assert_eq!((status.replicas, status.ready_replicas, status.sessions), (4, 4, 28));
    assert_eq!(status.ready_zones.as_deref(), Some("2/2"));
    assert_eq!(status.engine.as_deref(), Some("relay"));
    assert_eq!(
        status.selector.as_deref(),
        Some(
            "app.kubernetes.io/component=broker,app.kubernetes.io/instance=trading,app.kubernetes.io/name=stompbroker"
        )
    );
    let zone = &status.zones[1];
    assert_eq!((zone.name.as_str(), zone.desired, zone.ready, zone.updated, zone.sessions), ("b", 2, 2, 2, 14));
    assert_eq!(zone.revision, Some(world.planned().unwrap().1.rollout.newest));
    let endpoints = status.endpoints.unwrap();
    assert_eq!(endpoints.stomp.as_deref(), Some("trading.markets.svc.cluster.local:61613"));
    assert_eq!(endpoints.websocket.as_deref(), Some("ws://trading.markets.svc.cluster.local:8080/ws"));
    assert_eq!(status.credentials.unwrap().client.secret_name, "trading-client");
}

#[test]
fn the_embedded_engine_has_no_relay_condition_and_no_zones() {
    let world = World::of("{}");
    expect(&world, &[(Ready, "True", "AsExpected")], "the pod is ready");
    let status = world.status();
    assert!(status.conditions.iter().all(|condition| condition.type_ != "RelayConnected"));
    assert_eq!((status.zones.len(), status.ready_zones), (0, None));
}

#[test]
fn no_pods_are_as_good_as_asked_for() {
    let mut world = World::new();
    world.broker.spec.replicas = Some(0);
    world.observed.pods.clear();
    for view in world.observed.deployments.values_mut() {
        *view = DeploymentView { current: true, ..DeploymentView::default() };
    }
    expect(&world, &[(Ready, "True", "ScaledToZero"), (ZonesSatisfied, "True", "ScaledToZero")], "asks for no pods");
}

#[test]
fn a_rollout_shows_until_the_last_pod_is_new_and_ready() {
    for spoil in [
        |view: &mut DeploymentView| view.current = false,
        |view: &mut DeploymentView| view.updated = 1,
        |view: &mut DeploymentView| view.replicas = 3,
    ] {
        let mut world = World::new();
        spoil(world.zone_a());
        expect(&world, &[(Ready, "False", "RollingOut"), (Progressing, "True", "RollingOut")], "zone a");
    }
    let mut world = World::new();
    world.zone_a().ready = 1;
    expect(
        &world,
        &[
            (Ready, "False", "PodsNotReady"),
            (Progressing, "True", "PodsNotReady"),
            (ZonesSatisfied, "False", "PodsNotReady"),
        ],
        "zone a has 1 of 2 pods ready",
    );
    assert_eq!(world.status().ready_zones.as_deref(), Some("1/2"));
}

#[test]
fn before_anything_exists_it_is_on_its_way_and_nothing_is_wrong() {
    let mut world = World::new();
    world.observed.deployments.clear();
    world.observed.pods.clear();
    expect(
        &world,
        &[
            (Ready, "False", "RollingOut"),
            (Degraded, "False", "AsExpected"),
            (ConfigApplied, "Unknown", "PodsNotReady"),
            (RelayConnected, "Unknown", "PodsNotReady"),
        ],
        "zone a has 0 of 2 pods",
    );
}

#[test]
fn a_stuck_rollout_is_no_progress() {
    let mut world = World::new();
    world.zone_a().updated = 1;
    world.zone_a().stalled = Some("has timed out progressing".to_owned());
    expect(
        &world,
        &[
            (Progressing, "False", "ProgressDeadlineExceeded"),
            (Degraded, "True", "ProgressDeadlineExceeded"),
            (Ready, "False", "ProgressDeadlineExceeded"),
        ],
        "timed out",
    );
}

#[test]
fn what_keeps_pods_from_running_is_told_before_what_follows_from_it() {
    let mut world = World::new();
    world.zone_a().ready = 1;
    world.zone_a().stalled = Some("timed out".to_owned());
    world.observed.pods[0].waiting = Some("ImagePullBackOff: no such image".to_owned());
    expect(
        &world,
        &[(Ready, "False", "PodsFailing"), (Degraded, "True", "PodsFailing")],
        "trading-a-0: ImagePullBackOff",
    );
    world.zone_a().replica_failure = Some("exceeded quota".to_owned());
    expect(&world, &[(Ready, "False", "PodsNotCreated")], "exceeded quota");
}

#[test]
fn a_full_zone_and_a_lost_zone_are_told_apart() {
    let mut world = World::new();
    world.zone_a().ready = 1;
    world.observed.pods[0] = PodView {
        name: "trading-a-0".to_owned(),
        zone: "a".to_owned(),
        unschedulable: Some("0/3 nodes are available".to_owned()),
        ..PodView::default()
    };
    expect(
        &world,
        &[(ZonesSatisfied, "False", "ZoneUnschedulable"), (Degraded, "True", "ZoneUnschedulable")],
        "zone a has no room for pod trading-a-0: 0/3 nodes",
    );
    world.observed.pods[0].unschedulable = None;
    world.observed.pods[0].node_lost = true;
    expect(&world, &[(ZonesSatisfied, "False", "PodsNotReady")], "zone a has 1 of 2 pods ready");
    world.zone_a().ready = 0;
    world.observed.pods[1].ready = false;
    expect(&world, &[(ZonesSatisfied, "False", "ZoneLost"), (Ready, "False", "ZoneLost")], "zone a is lost");
    assert_eq!(world.status().ready_zones.as_deref(), Some("1/2"));
}

#[test]
fn how_far_pods_are_that_let_their_sessions_go_is_told_by_zone_and_in_sum() {
    let mut world = World::new();
    assert_eq!(world.status().draining, None);
    world.observed.pods[0].terminating = true;
    world.answer_of(0).drain = Some(DrainStatus {
        phase: DrainPhase::Closing,
        since: "2026-01-02T03:04:00Z".to_owned(),
        deadline: "2026-01-02T03:09:00Z".to_owned(),
        connections_at_start: 900,
        connections_left: 150,
        can_be_called_off: false,
    });
    world.observed.pods[1].terminating = true;
    world.observed.pods[1].admin = Some(Err("the pod did not answer within 2 s".to_owned()));
    let status = world.status();
    let draining = status.zones[0].draining.clone().unwrap();
    assert_eq!((draining.pods, draining.silent), (2, 1));
    assert_eq!((draining.connections_at_start, draining.connections_left), (900, 150));
    assert_eq!(draining.deadline.as_ref().unwrap().0.to_string(), "2026-01-02T03:09:00Z");
    assert_eq!(status.zones[1].draining, None);
    assert_eq!(status.draining, Some(draining));
}

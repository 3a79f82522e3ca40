//! What users read in which situation.

use k8s_openapi::jiff::Timestamp;
use stompbroker_config::admin::{ConfigStatus, RelayStatus, Sessions, Status, UpstreamState, UpstreamStatus};

use super::{ConditionType, Failure, Reason, StatusInput, build};
use crate::{
    api::{StompBroker, StompBrokerStatus},
    cli::brokers,
    observed::{DeploymentView, ForeignObject, Observed, PodView, SecretView},
    plan::{Plan, Settings, plan},
    validate::{LOGIN_KEYS, SpecError, ValidatedBroker, referenced_secrets, validate},
};

/// Two zones with two pods each, all as it should be; tests spoil it.
struct World {
    broker: StompBroker,
    observed: Observed,
    failure: Option<Failure>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self::of(
            "{replicas: 4, zones: [{name: a}, {name: b}], engine: {relay: {upstreams: [{host: rabbitmq}], \
             systemCredentials: {secretName: s}, clientCredentials: {secretName: c}}}}",
        )
    }

    fn of(spec: &str) -> Self {
        let text = format!(
            "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\n\
             metadata: {{name: trading, namespace: markets, generation: 7}}\nspec: {spec}\n"
        );
        let mut world = Self {
            broker: brokers(&text).unwrap().remove(0),
            observed: Observed::default(),
            failure: None,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        for used in referenced_secrets(&world.broker) {
            let keys = LOGIN_KEYS.map(str::to_owned).into();
            world.observed.referenced_secrets.insert(used.secret_name, SecretView::Present(keys));
        }
        let (_, plan) = world.planned().unwrap();
        for deployment in &plan.objects.deployments {
            let name = deployment.metadata.name.clone().unwrap();
            let size = deployment.spec.as_ref().unwrap().replicas.unwrap();
            let zone = deployment.metadata.labels.as_ref().unwrap()["stompbroker.dev/zone"].clone();
            for index in 0..size {
                world.observed.pods.push(PodView {
                    name: format!("{name}-{index}"),
                    zone: zone.clone(),
                    ready: true,
                    admin: Some(Ok(answer(&plan.config_hashes[&name]))),
                    ..PodView::default()
                });
            }
            let view = DeploymentView {
                current: true,
                desired: size,
                replicas: size,
                ready: size,
                updated: size,
                available: size,
                revision: Some("3".to_owned()),
                ..DeploymentView::default()
            };
            world.observed.deployments.insert(name, view);
        }
        world
    }

    fn planned(&self) -> Result<(ValidatedBroker, Plan), Vec<SpecError>> {
        let settings = Settings {
            image: "image".to_owned(),
            operator_namespace: "operators".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
        };
        let validated = validate(&self.broker, &self.observed)?;
        let plan = plan(&validated, &self.observed, &settings).unwrap();
        Ok((validated, plan))
    }

    fn status(&self) -> StompBrokerStatus {
        let planned = self.planned();
        build(&StatusInput {
            broker: &self.broker,
            observed: Some(&self.observed),
            planned: planned.as_ref().ok().map(|(validated, plan)| (validated, plan)),
            errors: planned.as_ref().err().map(Vec::as_slice).unwrap_or_default(),
            failure: self.failure.as_ref(),
            now: self.now,
        })
    }

    fn zone_a(&mut self) -> &mut DeploymentView {
        self.observed.deployments.get_mut("trading-a").unwrap()
    }

    fn answer_of(&mut self, pod: usize) -> &mut Status {
        self.observed.pods[pod].admin.as_mut().unwrap().as_mut().unwrap()
    }
}

fn answer(hash: &str) -> Status {
    let upstream =
        UpstreamStatus { host: "rabbitmq".to_owned(), port: 61613, state: UpstreamState::Connected, message: None };
    Status {
        version: "1".to_owned(),
        config: ConfigStatus { hash: hash.to_owned(), rejected: None, needs_restart: Vec::new() },
        sessions: Sessions { stomp: 3, websocket: 4, ..Sessions::default() },
        relay: Some(RelayStatus { connected: true, client_connections: 1, upstreams: vec![upstream] }),
        draining: false,
    }
}

/// Status, reason and message of a condition.
fn read(status: &StompBrokerStatus, kind: ConditionType) -> (String, String, String) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).unwrap();
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

/// Asserts status and reason of conditions, and that `Ready`'s message holds `says`.
fn expect(world: &World, expected: &[(ConditionType, &str, &str)], says: &str) {
    let status = world.status();
    for (kind, holds, reason) in expected {
        let (actual, why, message) = read(&status, *kind);
        assert_eq!((actual.as_str(), why.as_str()), (*holds, *reason), "{kind}: {message}");
    }
    let (_, _, message) = read(&status, ConditionType::Ready);
    assert!(message.contains(says), "{message}");
}

use ConditionType::{
    Accepted, ConfigApplied, Degraded, Progressing, Ready, RelayConnected, ResolvedRefs, ZonesSatisfied,
};

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
    assert_eq!(zone.revision.as_deref(), Some("3"));
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
fn a_refused_spec_says_what_to_correct_and_keeps_what_was_known() {
    let mut world = World::new();
    world.broker.status = Some(world.status());
    world.broker.spec.heartbeat = "20s".parse().unwrap();
    expect(
        &world,
        &[
            (Ready, "False", "Invalid"),
            (Degraded, "True", "Invalid"),
            (Accepted, "False", "Invalid"),
            (ResolvedRefs, "True", "AsExpected"),
            (Progressing, "False", "NotAccepted"),
            (ConfigApplied, "Unknown", "NotAccepted"),
        ],
        "spec.sessionTimeout is 30s",
    );
    let status = world.status();
    assert_eq!((status.sessions, status.zones.len(), status.replicas), (28, 2, 4));
}

#[test]
fn missing_secrets_and_keys_are_named_with_the_field() {
    let mut world = World::new();
    world.observed.referenced_secrets.insert("s".to_owned(), SecretView::Missing);
    expect(
        &world,
        &[
            (ResolvedRefs, "False", "SecretNotFound"),
            (Accepted, "True", "AsExpected"),
            (Ready, "False", "SecretNotFound"),
        ],
        "spec.engine.relay.systemCredentials.secretName is s: there is no such Secret in namespace markets",
    );
    let some = SecretView::Present(["username".to_owned()].into());
    world.observed.referenced_secrets.insert("s".to_owned(), some);
    expect(&world, &[(ResolvedRefs, "False", "SecretKeyMissing")], "the key password");
    world.observed.referenced_secrets.insert("s".to_owned(), SecretView::Unreadable("403".to_owned()));
    expect(&world, &[(ResolvedRefs, "False", "SecretUnreadable")], "403");
}

#[test]
fn an_object_of_somebody_else_in_the_way_is_named() {
    let mut world = World::new();
    world.observed.foreign.push(ForeignObject {
        kind: "Service".to_owned(),
        name: "trading".to_owned(),
        owner: "Deployment markets/shop".to_owned(),
    });
    expect(&world, &[(Accepted, "False", "NameConflict"), (Ready, "False", "NameConflict")], "Deployment markets/shop");
}

#[test]
fn a_warning_does_not_refuse() {
    let mut world = World::new();
    let relay = world.broker.spec.engine.as_mut().unwrap().relay.as_mut().unwrap();
    relay.upstreams[0].zone = Some("elsewhere".to_owned());
    let (holds, reason, message) = read(&world.status(), Accepted);
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "AsExpected"));
    assert!(message.contains("elsewhere"), "{message}");
}

#[test]
fn a_failed_pass_is_told_with_its_error() {
    let mut world = World::new();
    world.failure = Some(Failure { reason: Reason::ApplyFailed, message: "Service trading: 422".to_owned() });
    expect(
        &world,
        &[(Ready, "False", "ApplyFailed"), (Degraded, "True", "ApplyFailed"), (ZonesSatisfied, "True", "AsExpected")],
        "Service trading: 422",
    );
    let failure = Failure { reason: Reason::ObserveFailed, message: "list pods: 500".to_owned() };
    let status = build(&StatusInput {
        broker: &world.broker,
        observed: None,
        planned: None,
        errors: &[],
        failure: Some(&failure),
        now: world.now,
    });
    for kind in [Accepted, ResolvedRefs, ConfigApplied, RelayConnected, ZonesSatisfied, Progressing] {
        assert_eq!(read(&status, kind).0, "Unknown", "{kind}");
    }
    assert_eq!(read(&status, Ready), ("False".to_owned(), "ObserveFailed".to_owned(), "list pods: 500".to_owned()));
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
    world.zone_a().ready = 0;
    world.observed.pods[1].ready = false;
    world.observed.pods[1].node_lost = true;
    expect(&world, &[(ZonesSatisfied, "False", "ZoneLost"), (Ready, "False", "ZoneLost")], "zone a is lost");
    assert_eq!(world.status().ready_zones.as_deref(), Some("1/2"));
}

#[test]
fn a_configuration_counts_only_when_every_pod_reports_it() {
    let mut world = World::new();
    world.answer_of(1).config.hash = "old".to_owned();
    expect(
        &world,
        &[
            (ConfigApplied, "False", "ConfigPending"),
            (Progressing, "True", "ConfigPending"),
            (Ready, "False", "ConfigPending"),
            (Degraded, "False", "AsExpected"),
        ],
        "1 of 4 pods",
    );
    world.answer_of(2).config.rejected = Some("line 3: prot".to_owned());
    expect(
        &world,
        &[
            (ConfigApplied, "False", "ConfigRejected"),
            (Degraded, "True", "ConfigRejected"),
            (Progressing, "False", "AsExpected"),
        ],
        "pod trading-b-0: line 3: prot",
    );
    let mut world = World::new();
    world.answer_of(0).config.needs_restart = vec!["engine.relay.upstreams".to_owned()];
    expect(
        &world,
        &[(ConfigApplied, "False", "RestartNeeded"), (Ready, "False", "RestartNeeded")],
        "engine.relay.upstreams",
    );
}

#[test]
fn pods_that_do_not_answer_leave_their_conditions_open_but_serve_on() {
    let mut world = World::new();
    world.observed.pods[3].admin = Some(Err("connection refused".to_owned()));
    expect(
        &world,
        &[
            (ConfigApplied, "Unknown", "PodsNotAnswering"),
            (RelayConnected, "Unknown", "PodsNotAnswering"),
            (Ready, "True", "AsExpected"),
        ],
        "all 4 pods",
    );
}

#[test]
fn a_terminating_pod_no_longer_counts_but_its_sessions_do() {
    let mut world = World::new();
    let mut leaving = world.observed.pods[0].clone();
    leaving.name = "trading-a-old".to_owned();
    leaving.terminating = true;
    leaving.admin.as_mut().unwrap().as_mut().unwrap().config.hash = "old".to_owned();
    world.observed.pods.push(leaving);
    expect(&world, &[(ConfigApplied, "True", "AsExpected"), (Ready, "True", "AsExpected")], "");
    assert_eq!(world.status().sessions, 35);
}

#[test]
fn the_relays_own_word_is_the_reason() {
    for (state, reason) in [
        (UpstreamState::DnsFailed, "DnsFailed"),
        (UpstreamState::Unreachable, "Unreachable"),
        (UpstreamState::AuthFailed, "AuthFailed"),
        (UpstreamState::VhostMissing, "VhostMissing"),
        (UpstreamState::ProtocolError, "ProtocolError"),
    ] {
        let mut world = World::new();
        let relay = world.answer_of(0).relay.as_mut().unwrap();
        relay.connected = false;
        relay.upstreams[0].state = state;
        relay.upstreams[0].message = Some("said no".to_owned());
        expect(
            &world,
            &[(RelayConnected, "False", reason), (Degraded, "True", reason), (Ready, "False", reason)],
            "1 of 4 pods have no upstream; pod trading-a-0: rabbitmq:61613",
        );
    }
}

#[test]
fn a_relay_that_has_not_tried_yet_is_on_its_way() {
    let mut world = World::new();
    let relay = world.answer_of(0).relay.as_mut().unwrap();
    relay.connected = false;
    relay.upstreams[0].state = UpstreamState::Idle;
    expect(
        &world,
        &[
            (RelayConnected, "False", "Idle"),
            (Degraded, "False", "AsExpected"),
            (Progressing, "True", "Idle"),
            (Ready, "False", "Idle"),
        ],
        "has not tried",
    );
}

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

//! What users read of what pods report.

use super::*;

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
        (UpstreamState::TlsFailed, "TlsFailed"),
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

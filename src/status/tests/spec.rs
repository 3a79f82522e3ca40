//! What users read of their spec, and of a pass that failed.

use super::*;

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
        changes: &[],
        failure: Some(&failure),
        now: world.now,
    });
    for kind in [Accepted, ResolvedRefs, ConfigApplied, RelayConnected, ZonesSatisfied, Progressing] {
        assert_eq!(read(&status, kind).0, "Unknown", "{kind}");
    }
    assert_eq!(read(&status, Ready), ("False".to_owned(), "ObserveFailed".to_owned(), "list pods: 500".to_owned()));
}

#[test]
fn a_suspended_broker_tells_how_it_is_and_that_nothing_is_written() {
    let mut world = World::new();
    world.broker.spec.suspend = true;
    world.broker.spec.replicas = Some(40);
    expect(
        &world,
        &[(Managed, "False", "Suspended"), (Ready, "True", "Suspended"), (Progressing, "False", "Suspended")],
        "4 of 4 pods are ready; spec.suspend is true",
    );
    world.zone_a().ready = 1;
    expect(&world, &[(Ready, "False", "Suspended"), (ZonesSatisfied, "False", "PodsNotReady")], "3 of 4 pods");
    world.broker.spec.suspend = false;
    assert!(world.status().conditions.iter().all(|condition| condition.type_ != "Managed"));
}

#[test]
fn what_would_be_done_is_told_within_bounds_and_forgotten_when_it_is_done() {
    let mut world = World::new();
    world.broker.spec.management_policy = ManagementPolicy::Observe;
    let change = |number| PlannedChange {
        kind: "ConfigMap".to_owned(),
        name: format!("trading-{number}"),
        action: PlannedAction::Create,
        fields: Vec::new(),
    };
    world.changes = (0..40).map(change).collect();
    expect(&world, &[(Managed, "False", "Observing")], "40 objects would be, see status.plannedChanges");
    assert_eq!(world.status().planned_changes.len(), 32);
    world.broker.status = Some(world.status());
    world.changes.clear();
    world.broker.spec.management_policy = ManagementPolicy::Manage;
    assert_eq!(world.status().planned_changes, []);
}

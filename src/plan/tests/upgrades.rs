//! A newer operator, whose image or form of pods is another one, restarts no pod by itself.

use serde_json::json;

use super::cluster::Cluster;
use crate::{
    api::{RestartReason, RolloutPhase},
    plan::Revision,
};

/// A cluster whose pods an operator of another version has made: with another image and another form of pod.
fn made_by_another_version() -> Cluster {
    let mut cluster = Cluster::well("");
    for (name, template) in &mut cluster.templates {
        let mut value = serde_json::to_value(&*template).unwrap();
        value["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] = json!(77);
        *template = serde_json::from_value(value).unwrap();
        let view = cluster.observed.deployments.get_mut(name).unwrap();
        let mut revision: Revision = serde_json::from_str(view.revision.as_ref().unwrap()).unwrap();
        revision.id = "other".to_owned();
        revision.template = template.clone();
        view.revision = Some(serde_json::to_string(&revision).unwrap());
    }
    cluster.settings.image = "registry.example/stompbroker:2".to_owned();
    cluster
}

#[test]
fn a_newer_operator_leaves_pods_as_they_are_and_tells_that_it_has_an_update() {
    let mut cluster = made_by_another_version();
    let before = (cluster.templates.clone(), cluster.observed.deployments.clone());
    assert_eq!(cluster.pass(), [""; 0]);
    assert_eq!((&cluster.templates, &cluster.observed.deployments), (&before.0, &before.1), "not even annotations");
    let (status, reason, message) = cluster.condition("UpdateAvailable");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "OperatorUpgraded"));
    assert!(message.contains("image registry.example/stompbroker:2 for registry.example/stompbroker:1"), "{message}");
    assert_eq!(cluster.condition("Ready").0, "True");
    let status = cluster.broker.status.clone().unwrap();
    assert_eq!(status.image.as_deref(), Some("registry.example/stompbroker:1"));
}

#[test]
fn changes_that_need_no_restart_do_not_bring_the_update() {
    let mut cluster = made_by_another_version();
    cluster.edit(", heartbeat: 5s, limits: {connectionsPerPod: 7}");
    cluster.broker.spec.replicas = Some(9);
    assert_eq!(cluster.pass(), [""; 0]);
    assert_eq!(cluster.condition("UpdateAvailable").0, "True");
}

#[test]
fn the_next_change_that_restarts_brings_the_update_zone_by_zone() {
    let mut cluster = made_by_another_version();
    cluster.edit(", resources: {requests: {cpu: 1}}");
    for zone in ["a", "b", "c"] {
        assert_eq!(cluster.pass(), [zone]);
        cluster.come_up(zone);
    }
    cluster.pass();
    let last = cluster.last().unwrap();
    assert_eq!(last.reasons, [RestartReason::ResourcesChanged, RestartReason::OperatorUpgraded]);
    assert_eq!(last.phase, RolloutPhase::Completed);
    assert_eq!(cluster.images(), ["registry.example/stompbroker:2"; 3]);
    assert_eq!(cluster.condition("UpdateAvailable").0, "False");
}

#[test]
fn automatic_brings_it_at_once() {
    let mut cluster = made_by_another_version();
    cluster.edit(", upgradePolicy: Automatic");
    assert_eq!(cluster.pass(), ["a"]);
    assert_eq!(cluster.last().unwrap().reasons, [RestartReason::OperatorUpgraded]);
}

#[test]
fn a_maintenance_window_brings_it_while_it_is_open() {
    let mut cluster = made_by_another_version();
    // It is 03:04:05.
    cluster.edit(", maintenanceWindow: {start: '03:05', duration: 1h}");
    assert_eq!(cluster.pass(), [""; 0]);
    cluster.later(60);
    assert_eq!(cluster.pass(), ["a"]);
    cluster.later(3600);
    cluster.come_up("a");
    assert_eq!(cluster.pass(), [""; 0], "the window has closed");
    assert_eq!(cluster.condition("UpdateAvailable").0, "True");
    cluster.later(23 * 3600);
    assert_eq!(cluster.pass(), ["b"]);
}

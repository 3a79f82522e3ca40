//! Brokers that the operator looks at without writing.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
};
use kube::{ResourceExt as _, api::PostParams};
use serde_json::json;
use stompbroker_operator::api::{PlannedAction, PlannedChange, StompBroker};

use crate::support::{Operator, World, check, eventually};

/// Writes to children.
fn writes_to_children(operator: &Operator) -> Vec<String> {
    let mut writes = operator.wire.writes();
    writes.retain(|write| !write.contains("/stompbrokers/") && !write.contains("/events"));
    writes
}

async fn planned_changes(world: &World, wanted: impl Fn(&[PlannedChange]) -> bool) -> Vec<PlannedChange> {
    let api = world.api::<StompBroker>();
    eventually("the planned changes", async || {
        let broker = api.get_status("chat").await.map_err(|error| error.to_string())?;
        let status = broker.status.unwrap_or_default();
        let current = status.observed_generation == broker.metadata.generation;
        check(current && wanted(&status.planned_changes), &status.planned_changes).map(|()| status.planned_changes)
    })
    .await
}

#[tokio::test]
async fn a_suspended_broker_is_left_as_it_is_and_then_put_right() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.change("chat", json!({"suspend": true, "heartbeat": "7s"})).await;
    world.condition("chat", "Managed", "False", "Suspended").await;
    world.delete::<ConfigMap>("chat").await;
    let before = writes_to_children(&operator);
    operator.passes(3).await;
    assert_eq!(writes_to_children(&operator), before);
    assert!(world.names().await.iter().all(|name| name != "ConfigMap/chat"));

    world.change("chat", json!({"suspend": false})).await;
    let config: ConfigMap = world.exists("chat").await;
    assert!(config.data.unwrap()["broker.yaml"].contains("7s"));
    world.condition("chat", "Progressing", "True", "RollingOut").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_observed_broker_is_told_what_would_be_done_and_adopts_nothing_of_others() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({"managementPolicy": "Observe"})).await;
    world.condition("chat", "Managed", "False", "Observing").await;
    let changes = planned_changes(&world, |changes| !changes.is_empty()).await;
    assert!(changes.iter().all(|change| change.action == PlannedAction::Create), "{changes:?}");
    assert!(changes.iter().any(|change| change.kind == "Secret" && change.fields.is_empty()), "{changes:?}");
    assert_eq!(world.names().await, [""; 0]);
    assert_eq!(writes_to_children(&operator), Vec::<String>::new());

    let theirs =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat"}, "spec": {"ports": [{"port": 1}]}});
    let theirs = serde_json::from_value(theirs).unwrap();
    let theirs: Service = world.api().create(&PostParams::default(), &theirs).await.unwrap();
    world.change("chat", json!({"managementPolicy": "Manage"})).await;
    world.condition("chat", "Accepted", "False", "NameConflict").await;
    assert_eq!(world.exists::<Service>("chat").await.resource_version(), theirs.resource_version());
    assert_eq!(world.names().await, [""; 0]);
    world.delete::<Service>("chat").await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.exists::<Deployment>("chat").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_change_of_an_observed_broker_is_told_field_by_field() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    operator.stop().await;

    // An operator that has applied nothing itself has to ask what would differ.
    let operator = Operator::restless(&world).await;
    world.change("chat", json!({"managementPolicy": "Observe", "image": "registry.test/stompbroker:new"})).await;
    let changes = planned_changes(&world, |changes| !changes.is_empty()).await;
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((change.kind.as_str(), change.action), ("Deployment", PlannedAction::Change));
    let image =
        "spec.template.spec.containers.0.image: \"registry.test/stompbroker:1\" -> \"registry.test/stompbroker:new\"";
    assert!(change.fields.iter().any(|field| field == image), "{changes:?}");
    // Its Event may be written after its status was seen.
    let requests = writes_to_children(&operator);
    operator.passes(3).await;
    assert_eq!(writes_to_children(&operator), requests, "an unchanged world is asked once");
    let deployment: Deployment = world.exists("chat").await;
    let image = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
    assert_eq!(image.as_deref(), Some("registry.test/stompbroker:1"));
    operator.stop().await;
}

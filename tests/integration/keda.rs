//! Autoscaling by KEDA: only its kind is there, nobody acts on it.

use k8s_openapi::{
    api::core::v1::ConfigMap, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use stompbroker_operator::{
    api::{PlannedAction, StompBroker},
    plan::{ScaledObject, ScaledObjectKind},
};

use crate::support::{Operator, World, check, define_as, eventually, install, rich_spec};

/// The kind with the fields that the operator writes, and one that it does not write.
fn kind() -> CustomResourceDefinition {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let number = json!({"type": "integer"});
    let replicas = json!({"type": "integer", "minimum": 0});
    let fallback = json!({"type": "object", "properties": {"failureThreshold": number, "replicas": replicas}});
    let spec = json!({"scaleTargetRef": anything, "minReplicaCount": number, "maxReplicaCount": number, "advanced": anything,
        "triggers": {"type": "array", "items": anything}, "fallback": fallback});
    let properties = json!({"spec": {"type": "object", "properties": spec}, "status": anything});
    define_as::<ScaledObjectKind>(&json!({"type": "object", "properties": properties}))
}

/// A world with KEDA's kind, and the spec of an autoscaled broker with two zones.
async fn world() -> (World, Value) {
    let world = World::new().await;
    install(&world.client, kind()).await;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let mut spec = rich_spec();
    spec["autoscaling"] =
        json!({"mode": "Keda", "maxReplicasPerZone": 4, "keda": {"prometheusAddress": "http://prometheus:9090"}});
    (world, spec)
}

/// Patches of the ScaledObject of one zone: this value is added at this path.
fn overrides(path: &str, value: &Value) -> Value {
    json!({"overrides": [{"target": {"kind": "ScaledObject", "name": "trading-eu-1b"},
        "patch": [{"op": "add", "path": path, "value": value}]}]})
}

async fn scaled(world: &World, wanted: impl Fn(&Value) -> bool) -> ScaledObject {
    eventually("the ScaledObject as it is to be", async || {
        let found: ScaledObject = world.exists("trading-eu-1b").await;
        check(wanted(&found.spec), &found.spec).map(|()| found.clone())
    })
    .await
}

#[tokio::test]
async fn scaled_objects_come_and_go_with_the_mode() {
    let (world, spec) = world().await;
    let operator = Operator::start(&world).await;
    world.broker("trading", spec).await;
    let scaled: ScaledObject = world.exists("trading-eu-1b").await;
    assert_eq!(scaled.spec["scaleTargetRef"]["name"], "trading-eu-1b");
    world.condition("trading", "Accepted", "True", "AsExpected").await;

    world.change("trading", json!({"zones": [{"name": "eu-1a"}]})).await;
    world.gone::<ScaledObject>("trading-eu-1b").await;
    let kept: ScaledObject = world.exists("trading-eu-1a").await;
    assert_eq!(kept.owner_references().len(), 1);
    operator.stop().await;
}

#[tokio::test]
async fn a_field_that_an_override_adds_to_a_scaled_object_is_kept_and_goes_with_it() {
    let (world, spec) = world().await;
    let operator = Operator::restless(&world).await;
    world.broker("trading", spec).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let bare = scaled(&world, |_| true).await.spec;
    let fallback = json!({"failureThreshold": 3, "replicas": 4});
    world.change("trading", overrides("/spec/fallback", &fallback)).await;
    scaled(&world, |spec| spec["fallback"] == fallback).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let status = world.api::<StompBroker>().get_status("trading").await.unwrap().status.unwrap();
    let listed: Vec<_> = status.overrides.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["ScaledObject trading-eu-1b  /spec/fallback"]);
    operator.passes(1).await;
    let writes = operator.wire.writes();
    operator.passes(3).await;
    assert_eq!(operator.wire.writes(), writes, "nothing is written again and again");

    world.merge::<ScaledObject>("trading-eu-1b", json!({"spec": {"fallback": {"replicas": 1}}})).await;
    scaled(&world, |spec| spec["fallback"] == fallback).await;

    let observe = json!({"managementPolicy": "Observe", "overrides": []});
    world.change("trading", observe).await;
    let changes = eventually("what would be done", async || {
        let broker = world.api::<StompBroker>().get_status("trading").await.map_err(|error| error.to_string())?;
        let changes = broker.status.unwrap_or_default().planned_changes;
        check(!changes.is_empty(), &changes).map(|()| changes.clone())
    })
    .await;
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((change.kind.as_str(), change.action), ("ScaledObject", PlannedAction::Change));
    assert!(change.fields[0].starts_with("spec.fallback: {"), "{change:?}");

    world.change("trading", json!({"managementPolicy": "Manage"})).await;
    let plain = scaled(&world, |spec| spec["fallback"].is_null()).await;
    assert_eq!(plain.spec, bare);
    operator.stop().await;
}

#[tokio::test]
async fn a_field_that_the_api_server_does_not_know_refuses_the_whole_spec_by_its_name() {
    let (world, spec) = world().await;
    let operator = Operator::start(&world).await;
    world.broker("trading", spec).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let before = (world.children().await, scaled(&world, |_| true).await.resource_version());
    for (path, value, says) in [
        ("/spec/fallbak", json!({}), ".spec.fallbak"),
        ("/spec/fallback", json!({"replicas": "four"}), ".spec.fallback.replicas: expected"),
        ("/spec/fallback", json!({"replicas": -1}), "spec.fallback.replicas in body should be"),
    ] {
        let mut change = overrides(path, &value);
        change["heartbeat"] = json!("7s");
        world.change("trading", change).await;
        let refused = world.condition("trading", "Accepted", "False", "OverrideRefused").await;
        for part in ["spec.overrides[0] is ScaledObject trading-eu-1b", says] {
            assert!(refused.message.contains(part), "{} does not say {part}", refused.message);
        }
        assert_eq!((world.children().await, scaled(&world, |_| true).await.resource_version()), before);
    }
    world.change("trading", json!({"overrides": []})).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let config: ConfigMap = world.exists("trading-eu-1a").await;
    assert!(config.data.unwrap()["broker.yaml"].contains("7s"));
    operator.stop().await;
}

//! Manifests that cannot work, and what a user reads then.

use serde_json::{Value, json};

use crate::world::{SOON, World, example};

fn broker(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "stompbroker.dev/v1alpha1",
        "kind": "StompBroker",
        "metadata": {"name": name},
        "spec": spec,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_refuses_what_cannot_work_and_names_the_remedy() {
    let world = World::new("e2e-refusals").await;
    let relay = json!({"relay": {
        "upstreams": [{"host": "rabbitmq"}],
        "systemCredentials": {"secretName": "s"},
        "clientCredentials": {"secretName": "c"},
    }});
    let cases = [
        ("several pods, embedded", json!({"replicas": 2}), "engine.relay"),
        (
            "two engines",
            json!({"engine": {"embedded": {}, "relay": relay["relay"]}}),
            "keep one of embedded, relay and jetStream",
        ),
        (
            "replicas twice",
            json!({"engine": relay, "replicas": 3, "zones": [{"name": "a", "replicas": 1}]}),
            "replicas",
        ),
        (
            "min over max",
            json!({"engine": relay, "autoscaling": {"minReplicasPerZone": 3, "maxReplicasPerZone": 2}}),
            "minReplicasPerZone",
        ),
        ("unknown field", json!({"listners": {}}), "listners"),
        ("no listener", json!({"listeners": {}}), "listener"),
        ("not a duration", json!({"heartbeat": "soon"}), "heartbeat"),
        ("impatient", json!({"heartbeat": "20s", "sessionTimeout": "30s"}), "sessionTimeout"),
    ];
    for (case, spec, named) in cases {
        let outcome = world.apply(&broker("refused", &spec)).await;
        let message = outcome.err().unwrap_or_else(|| panic!("{case} must be refused")).to_string();
        assert!(message.contains(named), "{case}: the message must name {named}: {message}");
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_shows_in_a_condition_and_heals_when_it_appears() {
    let world = World::new("e2e-secret").await;
    let mut manifest = example("relay-rabbitmq-three-zones.yaml");
    manifest["spec"]["replicas"] = json!(3);
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    let (reason, message) = world.condition(name, "ResolvedRefs", "False", SOON).await;
    assert_eq!(reason, "SecretNotFound");
    assert!(message.contains("rabbitmq-system"), "the Secret must be named: {message}");

    world.copy_upstream_credentials().await;
    world.condition(name, "ResolvedRefs", "True", SOON).await;
    world.ready(name).await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_without_nodes_shows_in_a_condition() {
    let world = World::new("e2e-zone").await;
    world.copy_upstream_credentials().await;
    let mut manifest = example("relay-rabbitmq-three-zones.yaml");
    manifest["spec"]["replicas"] = json!(2);
    manifest["spec"]["zones"] = json!([{"name": "eu-west-1a"}, {"name": "nowhere-1a"}]);
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    let message = world.false_because(name, "ZonesSatisfied", "ZoneUnschedulable", SOON).await;
    assert!(message.contains("nowhere-1a"), "the zone must be named: {message}");
    world.remove().await;
}

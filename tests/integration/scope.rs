//! Operators that look after the StompBrokers with certain labels.

use std::process::Command;

use http::Method;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::{Value, json};
use stompbroker_operator::api::StompBroker;

use crate::support::{Kubelet, Operator, World, check, eventually};

const LABEL: &str = "example.com/operator";

async fn blue_and_green(world: &World) -> [Operator; 2] {
    [Operator::of_label(world, LABEL, "blue").await, Operator::of_label(world, LABEL, "green").await]
}

async fn label(world: &World, broker: &str, value: Value) {
    world.merge::<StompBroker>(broker, json!({"metadata": {"labels": {LABEL: value}}})).await;
}

/// Whether the operator's metrics tell of this StompBroker of the namespace.
fn tells_of(operator: &Operator, world: &World, broker: &str) -> bool {
    let labels = format!("{{namespace=\"{}\",name=\"{broker}\"}}", world.namespace);
    operator.metrics.encode().unwrap().contains(&labels)
}

/// Waits until the operator has let go of a StompBroker.
async fn released_by(operator: &Operator, world: &World, broker: &str) {
    eventually("the end of the metrics", async || check(!tells_of(operator, world, broker), "they are still there"))
        .await;
}

#[tokio::test]
async fn each_operator_looks_after_the_brokers_with_its_label_and_nobody_after_the_others() {
    let world = World::new().await;
    let [blue, green] = blue_and_green(&world).await;
    world.broker("nobodys", json!({})).await;
    world.labelled_broker("chat", json!({LABEL: "blue"}), json!({})).await;
    world.labelled_broker("trading", json!({LABEL: "green"}), json!({})).await;
    for (broker, operator, other) in [("chat", &blue, &green), ("trading", &green, &blue)] {
        world.condition(broker, "Accepted", "True", "AsExpected").await;
        world.exists::<Deployment>(broker).await;
        let about = |writes: Vec<String>| writes.iter().any(|write| write.contains(&format!("/{broker}")));
        assert!(about(operator.wire.writes()) && tells_of(operator, &world, broker), "{broker}");
        assert!(!about(other.wire.writes()) && !tells_of(other, &world, broker), "{broker}");
    }
    let status = world.api::<StompBroker>().get_status("nobodys").await.unwrap().status;
    assert_eq!(status.unwrap_or_default().conditions, []);
    let names = world.names().await;
    assert!(!names.iter().any(|name| name.contains("nobodys")), "{names:?}");
    blue.stop().await;
    green.stop().await;
}

#[tokio::test]
async fn another_label_brings_a_broker_to_the_other_operator_and_back_as_it_is() {
    let world = World::new().await;
    let [blue, green] = blue_and_green(&world).await;
    world.labelled_broker("chat", json!({LABEL: "blue"}), json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let pod = Kubelet(&world).run("chat", "chat").await;
    world.condition("chat", "Ready", "True", "AsExpected").await;
    blue.polls(3).await;
    assert!(!green.metrics.encode().unwrap().contains("pod_polls_total{"), "the pods of others are not asked");
    let before = world.children().await;

    label(&world, "chat", json!("green")).await;
    released_by(&blue, &world, "chat").await;
    // Its pod is asked by the new one, which writes what it says.
    pod.say(|status| status.sessions.stomp = 5);
    let api = world.api::<StompBroker>();
    let sessions = async |count: i64| {
        eventually("the sessions", async || {
            let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            check(status.sessions == count, status.sessions)
        })
        .await;
    };
    sessions(5).await;
    assert!(tells_of(&green, &world, "chat"));
    world.condition("chat", "Ready", "True", "AsExpected").await;
    assert_eq!(world.children().await, before, "nothing was written but the status");
    let writes_of_blue = blue.wire.writes();

    world.change("chat", json!({"limits": {"connectionsPerPod": 77}})).await;
    world.condition("chat", "ConfigApplied", "False", "ConfigPending").await;
    let now = Kubelet(&world).healthy("chat").await;
    pod.say(|status| *status = now);
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;
    assert_eq!(blue.wire.writes(), writes_of_blue, "who has let go writes nothing");

    let before = world.children().await;
    label(&world, "chat", json!("blue")).await;
    released_by(&green, &world, "chat").await;
    pod.say(|status| status.sessions.stomp = 8);
    sessions(8).await;
    assert_eq!(world.children().await, before, "nor is anything when it comes back");
    blue.stop().await;
    green.stop().await;
}

#[tokio::test]
async fn what_no_operator_looks_after_is_left_as_it_is_until_it_gets_a_label_again() {
    let world = World::new().await;
    let operator = Operator::of_label(&world, LABEL, "blue").await;
    world.labelled_broker("chat", json!({LABEL: "blue"}), json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let deployment = world.exists::<Deployment>("chat").await;
    label(&world, "chat", Value::Null).await;
    released_by(&operator, &world, "chat").await;
    world.change("chat", json!({"limits": {"connectionsPerPod": 77}})).await;
    world.delete::<ConfigMap>("chat").await;
    // Whoever would look after it has had the time for it when another one that came later is done.
    world.labelled_broker("trading", json!({LABEL: "blue"}), json!({})).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    assert!(world.api::<ConfigMap>().get_opt("chat").await.unwrap().is_none());
    let left = world.exists::<Deployment>("chat").await;
    assert_eq!(left.metadata.resource_version, deployment.metadata.resource_version);

    label(&world, "chat", json!("blue")).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let config = world.exists::<ConfigMap>("chat").await;
    assert!(config.data.unwrap()["broker.yaml"].contains("77"));
    assert_eq!(world.exists::<Deployment>("chat").await.metadata.uid, deployment.metadata.uid);
    operator.stop().await;
}

#[tokio::test]
async fn a_pass_that_is_under_way_when_the_label_goes_makes_nothing_more() {
    let world = World::new().await;
    let operator = Operator::of_label(&world, LABEL, "blue").await;
    let gate = operator.wire.hold(Method::PATCH, "/serviceaccounts/chat");
    world.labelled_broker("chat", json!({LABEL: "blue"}), json!({})).await;
    let writes = || operator.wire.count(&Method::PATCH, "/serviceaccounts/chat");
    eventually("the first write", async || check(writes() == 1, writes())).await;
    label(&world, "chat", Value::Null).await;
    world.labelled_broker("trading", json!({LABEL: "blue"}), json!({})).await;
    // The watch that shows the one has shown the other before.
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    gate.add_permits(1);
    operator.passes_since_its_start(1).await;
    operator.stop().await;
    let names = world.names().await;
    let of_chat: Vec<_> = names.iter().filter(|name| name.ends_with("/chat")).collect();
    assert_eq!(of_chat, ["ServiceAccount/chat"]);
}

#[test]
fn an_operator_with_what_is_no_selector_ends_at_once_and_says_what_to_write() {
    let program = Command::new(env!("CARGO_BIN_EXE_stompbroker-operator"))
        .args(["run", "--namespace", "messaging", "--broker-image", "registry.test/stompbroker:1"])
        .env("STOMPBROKER_WATCH_LABEL_SELECTOR", "operator=-blue")
        .output()
        .unwrap();
    assert_eq!(program.status.code(), Some(64));
    let error = String::from_utf8(program.stderr).unwrap();
    let expected =
        "--watch-label-selector is \"operator=-blue\": \"-blue\" is no value of a label; write up to 63 letters";
    assert!(error.contains(expected), "{error}");
}

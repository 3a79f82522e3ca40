//! What an API server may answer on a bad day.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{Operator, Wire, World, check, eventually};

#[tokio::test]
async fn errors_that_pass_are_got_over() {
    let world = World::new().await;
    let wire = Wire::default();
    wire.answer(Method::PATCH, "/deployments/chat", 409, "Conflict", 1);
    wire.answer(Method::PATCH, "/services/chat", 500, "InternalError", 1);
    wire.answer(Method::PATCH, "/stompbrokers/chat/status", 503, "ServiceUnavailable", 1);
    wire.answer(Method::POST, "/secrets", 429, "TooManyRequests", 1);
    wire.answer(Method::GET, "/configmaps/chat", 504, "Timeout", 1);
    let operator = Operator::with(&world, wire, |_| {}).await;
    world.broker("chat", json!({})).await;
    world.exists::<Deployment>("chat").await;
    world.condition("chat", "Degraded", "False", "AsExpected").await;
    operator.stop().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_a_condition_and_not_a_loop_and_others_go_on() {
    let world = World::new().await;
    let wire = Wire::default();
    wire.answer(Method::PATCH, "/deployments/chat", 422, "Invalid", usize::MAX);
    let operator = Operator::with(&world, wire, |_| {}).await;
    world.broker("chat", json!({})).await;
    let condition = world.condition("chat", "Ready", "False", "ApplyFailed").await;
    assert!(condition.message.contains("Deployment chat"), "{}", condition.message);
    world.broker("other", json!({})).await;
    world.exists::<Deployment>("other").await;
    world.condition("other", "Degraded", "False", "AsExpected").await;
    let tries = operator.wire.count(&Method::PATCH, "/deployments/chat");
    assert!(tries <= 2, "{tries} tries");
    operator.wire.clear();
    world.change("chat", json!({"limits": {"connectionsPerPod": 77}})).await;
    world.exists::<Deployment>("chat").await;
    operator.stop().await;
}

#[tokio::test]
async fn readiness_names_a_watch_that_is_forbidden() {
    let world = World::new().await;
    let wire = Wire::default();
    wire.answer(Method::GET, "/networkpolicies", 403, "Forbidden", usize::MAX);
    let operator = Operator::with(&world, wire, |_| {}).await;
    eventually("the reason", async || {
        let (status, body) = operator.get("/readyz").await;
        check(status == 503 && body.contains("NetworkPolicy") && body.contains("Forbidden"), body)
    })
    .await;
    assert_eq!(operator.get("/livez").await.0, 200, "a restart would not cure it");
    operator.wire.clear();
    operator.ready().await;
    operator.stop().await;
}

#[tokio::test]
async fn a_pass_that_is_under_way_is_finished_before_the_operator_ends() {
    let world = World::new().await;
    let wire = Wire::default();
    let gate = wire.hold(Method::PATCH, "/services/chat");
    let operator = Operator::with(&world, wire, |_| {}).await;
    world.broker("chat", json!({})).await;
    eventually("the middle of the pass", async || {
        check(operator.wire.count(&Method::PATCH, "/services/chat") == 1, "not there yet")
    })
    .await;
    operator.tell_to_stop();
    world.broker("later", json!({})).await;
    gate.add_permits(1);
    operator.stop().await;
    world.exists::<Deployment>("chat").await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    assert_eq!(world.exists::<StompBroker>("later").await.status, None, "a new pass was begun");
}

#[tokio::test]
async fn a_pass_that_does_not_end_is_broken_off_after_the_grace() {
    let world = World::new().await;
    let wire = Wire::default();
    let _never = wire.hold(Method::PATCH, "/services/chat");
    let operator = Operator::with(&world, wire, |settings| settings.shutdown_grace = Duration::from_secs(1)).await;
    world.broker("chat", json!({})).await;
    eventually("the middle of the pass", async || {
        check(operator.wire.count(&Method::PATCH, "/services/chat") == 1, "not there yet")
    })
    .await;
    operator.stop().await;
}

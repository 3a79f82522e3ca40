//! What an API server may answer on a bad day.

use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::support::{Operator, Wire, World};

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
    crate::support::eventually("the reason", async || {
        let (status, body) = operator.get("/readyz").await;
        crate::support::check(status == 503 && body.contains("NetworkPolicy") && body.contains("Forbidden"), body)
    })
    .await;
    assert_eq!(operator.get("/livez").await.0, 200, "a restart would not cure it");
    operator.wire.clear();
    operator.ready().await;
    operator.stop().await;
}

//! Two operators, one leader.

use http::Method;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use serde_json::json;
use stompbroker_operator::RunError;

use crate::support::{Operator, World, check, eventually};

async fn led_by(world: &World, identity: &str) {
    let api = world.api::<Lease>();
    eventually(&format!("the leadership of {identity}"), async || {
        let lease = api.get("stompbroker-operator").await.map_err(|error| error.to_string())?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        check(holder.as_deref() == Some(identity), holder)
    })
    .await;
}

#[tokio::test]
async fn the_second_takes_over_in_order_and_what_exists_stays() {
    let world = World::new().await;
    let first = Operator::candidate(&world, "first").await;
    led_by(&world, "first").await;
    let second = Operator::candidate(&world, "second").await;
    second.ready().await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    assert_eq!(second.wire.writes(), [""; 0], "who does not lead does not write");
    first.stop().await;
    let before = world.children().await;
    led_by(&world, "second").await;
    // Its first pass may come before the test has seen it lead.
    second.passes_since_its_start(1).await;
    assert_eq!(world.children().await, before);
    world.broker("later", json!({})).await;
    world.exists::<Deployment>("later").await;
    second.stop().await;
    let lease = world.api::<Lease>().get("stompbroker-operator").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity, None, "the lease was given up");
}

#[tokio::test]
async fn the_second_takes_over_when_the_first_dies() {
    let world = World::new().await;
    let first = Operator::candidate(&world, "first").await;
    led_by(&world, "first").await;
    let second = Operator::candidate(&world, "second").await;
    second.ready().await;
    first.kill().await;
    led_by(&world, "second").await;
    world.broker("chat", json!({})).await;
    world.exists::<Deployment>("chat").await;
    second.stop().await;
}

#[tokio::test]
async fn who_cannot_renew_the_lease_ends() {
    let world = World::new().await;
    let operator = Operator::candidate(&world, "first").await;
    led_by(&world, "first").await;
    operator.wire.answer(Method::PUT, "/leases/stompbroker-operator", 500, "InternalError", usize::MAX);
    let ended = operator.ended().await;
    assert!(matches!(ended, Err(RunError::LeaseLost)), "{ended:?}");
}

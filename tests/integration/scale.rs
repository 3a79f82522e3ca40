//! Many brokers at once.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::json;

use crate::support::{Operator, World, check, within};

#[tokio::test]
async fn a_hundred_brokers_get_their_children_and_then_there_is_rest() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    for number in 0..100 {
        world.broker(&format!("chat-{number}"), json!({})).await;
    }
    let deployments = world.api::<Deployment>();
    within(Duration::from_mins(5), "a hundred Deployments", async || {
        let count = deployments.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        check(count == 100, count)
    })
    .await;
    world.condition("chat-0", "Accepted", "True", "AsExpected").await;
    world.condition("chat-99", "Accepted", "True", "AsExpected").await;
    operator.stop().await;
    // A fresh operator has to look at each again and finds nothing to do.
    let before = world.children().await;
    let operator = Operator::start(&world).await;
    operator.passes_since_its_start(100).await;
    assert_eq!(world.children().await, before);
    operator.stop().await;
}

//! Logins and tokens.

use http::Method;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{Operator, Wire, World, check, eventually, rich_spec};

#[tokio::test]
async fn generated_logins_have_the_shape_of_a_service_binding() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    let system: Secret = world.exists("chat-system").await;
    assert_eq!(system.type_.as_deref(), Some("servicebinding.io/stomp"));
    let value = |secret: &Secret, key: &str| String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
    for key in ["type", "provider", "host", "port", "username", "password"] {
        assert!(!value(&system, key).is_empty(), "{key}");
    }
    assert_eq!(value(&system, "port"), "61613");
    let client: Secret = world.exists("chat-client").await;
    assert_eq!(value(&client, "password").len(), 32);
    assert_ne!(value(&client, "password"), value(&system, "password"));
    operator.stop().await;
}

#[tokio::test]
async fn what_is_no_secret_follows_the_spec_and_the_password_stays() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let before: Secret = world.exists("chat-system").await;
    world.change("chat", json!({"listeners": {"stomp": {"port": 61999}, "websocket": {}}})).await;
    let api = world.api::<Secret>();
    let after = eventually("the new port", async || {
        let now = api.get("chat-system").await.map_err(|error| error.to_string())?;
        let port = now.data.as_ref().and_then(|data| data.get("port")).cloned();
        check(port.as_ref().is_some_and(|port| port.0 == b"61999"), "the old port").map(|()| now)
    })
    .await;
    assert_eq!(after.uid(), before.uid());
    assert_eq!(after.data.unwrap()["password"], before.data.unwrap()["password"]);
    operator.stop().await;
}

#[tokio::test]
async fn a_missing_secret_holds_back_its_broker_only_and_its_coming_is_noticed() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("trading", rich_spec()).await;
    let condition = world.condition("trading", "ResolvedRefs", "False", "SecretNotFound").await;
    assert!(condition.message.contains("rabbit-system"), "{}", condition.message);
    world.broker("chat", json!({})).await;
    world.condition("chat", "ResolvedRefs", "True", "AsExpected").await;
    let names = world.names().await;
    assert!(names.iter().all(|name| !name.contains("trading")), "{names:?}");
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    world.condition("trading", "ResolvedRefs", "True", "AsExpected").await;
    world.exists::<Deployment>("trading-eu-1a").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_secret_that_goes_missing_leaves_the_running_pods_alone() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    world.broker("trading", rich_spec()).await;
    world.condition("trading", "ResolvedRefs", "True", "AsExpected").await;
    let before = world.children().await;
    world.delete::<Secret>("rabbit-system").await;
    world.change("trading", json!({"limits": {"connectionsPerPod": 77}})).await;
    world.condition("trading", "ResolvedRefs", "False", "SecretNotFound").await;
    assert_eq!(world.children().await, before);
    operator.stop().await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_never_made_anew() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    operator.stop().await;
    let before = world.children().await;

    for (code, reason) in [(403, "Forbidden"), (500, "InternalError"), (504, "Timeout")] {
        let wire = Wire::default();
        wire.answer(Method::GET, "/secrets/chat-system", code, reason, usize::MAX);
        let operator = Operator::with(&world, wire, |_| {}).await;
        let api = world.api::<StompBroker>();
        eventually("a condition that says so", async || {
            let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let said =
                status.conditions.iter().any(|condition| condition.message.contains(&format!("invented: {reason}")));
            check(said, status.conditions)
        })
        .await;
        assert_eq!(operator.wire.count(&Method::POST, "/secrets"), 0);
        operator.wire.clear();
        world.condition("chat", "Degraded", "False", "AsExpected").await;
        operator.stop().await;
        assert_eq!(world.children().await, before);
    }
}

#[tokio::test]
async fn a_first_secret_waits_until_the_server_says_that_there_is_none() {
    let world = World::new().await;
    let wire = Wire::default();
    wire.answer(Method::GET, "/secrets/chat-admin", 500, "InternalError", 2);
    let operator = Operator::with(&world, wire, |_| {}).await;
    world.broker("chat", json!({})).await;
    world.exists::<Secret>("chat-admin").await;
    assert!(operator.wire.count(&Method::GET, "/secrets/chat-admin") >= 3, "created before the server had said so");
    operator.stop().await;
}

#[tokio::test]
async fn a_generated_secret_that_lost_its_password_is_reported_and_left_alone() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.merge::<Secret>("chat-system", json!({"data": {"password": null}})).await;
    let before: Secret = world.exists("chat-system").await;
    world.change("chat", json!({"limits": {"connectionsPerPod": 77}})).await;
    let condition = world.condition("chat", "Ready", "False", "ApplyFailed").await;
    assert!(condition.message.contains("chat-system") && condition.message.contains("password"), "{condition:?}");
    assert_eq!(world.exists::<Secret>("chat-system").await.resource_version(), before.resource_version());
    operator.stop().await;
}

#[tokio::test]
async fn no_value_of_a_secret_shows_in_status_or_events() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let secret: Secret = world.exists("chat-system").await;
    let password = String::from_utf8(secret.data.unwrap()["password"].0.clone()).unwrap();
    operator.stop().await;
    let broker: StompBroker = world.exists("chat").await;
    assert!(!serde_json::to_string(&broker).unwrap().contains(&password));
    let resource = kube::core::ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&());
    let events: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let events = events.list(&ListParams::default()).await.unwrap();
    assert!(events.items.iter().any(|event| event.data["reason"] == "Created"), "{events:?}");
    assert!(!serde_json::to_string(&events).unwrap().contains(&password));
}

//! What is in the way, and what must not be touched.

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::{ResourceExt as _, api::PostParams};
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{Operator, Wire, World};

async fn somebodys_config_map(world: &World, name: &str) -> ConfigMap {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
    let api = world.api::<ConfigMap>();
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_object_of_somebody_else_is_named_and_not_touched_and_others_go_on() {
    let world = World::new().await;
    let theirs = somebodys_config_map(&world, "chat").await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    let condition = world.condition("chat", "Accepted", "False", "NameConflict").await;
    assert!(condition.message.contains("ConfigMap chat"), "{}", condition.message);
    world.broker("other", json!({})).await;
    world.condition("other", "Accepted", "True", "AsExpected").await;
    let now: ConfigMap = world.exists("chat").await;
    assert_eq!(now.resource_version(), theirs.resource_version());
    let names = world.names().await;
    assert!(names.iter().all(|name| !name.ends_with("/chat")), "{names:?}");

    world.delete::<ConfigMap>("chat").await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.exists::<Service>("chat").await;
    operator.stop().await;
}

#[tokio::test]
async fn two_brokers_whose_children_have_the_same_names_do_not_fight() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("a-b", json!({})).await;
    world.condition("a-b", "Accepted", "True", "AsExpected").await;
    let first: ConfigMap = world.exists("a-b").await;
    world.broker("a", json!({"zones": [{"name": "b"}]})).await;
    let condition = world.condition("a", "Accepted", "False", "NameConflict").await;
    assert!(condition.message.contains("StompBroker"), "{}", condition.message);
    assert_eq!(world.exists::<ConfigMap>("a-b").await.resource_version(), first.resource_version());
    operator.stop().await;
}

#[tokio::test]
async fn the_users_own_object_is_never_written() {
    let world = World::new().await;
    let before = world.broker("chat", json!({})).await;
    let operator = Operator::start(&world).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let now: StompBroker = world.exists("chat").await;
    assert_eq!(now.metadata.generation, before.metadata.generation);
    assert_eq!(now.spec, before.spec);
    assert_eq!((now.labels(), now.annotations()), (before.labels(), before.annotations()));
    assert_eq!(now.finalizers(), [""; 0]);
    operator.stop().await;
}

#[tokio::test]
async fn brokers_of_other_namespaces_are_left_alone() {
    let (inside, outside) = (World::new().await, World::new().await);
    let operator = Operator::with(&inside, Wire::default(), |_| {}).await;
    outside.broker("chat", json!({})).await;
    inside.broker("chat", json!({})).await;
    inside.condition("chat", "Accepted", "True", "AsExpected").await;
    assert_eq!(outside.exists::<StompBroker>("chat").await.status, None);
    assert_eq!(outside.names().await, [""; 0]);
    operator.stop().await;
}

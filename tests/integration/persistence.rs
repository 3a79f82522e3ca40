//! The volume of persistent messages: made once, kept for ever.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim};
use kube::{ResourceExt as _, api::PostParams};
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{Operator, World, check, eventually};

fn persistent(size: &str) -> serde_json::Value {
    json!({"engine": {"embedded": {"persistence": {"size": size}}}})
}

fn requested(claim: &PersistentVolumeClaim) -> String {
    let resources = claim.spec.as_ref().unwrap().resources.as_ref().unwrap();
    resources.requests.as_ref().unwrap()["storage"].0.clone()
}

#[tokio::test]
async fn a_volume_outlives_the_wish_for_it_and_the_stompbroker_and_is_taken_up_again() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.broker("trading", persistent("1Gi")).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let claim: PersistentVolumeClaim = world.exists("trading").await;
    assert_eq!((&*requested(&claim), claim.owner_references()), ("1Gi", &[][..]));
    operator.passes(3).await;
    let (children, writes) = (world.children().await, operator.wire.writes());
    operator.passes(5).await;
    assert_eq!((world.children().await, operator.wire.writes()), (children, writes), "nothing is written twice");

    world.change("trading", json!({"engine": {"embedded": {"persistence": null}}})).await;
    eventually("a pod without a volume", async || {
        let deployment: Deployment = world.exists("trading").await;
        let volumes = deployment.spec.unwrap().template.spec.unwrap().volumes.unwrap();
        check(volumes.len() == 1, &volumes)
    })
    .await;
    operator.passes(3).await;
    world.delete::<StompBroker>("trading").await;
    world.gone::<StompBroker>("trading").await;
    world.broker("trading", persistent("1Gi")).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let same: PersistentVolumeClaim = world.exists("trading").await;
    assert_eq!((same.uid(), same.metadata.deletion_timestamp), (claim.uid(), None));
    operator.stop().await;
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_not_taken() {
    let world = World::new().await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "trading"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}});
    let api = world.api::<PersistentVolumeClaim>();
    let before = api.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    let operator = Operator::start(&world).await;
    world.broker("trading", persistent("1Gi")).await;
    let conflict = world.condition("trading", "Accepted", "False", "NameConflict").await;
    assert!(conflict.message.contains("PersistentVolumeClaim trading"), "{}", conflict.message);
    let after: PersistentVolumeClaim = world.exists("trading").await;
    assert_eq!(after.resource_version(), before.resource_version());
    operator.stop().await;
}

//! Autoscaling by KEDA: only its kind is there, nobody acts on it.

use kube::ResourceExt as _;
use serde_json::json;
use stompbroker_operator::plan::{ScaledObject, ScaledObjectKind};

use crate::support::{Operator, World, define, install, rich_spec};

#[tokio::test]
async fn scaled_objects_come_and_go_with_the_mode() {
    let world = World::new().await;
    install(&world.client, define::<ScaledObjectKind>()).await;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let operator = Operator::start(&world).await;
    let mut spec = rich_spec();
    spec["autoscaling"] =
        json!({"mode": "Keda", "maxReplicasPerZone": 4, "keda": {"prometheusAddress": "http://prometheus:9090"}});
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

//! Zones are replaced one after the other, and a newer operator replaces nothing.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{AdminServer, Kubelet, Operator, Wire, World, check, eventually, rich_spec};

const ZONES: [&str; 2] = ["trading-eu-1a", "trading-eu-1b"];

/// Two zones with a pod each, whose configuration the operator has seen; the pods answer as long as what it gives back lives.
async fn two_zones(kubelet: &Kubelet<'_>) -> [AdminServer; 2] {
    let world = kubelet.0;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let mut spec = rich_spec();
    spec.as_object_mut().unwrap().remove("autoscaling");
    world.broker("trading", spec).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let pods = [kubelet.run("trading", ZONES[0]).await, kubelet.run("trading", ZONES[1]).await];
    world.condition("trading", "ConfigApplied", "True", "AsExpected").await;
    pods
}

async fn image_of(world: &World, name: &str) -> Option<String> {
    let deployment: Deployment = world.exists(name).await;
    deployment.spec?.template.spec?.containers.remove(0).image
}

async fn has_image(world: &World, name: &str, image: &str) {
    eventually(&format!("{image} in {name}"), async || {
        let now = image_of(world, name).await;
        check(now.as_deref() == Some(image), now)
    })
    .await;
}

#[tokio::test]
async fn the_second_zone_is_replaced_when_the_first_has_come_up() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    let kubelet = Kubelet(&world);
    let _pods = two_zones(&kubelet).await;
    let before = image_of(&world, ZONES[1]).await;

    world.change("trading", json!({"image": "registry.test/stompbroker:new"})).await;
    has_image(&world, ZONES[0], "registry.test/stompbroker:new").await;
    world.condition("trading", "Progressing", "True", "RollingOut").await;
    operator.passes(2).await;
    assert_eq!(image_of(&world, ZONES[1]).await, before, "the first zone has not come up");
    kubelet.rolled_out(ZONES[0]).await;
    has_image(&world, ZONES[1], "registry.test/stompbroker:new").await;
    kubelet.rolled_out(ZONES[1]).await;
    let api = world.api::<StompBroker>();
    eventually("the end of the rollout", async || {
        let status = api.get_status("trading").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let last = status.last_rollout.as_ref().is_some_and(|last| last.finished_at.is_some());
        check(last, &status.last_rollout)
    })
    .await;
    let metrics = operator.get("/metrics").await.1;
    assert!(metrics.contains(r#"zone_restarts_total{reason="ImageChanged"} 2"#), "{metrics}");
    operator.stop().await;
}

#[tokio::test]
async fn a_pod_that_says_nothing_holds_the_next_zone_up_for_a_time_and_not_for_ever() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    let [silent, _other] = two_zones(&kubelet).await;
    drop(silent);
    world.condition("trading", "ConfigApplied", "Unknown", "PodsNotAnswering").await;

    let image = "registry.test/stompbroker:new";
    world.change("trading", json!({"image": image, "rollout": {"silenceWait": "1s"}})).await;
    has_image(&world, ZONES[0], image).await;
    kubelet.rolled_out(ZONES[0]).await;
    has_image(&world, ZONES[1], image).await;
    let condition = world.condition("trading", "ConfigApplied", "Unknown", "PodsPassedOver").await;
    assert!(condition.message.contains("no longer wait for 1 of them"), "{}", condition.message);
    operator.stop().await;
}

#[tokio::test]
async fn an_operator_with_another_image_restarts_no_pod_until_the_spec_changes() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    let _pods = two_zones(&kubelet).await;
    operator.stop().await;
    let before = world.children().await;

    let newer = |settings: &mut stompbroker_operator::settings::Settings| {
        settings.plan.image = "registry.test/stompbroker:2".to_owned();
    };
    let operator = Operator::with(&world, Wire::default(), newer).await;
    let condition = world.condition("trading", "UpdateAvailable", "True", "OperatorUpgraded").await;
    assert!(condition.message.contains("registry.test/stompbroker:2"), "{}", condition.message);
    assert_eq!(world.children().await, before, "nothing is written");

    world.change("trading", json!({"resources": {"requests": {"cpu": "200m"}}})).await;
    has_image(&world, ZONES[0], "registry.test/stompbroker:2").await;
    operator.stop().await;
}

#[tokio::test]
async fn pods_of_a_zone_that_is_gone_hold_nothing_up() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    let _pods = two_zones(&kubelet).await;
    world.change("trading", json!({"zones": [{"name": "eu-1a"}]})).await;
    world.gone::<Deployment>(ZONES[1]).await;
    let pods = world.api::<Pod>();
    let of_zone = ListParams::default().labels("stompbroker.dev/zone=eu-1b");
    for pod in pods.list(&of_zone).await.unwrap() {
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    world.change("trading", json!({"image": "registry.test/stompbroker:new"})).await;
    has_image(&world, ZONES[0], "registry.test/stompbroker:new").await;
    operator.stop().await;
}

//! Which pods may be evicted, as the eviction API of a real API server decides it; the test is the disruption controller.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod, policy::v1::PodDisruptionBudget},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, EvictParams, Patch, PatchParams},
};
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{AdminServer, Kubelet, Operator, World, check, eventually, rich_spec};

const ZONES: [&str; 2] = ["trading-eu-1a", "trading-eu-1b"];

/// Two zones with two pods each; the first pod of each zone is asked.
async fn two_by_two(kubelet: &Kubelet<'_>) -> (Vec<AdminServer>, [Vec<String>; 2]) {
    let world = kubelet.0;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let mut spec = rich_spec();
    spec.as_object_mut().unwrap().remove("autoscaling");
    spec["replicas"] = json!(4);
    world.broker("trading", spec).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let (mut servers, mut names) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (zone, names) in ZONES.into_iter().zip(&mut names) {
        for _ in 0..2 {
            let admin = AdminServer::start(kubelet.healthy(zone).await, kubelet.token("trading").await).await;
            names.push(kubelet.pod(zone, admin.address).await.name_any());
            servers.push(admin);
        }
        kubelet.rolled_out(zone).await;
    }
    world.condition("trading", "ZonesSatisfied", "True", "AsExpected").await;
    (servers, names)
}

/// Counts as the disruption controller does, for a budget that selects so many pods.
async fn control(world: &World, expected: i32, healthy: i32) {
    let budget: PodDisruptionBudget = world.exists("trading").await;
    let number = |number| serde_json::from_value::<i32>(serde_json::to_value(number).unwrap()).unwrap();
    let spec = budget.spec.unwrap();
    let wanted = spec.min_available.map_or_else(|| expected - number(spec.max_unavailable.unwrap()), number);
    let status = json!({"status": {
        "observedGeneration": budget.metadata.generation, "currentHealthy": healthy, "desiredHealthy": wanted,
        "expectedPods": expected, "disruptionsAllowed": (healthy - wanted).max(0), "disruptedPods": null,
    }});
    let api = world.api::<PodDisruptionBudget>();
    api.patch_status("trading", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// Asks for an eviction; gives the answer's code.
async fn evict(world: &World, pod: &str) -> u16 {
    // A client that tries again what it is refused would do so for minutes.
    let mut config = world.plane.config.clone();
    config.default_retry = false;
    let pods: Api<Pod> = Api::namespaced(Client::try_from(config).unwrap(), &world.namespace);
    match pods.evict(pod, &EvictParams::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

async fn drained_zone(world: &World, zone: Option<&str>) {
    let api = world.api::<StompBroker>();
    eventually(&format!("the drained zone {zone:?}"), async || {
        let status = api.get_status("trading").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        check(status.drained_zone.as_deref() == zone, &status.drained_zone)
    })
    .await;
}

#[tokio::test]
async fn a_zone_may_be_emptied_and_no_other_one_before_it_is_back() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    let (_servers, [a, b]) = two_by_two(&kubelet).await;
    control(&world, 4, 4).await;
    assert_eq!(evict(&world, &a[0]).await, 200);
    assert_eq!(evict(&world, &b[0]).await, 429, "of two at the same time the API server lets one through");

    drained_zone(&world, Some("eu-1a")).await;
    control(&world, 2, 2).await;
    assert_eq!(evict(&world, &a[1]).await, 200);
    assert_eq!(evict(&world, &b[0]).await, 429);

    for pod in &a {
        world.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    let admin = AdminServer::start(kubelet.healthy(ZONES[0]).await, kubelet.token("trading").await).await;
    for _ in &a {
        kubelet.pod(ZONES[0], admin.address).await;
    }
    drained_zone(&world, None).await;
    control(&world, 4, 4).await;
    assert_eq!(evict(&world, &b[0]).await, 200);
    drained_zone(&world, Some("eu-1b")).await;
    operator.stop().await;
}

#[tokio::test]
async fn while_pods_go_by_themselves_no_other_one_may_be_evicted() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    let (_servers, [a, b]) = two_by_two(&kubelet).await;
    control(&world, 4, 4).await;
    world.change("trading", json!({"replicas": 3})).await;
    let deployments = world.api::<Deployment>();
    eventually("one pod less", async || {
        let seen =
            deployments.get(ZONES[1]).await.map_err(|error| error.to_string())?.spec.and_then(|spec| spec.replicas);
        check(seen == Some(1), seen)
    })
    .await;
    control(&world, 3, 4).await;
    for pod in [&a[0], &b[0]] {
        assert_eq!(evict(&world, pod).await, 429, "of four that are ready three are wanted");
    }
    world.api::<Pod>().delete(&b[1], &DeleteParams::default().grace_period(0)).await.unwrap();
    kubelet.rolled_out(ZONES[1]).await;
    operator.passes(3).await;
    assert_eq!(evict(&world, &a[0]).await, 429, "the disruption controller has not seen it go");
    let api = world.api::<PodDisruptionBudget>();
    control(&world, 3, 2).await;
    operator.passes(3).await;
    let held = api.get("trading").await.unwrap().spec.unwrap();
    assert!(held.min_available.is_some(), "nor that another one is ready, so that it might count wrong ones: {held:?}");
    control(&world, 3, 3).await;
    eventually("a budget that lets one go", async || {
        let spec = api.get("trading").await.map_err(|error| error.to_string())?.spec.unwrap_or_default();
        check(spec.max_unavailable == Some(IntOrString::Int(1)) && spec.min_available.is_none(), spec)
    })
    .await;
    control(&world, 3, 3).await;
    assert_eq!(evict(&world, &a[0]).await, 200);
    operator.stop().await;
}

#[tokio::test]
async fn a_pod_that_falls_ill_by_itself_opens_nothing() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    let kubelet = Kubelet(&world);
    let (servers, [a, _]) = two_by_two(&kubelet).await;
    let before: PodDisruptionBudget = world.exists("trading").await;
    kubelet.pod_status(&a[0], servers[0].address, false).await;
    operator.passes(3).await;
    let after: PodDisruptionBudget = world.exists("trading").await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    operator.stop().await;
}

//! A zone is lost and comes back; the test is node controller, Deployment controller and kubelet.

use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::json;
use stompbroker_operator::api::{StompBroker, ZoneStatus};

use crate::support::{AdminServer, Kubelet, Operator, World, check, eventually, rich_spec};

const ZONES: [&str; 2] = ["trading-eu-1a", "trading-eu-1b"];

async fn zones(world: &World, what: &str, wanted: impl Fn(&[ZoneStatus]) -> bool) {
    let api = world.api::<StompBroker>();
    eventually(what, async || {
        let status = api.get_status("trading").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        check(wanted(&status.zones), &status.zones)
    })
    .await;
}

async fn replicas(world: &World, deployment: &str, wanted: i32) {
    let api = world.api::<Deployment>();
    eventually(&format!("{wanted} pods of {deployment}"), async || {
        let seen = api.get(deployment).await.map_err(|error| error.to_string())?.spec.and_then(|spec| spec.replicas);
        check(seen == Some(wanted), seen)
    })
    .await;
}

async fn event(world: &World, reason: &str) -> String {
    let api = world.api::<Event>();
    eventually(&format!("an Event {reason}"), async || {
        let events = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let found = events.into_iter().find(|event| event.reason.as_deref() == Some(reason));
        found.and_then(|event| event.note).ok_or_else(|| "there is none".to_owned())
    })
    .await
}

#[tokio::test]
async fn the_pods_of_a_lost_zone_are_respread_until_it_has_its_own_again() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let kubelet = Kubelet(&world);
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let mut spec = rich_spec();
    spec.as_object_mut().unwrap().remove("autoscaling");
    spec["replicas"] = json!(2);
    spec["zoneOutagePolicy"] = json!("Respread");
    spec["zoneOutageWait"] = json!("2s");
    world.broker("trading", spec).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let (mut servers, mut pods) = (Vec::new(), Vec::new());
    for zone in ZONES {
        let admin = AdminServer::start(kubelet.healthy(zone).await, kubelet.token("trading").await).await;
        pods.push(kubelet.pod(zone, admin.address).await.name_any());
        servers.push(admin);
        kubelet.rolled_out(zone).await;
    }
    world.condition("trading", "ZonesSatisfied", "True", "AsExpected").await;

    kubelet.node_lost(&pods[1]).await;
    kubelet.ready(ZONES[1], 0).await;
    world.condition("trading", "ZonesSatisfied", "False", "ZoneLost").await;
    replicas(&world, ZONES[0], 2).await;
    replicas(&world, ZONES[1], 1).await;
    zones(&world, "the zones of a broker that was respread", |zones| {
        zones[0].standing_in == 1
            && zones[0].outage.is_none()
            && zones[1].outage.as_ref().is_some_and(|outage| outage.respread_since.is_some())
    })
    .await;
    assert_eq!(event(&world, "Respread").await, "1 pods elsewhere stand in for those of zone eu-1b");
    kubelet.pod(ZONES[0], servers[0].address).await;
    kubelet.rolled_out(ZONES[0]).await;

    kubelet.pod_status(&pods[1], servers[1].address, true).await;
    kubelet.rolled_out(ZONES[1]).await;
    replicas(&world, ZONES[0], 1).await;
    zones(&world, "zones that are well", |zones| {
        zones.iter().all(|zone| zone.standing_in == 0 && zone.outage.is_none())
    })
    .await;
    event(&world, "RespreadEnded").await;
    operator.stop().await;
}

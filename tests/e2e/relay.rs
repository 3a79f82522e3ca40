//! Six pods in three zones, relayed to one RabbitMQ: `examples/relay-rabbitmq-three-zones.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    stomp::Client,
    world::{ROLLOUT, World, address, eventually, example, is_ready, uids},
};

pub const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];

/// The example applied and ready in a namespace of its own; returns its name.
pub async fn three_zones(world: &World) -> String {
    world.copy_upstream_credentials().await;
    let manifest = example("relay-rabbitmq-three-zones.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    world.apply(&manifest).await.unwrap();
    world.ready(&name).await;
    name
}

fn by_zone(pods: &[Pod]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for pod in pods {
        *count.entry(pod.labels()["stompbroker.dev/zone"].clone()).or_default() += 1;
    }
    count
}

fn two_each(number: usize) -> BTreeMap<String, usize> {
    ZONES.iter().map(|zone| ((*zone).to_owned(), number)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_crosses_the_zones_scaling_works_and_a_killed_pod_heals() {
    let world = World::new("e2e-relay").await;
    let name = three_zones(&world).await;
    let pods = world.pods(&name).await;
    assert_eq!(by_zone(&pods), two_each(2));
    let nodes: BTreeSet<_> = pods
        .iter()
        .map(|pod| (pod.labels()["stompbroker.dev/zone"].clone(), pod.spec.clone().unwrap().node_name))
        .collect();
    assert_eq!(nodes.len(), 3, "the pods of a zone run on the nodes of that zone: {nodes:?}");
    world.condition(&name, "RelayConnected", "True", ROLLOUT).await;

    let login = world.login(&format!("{name}-client")).await;
    let sender = world.pod_in_zone(&name, ZONES[0]).await;
    let receiver = world.pod_in_zone(&name, ZONES[2]).await;
    let mut service = Client::tcp(address(&sender, 61613), &login).await.unwrap();
    let web = address(&receiver, 8080);
    let mut browser = Client::websocket(web, "/ws", &format!("http://{web}"), &login).await.unwrap();
    browser.subscribe("0", "/topic/trades").await.unwrap();
    service.publish("/topic/trades", "crossing").await.unwrap();
    let message = browser.receive().await.unwrap();
    assert_eq!((message.body.as_str(), message.header("destination")), ("crossing", "/topic/trades"));
    assert_ne!(sender.spec.as_ref().unwrap().node_name, receiver.spec.as_ref().unwrap().node_name);

    let scale = |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        let (world, name) = (&world, &name);
        async move {
            world.brokers().patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
            eventually(ROLLOUT, &format!("{replicas} ready pods"), || async {
                let pods = world.pods(name).await;
                let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                if pods.len() == ready && i32::try_from(ready) == Ok(replicas) {
                    Ok(())
                } else {
                    Err((pods.len(), ready))
                }
            })
            .await;
        }
    };
    scale(9).await;
    assert_eq!(by_zone(&world.pods(&name).await), two_each(3));
    scale(6).await;
    assert_eq!(by_zone(&world.pods(&name).await), two_each(2));

    let victim = world.pod_in_zone(&name, ZONES[1]).await.name_any();
    world.api::<Pod>().delete(&victim, &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually(ROLLOUT, "the zone to have two ready pods again", || async {
        let pods = world.pods(&name).await;
        let ready: Vec<_> = pods.iter().filter(|pod| is_ready(pod) && pod.name_any() != victim).cloned().collect();
        if by_zone(&ready) == two_each(2) { Ok(()) } else { Err(by_zone(&ready)) }
    })
    .await;
    world.ready(&name).await;
    assert!(!uids(&world.pods(&name).await).is_empty());
    world.remove().await;
}

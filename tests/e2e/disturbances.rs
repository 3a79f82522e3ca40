//! Things that go wrong: the operator dies half-way, the upstream goes away, a node stops.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams},
};
use serde_json::json;

use crate::{
    relay::{ZONES, three_zones},
    stomp::Client,
    world::{ROLLOUT, SOON, World, address, eventually, example, hack, is_ready},
};

/// What a condition may take to tell of a lost upstream, plus the time that a loaded machine needs to ask.
const WITHIN: Duration = Duration::from_secs(20);

/// A node that is stopped, and started again whatever becomes of the test: the tests that follow need it.
struct StoppedNode(String);

impl StoppedNode {
    fn new(node: String) -> Self {
        hack("cluster/cluster", &["node-stop", &node]);
        Self(node)
    }
}

impl Drop for StoppedNode {
    fn drop(&mut self) {
        hack("cluster/cluster", &["node-start", &self.0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_killed_half_way_finishes_after_its_return() {
    let world = World::new("e2e-operator").await;
    world.copy_upstream_credentials().await;
    let manifest = example("relay-rabbitmq-three-zones.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    world.apply(&manifest).await.unwrap();
    eventually(SOON, "the first child", || async {
        let first = world.deployment(&format!("{name}-{}", ZONES[0])).await;
        first.ok_or("no Deployment yet")
    })
    .await;
    let operators = world.operator::<Pod>();
    let selector = ListParams::default().labels("app.kubernetes.io/name=stompbroker-operator");
    let killed: Vec<_> = operators.list(&selector).await.unwrap().items.iter().map(ResourceExt::name_any).collect();
    assert!(!killed.is_empty(), "the operator must run as a pod");
    for pod in &killed {
        operators.delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    world.ready(&name).await;
    assert_eq!(world.pods(&name).await.len(), 6);
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_upstream_is_told_to_clients_and_in_the_condition_until_it_is_back() {
    let world = World::new("e2e-upstream").await;
    let name = three_zones(&world).await;
    let login = world.login(&format!("{name}-client")).await;
    let pod = world.pod_in_zone(&name, ZONES[1]).await;
    let mut client = Client::tcp(address(&pod, 61613), &login).await.unwrap();
    client.subscribe("0", "/topic/news").await.unwrap();

    hack("upstreams/rabbitmq", &["kill"]);
    let lost = Instant::now();
    let (reason, message) = world.condition(&name, "RelayConnected", "False", WITHIN).await;
    println!("RelayConnected=False {reason} after {:?}: {message}", lost.elapsed());
    assert_eq!(reason, "Unreachable");
    let error = client.receive().await.unwrap();
    assert_eq!((error.command.as_str(), error.header("message")), ("ERROR", "Broker not available."));
    assert!(client.receive().await.is_err(), "the session must be closed after its ERROR");

    hack("upstreams/rabbitmq", &["up"]);
    world.condition(&name, "RelayConnected", "True", SOON).await;
    let pod = world.pod_in_zone(&name, ZONES[1]).await;
    let mut client = Client::tcp(address(&pod, 61613), &login).await.unwrap();
    client.subscribe("0", "/topic/news").await.unwrap();
    client.publish("/topic/news", "back").await.unwrap();
    assert_eq!(client.receive().await.unwrap().body, "back");
    world.remove().await;
}

/// Nodes without room for new pods, which get it back whatever becomes of the test.
struct Cordoned(Vec<String>);

impl Cordoned {
    fn new(nodes: Vec<String>) -> Self {
        for node in &nodes {
            hack("cluster/cluster", &["kubectl", "cordon", node]);
        }
        Self(nodes)
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        for node in &self.0 {
            hack("cluster/cluster", &["kubectl", "uncordon", node]);
        }
    }
}

/// Asks for an eviction; gives the answer's code.
async fn evict(world: &World, pod: &Pod) -> u16 {
    let pods: Api<Pod> = Api::namespaced(world.once.clone(), &world.namespace);
    match pods.evict(&pod.name_any(), &EvictParams::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_can_be_drained_and_the_next_one_only_when_it_is_back() {
    let world = World::new("e2e-drain").await;
    let name = three_zones(&world).await;
    let of_zone = |pods: Vec<Pod>, zone: &str| -> Vec<Pod> {
        pods.into_iter().filter(|pod| pod.labels()["stompbroker.dev/zone"] == zone).collect()
    };
    let drained = of_zone(world.pods(&name).await, ZONES[0]);
    let other = of_zone(world.pods(&name).await, ZONES[1]).remove(0);
    assert_eq!(drained.len(), 2);
    let granted = async |pod: &Pod| {
        eventually(SOON, "an eviction to be granted", || async {
            match evict(&world, pod).await {
                200 => Ok(()),
                code => Err(code),
            }
        })
        .await;
    };

    let cordoned = Cordoned::new(drained.iter().map(|pod| pod.spec.clone().unwrap().node_name.unwrap()).collect());
    granted(&drained[0]).await;
    assert_eq!(evict(&world, &other).await, 429, "a pod of a second zone");
    granted(&drained[1]).await;
    assert_eq!(evict(&world, &other).await, 429, "while the first zone is empty");
    assert_eq!(world.status(&name).await.1.drained_zone.as_deref(), Some(ZONES[0]));

    drop(cordoned);
    world.ready(&name).await;
    granted(&other).await;
    world.ready(&name).await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_costs_its_zone_and_nothing_else_and_others_stand_in_for_it_until_it_is_back() {
    let world = World::new("e2e-node").await;
    let name = three_zones(&world).await;
    world.change(&name, json!({"zoneOutagePolicy": "Respread", "zoneOutageWait": "10s"})).await.unwrap();
    world.ready(&name).await;
    let lost_zone = ZONES[2];
    let node = world.pod_in_zone(&name, lost_zone).await.spec.unwrap().node_name.unwrap();

    let stopped = StoppedNode::new(node);
    let told = world.condition(&name, "ZonesSatisfied", "False", SOON).await;
    let login = world.login(&format!("{name}-client")).await;
    let from = world.pod_in_zone(&name, ZONES[0]).await;
    let to = world.pod_in_zone(&name, ZONES[1]).await;
    let crossing = async {
        let mut receiver = Client::tcp(address(&to, 61613), &login).await?;
        receiver.subscribe("0", "/topic/alive").await?;
        let mut sender = Client::tcp(address(&from, 61613), &login).await?;
        sender.publish("/topic/alive", "still here").await?;
        receiver.receive().await
    }
    .await;
    running(&world, &name, [3, 3, 0]).await;
    drop(stopped);
    assert!(told.1.contains(lost_zone), "the zone must be named: {told:?}");
    assert_eq!(crossing.unwrap().body, "still here");

    world.condition(&name, "ZonesSatisfied", "True", ROLLOUT).await;
    running(&world, &name, [2, 2, 2]).await;
    world.ready(&name).await;
    assert!(world.pods(&name).await.iter().all(is_ready));
    world.remove().await;
}

/// Waits until so many pods of each zone are ready and there to stay.
async fn running(world: &World, name: &str, wanted: [usize; 3]) {
    eventually(ROLLOUT, &format!("{wanted:?} ready pods in the zones"), || async {
        let pods = world.pods(name).await;
        let ready = ZONES.map(|zone| {
            pods.iter().filter(|pod| is_ready(pod) && pod.labels()["stompbroker.dev/zone"] == zone).count()
        });
        if ready == wanted { Ok(()) } else { Err(ready) }
    })
    .await;
}

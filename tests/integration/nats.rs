//! NATS servers that the operator runs: made once, replaced one after the other, their volumes kept.

use std::{collections::BTreeMap, net::Ipv4Addr};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Secret, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use stompbroker_operator::api::StompBroker;

use crate::support::{Kubelet, NatsMonitor, Operator, World, check, eventually};

const SETS: [&str; 3] = ["trading-nats-eu-1a", "trading-nats-eu-1b", "trading-nats-eu-1c"];

fn spec() -> Value {
    json!({"zones": [{"name": "eu-1a"}, {"name": "eu-1b"}, {"name": "eu-1c"}], "engine": {"jetStream": {"managed": {}}}})
}

fn server(set: &str) -> String {
    format!("{set}-0")
}

/// The test as controller of StatefulSets and of disruption budgets.
struct Controllers<'a>(&'a World);

impl Controllers<'_> {
    /// Says that the StatefulSets were seen as they are, with this revision.
    async fn see(&self, revision: &str) {
        for set in SETS {
            let live: StatefulSet = self.0.exists(set).await;
            let status = json!({"status": {"observedGeneration": live.metadata.generation, "replicas": 1, "updateRevision": revision}});
            let api = self.0.api::<StatefulSet>();
            api.patch_status(set, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        }
    }

    /// Starts the server of `set` of this revision; it has no node, so that it goes as soon as it is evicted.
    async fn start(&self, set: &str, revision: &str, address: Ipv4Addr) {
        let owner: StatefulSet = self.0.exists(set).await;
        let template = owner.spec.as_ref().unwrap().template.clone();
        let mut labels = template.metadata.unwrap().labels.unwrap();
        labels.insert("controller-revision-hash".to_owned(), revision.to_owned());
        let metadata =
            json!({"name": server(set), "labels": labels, "ownerReferences": [owner.controller_owner_ref(&())]});
        let mut spec = serde_json::to_value(template.spec.unwrap()).unwrap();
        let claim = format!("data-{}", server(set));
        let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}});
        spec["volumes"].as_array_mut().unwrap().push(volume);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        let api = self.0.api::<Pod>();
        api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        Kubelet(self.0).pod_status(&server(set), address, true).await;
    }

    /// Says that one server may be evicted.
    async fn allow(&self) {
        let budget: PodDisruptionBudget = self.0.exists("trading-nats").await;
        let status = json!({"status": {"observedGeneration": budget.metadata.generation, "disruptionsAllowed": 1,
            "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptedPods": null}});
        let api = self.0.api::<PodDisruptionBudget>();
        api.patch_status("trading-nats", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// The servers that there are, with their revisions.
    async fn servers(&self) -> BTreeMap<String, String> {
        let pods = self.0.api::<Pod>().list(&kube::api::ListParams::default()).await.unwrap();
        let revision = |pod: &Pod| pod.labels()["controller-revision-hash"].clone();
        pods.items.iter().map(|pod| (pod.name_any(), revision(pod))).collect()
    }
}

#[tokio::test]
async fn what_servers_need_is_made_once_and_their_volumes_outlive_the_stompbroker() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.broker("trading", spec()).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    for set in SETS {
        world.exists::<StatefulSet>(set).await;
    }
    let secret: Secret = world.exists("trading-nats").await;
    let values = secret.data.unwrap();
    let text = |key: &str| String::from_utf8(values[key].0.clone()).unwrap();
    assert!(text("nkey").starts_with("SU"), "a seed of a user");
    assert!(text("accounts.conf").contains("nkey: U") && !text("accounts.conf").contains(&text("nkey")));
    assert!(text("tls.crt").contains("BEGIN CERTIFICATE") && text("ca.key").contains("PRIVATE KEY"));
    world.condition("trading", "NatsReady", "False", "PodsNotReady").await;
    operator.passes(3).await;
    let (children, writes) = (world.children().await, operator.wire.writes());
    operator.passes(5).await;
    assert_eq!((world.children().await, operator.wire.writes()), (children, writes), "nothing is written twice");

    let claims = async || world.names().await.into_iter().filter(|name| name.contains("/data-")).collect::<Vec<_>>();
    assert_eq!(claims().await.len(), 3);
    let external = json!({"managed": null, "external": {"servers": ["nats://nats:4222"]}});
    world.change("trading", json!({"engine": {"jetStream": external}})).await;
    // The last that is pruned; a StompBroker that goes before leaves it to the garbage collector, and the right to it unused.
    world.gone::<ServiceAccount>("trading-nats").await;
    for set in SETS {
        world.gone::<StatefulSet>(set).await;
    }
    world.delete::<StompBroker>("trading").await;
    world.gone::<StompBroker>("trading").await;
    assert_eq!(claims().await.len(), 3);
    operator.stop().await;
}

#[tokio::test]
async fn a_new_image_comes_to_one_server_after_the_other() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    let controllers = Controllers(&world);
    world.broker("trading", spec()).await;
    let monitors = [NatsMonitor::start().await, NatsMonitor::start().await, NatsMonitor::start().await];
    controllers.see("old").await;
    for (set, monitor) in SETS.into_iter().zip(&monitors) {
        controllers.start(set, "old", monitor.address).await;
    }
    let ready = world.condition("trading", "NatsReady", "True", "AsExpected").await;
    assert_eq!(ready.message, "all 3 NATS servers are ready");
    let status = world.api::<StompBroker>().get_status("trading").await.unwrap().status.unwrap().nats.unwrap();
    assert_eq!((status.ready.as_str(), status.servers[1].zone.as_deref()), ("3/3", Some("eu-1b")));
    assert_eq!(status.servers[1].version.as_deref(), Some("2.15.2"));

    monitors[2].say("unavailable", "a stream is behind");
    world.condition("trading", "NatsReady", "False", "CatchingUp").await;
    world.change("trading", json!({"engine": {"jetStream": {"managed": {"image": "nats:new"}}}})).await;
    eventually("the new image", async || {
        let set: StatefulSet = world.exists(SETS[2]).await;
        let image = set.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
        check(image.as_deref() == Some("nats:new"), image)
    })
    .await;
    controllers.see("new").await;
    // One that is behind may be replaced; the others wait for it.
    let mut left = vec![SETS[2], SETS[0], SETS[1]];
    while let Some(first) = left.first().copied() {
        controllers.allow().await;
        let gone = eventually("the eviction of one server", async || {
            let servers = controllers.servers().await;
            let gone = left.iter().find(|set| !servers.contains_key(&server(set))).copied();
            gone.ok_or_else(|| format!("{servers:?}"))
        })
        .await;
        assert!(left.len() < 3 || gone == first, "{gone} before {first}");
        controllers.allow().await;
        operator.passes(3).await;
        assert_eq!(controllers.servers().await.len(), 2, "the others wait");
        let index = SETS.iter().position(|set| *set == gone).unwrap();
        controllers.start(gone, "new", monitors[index].address).await;
        monitors[2].say("ok", "");
        left.retain(|set| *set != gone);
    }
    world.condition("trading", "NatsReady", "True", "AsExpected").await;
    operator.stop().await;
}

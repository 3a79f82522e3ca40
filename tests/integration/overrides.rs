//! `spec.overrides` on objects that the API server keeps.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use stompbroker_operator::api::StompBroker;

use crate::support::{Operator, World, check, eventually};

async fn overrides(world: &World, overrides: Value) {
    world.change("chat", json!({"overrides": overrides})).await;
}

async fn deployment(world: &World, wanted: impl Fn(&Deployment) -> bool) -> Deployment {
    let api = world.api::<Deployment>();
    eventually("the Deployment as it is to be", async || {
        let found = api.get("chat").await.map_err(|error| error.to_string())?;
        check(wanted(&found), &found.spec).map(|()| found.clone())
    })
    .await
}

fn containers(deployment: &Deployment) -> Vec<String> {
    let pod = deployment.spec.clone().unwrap().template.spec.unwrap();
    pod.containers.into_iter().map(|container| container.name).collect()
}

#[tokio::test]
async fn what_an_override_adds_is_there_and_goes_with_it() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let bare = deployment(&world, |_| true).await.spec.unwrap().template;
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    overrides(
        &world,
        json!([
            {"target": {"kind": "Deployment"}, "patch": [
                add("/spec/template/spec/containers/-", json!({"name": "agent", "image": "registry.test/agent:1"})),
                add("/spec/template/metadata/annotations/example.com~1team", json!("chat")),
                add("/spec/template/spec/nodeSelector", json!({"pool": "messaging"})),
                add("/spec/template/spec/tolerations", json!([{"key": "dedicated", "operator": "Exists"}])),
            ]},
            {"target": {"kind": "Service", "name": "chat"}, "patch": [
                add("/metadata/annotations/example.com~1balancer", json!("internal")),
                {"op": "replace", "path": "/spec/type", "value": "LoadBalancer"},
            ]},
        ]),
    )
    .await;
    let patched = deployment(&world, |found| containers(found) == ["broker", "agent"]).await;
    let template = patched.spec.unwrap().template;
    assert_eq!(template.metadata.unwrap().annotations.unwrap()["example.com/team"], "chat");
    let pod = template.spec.unwrap();
    assert_eq!(pod.node_selector.unwrap()["pool"], "messaging");
    assert_eq!(pod.tolerations.unwrap().len(), 1);
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let service: Service = world.exists("chat").await;
    assert_eq!(service.annotations()["example.com/balancer"], "internal");
    assert_eq!(service.spec.unwrap().type_.as_deref(), Some("LoadBalancer"));
    let status = world.api::<StompBroker>().get_status("chat").await.unwrap().status.unwrap();
    let listed: Vec<_> = status.overrides.iter().map(ToString::to_string).collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0], "Service chat  /metadata/annotations/example.com~1balancer, /spec/type");
    let (children, writes) = (world.children().await, operator.wire.writes());
    operator.passes(3).await;
    assert_eq!(operator.wire.writes(), writes, "nothing is written again and again");
    assert_eq!(world.children().await, children);

    overrides(&world, json!([])).await;
    let plain = deployment(&world, |found| containers(found) == ["broker"]).await;
    assert_eq!(plain.spec.unwrap().template, bare);
    eventually("the Service as it was", async || {
        let service = world.api::<Service>().get("chat").await.map_err(|error| error.to_string())?;
        let type_ = service.spec.clone().unwrap().type_;
        check(service.annotations().is_empty() && type_.as_deref() == Some("ClusterIP"), &service)
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_refused_override_leaves_everything_as_it_is_and_says_what_to_correct() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let children = world.children().await;
    let patch = json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]);
    let change = json!({"heartbeat": "7s", "overrides": [{"target": {"kind": "Deployment"}, "patch": patch}]});
    world.change("chat", change).await;
    let refused = world.condition("chat", "Accepted", "False", "OverrideRefused").await;
    for part in ["spec.overrides[0]", "Deployment chat", "/spec/replicas", "spec.autoscaling"] {
        assert!(refused.message.contains(part), "{} does not say {part}", refused.message);
    }
    world.condition("chat", "Stalled", "True", "OverrideRefused").await;
    assert_eq!(world.children().await, children);
    overrides(&world, json!([])).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    operator.stop().await;
}

//! Numbers of pods that follow the load: `examples/autoscaling.yaml`, made small.

use http::Request;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};

use crate::{
    relay::ZONES,
    stomp::Client,
    world::{ROLLOUT, SOON, World, address, eventually, example},
};

/// Sessions that one pod may have; 70 % of them are the target.
const SESSIONS: usize = 20;

async fn autoscaled(world: &World) -> String {
    world.copy_upstream_credentials().await;
    let mut manifest = example("autoscaling.yaml");
    let spec = &mut manifest["spec"];
    spec["engine"]["relay"]["upstreams"] = json!([{"host": "rabbitmq.upstreams"}]);
    spec["limits"]["connectionsPerPod"] = json!(SESSIONS);
    spec["resources"] = json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}});
    spec["autoscaling"]["minReplicasPerZone"] = json!(1);
    spec["autoscaling"]["maxReplicasPerZone"] = json!(2);
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    world.apply(&manifest).await.unwrap();
    world.ready(&name).await;
    name
}

/// What the API for custom metrics says of the sessions of a zone's pods.
async fn sessions(world: &World, name: &str, zone: &str) -> Result<Vec<i64>, String> {
    let selector = format!("app.kubernetes.io%2Finstance%3D{name}%2Cstompbroker.dev%2Fzone%3D{zone}");
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/*/stompbroker_sessions?labelSelector={selector}",
        world.namespace
    );
    let request = Request::get(path).body(Vec::new()).unwrap();
    let answer: Value = world.client.request(request).await.map_err(|error| error.to_string())?;
    let items = answer["items"].as_array().ok_or_else(|| answer.to_string())?;
    items
        .iter()
        .map(|item| item["value"].as_str().and_then(|value| value.parse().ok()).ok_or_else(|| item.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_grows_by_its_sessions_and_the_status_says_why() {
    let world = World::new("e2e-autoscaling").await;
    let name = autoscaled(&world).await;
    let (busy, idle) = (ZONES[0], ZONES[1]);
    for zone in [busy, idle] {
        let child = format!("{name}-{zone}");
        eventually(SOON, &format!("HPA {child} to read sessions and CPU"), || async {
            let hpa = world.api::<HorizontalPodAutoscaler>().get(&child).await.map_err(|error| error.to_string())?;
            let status = hpa.status.unwrap_or_default();
            let read = status.current_metrics.unwrap_or_default();
            let cpu = read
                .iter()
                .any(|metric| metric.resource.as_ref().is_some_and(|cpu| cpu.current.average_utilization.is_some()));
            let sessions = read
                .iter()
                .any(|metric| metric.pods.as_ref().is_some_and(|pods| pods.metric.name == "stompbroker_sessions"));
            if cpu && sessions { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
        })
        .await;
    }
    world.condition(&name, "Autoscaled", "True", SOON).await;

    let login = world.login(&format!("{name}-client")).await;
    let pod = world.pod_in_zone(&name, busy).await;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS - 2 {
        clients.push(Client::tcp(address(&pod, 61613), &login).await.unwrap());
    }
    eventually(SOON, "the API to tell the sessions of each zone", || async {
        let (busy, idle) = (sessions(&world, &name, busy).await?, sessions(&world, &name, idle).await?);
        if busy.first() == Some(&18) && idle == [0] { Ok(()) } else { Err(format!("{busy:?} {idle:?}")) }
    })
    .await;
    let replicas = async |zone: &str| {
        let deployment = world.api::<Deployment>().get(&format!("{name}-{zone}")).await.unwrap();
        deployment.spec.and_then(|spec| spec.replicas)
    };
    eventually(ROLLOUT, "a second pod in the busy zone", || async {
        let now = replicas(busy).await;
        if now == Some(2) { Ok(()) } else { Err(now) }
    })
    .await;
    eventually(SOON, "the decision in the status", || async {
        let (_, status) = world.status(&name).await;
        let pools = status.autoscaling.clone().unwrap_or_default().pools;
        match pools.first().and_then(|pool| pool.last_decision.clone()) {
            Some(decision) if decision.to == 2 && decision.why.contains("18 sessions a pod (target 14)") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.ready(&name).await;
    assert_eq!(replicas(idle).await, Some(1), "a zone scales by itself");
    drop(clients);
    world.remove().await;
}

//! The operator uninstalled: brokers go on, nothing of the chart stays but the CRD.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, Service, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Resource, ResourceExt, api::ListParams};

use crate::{
    stomp::Client,
    world::{SOON, World, address, eventually, example, hack, helm},
};

/// What the chart labels all of its objects with, and no child of a broker has.
const CHART: &str = "app.kubernetes.io/name=stompbroker-operator";

async fn left<K>(api: Api<K>) -> Vec<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Resource<DynamicType = ()>,
{
    let found = api.list(&ListParams::default().labels(CHART)).await.unwrap();
    found.items.iter().map(|object| format!("{}/{}", K::kind(&()), object.name_any())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstalled_operator_leaves_the_crd_and_brokers_that_serve() {
    let world = World::new("e2e-uninstall").await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;

    helm(&["uninstall", "stompbroker", "--wait"]);

    let client = &world.client;
    eventually(SOON, "the chart's objects to go", || async {
        let mut objects = Vec::new();
        objects.extend(left(world.operator::<Deployment>()).await);
        objects.extend(left(world.operator::<Pod>()).await);
        objects.extend(left(world.operator::<Service>()).await);
        objects.extend(left(world.operator::<ServiceAccount>()).await);
        objects.extend(left(world.operator::<Role>()).await);
        objects.extend(left(world.operator::<RoleBinding>()).await);
        objects.extend(left(Api::<ClusterRole>::all(client.clone())).await);
        objects.extend(left(Api::<ClusterRoleBinding>::all(client.clone())).await);
        if objects.is_empty() { Ok(()) } else { Err(objects) }
    })
    .await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    assert!(crds.get_opt("stompbrokers.stompbroker.dev").await.unwrap().is_some(), "the CRD must stay");

    let login = world.login(&format!("{name}-client")).await;
    let pod = world.pods(name).await.remove(0);
    let mut session = Client::tcp(address(&pod, 61613), &login).await.unwrap();
    session.subscribe("0", "/queue/orders").await.unwrap();
    session.publish("/queue/orders", "without an operator").await.unwrap();
    assert_eq!(session.receive().await.unwrap().body, "without an operator");

    hack("demo/install", &[]);
    world.ready(name).await;
    world.remove().await;
}

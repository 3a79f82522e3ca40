//! One pod with the embedded engine: `examples/minimal.yaml`.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::{
    stomp::{Client, Login},
    world::{ROLLOUT, SOON, World, address, eventually, example, uids},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimal_manifest_serves_services_and_browsers() {
    let world = World::new("e2e-embedded").await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;

    let pods = world.pods(name).await;
    assert_eq!(pods.len(), 1, "the embedded engine is one pod");
    let login = world.login(&format!("{name}-client")).await;
    let mut service = Client::tcp(address(&pods[0], 61613), &login).await.unwrap();
    // Same origin: the page comes from where it connects to.
    let web = address(&pods[0], 8080);
    let mut browser = Client::websocket(web, "/ws", &format!("http://{web}"), &login).await.unwrap();

    browser.subscribe("prices", "/topic/prices").await.unwrap();
    service.publish("/topic/prices", "42").await.unwrap();
    let message = browser.receive().await.unwrap();
    assert_eq!((message.command.as_str(), message.body.as_str()), ("MESSAGE", "42"));
    assert_eq!((message.header("subscription"), message.header("destination")), ("prices", "/topic/prices"));

    browser.publish("/queue/orders", "buy").await.unwrap();
    service.subscribe("orders", "/queue/orders").await.unwrap();
    assert_eq!(service.receive().await.unwrap().body, "buy", "a queue keeps what nobody has taken yet");

    eventually(SOON, "status.sessions to count both", || async {
        let (_, status) = world.status(name).await;
        if status.sessions == 2 { Ok(()) } else { Err(status.sessions) }
    })
    .await;

    let stranger = Login { username: login.username.clone(), password: "wrong".to_owned() };
    assert!(Client::tcp(address(&pods[0], 61613), &stranger).await.is_err(), "a wrong password must not get in");
    let foreign_page = Client::websocket(web, "/ws", "https://elsewhere.example", &login).await;
    assert!(foreign_page.is_err(), "a page of another origin must not get in");
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_takes_effect_without_a_restart() {
    let world = World::new("e2e-hot").await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;
    let before = uids(&world.pods(name).await);

    world.change(name, json!({"limits": {"subscriptionsPerSession": 2}})).await.unwrap();
    world.condition(name, "ConfigApplied", "True", ROLLOUT).await;
    let pods = world.pods(name).await;
    assert_eq!(uids(&pods), before, "a limit is no reason to restart");

    let login = world.login(&format!("{name}-client")).await;
    let mut client = Client::tcp(address(&pods[0], 61613), &login).await.unwrap();
    client.subscribe("1", "/topic/a").await.unwrap();
    client.subscribe("2", "/topic/b").await.unwrap();
    client.send("SUBSCRIBE", &[("id", "3"), ("destination", "/topic/c")], "").await.unwrap();
    let error = client.receive().await.unwrap();
    let text = format!("{} {}", error.header("message"), error.body);
    assert_eq!(error.command, "ERROR");
    assert!(text.contains("subscriptionsPerSession") && text.contains('2'), "the limit must be named: {text}");
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_broker_leaves_nothing_behind() {
    let world = World::new("e2e-delete").await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;

    world.brokers().delete(name, &DeleteParams::background()).await.unwrap();
    eventually(SOON, "all children to go", || async {
        let mut left = Vec::new();
        left.extend(names(&world.api::<Pod>()).await);
        left.extend(names(&world.api::<Deployment>()).await);
        left.extend(names(&world.api::<Service>()).await);
        left.extend(names(&world.api::<Secret>()).await);
        left.extend(names(&world.api::<ConfigMap>()).await);
        left.extend(names(&world.api::<ServiceAccount>()).await);
        left.extend(names(&world.api::<NetworkPolicy>()).await);
        left.extend(names(&world.api::<PodDisruptionBudget>()).await);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    world.remove().await;
}

async fn names<K>(api: &Api<K>) -> Vec<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource<DynamicType = ()>,
{
    let selector = "app.kubernetes.io/managed-by=stompbroker-operator";
    let found = api.list(&ListParams::default().labels(selector)).await.unwrap();
    found.items.iter().map(|object| format!("{}/{}", K::kind(&()), object.name_any())).collect()
}

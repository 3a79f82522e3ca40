//! A Spring application that handles what browsers send, and knows who sends it: `examples/spring-app.yaml` with the
//! application of `examples/applications/spring`.

use std::{path::Path, process::Stdio, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret, Service},
};
use kube::api::{ListParams, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{
    stomp::{Client, Login},
    world::{ROLLOUT, World, address, eventually, examples, hack, hack_output, is_ready},
};

/// Longest that a client may take; its own deadlines are shorter.
const PATIENCE: Duration = Duration::from_mins(1);
/// A page that the example lets in.
const ORIGIN: &str = "https://shop.example.com";

async fn apply<K>(world: &World, manifest: &Value)
where
    K: Clone
        + std::fmt::Debug
        + DeserializeOwned
        + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.api::<K>().patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(manifest)).await.unwrap();
}

/// Puts the image of the application onto the nodes; returns its name.
fn load_application() -> String {
    let printed = hack_output("images/application", &[]);
    let (image, archive) = printed.trim().split_once(' ').unwrap();
    hack("cluster/cluster", &["load", archive]);
    image.to_owned()
}

/// All of the example but its issuer of tokens, which does not exist; returns the name of its broker.
async fn shop(world: &World) -> String {
    let image = load_application();
    let mut broker = None;
    for mut manifest in examples("spring-app.yaml") {
        match manifest["kind"].as_str().unwrap() {
            "StompBroker" => {
                manifest["spec"].as_object_mut().unwrap().remove("authentication").unwrap();
                broker = Some(manifest);
            }
            "Secret" => apply::<Secret>(world, &manifest).await,
            "Service" => apply::<Service>(world, &manifest).await,
            "Deployment" => {
                manifest["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
                apply::<Deployment>(world, &manifest).await;
            }
            other => panic!("what is a {other}?"),
        }
    }
    let broker = broker.unwrap();
    world.apply(&broker).await.unwrap();
    let name = broker["metadata"]["name"].as_str().unwrap();
    world.ready(name).await;
    name.to_owned()
}

/// A pod of the application that is ready.
async fn application(world: &World) -> Pod {
    eventually(ROLLOUT, "a ready pod of the application", || async {
        let pods = world.api::<Pod>().list(&ListParams::default().labels("app=orders")).await.unwrap().items;
        pods.iter().find(|pod| is_ready(pod)).cloned().ok_or(pods)
    })
    .await
}

/// What a page asks the application by `@stomp/stompjs`: where the answer comes, and what it is.
async fn ask(packages: &Path, broker: &Pod, login: &Login, destination: &str, body: &Value) -> (String, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/demo/clients/browser.mjs");
    let mut command = Command::new("node");
    command.arg(program).arg("ask").arg(format!("ws://{}/ws", address(broker, 8080)));
    command.arg(destination).arg(body.to_string());
    command.env("NODE_PACKAGES", packages.join("node")).env("ORIGIN", ORIGIN);
    command.env("STOMP_LOGIN", &login.username).env("STOMP_PASSCODE", &login.password);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.expect("the page must not hang").unwrap();
    let (printed, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{complaints}");
    let (place, answer) = printed.trim().split_once(' ').unwrap_or_else(|| panic!("no answer: {printed}"));
    (place.to_owned(), answer.to_owned())
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The status line of the answer to a request that nobody has signed.
async fn unsigned(pod: &Pod) -> String {
    let mut stream = TcpStream::connect(address(pod, 8080)).await.unwrap();
    let head = "GET /stomp/orders/mine HTTP/1.1\r\nHost: orders\r\nce-authid: mallory\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer.lines().next().unwrap_or_default().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spring_application_knows_who_sends_and_its_reply_comes_back_to_the_user() {
    let world = World::new("e2e-applications").await;
    let name = shop(&world).await;
    let backend = application(&world).await;
    let packages = hack_output("demo/clients/setup", &[]);
    let packages = Path::new(packages.trim());
    let broker = world.pods(&name).await.remove(0);
    let (client, system) = (world.login(&format!("{name}-client")).await, world.login(&format!("{name}-system")).await);

    let order = json!({"item": "tea", "count": 2});
    let (place, placed) = ask(packages, &broker, &client, "/app/orders/place", &order).await;
    assert_eq!(place, "/user/queue/replies");
    let expected = json!({"item": "tea", "count": 2, "by": client.username});
    assert_eq!(json_of(&placed), expected, "the principal is who logged in");
    let (_, placed) = ask(packages, &broker, &system, "/app/orders/place", &order).await;
    assert_eq!(json_of(&placed)["by"], system.username);

    let order = json!({"item": "coffee", "count": 1000});
    let (place, problem) = ask(packages, &broker, &client, "/app/orders/place", &order).await;
    assert_eq!(place, "/user/queue/errors");
    let problem = json_of(&problem);
    assert_eq!((&problem["status"], &problem["detail"]), (&json!(409), &json!("coffee is sold out")));
    let (place, refusal) = ask(packages, &broker, &client, "/app/orders/forget", &json!({})).await;
    assert_eq!(place, "/user/queue/errors", "only for administrators");
    assert!(refusal.contains("403"), "{refusal}");

    let web = address(&broker, 8080);
    let mut watcher = Client::websocket(web, "/ws", ORIGIN, &system).await.unwrap();
    watcher.subscribe("room", "/topic/orders/7").await.unwrap();
    let mut talker = Client::websocket(web, "/ws", ORIGIN, &client).await.unwrap();
    let headers = [("destination", "/app/rooms/7/say"), ("content-type", "text/plain")];
    talker.send("SEND", &headers, "hello").await.unwrap();
    let said = watcher.receive().await.unwrap();
    assert_eq!(json_of(&said.body), json!({"text": "hello", "by": format!("{}@7", client.username)}));

    assert!(unsigned(&backend).await.contains("401"), "who is not the broker is nobody");
    world.remove().await;
}

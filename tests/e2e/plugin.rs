//! `kubectl stompbroker` as people use it, on one broker with one session.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    stomp::Client,
    world::{ROLLOUT, World, address, eventually, example, is_ready},
};

const NAMESPACE: &str = "e2e-plugin";
/// How often a message is sent again.
const AGAIN: Duration = Duration::from_millis(300);

/// The program, which `hack/test/e2e` builds beside this test.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_stompbroker-operator")).with_file_name("kubectl-stompbroker");
    assert!(program.is_file(), "{} is missing; run: cargo build -p kubectl-stompbroker", program.display());
    program
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["--namespace", NAMESPACE, "--kubeconfig"]);
    command.arg(std::env::var_os("STOMPBROKER_E2E_KUBECONFIG").unwrap()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the program; returns its exit code and what it printed.
async fn run(arguments: &[&str]) -> (i32, String) {
    let output = tokio::time::timeout(ROLLOUT, command(arguments).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

async fn succeed(arguments: &[&str]) -> String {
    let (code, text) = run(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {text}");
    assert!(!text.contains('\u{1b}'), "colours are for terminals only: {text}");
    text
}

/// The example with another spec, in a file.
fn write(file: &str, manifest: &Value, spec: &Value) -> String {
    let mut manifest = manifest.clone();
    let fields = spec.as_object().unwrap().clone();
    manifest
        .as_object_mut()
        .unwrap()
        .entry("spec")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .unwrap()
        .extend(fields);
    let path = std::env::temp_dir().join(format!("stompbroker-plugin-{}-{file}", std::process::id()));
    fs::write(&path, manifest.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_shows_a_broker_foresees_changes_and_has_the_handles_of_day_two() {
    let world = World::new(NAMESPACE).await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;
    let pod = world.pods(name).await.remove(0);
    let (pod_name, stomp) = (pod.name_any(), address(&pod, 61613));
    let login = world.login(&format!("{name}-client")).await;
    let mut client = Client::tcp(stomp, &login).await.unwrap();

    // The only broker of the namespace need not be named.
    let tree = succeed(&["status"]).await;
    assert!(tree.starts_with(&format!("{name}  Ready  embedded  1/1 pods")), "{tree}");
    assert!(tree.contains(&format!("{pod_name}  Ready")), "{tree}");
    let answer = eventually(ROLLOUT, "nothing to be in the way", || async {
        let answer = succeed(&["why", name, "--about", "ready"]).await;
        if answer.contains("nothing is in the way") { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert!(answer.starts_with(name), "{answer}");

    let listed: Value = serde_json::from_str(&succeed(&["sessions", "-o", "json"]).await).unwrap();
    assert_eq!((&listed[0]["user"], &listed[0]["pod"]), (&json!(login.username), &json!(pod_name)), "{listed}");
    assert_eq!(listed.as_array().unwrap().len(), 1);
    foresee(&world, &manifest, name).await;

    // Sent again and again, since nobody tells when the other side has subscribed.
    let mut tail = command(&["tail", "/topic/prices", "--count", "1"]);
    let mut tail = std::pin::pin!(tokio::time::timeout(ROLLOUT, tail.output()));
    let output = loop {
        tokio::select! {
            output = &mut tail => break output.expect("tail must end with the message").unwrap(),
            () = tokio::time::sleep(AGAIN) => client.publish("/topic/prices", "EURUSD 1.0842").await.unwrap(),
        }
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("/topic/prices") && shown.contains("\nEURUSD 1.0842\n"), "{shown}");
    let (code, refusal) = run(&["tail", "/queue/orders"]).await;
    assert!(code == 2 && refusal.contains("takes its messages away"), "{refusal}");

    let report: Value = serde_json::from_str(
        &succeed(&["bench", name, "fan-out", "--subscribers", "2", "--duration", "1s", "--json"]).await,
    )
    .unwrap();
    assert!(report["received"].as_u64().is_some_and(|received| received > 0), "{report}");

    let id = listed[0]["id"].as_str().unwrap();
    succeed(&["sessions", "--end", id]).await;
    assert_eq!(client.receive().await.unwrap().command, "ERROR");
    let (code, gone) = run(&["sessions", "--end", id]).await;
    assert!(code == 2 && gone.contains("it may have ended"), "{gone}");

    let draining = succeed(&["drain", &pod_name]).await;
    assert!(draining.contains("--cancel"), "{draining}");
    let ready = |wanted: bool| {
        let world = &world;
        eventually(ROLLOUT, "the pod's readiness to follow the drain", move || async move {
            let pods = world.pods(name).await;
            if pods.iter().all(|pod| is_ready(pod) == wanted) { Ok(()) } else { Err(wanted) }
        })
    };
    ready(false).await;
    assert!(succeed(&["drain", &pod_name, "--cancel"]).await.ends_with("serves\n"));
    ready(true).await;

    let mut session = Client::tcp(stomp, &login).await.unwrap();
    let rotated = succeed(&["rotate", name, "--wait"]).await;
    assert!(rotated.contains(&format!("client ({name}-client): Draining")), "{rotated}");
    let new = world.login(&format!("{name}-client")).await;
    assert_ne!(new.password, login.password);
    for accepted in [&login, &new] {
        Client::tcp(stomp, accepted).await.unwrap();
    }
    succeed(&["rotate", name, "--revert", "--wait"]).await;
    assert_eq!(world.login(&format!("{name}-client")).await.password, login.password);
    session.publish("/topic/prices", "as before").await.unwrap();
    world.remove().await;
}

/// `plan` and `diff` of manifests that restart, that do not, and that are refused.
async fn foresee(world: &World, manifest: &Value, name: &str) {
    eventually(ROLLOUT, "status.sessions to count the session", || async {
        let (_, status) = world.status(name).await;
        if status.sessions == 1 { Ok(()) } else { Err(status.sessions) }
    })
    .await;
    let gentle = write("gentle.yaml", manifest, &json!({"limits": {"subscriptionsPerSession": 2}}));
    let told = succeed(&["plan", "-f", &gentle]).await;
    assert!(told.contains("spec.limits.subscriptionsPerSession: 100 -> 2  hot reload"), "{told}");
    assert!(told.contains("none of 1 sessions is hit"), "{told}");
    let (code, lines) = run(&["diff", "-f", &gentle]).await;
    assert!(code == 1 && lines.contains("subscriptionsPerSession: 2"), "{lines}");

    let rough = write("rough.yaml", manifest, &json!({"image": "example.com/stompbroker:9"}));
    let told = succeed(&["plan", "-f", &rough]).await;
    assert!(told.contains("rolling restart; 1 of 1 sessions have to connect again"), "{told}");

    let wrong = write("wrong.yaml", manifest, &json!({"replicas": 2}));
    let (code, told) = run(&["plan", "-f", &wrong]).await;
    assert!(code == 64 && told.contains("refused") && told.contains("spec.engine.relay"), "{told}");
    assert_eq!(world.status(name).await.0, 1, "none of it may have changed the broker");
    for file in [gentle, rough, wrong] {
        let _ = fs::remove_file(file);
    }
}

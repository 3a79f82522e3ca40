//! Flux as platform teams run it: its own controllers sync manifests from a Git server to the cluster.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{ROLLOUT, SOON, World, client, eventually, example};

const NAMESPACE: &str = "e2e-gitops";
const SYNC: &str = "messaging";
/// Where Flux looks for the wish to be looked at now.
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

/// A process that ends with its standard input, or at the latest when it is dropped.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{command:?} said nothing");
        (Self(child), line.trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // A script needs a moment to end what it started.
        for _ in 0..50 {
            if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/gitops").join(name)
}

/// A Git server with one repository, and a clone of it that people would commit to.
struct Git {
    folder: TempDir,
    port: String,
    _server: Process,
}

impl Git {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, port) = Process::start(Command::new(script("git-server")).arg(folder.path()));
        let git = Self { folder, port, _server: server };
        git.run(&["init", "--quiet", "--bare", "--initial-branch=main", "messaging.git"], "");
        git.run(&["clone", "--quiet", "messaging.git", "clone"], "");
        git
    }

    fn run(&self, arguments: &[&str], folder: &str) {
        let output = Command::new("git")
            .args(["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"])
            .args(arguments)
            .current_dir(self.folder.path().join(folder))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/messaging.git", self.port)
    }

    /// Commits these StompBrokers as all that is to be there.
    fn publish(&self, brokers: &[&Value]) {
        let folder = self.folder.path().join("clone/brokers");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for broker in brokers {
            let name = broker["metadata"]["name"].as_str().unwrap();
            fs::write(folder.join(format!("{name}.yaml")), broker.to_string()).unwrap();
        }
        self.run(&["add", "--all"], "clone");
        self.run(&["commit", "--quiet", "--message", "another state"], "clone");
        self.run(&["push", "--quiet", "origin", "HEAD:main"], "clone");
    }
}

/// The documents of the example that users start from, for this cluster.
fn example_of_flux(url: &str) -> (Value, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops/flux/messaging.yaml");
    let text = fs::read_to_string(path).unwrap();
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    for document in &mut documents {
        document["metadata"]["namespace"] = json!(NAMESPACE);
    }
    let (mut sync, mut source) = (documents.pop().unwrap(), documents.pop().unwrap());
    source["spec"]["url"] = json!(url);
    sync["spec"]["targetNamespace"] = json!(NAMESPACE);
    (source, sync)
}

fn api(client: &Client, group: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

fn sources(client: &Client) -> Api<DynamicObject> {
    api(client, "source.toolkit.fluxcd.io", "GitRepository")
}

fn syncs(client: &Client) -> Api<DynamicObject> {
    api(client, "kustomize.toolkit.fluxcd.io", "Kustomization")
}

/// Takes the finalizers off that only running controllers would take off, also after a run that failed.
async fn let_go(client: &Client) {
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    for api in [syncs(client), sources(client)] {
        // There may be neither object nor kind.
        let _ = api.patch(SYNC, &PatchParams::default(), &free).await;
    }
}

/// Asks a controller to look now, and waits for what it says then: the status and message of `Ready`.
async fn settled(api: &Api<DynamicObject>, token: &str) -> (String, String) {
    let ask = Patch::Merge(json!({"metadata": {"annotations": {REQUESTED: token}}}));
    api.patch(SYNC, &PatchParams::default(), &ask).await.unwrap();
    eventually(ROLLOUT, &format!("an answer to {token}"), || async {
        let seen = api.get(SYNC).await.unwrap().data["status"].clone();
        let conditions = seen["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match ready {
            Some(ready) if seen["lastHandledReconcileAt"] == json!(token) && ready["status"] != "Unknown" => {
                Ok((text(&ready["status"]), text(&ready["message"])))
            }
            _ => Err(seen),
        }
    })
    .await
}

struct Flux<'a> {
    world: &'a World,
    sources: Api<DynamicObject>,
    syncs: Api<DynamicObject>,
    asked: u32,
}

impl Flux<'_> {
    /// Asks for a look at Git and a sync, and waits for their end; returns the status and message of `Ready`.
    async fn sync(&mut self) -> (String, String) {
        self.asked += 1;
        let token = format!("request-{}", self.asked);
        let (source, message) = settled(&self.sources, &token).await;
        assert_eq!(source, "True", "{message}");
        settled(&self.syncs, &token).await
    }

    async fn generation(&self, name: &str) -> i64 {
        self.world.brokers().get(name).await.unwrap().metadata.generation.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flux_syncs_heals_drift_once_fails_early_and_prunes() {
    let_go(&client().await).await;
    let world = World::new(NAMESPACE).await;
    let git = Git::new();
    let logs = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_flux, word) = Process::start(Command::new(script("flux")).arg(logs.path()).arg(port.to_string()));
    assert_eq!(word, "ready");

    let mut broker = example("minimal.yaml");
    broker["spec"] = json!({"limits": {"connectionsPerPod": 500}});
    let name = broker["metadata"]["name"].as_str().unwrap().to_owned();
    git.publish(&[&broker]);
    let (source, sync) = example_of_flux(&git.url());
    let (sources, syncs) = (sources(&world.client), syncs(&world.client));
    let parameters = PatchParams::apply("e2e");
    sources.patch(SYNC, &parameters, &Patch::Apply(&source)).await.unwrap();
    syncs.patch(SYNC, &parameters, &Patch::Apply(&sync)).await.unwrap();
    let mut flux = Flux { world: &world, sources, syncs, asked: 0 };

    let (status, message) = flux.sync().await;
    assert_eq!(status, "True", "{message}");
    world.condition(&name, "Ready", "True", SOON).await;

    // What is applied already shows no difference, and neither do the children.
    let (before, labels) = (flux.generation(&name).await, world.deployment(&name).await.unwrap().labels().clone());
    assert_eq!(flux.sync().await.0, "True");
    assert_eq!(flux.generation(&name).await, before, "the second sync has changed the spec");
    assert!(!labels.keys().any(|label| label.contains("fluxcd")), "the children carry Flux's labels: {labels:?}");

    // A drift is healed by one write, and not again.
    world.change(&name, json!({"limits": {"connectionsPerPod": 77}})).await.unwrap();
    assert_eq!(flux.sync().await.0, "True");
    let healed = world.brokers().get(&name).await.unwrap();
    assert_eq!(serde_json::to_value(&healed.spec).unwrap()["limits"]["connectionsPerPod"], 500);
    assert_eq!(healed.metadata.generation, Some(before + 2));
    for _ in 0..2 {
        assert_eq!(flux.sync().await.0, "True");
    }
    assert_eq!(flux.generation(&name).await, before + 2, "a drift was healed twice");

    // What cannot work fails the sync long before its timeout.
    let metadata = ObjectMeta { name: Some("taken".to_owned()), ..ObjectMeta::default() };
    let foreign = ConfigMap { metadata, ..ConfigMap::default() };
    world.api::<ConfigMap>().create(&PostParams::default(), &foreign).await.unwrap();
    let mut taken = broker.clone();
    taken["metadata"]["name"] = json!("taken");
    git.publish(&[&broker, &taken]);
    let (status, message) = flux.sync().await;
    assert_eq!(status, "False", "{message}");
    assert!(message.contains("StompBroker/e2e-gitops/taken"), "{message}");
    assert!(message.contains("stalled"), "{message}");

    git.publish(&[&broker]);
    assert_eq!(flux.sync().await.0, "True");
    assert!(world.brokers().get_opt("taken").await.unwrap().is_none(), "what is no longer in Git is still there");
    let_go(&world.client).await;
    world.remove().await;
}

//! Several releases of the chart in one cluster, as `docs/scope.md` has them: that of all other tests, one for a team's namespace,
//! and one for a label.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    documents::{commands, shown_files},
    world::{SOON, World, config_path, eventually, example, hack_output, helm, helm_in, uids},
};

const CRD: &str = "stompbrokers.stompbroker.dev";

/// A release of a team with the namespace of its operator, and that of its StompBroker.
struct Team {
    release: &'static str,
    operator: World,
    world: World,
    broker: String,
}

impl Team {
    async fn new(release: &'static str) -> Self {
        let operator = World::of(&format!("stompbroker-{release}")).await;
        // What a run that failed has left.
        let _ = helm_in(&operator.namespace, &["uninstall", release, "--wait"]);
        let world = World::new(&format!("team-{release}")).await;
        Self { release, operator, world, broker: format!("{release}-broker") }
    }

    /// Applies the team's StompBroker with a limit that can be told from others.
    async fn ask_for(&self, connections: u32) {
        let mut manifest = example("minimal.yaml");
        manifest["metadata"] = json!({"name": self.broker, "labels": {"operator": self.release}});
        manifest["spec"] = json!({"limits": {"connectionsPerPod": connections}});
        self.world.apply(&manifest).await.unwrap();
    }

    /// Whether the configuration of the StompBroker has this limit.
    async fn has(&self, connections: u32) -> bool {
        let config = self.world.api::<ConfigMap>().get(&self.broker).await.unwrap();
        config.data.unwrap()["broker.yaml"].contains(&format!("connectionsPerPod: {connections}\n"))
    }

    async fn pods(&self) -> Vec<String> {
        uids(&self.world.pods(&self.broker).await)
    }

    async fn operator_pods(&self) -> Vec<String> {
        uids(&self.operator.api::<Pod>().list(&ListParams::default()).await.unwrap().items)
    }

    async fn remove(&self) {
        tokio::join!(self.world.remove(), self.operator.remove());
    }
}

/// Values that documents show, and the images of the release that is there.
struct Values(TempDir);

impl Values {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in shown_files() {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let all = helm(&["get", "values", "stompbroker", "--output", "json"]);
        let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&all).unwrap();
        let images = json!({"image": all["image"], "broker": all["broker"], "replicaCount": 1});
        fs::write(folder.path().join("images"), images.to_string()).unwrap();
        Self(folder)
    }

    /// Runs the command of `docs/scope.md` that installs a release, with further values; returns the complaints if it is refused.
    fn install(&self, release: &str, further: &[&str]) -> Result<String, String> {
        let beginning = format!("helm upgrade --install {release} ");
        let mut shown = commands().into_iter().filter(|command| command.file.ends_with("docs/scope.md"));
        let shown = shown.find(|command| command.line.starts_with(&beginning)).unwrap().line;
        let path = |name: &str| self.0.path().join(name).display().to_string();
        let is_file = |word: &str| Path::new(word).extension().is_some_and(|extension| extension == "yaml");
        let mut words: Vec<_> =
            shown.split(' ').skip(1).map(|word| if is_file(word) { path(word) } else { word.to_owned() }).collect();
        words.extend(["--values".to_owned(), path("images"), "--wait".to_owned()]);
        words.extend(further.iter().map(|&word| word.to_owned()));
        let namespace = words[words.iter().position(|word| word == "--namespace").unwrap() + 1].clone();
        helm_in(&namespace, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same where it is to be refused; returns the complaints.
    fn refused(&self, release: &str, further: &[&str]) -> String {
        let outcome = self.install(release, further);
        outcome.expect_err("a release is to be refused")
    }
}

/// Runs what a refusal names as the remedy.
fn run_as_told(refusal: &str) {
    let kubectl = hack_output("cluster/cluster", &["bin", "kubectl"]);
    let tools = Path::new(&kubectl).parent().unwrap().display().to_string();
    let (_, line) = refusal.trim_end().split_once(" by: ").unwrap_or_else(|| panic!("no remedy: {refusal}"));
    let output = Command::new("bash")
        .args(["-ec", line])
        .env("PATH", format!("{tools}:{}", std::env::var("PATH").unwrap()))
        .env("KUBECONFIG", config_path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_side_by_side_look_after_their_own_and_an_upgrade_or_the_end_of_one_leaves_the_others_alone() {
    let (red, blue) = (Team::new("red").await, Team::new("blue").await);
    let values = Values::new();

    // What a cluster can have once is refused with the value to set, and nothing has changed by then.
    let refusal = values.refused("blue", &[]);
    let expected =
        "the ClusterRole stompbroker-operator belongs to the release stompbroker of the namespace stompbroker-system";
    assert!(refusal.contains(expected), "{refusal}");
    assert!(refusal.contains("set watchLabelSelector or watchNamespaces there first"), "{refusal}");
    values.install("stompbroker", &["--reuse-values"]).unwrap();
    let refusal = values.refused("blue", &["--set=customMetrics.enabled=true"]);
    assert!(refusal.contains("set customMetrics.enabled to false here"), "{refusal}");
    let refusal = values.refused("red", &["--set=crds.install=true"]);
    assert!(refusal.contains("set crds.install to false"), "{refusal}");
    run_as_told(&refusal);

    // Red upgrades the CRD from here on, so that its end would be everybody's if Helm took that along.
    values.install("red", &["--set=crds.install=true"]).unwrap();
    red.ask_for(101).await;
    blue.ask_for(102).await;
    red.world.ready(&red.broker).await;
    let (_, status) = blue.world.status(&blue.broker).await;
    assert_eq!(status.conditions, [], "it is of no operator that is there");
    values.install("blue", &[]).unwrap();
    blue.world.ready(&blue.broker).await;

    // Children are protected by both releases, which lets the operator of each change its own.
    red.ask_for(201).await;
    blue.ask_for(202).await;
    for (team, wanted) in [(&red, 201), (&blue, 202)] {
        eventually(SOON, "a changed child", || async { if team.has(wanted).await { Ok(()) } else { Err(wanted) } })
            .await;
    }

    let (pods, pods_of_blue, operator_of_blue) = (red.pods().await, blue.pods().await, blue.operator_pods().await);
    let operator_of_red = red.operator_pods().await;
    assert_eq!((pods.len(), pods_of_blue.len(), operator_of_blue.len()), (1, 1, 1));
    values.install("red", &["--set=crds.install=true,log.level=debug"]).unwrap();
    assert_ne!(red.operator_pods().await, operator_of_red, "the upgrade has to be one");
    assert_eq!(blue.operator_pods().await, operator_of_blue);
    assert_eq!((red.pods().await, blue.pods().await), (pods.clone(), pods_of_blue.clone()));

    helm_in(&red.operator.namespace, &["uninstall", "red", "--wait"]).unwrap();
    red.ask_for(301).await;
    blue.ask_for(302).await;
    eventually(SOON, "a changed child", || async { if blue.has(302).await { Ok(()) } else { Err(302) } }).await;
    blue.world.ready(&blue.broker).await;
    assert!(red.has(201).await, "nobody looks after it any more");
    assert_eq!(blue.operator_pods().await, operator_of_blue);
    assert_eq!((red.pods().await, blue.pods().await), (pods, pods_of_blue));
    let crds: Api<CustomResourceDefinition> = Api::all(red.world.client.clone());
    let crd = crds.get(CRD).await.unwrap();
    assert!(crd.metadata.deletion_timestamp.is_none(), "{}", crd.name_any());

    // The release of all other tests looks after the whole cluster again, and has the CRD.
    helm_in(&blue.operator.namespace, &["uninstall", "blue", "--wait"]).unwrap();
    helm(&["rollback", "stompbroker", "--wait"]);
    tokio::join!(red.remove(), blue.remove());
}

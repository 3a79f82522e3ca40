//! The commands of the documents, as they stand, on the cluster.
//!
//! They run in a folder that looks like a checkout and holds the files which the documents speak of, with the tools on the
//! path and a namespace chosen, as in a user's shell. The table in `documents` says which commands are tested elsewhere.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    documents::{Tested, commands, shown_files, tested},
    world::{ROLLOUT, World, as_from_a_shell, example, hack, hack_output},
};

const NAMESPACE: &str = "e2e-documents";
/// Longest that a command may take: some build what they run first.
const PATIENCE: Duration = Duration::from_mins(20);

/// A user's shell.
struct Shell {
    folder: TempDir,
    path: String,
}

impl Shell {
    fn new(trading: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(root).unwrap() {
            let entry = entry.unwrap();
            symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        for (name, text) in shown_files() {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut changed = trading.clone();
        changed["spec"]["limits"] = json!({"subscriptionsPerSession": 50});
        fs::write(folder.path().join("trading.yaml"), changed.to_string()).unwrap();
        changed["spec"]["replicas"] = json!(2);
        fs::write(folder.path().join("two-pods.yaml"), changed.to_string()).unwrap();
        let tools = tools(folder.path());
        let built = Path::new(env!("CARGO_BIN_EXE_stompbroker-operator")).parent().unwrap();
        let path = format!("{}:{}:{}", tools.display(), built.display(), env::var("PATH").unwrap());
        let shell = Self { folder, path };
        fs::write(shell.kubeconfig(), kubeconfig()).unwrap();
        shell
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        // In a real checkout, so that cargo finds the workspace by the folder it is in.
        let is_of_cargo = line.starts_with("cargo ");
        let folder = if is_of_cargo { Path::new(env!("CARGO_MANIFEST_DIR")) } else { self.folder.path() };
        command.args(["-o", "pipefail", "-ec", line]).current_dir(folder).env("PATH", &self.path);
        // `make` makes a cluster of its own, which is the one under test, where no other one is chosen.
        if line.starts_with("make ") {
            command.env_remove("KUBECONFIG");
        } else {
            command.env("KUBECONFIG", self.kubeconfig());
        }
        as_from_a_shell(command.as_std_mut());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        command
    }

    async fn run(&self, line: &str) -> Output {
        let ended = timeout(PATIENCE, self.command(line).output()).await;
        ended.unwrap_or_else(|_| panic!("{line} does not end")).unwrap()
    }

    /// Runs a command that does not end by itself until it has printed `wanted`.
    async fn run_until(&self, line: &str, wanted: &str) {
        let mut child = self.command(line).spawn().unwrap();
        let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        let (output, complaints) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let told = timeout(PATIENCE, async {
            tokio::select! {
                told = tells(output, wanted) => told,
                told = tells(complaints, wanted) => told,
            }
        });
        let told = told.await;
        kill_process_group(group, Signal::INT).unwrap();
        let ended = timeout(ROLLOUT, child.wait()).await;
        assert_eq!(told, Ok(true), "{line} does not print {wanted:?}");
        assert!(ended.is_ok(), "{line} does not end when it is interrupted");
    }
}

/// Whether these lines come to hold `wanted`. Lines after it are read no more; a stream that ends without it says nothing.
async fn tells(stream: impl AsyncRead + Unpin, wanted: &str) -> bool {
    let mut lines = BufReader::new(stream).lines();
    let mut seen = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains(wanted) {
            return true;
        }
        seen.push(line);
    }
    println!("{}", seen.join("\n"));
    std::future::pending().await
}

/// Programs that users have on their path. Helm keeps the images of the release, which users have pushed to a registry.
fn tools(folder: &Path) -> PathBuf {
    let tools = folder.join("tools");
    fs::create_dir(&tools).unwrap();
    let program = |name: &str| hack_output("cluster/cluster", &["bin", name]).trim().to_owned();
    symlink(program("kubectl"), tools.join("kubectl")).unwrap();
    let helm = tools.join("helm");
    fs::write(&helm, format!("#!/bin/sh\nexec {} \"$@\" --reuse-values --wait\n", program("helm"))).unwrap();
    fs::set_permissions(&helm, fs::Permissions::from_mode(0o755)).unwrap();
    tools
}

/// The cluster's, with a namespace chosen.
fn kubeconfig() -> String {
    let text = fs::read_to_string(env::var("STOMPBROKER_E2E_KUBECONFIG").unwrap()).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    for context in kubeconfig["contexts"].as_array_mut().unwrap() {
        context["context"]["namespace"] = json!(NAMESPACE);
    }
    kubeconfig.to_string()
}

/// One space between all words, since documents break their lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Argo CD's ConfigMap, which the documents change.
async fn argocd(world: &World) -> Api<Namespace> {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let parameters = PatchParams::apply("e2e");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}});
    namespaces.patch("argocd", &parameters, &Patch::Apply(namespace)).await.unwrap();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}});
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), "argocd");
    configs.patch("argocd-cm", &parameters, &Patch::Apply(config)).await.unwrap();
    namespaces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_documents_does_what_they_say() {
    let world = World::new(NAMESPACE).await;
    let namespaces = argocd(&world).await;
    let mut trading = example("minimal.yaml");
    trading["metadata"]["name"] = json!("trading");
    world.apply(&trading).await.unwrap();
    world.ready("trading").await;

    let shell = Shell::new(&trading);
    let mut done = Vec::new();
    for command in commands() {
        let how = tested(&command.line).unwrap();
        // Several documents show the same; what it waits for, or installs, need not be there twice.
        if done.contains(&command.line) {
            continue;
        }
        done.push(command.line.clone());
        let line = match how {
            Tested::Not(_) | Tested::In(_) => continue,
            Tested::OfNoCluster => format!("env -u KUBECONFIG STOMPBROKER_CLUSTER=not-there {}", command.line),
            Tested::Until(wanted) => {
                println!("{}", command.line);
                shell.run_until(&command.line, wanted).await;
                continue;
            }
            Tested::Run | Tested::Refused => command.line,
        };
        println!("{line}");
        let output = shell.run(&line).await;
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let is_refused = how == Tested::Refused;
        assert_eq!(output.status.success(), !is_refused, "{}: {line}: {told}", command.file.display());
        if is_refused {
            assert!(words(&told).contains(&words(&command.answer)), "{}: {line}: {told}", command.file.display());
        }
    }

    // The release as all other tests have it, and nothing of the demo.
    hack("demo/install", &[]);
    World::of("demo").await.remove().await;
    namespaces.delete("argocd", &DeleteParams::default()).await.unwrap();
    world.remove().await;
}

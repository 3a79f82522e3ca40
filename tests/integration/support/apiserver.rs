//! Where the API server comes from.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::Service, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use stompbroker_operator::{api::StompBroker, plan::custom::CustomKind};
use tokio::sync::OnceCell;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/cluster/cluster");
const HOW: &str = "The tests need an API server: set STOMPBROKER_TEST_KUBECONFIG to the kubeconfig of one that may be \
                   written to, or KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or have Go \
                   installed, so that hack/cluster/cluster can build them.";

/// An API server with rights to everything.
#[derive(Clone)]
pub struct ControlPlane {
    pub config: Config,
    kubeconfig: PathBuf,
    /// Stops what was started for this one alone.
    _owned: Option<Arc<Owned>>,
}

struct Owned(String);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = Command::new(SCRIPT).args(["--name", &self.0, "apiserver", "down"]).output();
    }
}

impl ControlPlane {
    /// The one that all tests share, with the CRD: the one of `STOMPBROKER_TEST_KUBECONFIG`, else one that is started
    /// and left running (`hack/cluster/cluster --name integration apiserver down` stops it).
    pub async fn shared() -> Self {
        static SHARED: OnceCell<PathBuf> = OnceCell::const_new();
        let path = SHARED
            .get_or_init(async || {
                let path = match std::env::var_os("STOMPBROKER_TEST_KUBECONFIG") {
                    Some(path) => PathBuf::from(path),
                    None => start("integration"),
                };
                let client = Self::open(&path, None).await.client();
                install(&client, StompBroker::crd()).await;
                sweep(&client).await;
                path
            })
            .await;
        Self::open(path, None).await
    }

    /// One for this test alone, without the CRD; it is stopped in the end.
    pub async fn own(name: &str) -> Self {
        let name = format!("it-{name}-{}", std::process::id());
        let owned = Arc::new(Owned(name.clone()));
        let path = start(&name);
        Self::open(&path, Some(owned)).await
    }

    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).unwrap()
    }

    /// Runs kubectl; gives its exit code and what it has printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> (i32, String) {
        let program = match std::env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) => PathBuf::from(folder).join("kubectl"),
            None => PathBuf::from(script(&["bin", "kubectl"]).trim()),
        };
        self.run(&program, arguments).await
    }

    /// Runs Helm; gives its exit code and what it has printed.
    pub async fn helm(&self, arguments: &[&str]) -> (i32, String) {
        self.run(Path::new(script(&["bin", "helm"]).trim()), arguments).await
    }

    async fn run(&self, program: &Path, arguments: &[&str]) -> (i32, String) {
        let mut command = tokio::process::Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(super::PATIENCE, command.output()).await.unwrap();
        let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}. {HOW}", program.display()));
        let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code().unwrap_or(-1), out + &errors)
    }

    async fn open(path: &PathBuf, owned: Option<Arc<Owned>>) -> Self {
        let kubeconfig = Kubeconfig::read_from(path)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}. {HOW}", path.display()));
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Self { config, kubeconfig: path.clone(), _owned: owned }
    }
}

/// Deletes the Services of earlier runs: their addresses are few, and nothing else here deletes anything.
async fn sweep(client: &Client) {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=stompbroker-operator");
    for service in Api::<Service>::all(client.clone()).list(&ours).await.unwrap() {
        let namespace = service.namespace().unwrap();
        if namespace.starts_with("test-") {
            let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
            let _ = api.delete(&service.name_any(), &DeleteParams::default()).await;
        }
    }
}

/// Installs `crd` and waits until it is served.
pub async fn install(client: &Client, crd: CustomResourceDefinition) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = &crd.name_any();
    let parameters = PatchParams::apply("integration-tests").force();
    api.patch(name, &parameters, &Patch::Apply(&crd))
        .await
        .unwrap_or_else(|error| panic!("the CRD cannot be installed: {error}. {HOW}"));
    let established = await_condition(api, name, conditions::is_crd_established());
    tokio::time::timeout(super::PATIENCE, established).await.unwrap().unwrap();
}

/// Takes a kind away, should an earlier run have left it, and waits until it is not served.
pub async fn uninstall(client: &Client, crd: &CustomResourceDefinition) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd.name_any();
    if let Some(left) = api.get_opt(&name).await.unwrap() {
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        let uid = left.uid().unwrap();
        let gone = await_condition(api, &name, conditions::is_deleted(&uid));
        tokio::time::timeout(super::PATIENCE, gone).await.unwrap().unwrap();
    }
}

/// A kind of somebody else's as its CRD would define it, but without a schema.
pub fn define<K: CustomKind>() -> CustomResourceDefinition {
    define_as::<K>(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
}

/// A kind of somebody else's as its CRD would define it, with this schema.
pub fn define_as<K: CustomKind>(schema: &Value) -> CustomResourceDefinition {
    let (group, plural) = (K::GROUP, K::PLURAL);
    let version = json!({"name": K::VERSION, "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema}});
    // The API server wants this of groups that are Kubernetes' own.
    let approved = json!({"api-approved.kubernetes.io": "unapproved, of a test"});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "annotations": approved},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": K::KIND, "plural": plural}, "versions": [version]},
    });
    serde_json::from_value(crd).unwrap()
}

/// Runs the script of the cluster; gives what it has printed.
fn script(arguments: &[&str]) -> String {
    let output = Command::new(SCRIPT).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{SCRIPT} cannot be run: {error}. {HOW}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{SCRIPT} {arguments:?} failed: {errors}\n{HOW}");
    String::from_utf8(output.stdout).unwrap()
}

fn start(name: &str) -> PathBuf {
    let run = |command| script(&["--name", name, "apiserver", command]);
    run("up");
    PathBuf::from(run("kubeconfig").trim())
}

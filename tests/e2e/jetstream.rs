//! Six pods in three zones over a NATS of three servers that the operator runs: `examples/jetstream-three-zones.yaml`.

use std::{
    collections::BTreeSet, env, fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command,
};

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    documents::commands,
    relay::ZONES,
    stomp::Client,
    world::{ROLLOUT, SOON, World, address, eventually, example, hack_output, is_ready, uids},
};

/// Volumes for the NATS servers: a folder of this machine in each zone, as the default StorageClass.
struct Volumes {
    class: Api<StorageClass>,
    api: Api<PersistentVolume>,
    folder: PathBuf,
}

const CLASS: &str = "e2e-local";

impl Volumes {
    async fn new(world: &World) -> Self {
        let folder = env::temp_dir().join("stompbroker-e2e-nats");
        let this = Self { class: Api::all(world.client.clone()), api: Api::all(world.client.clone()), folder };
        this.remove().await;
        let parameters = PatchParams::apply("e2e").force();
        let default = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": CLASS, "annotations": default},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"});
        this.class.patch(CLASS, &parameters, &Patch::Apply(class)).await.unwrap();
        for zone in ZONES {
            let path = this.folder.join(zone);
            fs::create_dir_all(&path).unwrap();
            // Servers run as an ordinary user.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            let name = format!("{CLASS}-{zone}");
            let in_zone = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]});
            let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                "persistentVolumeReclaimPolicy": "Retain", "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [in_zone]}]}}}});
            this.api.patch(&name, &parameters, &Patch::Apply(volume)).await.unwrap();
        }
        this
    }

    async fn remove(&self) {
        let _ = self.class.delete(CLASS, &DeleteParams::default()).await;
        for zone in ZONES {
            let name = format!("{CLASS}-{zone}");
            let _ = self.api.delete(&name, &DeleteParams::default()).await;
            eventually(SOON, &format!("the volume {name} to go"), || async {
                match self.api.get_opt(&name).await.unwrap() {
                    None => Ok(()),
                    Some(volume) => Err(volume.status),
                }
            })
            .await;
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// NATS' own command line with the seed and the authority of a Secret, as in a pod: the Service's name leads to the servers.
struct Nats {
    folder: TempDir,
    program: String,
}

impl Nats {
    async fn new(world: &World, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = world.api::<Secret>().get(&format!("{name}-nats")).await.unwrap();
        for key in ["nkey", "ca.crt"] {
            fs::write(folder.path().join(key), &secret.data.as_ref().unwrap()[key].0).unwrap();
        }
        let mut hosts = fs::read_to_string("/etc/hosts").unwrap();
        for server in servers(world).await {
            writeln!(hosts, "{} {name}-nats.{}.svc", address(&server, 0).ip(), world.namespace).unwrap();
        }
        fs::write(folder.path().join("hosts"), hosts).unwrap();
        Self { folder, program: hack_output("cluster/cluster", &["bin", "nats-cli"]).trim().to_owned() }
    }

    /// Runs a command of the documents, which is about the namespace `markets` and the folder `/backup`.
    fn run(&self, line: &str, world: &World) -> String {
        let backup = self.folder.path().join("backup");
        let line = line.replace(".markets.", &format!(".{}.", world.namespace));
        let line = line.replace("/backup", backup.to_str().unwrap()).replacen("nats ", "\"$NATS\" ", 1);
        let output = Command::new("unshare")
            .args(["--mount", "bash", "-ec", &format!("mount --bind hosts /etc/hosts; {line}")])
            .env("NATS", &self.program)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("deprecated"), "{line}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What NATS holds is backed up, lost and restored as the documents say.
async fn back_up_lose_and_restore(world: &World, name: &str) {
    let documented = commands().into_iter().map(|command| command.line).filter(|line| line.starts_with("nats "));
    let [backup, restore] = documented.collect::<Vec<_>>().try_into().expect("a backup and a restore");
    let nats = Nats::new(world, name).await;
    nats.run(&backup, world);
    let replicas = |replicas: u32| async move { world.change(name, json!({"replicas": replicas})).await.unwrap() };
    replicas(0).await;
    eventually(ROLLOUT, "the brokers to go", || async {
        let left = world.pods(name).await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    let connected = backup.split(" backup ").next().unwrap();
    for stream in nats.run(&format!("{connected} stream ls --names"), world).lines() {
        nats.run(&format!("{connected} stream rm --force {stream}"), world);
    }
    nats.run(&restore, world);
    replicas(6).await;
    world.ready(name).await;
}

async fn servers(world: &World) -> Vec<Pod> {
    let selector = ListParams::default().labels("app.kubernetes.io/name=nats");
    world.api::<Pod>().list(&selector).await.unwrap().items
}

fn are_well(pods: &[Pod]) -> bool {
    pods.len() == 3 && pods.iter().all(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_comes_up_over_the_zones_survives_a_server_and_is_replaced_one_by_one() {
    let world = World::new("e2e-jetstream").await;
    let volumes = Volumes::new(&world).await;
    let manifest = example("jetstream-three-zones.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.condition(name, "NatsReady", "True", ROLLOUT).await;
    world.ready(name).await;
    let nodes: BTreeSet<_> = servers(&world).await.into_iter().map(|pod| pod.spec.unwrap().node_name).collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    let (_, status) = world.status(name).await;
    let nats = status.nats.unwrap();
    let zones: Vec<_> = nats.servers.iter().filter_map(|server| server.zone.as_deref()).collect();
    assert_eq!((nats.ready.as_str(), zones.as_slice()), ("3/3", ZONES.as_slice()));

    let login = world.login(&format!("{name}-client")).await;
    let sender = world.pod_in_zone(name, ZONES[0]).await;
    let mut service = Client::tcp(address(&sender, 61613), &login).await.unwrap();
    service.publish("/queue/orders", "before").await.unwrap();
    let victim = servers(&world).await.remove(1).name_any();
    world.api::<Pod>().delete(&victim, &DeleteParams::default().grace_period(0)).await.unwrap();
    let receiver = world.pod_in_zone(name, ZONES[2]).await;
    let mut consumer = Client::tcp(address(&receiver, 61613), &login).await.unwrap();
    consumer.subscribe("orders", "/queue/orders").await.unwrap();
    assert_eq!(consumer.receive().await.unwrap().body, "before");
    consumer.send("DISCONNECT", &[], "").await.unwrap();
    eventually(ROLLOUT, "the server that was killed to be back", || async {
        let pods = servers(&world).await;
        if are_well(&pods) { Ok(()) } else { Err(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>()) }
    })
    .await;
    world.condition(name, "NatsReady", "True", ROLLOUT).await;

    let sender = world.pod_in_zone(name, ZONES[0]).await;
    let mut service = Client::tcp(address(&sender, 61613), &login).await.unwrap();
    service.publish("/queue/orders", "during").await.unwrap();
    let (old, brokers) = (uids(&servers(&world).await), uids(&world.pods(name).await));
    let limits = json!({"limits": {"memory": "512Mi"}});
    world.change(name, json!({"engine": {"jetStream": {"managed": {"resources": limits}}}})).await.unwrap();
    eventually(ROLLOUT, "all three servers to be replaced", || async {
        let pods = servers(&world).await;
        let away = 3 - pods.iter().filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none()).count();
        assert!(away <= 1, "{away} servers were away at once");
        let left = uids(&pods).into_iter().filter(|uid| old.contains(uid)).count();
        if left == 0 && are_well(&pods) { Ok(()) } else { Err(format!("{left} of the old ones are left")) }
    })
    .await;
    world.ready(name).await;
    assert_eq!(uids(&world.pods(name).await), brokers, "no broker is restarted for it");
    let receiver = world.pod_in_zone(name, ZONES[1]).await;
    let mut consumer = Client::tcp(address(&receiver, 61613), &login).await.unwrap();
    consumer.subscribe("orders", "/queue/orders").await.unwrap();
    assert_eq!(consumer.receive().await.unwrap().body, "during");
    consumer.send("DISCONNECT", &[], "").await.unwrap();
    service.publish("/queue/orders", "kept").await.unwrap();
    back_up_lose_and_restore(&world, name).await;
    let receiver = world.pod_in_zone(name, ZONES[0]).await;
    let mut consumer = Client::tcp(address(&receiver, 61613), &login).await.unwrap();
    consumer.subscribe("orders", "/queue/orders").await.unwrap();
    assert_eq!(consumer.receive().await.unwrap().body, "kept");

    world.brokers().delete(name, &DeleteParams::background()).await.unwrap();
    eventually(SOON, "the servers to go", || async {
        let left = servers(&world).await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap();
    assert_eq!(claims.items.len(), 3, "volumes outlive the StompBroker");
    world.remove().await;
    volumes.remove().await;
}

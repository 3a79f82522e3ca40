//! Real brokers as pods: what the kubelet mounts is brought to them late, and the operator asks their own admin ports.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use stompbroker::server::Server;
use stompbroker_config::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Kubelet, PATIENCE, World, kubelet::admin_listener};

/// Where a pod has its configuration.
const MOUNT_PATH: &str = "/etc/stompbroker";

/// One broker of one pod.
pub struct BrokerPod {
    stomp: SocketAddr,
    folder: PathBuf,
    _tasks: JoinSet<()>,
}

/// Files by their paths in the volume.
type Files = BTreeMap<String, Vec<u8>>;

impl BrokerPod {
    /// Starts a pod of the Deployment `broker`, whose kubelet looks for changes this often.
    pub async fn start(world: &World, broker: &str, every: Duration) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("stompbroker-pod-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut files = sources(world, broker, &folder).await.unwrap();
        mount(&folder, 0, &files).unwrap();
        let server = Server::bind(&folder.join("..data/broker.yaml")).unwrap();
        let addresses = server.addresses();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.run(CancellationToken::new()).await.unwrap() });
        let (world_of_kubelet, broker_of_kubelet, mounted) = (world.clone(), broker.to_owned(), folder.clone());
        tasks.spawn(async move {
            for version in 1_u64.. {
                sleep(every).await;
                let Ok(now) = sources(&world_of_kubelet, &broker_of_kubelet, &mounted).await else { continue };
                if now != files {
                    mount(&mounted, version, &now).unwrap();
                    files = now;
                }
            }
        });
        let (listener, address) = admin_listener().await;
        let admin = loopback(addresses.admin);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(admin).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Kubelet(world).pod(broker, address).await;
        Self { stomp: loopback(addresses.stomp.unwrap()), folder, _tasks: tasks }
    }

    /// Logs in; gives the name of the frame that the broker answers.
    pub async fn log_in(&self, username: &str, password: &str) -> String {
        let answer = async {
            let mut stream = TcpStream::connect(self.stomp).await?;
            let frame = format!("CONNECT\naccept-version:1.2\nhost:x\nlogin:{username}\npasscode:{password}\n\n\0");
            stream.write_all(frame.as_bytes()).await?;
            let mut answer = Vec::new();
            while !answer.contains(&b'\n') && stream.read_buf(&mut answer).await? > 0 {}
            Ok::<_, io::Error>(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
        };
        timeout(PATIENCE, answer).await.unwrap().unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for BrokerPod {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn loopback(address: SocketAddr) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, address.port()).into()
}

/// What the volume has now, with ports that are free and paths that are here.
async fn sources(world: &World, broker: &str, folder: &Path) -> Result<Files, kube::Error> {
    let configuration = world.api::<ConfigMap>().get(broker).await?.data.unwrap_or_default();
    let here = folder.join("..data").to_string_lossy().into_owned();
    let mut config = Config::parse(&configuration["broker.yaml"].replace(MOUNT_PATH, &here)).unwrap();
    config.listeners.websocket = None;
    config.listeners.stomp.as_mut().unwrap().port = 0;
    config.admin.port = 0;
    let mut files = Files::from([("broker.yaml".to_owned(), config.to_yaml().unwrap().into_bytes())]);
    for part in ["admin", "system", "client"] {
        let secret = world.api::<Secret>().get(&format!("{broker}-{part}")).await?;
        files.extend(secret.data.into_iter().flatten().map(|(key, value)| (format!("{part}/{key}"), value.0)));
    }
    Ok(files)
}

/// Swaps all files at once, as the kubelet does.
fn mount(folder: &Path, version: u64, files: &Files) -> io::Result<()> {
    let data = folder.join(format!("..v{version}"));
    for (path, content) in files {
        let path = data.join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, content)?;
    }
    symlink(&data, folder.join("..new"))?;
    fs::rename(folder.join("..new"), folder.join("..data"))
}

//! A broker in this process, on ports that the system chose.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use stompbroker::server::{Addresses, RunError, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Answer, Peer as _, StompClient, WebSocketClient, eventually, request, within};

/// The listeners that most tests use, followed by more keys.
pub(crate) fn config(more: &str) -> String {
    format!(
        "listeners: {{stomp: {{port: 0}}, websocket: {{port: 0, path: /chat}}}}\n\
         admin: {{port: 0, tokenFile: TOKEN}}\nauthentication: {{anonymous: true}}\n{more}\n"
    )
}

/// A running broker with its own configuration file; stopped when dropped.
pub(crate) struct BrokerUnderTest {
    pub(crate) folder: TempDir,
    pub(crate) addresses: Addresses,
    pub(crate) shutdown: CancellationToken,
    running: Option<JoinHandle<Result<(), RunError>>>,
    /// Its engine has to find something else first, before clients come.
    connects: AtomicBool,
}

impl BrokerUnderTest {
    /// The token of its admin port.
    pub(crate) const TOKEN: &str = "open-sesame";

    /// Starts a broker; `FOLDER` and `TOKEN` in the configuration stand for its own folder and token file.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), format!("{}\n", Self::TOKEN)).unwrap();
        Self::start_in(folder, config)
    }

    /// Starts a broker in a folder that has been prepared.
    pub(crate) fn start_in(folder: TempDir, config: &str) -> Self {
        write_config(folder.path(), config);
        let server = Server::bind(&folder.path().join("broker.yaml")).unwrap();
        let (addresses, shutdown) = (server.addresses(), CancellationToken::new());
        let running = tokio::spawn(server.run(shutdown.clone()));
        let connects = AtomicBool::new(["jetStream:", "relay:"].iter().any(|engine| config.contains(engine)));
        Self { folder, addresses, shutdown, running: Some(running), connects }
    }

    /// Replaces the configuration file, as an editor does.
    pub(crate) fn write_config(&self, config: &str) {
        write_config(self.folder.path(), config);
    }

    /// Waits until the configuration file as it is now is in force.
    pub(crate) async fn in_force(&self) {
        let text = fs::read_to_string(self.folder.path().join("broker.yaml")).unwrap();
        let hash = stompbroker_config::config_hash(&text);
        eventually("the configuration to be in force", async || {
            (self.admin("GET", "/config-hash").await.json()["hash"] == hash.as_str()).then_some(())
        })
        .await;
    }

    pub(crate) fn stomp(&self) -> SocketAddr {
        loopback(self.addresses.stomp.unwrap())
    }

    pub(crate) fn websocket(&self) -> SocketAddr {
        loopback(self.addresses.websocket.unwrap())
    }

    /// The port of STOMP over TLS beside the plain one.
    pub(crate) fn stomp_tls(&self) -> SocketAddr {
        loopback(self.addresses.stomp_tls.unwrap())
    }

    /// Where its peers reach it.
    pub(crate) fn peers(&self) -> SocketAddr {
        loopback(self.addresses.peers.unwrap())
    }

    /// Waits until load balancers would send clients here, the first time.
    pub(crate) async fn connected(&self) {
        if self.connects.swap(false, Ordering::Relaxed) {
            let ready = || async { (self.admin("GET", "/readyz").await.status == 200).then_some(()) };
            eventually("the broker to be ready", ready).await;
        }
    }

    /// A client over TCP that has not sent anything yet.
    pub(crate) async fn tcp(&self) -> StompClient {
        self.connected().await;
        StompClient::connect(self.stomp()).await
    }

    /// A client over TCP that has logged in without credentials.
    pub(crate) async fn tcp_session(&self) -> StompClient {
        let mut client = self.tcp().await;
        client.log_in("").await;
        client
    }

    /// A client over WebSocket that has not sent anything yet.
    pub(crate) async fn websocket_client(&self) -> WebSocketClient {
        self.connected().await;
        WebSocketClient::connect(self.websocket(), "/chat", "").await
    }

    /// Asks the admin port with the token.
    pub(crate) async fn admin(&self, method: &str, path: &str) -> Answer {
        let header = format!("Authorization: Bearer {}\r\n", Self::TOKEN);
        request(loopback(self.addresses.admin), method, path, &header).await
    }

    /// Asks the admin port with other headers, or none.
    pub(crate) async fn admin_with(&self, method: &str, path: &str, headers: &str) -> Answer {
        request(loopback(self.addresses.admin), method, path, headers).await
    }

    /// The value of a metric that has exactly this name and these labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.admin("GET", "/metrics").await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until the broker has ended by itself.
    pub(crate) async fn ended(&mut self) {
        within("the broker to end", self.running.take().unwrap()).await.unwrap().unwrap();
    }
}

impl Drop for BrokerUnderTest {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn write_config(folder: &Path, config: &str) {
    let text =
        config.replace("TOKEN", &folder.join("token").to_string_lossy()).replace("FOLDER", &folder.to_string_lossy());
    let new = folder.join("broker.yaml.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("broker.yaml")).unwrap();
}

/// The broker binds all addresses; clients need one.
fn loopback(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

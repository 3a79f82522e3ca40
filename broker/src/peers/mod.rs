//! The other pods of the same broker: who they are, what they are asked, and what they ask.
//!
//! ```text
//! DNS ──► Members ──► ask all: sessions of users, who has this SockJS session ──► Client ── HTTP/1.1 ──► their server
//!            ▲                                                                                             │
//!            └──── whoever asks is a pod, too ◄── server ◄── HTTP/1.1 ─────────────────────────────────────┘
//! ```
//!
//! Pods meet on a port of their own, not on the admin port: that one has room for the handful who watch a broker, may be
//! reached by monitoring, and can drain the pod. They know each other by a token that is made of the admin token: all pods
//! have that one already, and what crosses the network opens nothing but this port.
//!
//! What a peer asks is answered by this pod alone, so no question goes round.
//!
//! A request of SockJS may come to any pod. Where its session is not, the pod asks the others who has it, remembers the one
//! that says so, and hands the request on to it.

mod client;
mod members;
mod owners;
mod server;
mod sockjs;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{client::Client, members::Members, owners::Owners};
pub(crate) use self::{
    client::{AskError, Pass},
    server::serve,
    sockjs::{hand_on, locate},
};
use crate::{broker::Broker, configuration::PeerToken, metrics::PeerMetrics};

/// How long a peer may take to answer a question; not for requests that are handed on, which may wait for messages.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How often the addresses of the pods are looked up, and all of them asked for a sign of life.
const PERIOD: Duration = Duration::from_secs(2);
/// What answers that are under way when the process ends may still take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What this pod knows of the others.
#[derive(Debug)]
pub(crate) struct Peers {
    members: Mutex<Members>,
    client: Client,
    /// Which pod has which session of SockJS.
    owners: Mutex<Owners>,
    /// Sessions of SockJS that are looked for at once.
    searches: Semaphore,
    metrics: PeerMetrics,
    /// Where this pod listens for them, once it does.
    port: OnceLock<u16>,
    /// Ends what serves and asks peers.
    stop: CancellationToken,
    /// Owner of the connections to peers.
    asking: TaskTracker,
    /// Owner of the connections of peers.
    served: TaskTracker,
}

/// What one peer said.
pub(crate) type Said = (SocketAddr, Result<(StatusCode, Bytes), AskError>);

impl Peers {
    /// No peers yet.
    pub(crate) fn new(metrics: PeerMetrics) -> Self {
        let (stop, asking) = (CancellationToken::new(), TaskTracker::new());
        Self {
            members: Mutex::default(),
            client: Client::new(&asking, &stop),
            owners: Mutex::default(),
            searches: Semaphore::new(sockjs::MOST_SEARCHES),
            metrics,
            port: OnceLock::new(),
            stop,
            asking,
            served: TaskTracker::new(),
        }
    }

    /// The pods that this one knows of, itself not among them.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.lock().all(Instant::now())
    }

    /// What shows to them that this is one of them.
    pub(crate) fn pass(&self, token: Option<&PeerToken>) -> Pass {
        Pass { authorization: token.and_then(PeerToken::authorization), port: self.port.get().copied() }
    }

    /// Asks all peers the same at once; the answers come in the order of the peers' addresses.
    pub(crate) async fn ask_all(broker: &Broker, method: &Method, path: &str) -> Vec<Said> {
        let ask = async |address| (address, Self::ask(broker, address, method, path, ANSWER_TIME).await);
        let asked: FuturesUnordered<_> = broker.peers.addresses().into_iter().map(ask).collect();
        let mut said: Vec<Said> = asked.collect().await;
        said.sort_by_key(|(address, _)| *address);
        said
    }

    /// Asks one peer, and counts it when it does not answer.
    async fn ask(
        broker: &Broker,
        address: SocketAddr,
        method: &Method,
        path: &str,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let peers = &broker.peers;
        let answer = peers.client.ask(&broker.peer_pass(), address, method, path, deadline).await;
        match &answer {
            Ok(_) => peers.members.lock().answers(address),
            Err(error) => peers.does_not_answer(address, error),
        }
        answer
    }

    /// Counts a request that a peer did not answer.
    fn does_not_answer(&self, address: SocketAddr, error: &AskError) {
        self.metrics.failed.inc();
        if !error.is_answer() {
            self.members.lock().does_not_answer(address, Instant::now());
        }
        tracing::debug!(peer.addr = %address, %error, "a peer does not answer");
    }

    /// Ends the conversations with peers; those in the middle of an answer may end it.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.asking.close();
        self.served.close();
        // What takes longer ends with the process.
        let _ = tokio::time::timeout(GOODBYE, futures::future::join(self.asking.wait(), self.served.wait())).await;
    }
}

/// Keeps up to date who the peers are and which of them answer, for ever. `port` is where this pod listens for them.
pub(crate) async fn follow(broker: Arc<Broker>, port: u16) {
    let peers = &broker.peers;
    // Only this task sets it.
    let _ = peers.port.set(port);
    let mut in_trouble = false;
    loop {
        let config = broker.current().config.peers.clone();
        let found = match &config {
            Some(config) => members::look_up(config, port).await,
            None => Ok(Vec::new()),
        };
        match found {
            Ok(addresses) => {
                in_trouble = false;
                if peers.members.lock().replace(addresses.clone()) {
                    tracing::info!(peers = ?addresses, "the other pods of this broker");
                }
            }
            Err(error) if !in_trouble => {
                in_trouble = true;
                tracing::warn!(%error, "cannot look up the other pods of this broker; those known before stay known");
            }
            Err(_) => {}
        }
        // Who does not answer is told from who has nothing to say.
        Peers::ask_all(&broker, &Method::GET, server::ALIVE).await;
        peers.metrics.known.set(i64::try_from(peers.addresses().len()).unwrap_or(i64::MAX));
        tokio::time::sleep(PERIOD).await;
    }
}

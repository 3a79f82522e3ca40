//! An upstream broker that does what a test tells it: how it answers CONNECT, and every frame after that.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use stompbroker::stomp::{Command, DecodeLimits, Decoder, Frame, Item, Version, encode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the system connection logs in with; everybody else is a client.
pub(crate) const SYSTEM: &str = "sys";

/// How the upstream answers CONNECT.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// CONNECTED with this `heart-beat`.
    Accept(&'static str),
    /// CONNECTED for the system connection only; clients wait until the manner changes.
    StallClients,
    /// ERROR with this `message` and body.
    Refuse(&'static str, &'static str),
    /// ERROR for clients only.
    RefuseClients(&'static str, &'static str),
    /// These octets.
    Garbage(&'static str),
    /// The end of the connection.
    Close,
    /// Nothing.
    Silence,
}

/// A connection that has been answered with CONNECTED.
pub(crate) struct Peer {
    /// What it sent first.
    pub(crate) connect: Frame,
    stream: Box<dyn Socket>,
    decoder: Decoder,
    input: BytesMut,
    /// A frame that was read ahead.
    ahead: Option<Frame>,
    /// Heart-beats seen so far.
    pub(crate) heartbeats: usize,
}

/// A connection of the relay, over TLS or not.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    systems: mpsc::UnboundedReceiver<Peer>,
    clients: mpsc::UnboundedReceiver<Peer>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), manner).await
    }

    /// Starts where another one was before.
    pub(crate) async fn start_at(address: SocketAddr, manner: Manner) -> Self {
        Self::start_with(address, None, manner).await
    }

    /// Starts one that speaks only TLS.
    pub(crate) async fn start_tls(tls: TlsAcceptor, manner: Manner) -> Self {
        Self::start_with("127.0.0.1:0".parse().unwrap(), Some(tls), manner).await
    }

    async fn start_with(address: SocketAddr, tls: Option<TlsAcceptor>, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let (system, systems) = mpsc::unbounded_channel();
        let (client, clients) = mpsc::unbounded_channel();
        let shared = manner.clone();
        let accepting = tokio::spawn(async move {
            // Connections end with the upstream.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (manner, system, client, tls) = (shared.clone(), system.clone(), client.clone(), tls.clone());
                connections.spawn(async move {
                    let stream: Box<dyn Socket> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    if let Some(peer) = answer(stream, &manner).await {
                        let to = if peer.connect.header("login") == Some(SYSTEM) { system } else { client };
                        let _ = to.send(peer);
                    }
                });
            }
        });
        Self { address, manner, systems, clients, accepting }
    }

    pub(crate) fn become_(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The next system connection.
    pub(crate) async fn system(&mut self) -> Peer {
        timeout(PATIENCE, self.systems.recv()).await.expect("no system connection came").unwrap()
    }

    /// The next connection of a client session.
    pub(crate) async fn client(&mut self) -> Peer {
        timeout(PATIENCE, self.clients.recv()).await.expect("no client connection came").unwrap()
    }

    /// Whether a client connection has come that nobody asked for yet.
    pub(crate) fn has_client(&mut self) -> bool {
        !self.clients.is_empty()
    }

    /// Ends listening; the peers that were handed out live on.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.address
    }
}

async fn answer(stream: Box<dyn Socket>, manner: &Mutex<Manner>) -> Option<Peer> {
    let limits = DecodeLimits { headers: 100, header_size: 10_000, body_size: 1 << 22, frame_size: 1 << 23 };
    let connect = Frame { command: Command::Connect, headers: vec![], body: bytes::Bytes::new() };
    let mut peer =
        Peer { connect, stream, decoder: Decoder::new(limits), input: BytesMut::new(), ahead: None, heartbeats: 0 };
    peer.connect = peer.read().await?;
    let is_system = peer.connect.header("login") == Some(SYSTEM);
    loop {
        let manner = manner.lock().unwrap().clone();
        let heartbeat = match manner {
            Manner::Accept(heartbeat) => heartbeat,
            Manner::StallClients | Manner::RefuseClients(..) if is_system => "0,0",
            Manner::StallClients | Manner::Silence => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            Manner::Refuse(message, body) | Manner::RefuseClients(message, body) => {
                peer.send(Command::Error, &[("message", message)], body.as_bytes()).await;
                return None;
            }
            Manner::Garbage(text) => {
                peer.stream.write_all(text.as_bytes()).await.ok()?;
                let _ = peer.read().await;
                return None;
            }
            Manner::Close => return None,
        };
        let headers = [("version", "1.2"), ("heart-beat", heartbeat), ("server", "RabbitMQ/fake")];
        peer.send(Command::Connected, &headers, b"").await;
        peer.decoder.set_version(Version::V1_2);
        if !is_system {
            let first = peer.read().await?;
            if first.command == Command::Disconnect {
                // It only looked whether clients are welcome.
                peer.confirm(&first).await;
                return None;
            }
            peer.ahead = Some(first);
        }
        return Some(peer);
    }
}

impl Peer {
    async fn read(&mut self) -> Option<Frame> {
        if self.ahead.is_some() {
            return self.ahead.take();
        }
        loop {
            match self.decoder.decode(&mut self.input).expect("the relay writes STOMP") {
                Some(Item::Frame(frame)) => return Some(frame),
                Some(Item::Heartbeat) => self.heartbeats += 1,
                None => {
                    if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        timeout(PATIENCE, self.read()).await.expect("no frame came").expect("the relay closed")
    }

    /// The next frame, which must be of this command.
    pub(crate) async fn expect(&mut self, command: Command) -> Frame {
        let frame = self.next().await;
        assert_eq!(frame.command, command, "{frame:?}");
        frame
    }

    /// Waits for the relay to close; frames on the way are given back.
    pub(crate) async fn closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = timeout(PATIENCE, self.read()).await.expect("the relay does not close") {
            frames.push(frame);
        }
        frames
    }

    /// Reads heart-beats until there are `count`.
    pub(crate) async fn beats(&mut self, count: usize) {
        let beats = async {
            while self.heartbeats < count {
                if self.decoder.decode(&mut self.input).unwrap().is_some() {
                    self.heartbeats += 1;
                } else {
                    assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
                }
            }
        };
        timeout(PATIENCE, beats).await.expect("no heart-beats came");
    }

    pub(crate) async fn send(&mut self, command: Command, headers: &[(&str, &str)], body: &[u8]) {
        let mut out = Vec::new();
        encode(&mut out, Some(Version::V1_2), command, headers.iter().copied(), !body.is_empty(), body);
        let _ = self.stream.write_all(&out).await;
        let _ = self.stream.flush().await;
    }

    /// Sends one heart-beat.
    pub(crate) async fn beat(&mut self) {
        let _ = self.stream.write_all(b"\n").await;
    }

    /// Confirms a frame.
    pub(crate) async fn confirm(&mut self, frame: &Frame) {
        let receipt = frame.header("receipt").expect("a receipt is asked for");
        self.send(Command::Receipt, &[("receipt-id", receipt)], b"").await;
    }

    /// Sends a MESSAGE for a subscription, with `ack` and `message-id` the same.
    pub(crate) async fn message(&mut self, subscription: &str, ack: &str, body: &[u8]) {
        let headers = [("subscription", subscription), ("message-id", ack), ("ack", ack), ("destination", "/queue/a")];
        self.send(Command::Message, &headers, body).await;
    }
}

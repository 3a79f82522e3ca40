//! The broker as a whole: reads the configuration, binds the ports, serves until told to stop, drains.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use stompbroker_config::SockJs;
use tokio::{
    io::DuplexStream,
    net::TcpStream,
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::AdminServer,
    broker::Broker,
    configuration::{self, ConfigurationError, Source},
    drain,
    engine::embedded::StoreError,
    engines::RunningEngine,
    peers, stats,
    telemetry::Log,
    transport::{Listener, Port, accept_loop, tcp, websocket},
};

/// How long to wait before a port that was given up for a drain is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The store of persistent messages cannot be used.
    #[error(transparent)]
    Store(#[from] Box<StoreError>),
    /// A port cannot be bound.
    #[error("cannot listen on port {port} ({key}): {source}")]
    Listen {
        /// The port.
        port: u16,
        /// The key that says so.
        key: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    /// Whether the configuration is to blame rather than the machine.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Configuration(_))
    }
}

/// A part of the broker that must always run has ended.
#[derive(Debug, thiserror::Error)]
#[error("a background task has failed: {0}")]
pub struct RunError(#[source] JoinError);

/// Where the broker listens, with the real ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// STOMP over TCP.
    pub stomp: Option<SocketAddr>,
    /// STOMP over TCP with TLS, where that has a port of its own.
    pub stomp_tls: Option<SocketAddr>,
    /// STOMP over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// STOMP over WebSocket with TLS, where that has a port of its own.
    pub websocket_tls: Option<SocketAddr>,
    /// The admin port.
    pub admin: SocketAddr,
    /// Where the other pods of the broker connect.
    pub peers: Option<SocketAddr>,
}

/// Serves clients that did not come through a port, but through a pipe within this process.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<Broker>);

impl Acceptor {
    /// Begins to serve a client that speaks STOMP over this pipe, as if it had connected to `listeners.stomp` from `peer`.
    /// Says whether `limits.connectionsPerPod` leaves room for it; the pipe is closed where it does not.
    pub fn serve(&self, stream: DuplexStream, peer: SocketAddr) -> bool {
        tcp::serve_pipe(&self.0, stream, peer)
    }
}

/// A broker that has its ports and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    broker: Arc<Broker>,
    source: Source,
    stomp: Ports,
    websocket: Ports,
    admin: Listener,
    peers: Option<Listener>,
}

/// The ports of one listener.
#[derive(Debug)]
struct Ports {
    main: Option<Listener>,
    tls: Option<Listener>,
}

impl Server {
    /// Reads the configuration and binds its ports; must be called within a Tokio runtime. Leaves the log of the process as
    /// it is.
    ///
    /// # Errors
    /// When the configuration cannot be used or a port cannot be bound.
    pub fn bind(config: &Path) -> Result<Self, StartError> {
        Self::bind_logging_to(config, Log::default())
    }

    /// As [`Self::bind`], and brings `logging` into force in this log.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_logging_to(config: &Path, log: Log) -> Result<Self, StartError> {
        let mut source = Source::new(config);
        let configuration = source.load()?;
        log.configure(configuration.config.logging);
        let listeners = &configuration.config.listeners;
        let stomp = listeners.stomp.as_ref();
        let stomp = Ports {
            main: listen_if(stomp.map(|stomp| stomp.port), "listeners.stomp.port")?,
            tls: listen_if(stomp.and_then(|stomp| stomp.tls.as_ref()?.port), "listeners.stomp.tls.port")?,
        };
        let websocket = listeners.websocket.as_ref();
        let websocket = Ports {
            main: listen_if(websocket.map(|websocket| websocket.port), "listeners.websocket.port")?,
            tls: listen_if(
                websocket.and_then(|websocket| websocket.tls.as_ref()?.port),
                "listeners.websocket.tls.port",
            )?,
        };
        let admin = listen(configuration.config.admin.port, "admin.port")?;
        let peers = configuration.config.peers.as_ref().map(|peers| peers.port);
        let peers = listen_if(peers, "peers.port")?;
        let engine = RunningEngine::start(&configuration.config).map_err(Box::new)?;
        Ok(Self { broker: Arc::new(Broker::new(configuration, engine, log)), source, stomp, websocket, admin, peers })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            stomp: self.stomp.main.as_ref().map(Listener::address),
            stomp_tls: self.stomp.tls.as_ref().map(Listener::address),
            websocket: self.websocket.main.as_ref().map(Listener::address),
            websocket_tls: self.websocket.tls.as_ref().map(Listener::address),
            admin: self.admin.address(),
            peers: self.peers.as_ref().map(Listener::address),
        }
    }

    /// What serves clients of this process.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.broker))
    }

    /// Serves until `shutdown`, then drains; returns when the last session has ended.
    ///
    /// # Errors
    /// When a part of the broker that must always run has ended; what could still be drained has been.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let Self { broker, source, stomp, websocket, admin, peers } = self;
        let mut tasks = JoinSet::new();
        let at_start = broker.current().config.clone();
        tasks.spawn(configuration::watch(Arc::clone(&broker), source, at_start));
        tasks.spawn(stats::sample(Arc::clone(&broker)));
        tasks.spawn(broker.running_engine.keep_time());
        tasks.spawn(tend_sockjs(Arc::clone(&broker)));
        tasks.spawn(drain::run(Arc::clone(&broker)));
        tasks.spawn(export_spans(Arc::clone(&broker)));
        tasks.spawn(send_replies(Arc::clone(&broker)));
        tasks.spawn(serve_admin(Arc::clone(&broker), admin));
        if let Some(listener) = peers {
            tasks.spawn(peers::follow(Arc::clone(&broker), listener.address().port()));
            tasks.spawn(peers::serve(Arc::clone(&broker), listener));
        }
        for (listener, port) in stomp.with_their_names() {
            tracing::info!(listener = %listener.address(), ?port, "serving STOMP over TCP");
            let serving = Arc::clone(&broker);
            let serve = move |stream, peer| tcp::serve(&serving, stream, peer, port);
            tasks.spawn(accept_unless_draining(Arc::clone(&broker), listener, serve));
        }
        for (listener, port) in websocket.with_their_names() {
            tracing::info!(listener = %listener.address(), ?port, "serving STOMP over WebSocket");
            let serving = Arc::clone(&broker);
            let serve = move |stream, peer| websocket::serve(&serving, stream, peer, port);
            tasks.spawn(accept_unless_draining(Arc::clone(&broker), listener, serve));
        }
        broker.is_serving();
        let outcome = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            error = first_failure(&mut tasks) => Err(RunError(error)),
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, "shutting down");
        }
        broker.drain.begin_for_good();
        broker.drain.done().await;
        broker.peers.finish().await;
        broker.applications.stop().await;
        broker.running_engine.stop().await;
        broker.tracer.finish().await;
        tasks.shutdown().await;
        outcome
    }
}

/// Waits for a task that panicked; those that end in order, as a drain lets them, are passed over.
async fn first_failure(tasks: &mut JoinSet<()>) -> JoinError {
    loop {
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return error,
            None => std::future::pending().await,
        }
    }
}

impl Ports {
    fn with_their_names(self) -> impl Iterator<Item = (Listener, Port)> {
        let main = self.main.map(|listener| (listener, Port::Main));
        main.into_iter().chain(self.tls.map(|listener| (listener, Port::Tls)))
    }
}

fn listen_if(port: Option<u16>, key: &'static str) -> Result<Option<Listener>, StartError> {
    port.map(|port| listen(port, key)).transpose()
}

fn listen(port: u16, key: &'static str) -> Result<Listener, StartError> {
    Listener::bind(port).map_err(|source| StartError::Listen { port, key, source })
}

/// Sends spans to the collector until the broker ends.
async fn export_spans(broker: Arc<Broker>) {
    broker.tracer.export(broker.origin()).await;
}

/// Sends what applications answer on to the engine until the broker ends.
async fn send_replies(broker: Arc<Broker>) {
    broker.applications.publish(Arc::clone(&broker.engine)).await;
}

/// Ends SockJS sessions whose clients have stopped coming, for ever.
async fn tend_sockjs(broker: Arc<Broker>) {
    let delay = || {
        let current = broker.current();
        let sock_js = current.config.listeners.websocket.as_ref().and_then(|websocket| websocket.sock_js.as_ref());
        sock_js.map_or_else(|| SockJs::default().disconnect_delay.0, |sock_js| sock_js.disconnect_delay.0)
    };
    broker.sockjs.tend(delay).await;
}

/// Accepts until a drain closes the port, and binds it again when the drain is called off; ends only when it is dropped.
async fn accept_unless_draining(
    broker: Arc<Broker>,
    mut listener: Listener,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let port = listener.address().port();
    loop {
        accept_loop(listener, broker.drain.gate(), &mut serve).await;
        broker.drain.called_off().await;
        listener = loop {
            match Listener::bind(port) {
                Ok(listener) => break listener,
                Err(error) => tracing::error!(port, %error, "cannot bind the port again; trying on"),
            }
            sleep(BIND_AGAIN).await;
        };
    }
}

/// Serves the admin port for ever, also during and after a drain; owns its connections.
async fn serve_admin(broker: Arc<Broker>, listener: Listener) {
    tracing::info!(listener = %listener.address(), "serving the admin port");
    let server = AdminServer::new(broker);
    let mut connections = JoinSet::new();
    accept_loop(listener, CancellationToken::new(), |stream, peer| {
        while connections.try_join_next().is_some() {}
        connections.spawn(server.serve(stream, peer));
    })
    .await;
}

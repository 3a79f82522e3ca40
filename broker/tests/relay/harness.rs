//! A relay with its configuration, credentials and sessions.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stompbroker::{
    engine::{
        Acknowledge, Delivery, Engine, EngineError, EngineSession, Event, Operation, SessionInfo, Subscription,
        SubscriptionKey, Ticket, relay::Relay,
    },
    mailbox::Mailbox,
    message::Message,
};
use stompbroker_config::{
    CredentialDirectory, GoDuration, HeartbeatPair, RelayEngine, Upstream as Configured,
    admin::{RelayStatus, UpstreamState},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::upstream::{PATIENCE, SYSTEM};

/// Octets of a session's mailbox.
pub(crate) const MAILBOX: usize = 64 << 10;

pub(crate) struct Harness {
    pub(crate) relay: Arc<Relay>,
    pub(crate) config: watch::Sender<Arc<RelayEngine>>,
    pub(crate) credentials: tempfile::TempDir,
    tasks: TaskTracker,
    stop: CancellationToken,
    sessions: AtomicU64,
}

pub(crate) fn configured(address: SocketAddr, zone: Option<&str>) -> Configured {
    Configured { host: address.ip().to_string(), port: address.port(), zone: zone.map(str::to_owned) }
}

impl Harness {
    /// A relay of a pod in zone `a` with these upstreams, with its tasks running.
    pub(crate) fn start(upstreams: Vec<Configured>) -> Self {
        Self::start_with(upstreams, |_| {})
    }

    pub(crate) fn start_with(upstreams: Vec<Configured>, change: impl FnOnce(&mut RelayEngine)) -> Self {
        let credentials = tempfile::tempdir().unwrap();
        let directory = |user: &str, password: &str| {
            let directory = credentials.path().join(user);
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("username"), user).unwrap();
            std::fs::write(directory.join("password"), password).unwrap();
            CredentialDirectory { directory }
        };
        let period = GoDuration(Duration::from_millis(300));
        let mut config = RelayEngine {
            destination_prefixes: vec!["/topic".to_owned(), "/queue".to_owned()],
            upstreams,
            tls: None,
            multiplex: None,
            user_destination_broadcast: None,
            user_registry_broadcast: None,
            virtual_host: None,
            system_credentials: directory(SYSTEM, "first"),
            client_credentials: directory("cli", "c:lient"),
            heartbeat: HeartbeatPair { send: period, receive: period },
            connect_timeout: GoDuration(Duration::from_secs(2)),
        };
        change(&mut config);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (config, receiver) = watch::channel(Arc::new(config));
        let relay = Relay::start(receiver, Some("a"), &tasks, stop.clone());
        Self { relay, config, credentials, tasks, stop, sessions: AtomicU64::new(0) }
    }

    pub(crate) fn status(&self) -> RelayStatus {
        self.relay.relay_status().unwrap()
    }

    /// Waits until the relay's status is as the test wants it.
    pub(crate) async fn eventually(&self, what: &str, is: impl Fn(&RelayStatus) -> bool) {
        let poll = async {
            while !is(&self.status()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(PATIENCE, poll).await.is_ok(), "never {what}: {:?}", self.status());
    }

    pub(crate) async fn connected(&self) {
        self.eventually("connected", |status| status.connected).await;
    }

    /// Waits until the first upstream is seen so.
    pub(crate) async fn sees(&self, state: UpstreamState) {
        self.eventually(&format!("{state:?}"), |status| status.upstreams[0].state == state).await;
    }

    pub(crate) fn reload(&self, change: impl FnOnce(&mut RelayEngine)) {
        let mut config = (**self.config.borrow()).clone();
        change(&mut config);
        self.config.send(Arc::new(config)).unwrap();
    }

    /// A session; with a `client-id` unless connections are shared, for that asks for one of its own.
    pub(crate) fn session(&self) -> Session {
        let shares = self.config.borrow().multiplex.is_some();
        self.session_of((!shares).then_some("ann-1"))
    }

    pub(crate) fn session_of(&self, client_id: Option<&str>) -> Session {
        let id = format!("session-{}", self.sessions.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::new(MAILBOX));
        let (host, client_id) = (Some("ignored".into()), client_id.map(Box::from));
        let info = SessionInfo { id: id.into(), user: "ann".into(), virtual_host: host, client_id };
        let engine = self.relay.open(&info, mailbox.clone()).unwrap();
        Session { engine, mailbox, batch: Vec::new() }
    }

    /// Stops the relay and waits for all its tasks.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("a task of the relay outlives it");
    }

    /// Waits for all tasks of sessions to end while the relay lives.
    pub(crate) async fn no_connections(&self) {
        self.eventually("without client connections", |status| status.client_connections == 0).await;
    }
}

/// The part of a client session, as the real one would play it.
pub(crate) struct Session {
    pub(crate) engine: Box<dyn EngineSession>,
    pub(crate) mailbox: Arc<Mailbox>,
    batch: Vec<Event>,
}

impl Session {
    pub(crate) fn submit(&mut self, operation: Operation, ticket: u64) {
        self.engine.submit(operation, Some(Ticket(ticket)));
    }

    pub(crate) fn send(&mut self, destination: &str, body: &'static str, ticket: Option<u64>) {
        self.engine.submit(send(destination, body.as_bytes().to_vec()), ticket.map(Ticket));
    }

    pub(crate) fn subscribe(&mut self, key: u32, destination: &str, acknowledge: Acknowledge, ticket: Option<u64>) {
        let subscription = Subscription {
            key: SubscriptionKey(key),
            destination: destination.into(),
            acknowledge,
            prefetch: None,
            headers: Vec::new(),
        };
        self.engine.submit(Operation::Subscribe(subscription), ticket.map(Ticket));
    }

    pub(crate) fn unsubscribe(&mut self, key: u32, headers: &[(&str, &str)], ticket: u64) {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        self.submit(Operation::Unsubscribe { subscription: SubscriptionKey(key), headers }, ticket);
    }

    /// The next event; a delivery stays counted in the mailbox until [`Self::release`].
    pub(crate) async fn event(&mut self) -> Event {
        if self.batch.is_empty() {
            timeout(PATIENCE, self.mailbox.ready()).await.expect("no event came");
            self.mailbox.take(&mut self.batch);
        }
        self.batch.remove(0)
    }

    /// The next event, which must be a delivery; it has left for the client.
    pub(crate) async fn delivery(&mut self) -> Delivery {
        match self.event().await {
            Event::Delivery(delivery) => {
                self.mailbox.release(delivery.message.size());
                delivery
            }
            other => panic!("expected a delivery, got {other:?}"),
        }
    }

    pub(crate) async fn completed(&mut self, ticket: u64) {
        match self.event().await {
            Event::Completed(Ticket(found)) => assert_eq!(found, ticket),
            other => panic!("expected completion of {ticket}, got {other:?}"),
        }
    }

    pub(crate) async fn failed(&mut self, ticket: Option<u64>, error: EngineError) {
        match self.event().await {
            Event::Failed { ticket: found, error: why } => assert_eq!((found, why), (ticket.map(Ticket), error)),
            other => panic!("expected failure of {ticket:?}, got {other:?}"),
        }
    }

    pub(crate) async fn closed(&mut self, error: EngineError) {
        match self.event().await {
            Event::Closed(why) => assert_eq!(why, error),
            other => panic!("expected the end, got {other:?}"),
        }
    }

    /// Whether nothing waits for the session.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if self.batch.is_empty() {
            self.mailbox.take(&mut self.batch);
        }
        self.batch.is_empty()
    }
}

pub(crate) fn send(destination: &str, body: Vec<u8>) -> Operation {
    Operation::Send(Arc::new(Message::new("m".into(), destination.into(), Vec::new(), body.into(), true)))
}

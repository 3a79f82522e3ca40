//! The one system connection of the pod: it says whether an upstream is there, and leads the sessions to it.
//!
//! Carries what concerns users of several servers, see [`users`](super::users), and no other messages. Logs in with the system credentials, exchanges heart-beats, and is made again for ever, by the
//! [`Supervisor`]'s plan. What it finds goes to the [`Board`](super::board::Board). An upstream serves only if it takes the
//! client credentials too, which is tried once before: a pod whose sessions would all be refused must not be ready.

use std::{pin::Pin, sync::Arc, time::Duration};

use stompbroker_config::{RelayEngine, admin::UpstreamState};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Shared,
    connect::{Role, connect},
    connection::{FAREWELL, farewell},
    failure::{self, Failure},
    link::{Link, at},
    seat::Seat,
    settings::{Address, Settings},
    supervisor::{Step, Supervisor},
    tls::Clients,
    users,
};
use crate::stomp::Command;

/// How often it is looked whether others must be told of users.
const TELL_PACE: Duration = Duration::from_secs(1);
/// After so many looks all are told, as Spring applications do.
const TELL_ALL: u32 = 10;
/// Others are told nothing of users while more octets than this wait for the upstream.
const MAX_WAITING: usize = 1 << 20;

type Connecting = Pin<Box<dyn Future<Output = (Address, Result<Box<Link>, Failure>)> + Send>>;

/// The task's state.
pub(super) struct System {
    shared: Arc<Shared>,
    config: watch::Receiver<Arc<RelayEngine>>,
    /// Whether the sender of `config` still lives.
    reloads: bool,
    supervisor: Supervisor,
    /// The standing connection.
    link: Option<Box<Link>>,
    /// A connection on its way, while none or another one stands.
    connecting: Option<Connecting>,
    /// When to look whether others must be told of users.
    tell_at: Instant,
    /// Looks until all are told.
    until_all: u32,
}

/// What woke the task.
enum Woken {
    Stopped,
    Reloaded(bool),
    Connected(Address, Result<Box<Link>, Failure>),
    Progress(Result<(), Failure>),
    /// Queues of users have come or gone.
    Queues,
    /// It is time to tell others of users.
    Tell,
    Time,
}

impl System {
    /// A task that has tried nothing yet.
    pub(super) fn new(shared: Arc<Shared>, config: watch::Receiver<Arc<RelayEngine>>) -> Self {
        let supervisor = Supervisor::new(&shared.settings.load().candidates);
        Self {
            shared,
            config,
            reloads: true,
            supervisor,
            link: None,
            connecting: None,
            tell_at: Instant::now(),
            until_all: 0,
        }
    }

    /// Runs until the process stops.
    pub(super) async fn run(mut self) {
        loop {
            let wake_at = self.plan();
            match self.wait(wake_at).await {
                Woken::Stopped => break,
                Woken::Reloaded(alive) => self.reload(alive),
                Woken::Connected(address, result) => self.connected(&address, result).await,
                Woken::Progress(result) => {
                    if let Err(failure) = result.and_then(|()| self.read()) {
                        self.lost(&failure);
                    }
                }
                Woken::Queues => self.tell_queues(false),
                Woken::Tell => self.tell_registry(),
                Woken::Time => {}
            }
        }
        if let Some(link) = &mut self.link {
            farewell(link, FAREWELL).await;
        }
        self.shared.board.lost(&Failure::new(UpstreamState::Unreachable, "the broker stops"));
    }

    /// Begins what the supervisor wants to be begun, and says when to ask again.
    fn plan(&mut self) -> Option<Instant> {
        if self.connecting.is_some() {
            return None;
        }
        match self.supervisor.next(Instant::now()) {
            Step::Try(address) => {
                let relay = self.shared.settings.load().relay.clone();
                let clients = self.shared.tls.clone();
                self.connecting = Some(Box::pin(async move {
                    let result = establish(&clients, &address, &relay).await;
                    (address, result.map(Box::new))
                }));
                None
            }
            Step::Wait(until) => Some(until),
            Step::Rest => None,
        }
    }

    async fn wait(&mut self, wake_at: Option<Instant>) -> Woken {
        let Self { shared, config, reloads, link, connecting, tell_at, .. } = self;
        let stands = link.is_some();
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => Woken::Stopped,
            changed = config.changed(), if *reloads => Woken::Reloaded(changed.is_ok()),
            (address, result) = async { match connecting {
                Some(connecting) => connecting.await,
                None => std::future::pending().await,
            } } => {
                *connecting = None;
                Woken::Connected(address, result)
            }
            result = async { match link {
                Some(link) => link.progress(true).await,
                None => std::future::pending().await,
            } } => Woken::Progress(result),
            () = shared.users.news.notified() => Woken::Queues,
            () = tokio::time::sleep_until(*tell_at), if stands => Woken::Tell,
            () = at(wake_at) => Woken::Time,
        }
    }

    fn reload(&mut self, alive: bool) {
        self.reloads = alive;
        if !alive {
            return;
        }
        let relay = self.config.borrow_and_update().clone();
        let before = self.shared.settings.load_full();
        if before.relay == relay {
            return;
        }
        let settings = Arc::new(Settings::new(relay, self.shared.zone.as_deref()));
        let (old, new) = (&before.relay, &settings.relay);
        // Sessions on another virtual host would not meet those on this one.
        let moved = old.virtual_host != new.virtual_host;
        let stays = !moved
            && old.heartbeat == new.heartbeat
            && old.tls == new.tls
            && old.user_destination_broadcast == new.user_destination_broadcast
            && old.user_registry_broadcast == new.user_registry_broadcast
            && self.shared.board.active().is_some_and(|reign| settings.knows(&reign.address));
        self.shared.settings.store(settings.clone());
        self.supervisor.replace(&settings.candidates);
        self.supervisor.retry_at_once();
        self.connecting = None;
        self.shared.board.retain(|address| settings.knows(address), moved);
        if self.link.is_some() && !stays {
            // Sessions whose upstream is still valid keep it; only the system connection is made anew.
            self.supervisor.dropped();
            self.link = None;
        }
        tracing::info!(upstreams = settings.candidates.len(), "relay reloaded");
    }

    async fn connected(&mut self, address: &Address, result: Result<Box<Link>, Failure>) {
        match result {
            Ok(link) => {
                self.supervisor.connected(address, Instant::now());
                self.shared.board.connected(address);
                tracing::info!(upstream = %address, "system connection stands");
                let previous = self.link.replace(link);
                self.tell_queues(true);
                (self.tell_at, self.until_all) = (Instant::now(), 0);
                if let Some(mut previous) = previous {
                    farewell(&mut previous, FAREWELL).await;
                }
            }
            Err(failure) => {
                let pause = self.supervisor.failed(address, Instant::now(), rand::random());
                if self.link.is_none() && self.shared.board.active().is_some_and(|reign| reign.address == *address) {
                    // It was to be renewed after a reload, and the upstream takes it no longer.
                    self.shared.board.lost(&failure);
                }
                if self.shared.board.failed(address, &failure) {
                    tracing::warn!(upstream = %address, state = ?failure.state, %failure, pause = pause.map(tracing::field::debug), "cannot connect to the upstream");
                } else {
                    tracing::debug!(upstream = %address, %failure, pause = pause.map(tracing::field::debug), "cannot connect to the upstream, as before");
                }
            }
        }
    }

    /// Has the standing connection subscribe to what Spring applications send to sessions of this pod; to `all` of it if the
    /// connection is new.
    fn tell_queues(&mut self, all: bool) {
        let registry = self.shared.settings.load().relay.user_registry_broadcast.is_some();
        match self.link.as_mut().filter(|_| registry) {
            Some(link) => {
                let version = link.agreement().version;
                self.shared.users.tell_queues(all, version, link.output());
            }
            None => self.shared.users.tell_nobody(),
        }
    }

    fn tell_registry(&mut self) {
        self.tell_at = Instant::now() + TELL_PACE;
        let settings = self.shared.settings.load();
        let Some((topic, link)) = settings.relay.user_registry_broadcast.as_deref().zip(self.link.as_mut()) else {
            return;
        };
        if link.waiting() > MAX_WAITING {
            return;
        }
        let all = self.until_all == 0;
        self.until_all = if all { TELL_ALL - 1 } else { self.until_all - 1 };
        let version = link.agreement().version;
        self.shared.users.tell_registry(topic, all, version, link.output());
    }

    /// What comes on the system connection, besides heart-beats, is about users.
    fn read(&mut self) -> Result<(), Failure> {
        let Some(link) = &mut self.link else { return Ok(()) };
        while let Some(frame) = link.next_frame()? {
            if frame.command == Command::Message {
                self.shared.users.receive(frame);
            } else if frame.command == Command::Error && !Seat::is_late(&frame) {
                let text = format!("the upstream ended the system connection: {}", failure::spoken(&frame));
                return Err(Failure::new(UpstreamState::ProtocolError, text));
            }
        }
        Ok(())
    }

    fn lost(&mut self, failure: &Failure) {
        self.link = None;
        let pause = self.supervisor.lost(Instant::now(), rand::random());
        if let Some(reign) = self.shared.board.active() {
            tracing::warn!(upstream = %reign.address, state = ?failure.state, %failure, pause = pause.map(tracing::field::debug), "system connection lost");
        }
        self.shared.board.lost(failure);
    }
}

/// Makes a system connection to an upstream that takes client connections as well.
async fn establish(clients: &Arc<Clients>, address: &Address, relay: &RelayEngine) -> Result<Link, Failure> {
    let mut link = connect(clients, address, relay, Role::System, None).await?;
    match connect(clients, address, relay, Role::Client, None).await {
        Ok(mut client) => farewell(&mut client, FAREWELL).await,
        Err(failure) => {
            farewell(&mut link, FAREWELL).await;
            return Err(failure.of_clients());
        }
    }
    hear_of_users(&mut link, relay).await?;
    Ok(link)
}

/// Subscribes to the broadcasts; an upstream serves only once it has confirmed that, for until then messages for users pass by.
async fn hear_of_users(link: &mut Link, relay: &RelayEngine) -> Result<(), Failure> {
    let (patience, version) = (relay.connect_timeout.0, link.agreement().version);
    for (key, id, topic) in [
        ("userDestinationBroadcast", users::MESSAGES, &relay.user_destination_broadcast),
        ("userRegistryBroadcast", users::REGISTRIES, &relay.user_registry_broadcast),
    ] {
        let Some(topic) = topic else { continue };
        users::subscribe(id, topic, Some(id), version, link.output());
        let confirmed = timeout(patience, confirmation(link, id)).await;
        let late = || Failure::new(UpstreamState::Unreachable, format!("no RECEIPT within {patience:?}"));
        confirmed.unwrap_or_else(|_| Err(late())).map_err(|failure| {
            let text = format!("the subscription to engine.relay.{key} {topic}: {failure}");
            Failure::new(failure.state, text)
        })?;
    }
    Ok(())
}

async fn confirmation(link: &mut Link, receipt: &str) -> Result<(), Failure> {
    loop {
        while let Some(frame) = link.next_frame()? {
            match frame.command {
                Command::Receipt if frame.header("receipt-id") == Some(receipt) => return Ok(()),
                Command::Error => return Err(Failure::new(UpstreamState::ProtocolError, failure::spoken(&frame))),
                // A message that comes before all is in place may pass by.
                _ => {}
            }
        }
        link.progress(true).await?;
    }
}

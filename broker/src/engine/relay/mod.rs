//! Messages go to a STOMP broker upstream, as with Spring's `StompBrokerRelayMessageHandler`.
//!
//! ```text
//!                 ┌ System ── Supervisor (which upstream, when) ──► upstream
//! Relay ── Shared ┤     │ Board (which upstream serves, what failed)
//!                 └ Pool ── Connection, one a session that used the relay, or a few for all ──► the upstream that serves
//! ```
//!
//! * One system connection a pod tells whether an upstream is there; each client session has a connection of its own,
//!   opened with its first operation, with the client credentials, or a place on one of a few (`relay.multiplex`).
//! * The loss of the system connection ends the sessions of that upstream with `Broker not available.`, and so does the loss
//!   of a session's own connection. What the upstream has not confirmed fails: there is never a RECEIPT for it.
//! * Destinations of users are served by the pod itself, see [`users`].
//! * A destination outside the configured prefixes is refused; nothing else in the pod serves it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use stompbroker_config::{RelayEngine, admin::RelayStatus};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::tls::check as check_tls;
use self::{
    board::Board,
    pool::Pool,
    port::Port,
    queue::{Item, OperationQueue},
    settings::Settings,
    system::System,
    users::{Half, Presence, Users},
};
use super::{DestinationStatus, Engine, EngineError, EngineSession, Event, Operation, SessionInfo, Ticket};
use crate::mailbox::Mailbox;

mod bell;
mod board;
mod connect;
mod connection;
mod failure;
mod ledger;
mod link;
mod pool;
mod port;
mod queue;
mod returns;
mod seat;
mod settings;
mod stream;
mod supervisor;
mod system;
mod tls;
mod translator;
mod users;

/// Connections of sessions that are being made at once.
const MAX_DIALS: usize = 64;

/// What the tasks of the relay share.
struct Shared {
    settings: ArcSwap<Settings>,
    zone: Option<Box<str>>,
    board: Board,
    dials: Semaphore,
    pool: Pool,
    tls: Arc<tls::Clients>,
    users: Arc<Users>,
    connections: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Counts a connection for as long as it lives.
struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Gives sessions that have lost their shared connection places on others.
    fn seat_again(self: &Arc<Self>, ports: Vec<Port>) {
        // Where there is none to be had, dropping a session tells it so.
        let Some(reign) = self.board.active() else { return };
        let most = self.settings.load().shared_connections().unwrap_or(1);
        for port in ports {
            self.pool.seat(self, &reign, most, port);
        }
    }

    fn count_connection(&self) -> Counted<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(&self.connections)
    }
}

/// The relay engine.
pub struct Relay {
    shared: Arc<Shared>,
}

impl Relay {
    /// Starts the relay of a pod in `zone`. Its tasks belong to `tasks` and end soon after `stop` is cancelled.
    ///
    /// A change of `config` takes effect at once: sessions keep their connection as long as their upstream is still in the
    /// list and `virtualHost` is the same.
    pub fn start(
        config: watch::Receiver<Arc<RelayEngine>>,
        zone: Option<&str>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let settings = Settings::new(config.borrow().clone(), zone);
        let shared = Arc::new(Shared {
            settings: ArcSwap::from_pointee(settings),
            zone: zone.map(Box::from),
            board: Board::default(),
            dials: Semaphore::new(MAX_DIALS),
            pool: Pool::default(),
            tls: Arc::default(),
            users: Arc::default(),
            connections: AtomicU64::new(0),
            tasks: tasks.clone(),
            stop,
        });
        tasks.spawn(System::new(shared.clone(), config).run());
        Arc::new(Self { shared })
    }
}

impl Engine for Relay {
    fn open(&self, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Result<Box<dyn EngineSession>, EngineError> {
        let presence = self.shared.users.enter(session);
        let (shared, info) = (self.shared.clone(), session.clone());
        Ok(Box::new(RelaySession { shared, info, mailbox, queue: None, _presence: presence }))
    }

    fn ready(&self) -> Result<(), String> {
        let RelayStatus { connected, upstreams, .. } = self.status();
        if connected {
            return Ok(());
        }
        let mut text = "no upstream answers".to_owned();
        for upstream in upstreams {
            let message = upstream.message.as_deref().unwrap_or("not tried yet");
            // Writing to a String cannot fail.
            let _ = write!(text, "; {}:{} {:?}: {message}", upstream.host, upstream.port, upstream.state);
        }
        Err(text)
    }

    fn destinations(&self) -> BTreeMap<Box<str>, DestinationStatus> {
        // Of the others only the upstream knows.
        self.shared.users.local().destinations()
    }

    fn relay_status(&self) -> Option<RelayStatus> {
        Some(self.status())
    }
}

impl Relay {
    fn status(&self) -> RelayStatus {
        let (connected, upstreams) = self.shared.board.status(&self.shared.settings.load().candidates);
        RelayStatus { connected, client_connections: self.shared.connections.load(Ordering::Relaxed), upstreams }
    }
}

/// The relay's half of a client session. Costs nothing upstream before its first operation.
struct RelaySession {
    shared: Arc<Shared>,
    /// Who it is; its `client-id` says whose durable subscriptions of the upstream it means.
    info: SessionInfo,
    mailbox: Arc<Mailbox>,
    queue: Option<Arc<OperationQueue>>,
    _presence: Option<Presence>,
}

impl RelaySession {
    fn fail(&self, ticket: Option<Ticket>, error: EngineError) {
        self.mailbox.notify(Event::Failed { ticket, error });
    }

    fn connect(&mut self) -> Option<Arc<OperationQueue>> {
        let reign = self.shared.board.active()?;
        let queue = Arc::new(OperationQueue::default());
        let half = Half::new(self.shared.users.clone(), &self.info, self.mailbox.clone());
        let port = Port::new(self.info.id.clone(), half, self.mailbox.clone(), queue.clone());
        match self.shared.settings.load().shared_connections() {
            // What durable subscriptions mean depends on the client-id of the connection.
            Some(most) if self.info.client_id.is_none() => self.shared.pool.seat(&self.shared, &reign, most, port),
            _ => pool::seat_alone(&self.shared, &reign, self.info.client_id.clone(), port),
        }
        self.queue = Some(queue.clone());
        Some(queue)
    }
}

impl EngineSession for RelaySession {
    fn submit(&mut self, operation: Operation, ticket: Option<Ticket>) {
        let settings = self.shared.settings.load_full();
        let checked = settings.check(&operation);
        let mut items = match checked.and_then(|()| self.shared.users.upstream(&settings.relay, operation)) {
            Ok(operations) => operations.into_iter().map(|operation| Item::Operation(operation, None)).collect(),
            Err(error) if self.queue.is_none() => return self.fail(ticket, error),
            Err(error) => vec![Item::Refusal(error, None)],
        };
        // What one operation has become is done when the last of it is.
        if let Some(Item::Operation(_, last) | Item::Refusal(_, last)) = items.last_mut() {
            *last = ticket;
        }
        let Some(queue) = self.queue.clone().or_else(|| self.connect()) else {
            return self.fail(ticket, EngineError::NotAvailable);
        };
        for item in items {
            if queue.push(item).is_err() {
                return self.fail(ticket, EngineError::NotAvailable);
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_ready())
    }
}

impl Drop for RelaySession {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }
}

//! The upstream connection of one client session: opened with the session's first operation, closed with the session.
//!
//! ```text
//! session ── OperationQueue ──► Translator ──► Link ──► upstream
//!    ▲                              │            │
//!    └── Mailbox ◄── answers, deliveries ◄───────┘
//! ```
//!
//! A client that takes its messages slowly fills its mailbox; the connection then reads nothing from the upstream until half
//! of the mailbox is free, so that TCP slows the upstream down and nothing is dropped. Answers wait as well meanwhile, for
//! they come by the same way; the session's own `sendTimeout` ends a client that takes nothing at all.
//!
//! Whatever ends the connection, every ticket is answered: what the upstream has not confirmed fails.

use std::{sync::Arc, time::Duration};

use stompbroker_config::admin::UpstreamState;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    Shared,
    board::Reign,
    connect::{Role, connect},
    failure::{self, Failure},
    link::{Link, at},
    queue::{Item, Next, OperationQueue},
    translator::Translator,
};
use crate::{
    engine::{Delivery, EngineError, Event, Ticket},
    mailbox::Mailbox,
    stomp::{Command, Frame, encode},
};

/// Octets that may wait for the upstream before no further operation is taken.
const MAX_WAITING: usize = 256 << 10;
/// Operations that the upstream may have left to confirm.
const MAX_UNCONFIRMED: usize = 1_000;
/// How long an upstream may take to confirm an operation.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the connection outlives its session, to send what the session had asked for.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the upstream may take to answer DISCONNECT.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How the connection ended.
enum End {
    /// The session is gone and everything it asked for has been sent.
    SessionGone,
    /// The process stops.
    Stopped,
    /// The configuration or the loss of the upstream ended it.
    ReignOver,
    /// The connection broke, or was never made.
    Failed(Failure),
    /// The upstream sent an ERROR: the text for the client, and the ticket it was about.
    Refused(EngineError, Option<Ticket>),
}

/// What the session sees of its connection; dropping it fails all that is open, so that no way out forgets a ticket.
struct Port {
    session: Arc<str>,
    mailbox: Arc<Mailbox>,
    queue: Arc<OperationQueue>,
    translator: Option<Translator>,
    error: EngineError,
}

impl Port {
    fn fail(&self, ticket: Option<Ticket>, error: &EngineError) {
        self.mailbox.notify(Event::Failed { ticket, error: error.clone() });
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let unconfirmed: Vec<_> =
            self.translator.as_mut().map(|translator| translator.ledger.abandon().collect()).unwrap_or_default();
        let queued = self.queue.end();
        if self.queue.is_closed() {
            return;
        }
        for ticket in unconfirmed.into_iter().chain(queued.iter().filter_map(Item::ticket)) {
            self.fail(Some(ticket), &self.error);
        }
        self.mailbox.notify(Event::Closed(self.error.clone()));
    }
}

/// Runs the connection until it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    reign: Reign,
    (session, client_id): (Arc<str>, Option<Box<str>>),
    mailbox: Arc<Mailbox>,
    queue: Arc<OperationQueue>,
) {
    let mut port = Port { session, mailbox, queue, translator: None, error: EngineError::NotAvailable };
    let connected = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        () = reign.over.cancelled() => return,
        connected = dial(&shared, &reign, client_id.as_deref()) => connected,
    };
    let mut link = match connected {
        Ok(link) => link,
        Err(failure) => {
            tracing::debug!(session.id = %port.session, upstream = %reign.address, %failure, "no upstream connection");
            return;
        }
    };
    let _counted = shared.count_connection();
    tracing::debug!(session.id = %port.session, upstream = %reign.address, "upstream connection stands");
    let mut translator = Translator::new(link.agreement(), rand::random());
    let end = Connection::new(&mut port, &mut translator, &mut link).serve(&shared, &reign).await;
    port.translator = Some(translator);
    match end {
        End::SessionGone | End::Stopped => {
            drop(port);
            farewell(&mut link, FAREWELL).await;
        }
        End::ReignOver => {}
        End::Failed(failure) => {
            tracing::debug!(session.id = %port.session, upstream = %reign.address, %failure, "upstream connection lost");
        }
        End::Refused(error, ticket) => {
            // The one that the ERROR names goes first, so that the client's ERROR names it too.
            if !port.queue.is_closed() && ticket.is_some() {
                port.fail(ticket, &error);
            }
            port.error = error;
        }
    }
}

async fn dial(shared: &Shared, reign: &Reign, client_id: Option<&str>) -> Result<Link, Failure> {
    let relay = shared.settings.load().relay.clone();
    // After a failover all sessions come at once; the upstream gets them in portions.
    let patience = Instant::now() + relay.connect_timeout.0 * 2;
    let Ok(Ok(_permit)) = timeout_at(patience, shared.dials.acquire()).await else {
        return Err(Failure::new(UpstreamState::Unreachable, "too many connections wait for the upstream"));
    };
    let connected =
        connect(&shared.tls, &reign.address, &relay, Role::Client, client_id).await.map_err(Failure::of_clients);
    match &connected {
        Ok(_) => {
            shared.board.clients(&reign.address, None);
        }
        Err(failure) => {
            if shared.board.clients(&reign.address, Some(failure)) {
                tracing::warn!(upstream = %reign.address, state = ?failure.state, %failure,
                    "the upstream takes no connection of a client session");
            }
        }
    }
    connected
}

/// Says DISCONNECT and waits for the upstream to have read all that came before it, within `patience`.
pub(super) async fn farewell(link: &mut Link, patience: Duration) {
    const RECEIPT: &str = "bye";
    let version = link.agreement().version;
    encode(link.output(), Some(version), Command::Disconnect, [("receipt", RECEIPT)], false, b"");
    let answered = async {
        loop {
            while let Some(frame) = link.next_frame()? {
                if frame.command == Command::Receipt && frame.header("receipt-id") == Some(RECEIPT) {
                    return Ok::<_, Failure>(());
                }
            }
            link.progress(true).await?;
        }
    };
    // Without an answer in time there is nothing left to do but to close.
    let _ = timeout_at(Instant::now() + patience, answered).await;
}

struct Connection<'a> {
    port: &'a mut Port,
    translator: &'a mut Translator,
    link: &'a mut Link,
    /// A delivery that the mailbox had no room for; nothing is read while it waits.
    held: Option<Delivery>,
    /// Told when the mailbox has room for it.
    room: Arc<Notify>,
    /// An operation refused before it came here, to be answered after all that came before it.
    refusal: Option<(EngineError, Option<Ticket>)>,
    /// An operation waits at the head of the queue for an earlier subscription of the same name to end.
    blocked: bool,
    /// When the connection ends at the latest, since the session has gone.
    flush_until: Option<Instant>,
}

impl<'a> Connection<'a> {
    fn new(port: &'a mut Port, translator: &'a mut Translator, link: &'a mut Link) -> Self {
        let room = Arc::new(Notify::new());
        let told = room.clone();
        port.mailbox.on_room(move || told.notify_one());
        Self { port, translator, link, held: None, room, refusal: None, blocked: false, flush_until: None }
    }

    async fn serve(mut self, shared: &Shared, reign: &Reign) -> End {
        loop {
            self.notice_session();
            if let Err(end) = self.handle_input().and_then(|()| self.take_operations()) {
                return end;
            }
            let (queue, room) = (self.port.queue.clone(), self.room.clone());
            let (take, live, held) = (self.may_take(), self.flush_until.is_none(), self.held.is_some());
            let confirm = self.translator.ledger.oldest().filter(|_| !held).map(|since| since + CONFIRM_TIMEOUT);
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return End::Stopped,
                () = reign.over.cancelled() => return End::ReignOver,
                () = at(confirm) => {
                    let text = format!("The upstream broker did not confirm within {CONFIRM_TIMEOUT:?}.");
                    return End::Refused(EngineError::Upstream(text.into()), None);
                }
                () = at(self.flush_until) => {
                    return End::Failed(Failure::new(UpstreamState::Unreachable, "the upstream takes no more"));
                }
                progress = self.link.progress(!held) => {
                    if let Err(failure) = progress {
                        return End::Failed(failure);
                    }
                }
                () = queue.changed(take, live) => {}
                () = room.notified(), if held => self.deliver_held(),
            }
        }
    }

    /// Whether the next operation could be taken from the queue.
    fn may_take(&self) -> bool {
        !self.blocked
            && self.refusal.is_none()
            && self.link.waiting() < MAX_WAITING
            && self.translator.ledger.len() < MAX_UNCONFIRMED
    }

    fn notice_session(&mut self) {
        if self.flush_until.is_none() && self.port.queue.is_closed() {
            self.flush_until = Some(Instant::now() + FLUSH);
            if self.held.take().is_some() {
                self.read_again();
            }
        }
    }

    fn handle_input(&mut self) -> Result<(), End> {
        while self.held.is_none() {
            match self.link.next_frame().map_err(End::Failed)? {
                Some(frame) => self.handle(frame)?,
                None => break,
            }
        }
        while let Some(ticket) = self.translator.completed() {
            self.port.mailbox.notify(Event::Completed(ticket));
        }
        if self.translator.ledger.len() == 0
            && let Some((error, ticket)) = self.refusal.take()
        {
            self.port.fail(ticket, &error);
        }
        Ok(())
    }

    fn handle(&mut self, frame: Frame) -> Result<(), End> {
        match frame.command {
            Command::Message => {
                if let Some(delivery) = self.translator.message(frame) {
                    self.deliver(delivery);
                } else {
                    tracing::debug!(session.id = %self.port.session, "MESSAGE for no subscription of the session");
                }
                Ok(())
            }
            Command::Receipt => {
                self.translator.ledger.confirm(frame.header("receipt-id").unwrap_or_default());
                Ok(())
            }
            Command::Error if self.translator.is_harmless(&frame) => Ok(()),
            Command::Error => {
                tracing::info!(session.id = %self.port.session, error = failure::spoken(&frame), "ERROR from the upstream");
                let ticket = frame.header("receipt-id").and_then(|receipt| self.translator.ledger.take(receipt));
                Err(End::Refused(EngineError::Upstream(failure::for_client(&frame)), ticket))
            }
            other => {
                let text = format!("the upstream sent {} on a connection that stands", other.as_str());
                Err(End::Failed(Failure::new(UpstreamState::ProtocolError, text)))
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        // Nobody reads the mailbox of a session that has gone; the upstream takes back what is not settled.
        if self.flush_until.is_some() {
            return;
        }
        let mailbox = &self.port.mailbox;
        while mailbox.deliver(delivery.clone()).is_err() {
            // Half of the box at least, so that reading is not switched on and off with every message.
            let room = delivery.message.size().max(mailbox.capacity() / 2);
            if !mailbox.wait_for_room(room) {
                self.held = Some(delivery);
                return;
            }
        }
    }

    fn deliver_held(&mut self) {
        if let Some(delivery) = self.held.take() {
            self.deliver(delivery);
        }
        if self.held.is_none() {
            self.read_again();
        }
    }

    fn read_again(&mut self) {
        self.link.listen_again();
        self.translator.ledger.restart_waiting(Instant::now());
    }

    fn take_operations(&mut self) -> Result<(), End> {
        self.blocked = false;
        while self.may_take() {
            match self.port.queue.pop() {
                Next::Item(item, relieved) => {
                    if relieved {
                        self.port.mailbox.notify(Event::Ready);
                    }
                    self.take(item);
                }
                Next::Empty => break,
                // The receipts of a session that has gone interest nobody; DISCONNECT waits for its own.
                Next::Closed => return Err(End::SessionGone),
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Operation(operation, ticket) => {
                if self.translator.must_wait(&operation) {
                    self.blocked = true;
                    self.port.queue.put_back(Item::Operation(operation, ticket));
                } else {
                    let now = Instant::now();
                    self.translator.operation(&operation, ticket, now, self.link.output());
                }
            }
            Item::Refusal(error, ticket) => self.refusal = Some((error, ticket)),
        }
    }
}

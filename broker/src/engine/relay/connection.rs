//! A connection to an upstream, and the sessions that use it: one, or many on a shared connection.
//!
//! ```text
//! sessions ── OperationQueue ──► Translator ──┐
//!    ▲            │                           ├──► Link ──► upstream
//!    │           Bell (who has something)     │      │
//!    └── Mailbox ◄── answers, deliveries ◄────┴──────┘
//! ```
//!
//! A client that takes its messages slowly fills its mailbox. A connection of its own then reads nothing from the upstream
//! until half of the mailbox is free, so that TCP slows the upstream down and nothing is dropped; answers wait as well
//! meanwhile, for they come by the same way. On a shared connection its deliveries wait at its [`Seat`], and the upstream
//! sends no more than the window of each subscription, so that the others go on; who overflows even that is expelled. The
//! session's own `sendTimeout` ends a client that takes nothing at all. Operations are taken from the sessions in turn.
//!
//! Whatever ends the connection, every ticket is answered: what the upstream has not confirmed fails. On a shared connection
//! that ends the session; those that wait for no confirmation, and so cannot be who the upstream objects to, move to another
//! connection and subscribe there again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use stompbroker_config::admin::UpstreamState;
use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    bell::SeatId,
    board::Reign,
    connect::{Role, connect},
    failure::{self, Failure},
    link::{Dialect, Link, at},
    pool::Member,
    port::Port,
    returns::Returns,
    seat::{Seat, Turn},
};
use crate::{
    engine::{EngineError, Ticket},
    stomp::{Command, Frame, encode},
};

/// Octets that may wait for the upstream before no further operation is taken.
const MAX_WAITING: usize = 256 << 10;
/// How long an upstream may take to confirm an operation.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(1);
/// How often it is looked whether it has.
const CONFIRM_CHECK: Duration = Duration::from_secs(5);
/// How long a connection of a session's own outlives it, to send what the session had asked for.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the upstream may take to answer DISCONNECT.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How the connection ended.
enum End {
    /// No session is left and everything that was asked for has been sent.
    NobodyLeft,
    /// The process stops.
    Stopped,
    /// The configuration or the loss of the upstream ended it.
    ReignOver,
    /// The connection broke, or was never made.
    Failed(Failure),
    /// The upstream sent an ERROR, or did not confirm: the text for the client, the session that it is about where that is
    /// known, and the ticket.
    Refused(EngineError, Option<SeatId>, Option<Ticket>),
}

/// Takes no more sessions once the task ends, on whatever way.
struct Closing<'a>(&'a Member);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs the connection until it ends.
pub(super) async fn run(shared: Arc<Shared>, reign: Reign, client_id: Option<Box<str>>, member: Arc<Member>) {
    let _closing = Closing(&member);
    let connected = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        () = reign.over.cancelled() => return,
        connected = dial(&shared, &reign, client_id.as_deref()) => connected,
    };
    let link = match connected {
        Ok(link) => link,
        Err(failure) => {
            tracing::debug!(upstream = %reign.address, %failure, "no upstream connection");
            return;
        }
    };
    let _counted = shared.count_connection();
    tracing::debug!(upstream = %reign.address, shared = member.is_shared, "upstream connection stands");
    let mut connection = Connection::new(&member, link);
    let end = connection.serve(&shared, &reign).await;
    connection.finish(end, &shared, &reign).await;
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
    member: &'a Member,
    link: Link,
    seats: HashMap<SeatId, Seat>,
    /// Who has operations, in turn.
    waiting: VecDeque<SeatId>,
    /// With `RabbitMQ` only.
    returns: Option<Returns>,
    /// When to look for confirmations that do not come; none while none is waited for.
    check_at: Option<Instant>,
    /// When a connection of a session's own ends at the latest, since the session has gone.
    flush_until: Option<Instant>,
}

impl<'a> Connection<'a> {
    fn new(member: &'a Member, link: Link) -> Self {
        let returns = (link.agreement().dialect == Dialect::RabbitMq).then(|| Returns::new(rand::random()));
        Self {
            member,
            link,
            seats: HashMap::new(),
            waiting: VecDeque::new(),
            returns,
            check_at: None,
            flush_until: None,
        }
    }

    async fn serve(&mut self, shared: &Shared, reign: &Reign) -> End {
        loop {
            if let Err(end) = self.handle_input() {
                return end;
            }
            let was_held_up = self.is_held_up();
            if let Err(end) = self.look_after_sessions() {
                return end;
            }
            let read = !self.is_held_up();
            if was_held_up && read {
                // Something may have been read that was not handled.
                continue;
            }
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return End::Stopped,
                () = reign.over.cancelled() => return End::ReignOver,
                () = at(self.check_at) => {
                    if let Some(seat) = self.check_confirmations() {
                        let text = format!("The upstream broker did not confirm within {CONFIRM_TIMEOUT:?}.");
                        return End::Refused(EngineError::Upstream(text.into()), Some(seat), None);
                    }
                }
                () = at(self.flush_until) => {
                    return End::Failed(Failure::new(UpstreamState::Unreachable, "the upstream takes no more"));
                }
                progress = self.link.progress(read) => {
                    if let Err(failure) = progress {
                        return End::Failed(failure);
                    }
                }
                () = self.member.bell.rung() => {}
            }
        }
    }

    /// Whether a slow client holds up its own connection.
    fn is_held_up(&self) -> bool {
        !self.member.is_shared && self.seats.values().any(Seat::is_held_up)
    }

    fn handle_input(&mut self) -> Result<(), End> {
        while !self.is_held_up() {
            match self.link.next_frame().map_err(End::Failed)? {
                Some(frame) => self.handle(frame)?,
                None => break,
            }
        }
        Ok(())
    }

    fn handle(&mut self, frame: Frame) -> Result<(), End> {
        match frame.command {
            Command::Message => {
                if let Some(returns) = &mut self.returns {
                    returns.saw(&frame);
                }
                let seat = self.seat_of(frame.header("subscription"));
                if let Some(seat) = seat.and_then(|id| self.seats.get_mut(&id)) {
                    seat.message(frame, &mut self.link);
                }
                Ok(())
            }
            Command::Receipt => {
                let receipt = frame.header("receipt-id").unwrap_or_default();
                if let Some(id) = self.seat_of(Some(receipt))
                    && let Some(seat) = self.seats.get_mut(&id)
                {
                    let leftovers = seat.confirm(receipt);
                    // What waited for this may go on.
                    self.waiting.push_back(id);
                    if let Some(returns) = &self.returns {
                        for leftover in leftovers {
                            returns.give_back(&leftover, self.link.output());
                        }
                    }
                }
                Ok(())
            }
            Command::Error if self.is_harmless(&frame) => {
                self.give_back_late(&frame);
                Ok(())
            }
            Command::Error => {
                tracing::info!(
                    error = failure::spoken(&frame),
                    shared = self.member.is_shared,
                    "ERROR from the upstream"
                );
                let receipt = frame.header("receipt-id");
                let seat =
                    if self.member.is_shared { self.seat_of(receipt) } else { self.seats.keys().next().copied() };
                let open = seat.and_then(|id| self.seats.get_mut(&id)).zip(receipt);
                let ticket = open.and_then(|(seat, receipt)| seat.failed(receipt));
                Err(End::Refused(EngineError::Upstream(failure::for_client(&frame)), seat, ticket))
            }
            other => {
                let text = format!("the upstream sent {} on a connection that stands", other.as_str());
                Err(End::Failed(Failure::new(UpstreamState::ProtocolError, text)))
            }
        }
    }

    /// The session that a name was made for; on a connection of its own there is only one.
    fn seat_of(&self, name: Option<&str>) -> Option<SeatId> {
        if !self.member.is_shared {
            return self.seats.keys().next().copied();
        }
        name?.split_once('-')?.0.parse().ok().map(SeatId)
    }

    fn is_harmless(&self, error: &Frame) -> bool {
        self.returns.is_some() && self.seats.values().any(|seat| seat.is_harmless(error))
            || self.member.is_shared && Seat::is_late(error)
    }

    /// Gives back a delivery that came too late for its subscription.
    fn give_back_late(&mut self, error: &Frame) {
        let accounted = self.seats.values().all(Seat::accounts_for_all);
        let Some((id, name)) = self.returns.as_mut().and_then(|returns| returns.lost(error)).filter(|_| accounted)
        else {
            return;
        };
        let seat = self.seat_of(Some(&id)).and_then(|seat| self.seats.get_mut(&seat));
        let name = match seat {
            Some(seat) => match seat.orphan(&id, name, self.link.output()) {
                Ok(()) => return,
                Err(name) => name,
            },
            None => name,
        };
        if let Some(returns) = &self.returns {
            returns.give_back(&super::translator::Leftover { subscription: id, names: vec![name] }, self.link.output());
        }
    }

    fn look_after_sessions(&mut self) -> Result<(), End> {
        // Before the arrivals: whoever comes between the two rings again.
        let rung = self.member.bell.take();
        for (id, port) in self.member.arrivals() {
            let place = self.member.is_shared.then_some(id);
            self.seats.insert(id, Seat::new(port, place, &mut self.link));
        }
        for id in rung {
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            let closed = seat.look(&mut self.link);
            if closed && !self.member.is_shared && self.flush_until.is_none() {
                self.flush_until = Some(Instant::now() + FLUSH);
            }
            self.waiting.push_back(id);
        }
        while self.link.waiting() < MAX_WAITING
            && let Some(id) = self.waiting.pop_front()
        {
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            let turn = seat.turn(&mut self.link);
            if self.check_at.is_none() && seat.waits_since().is_some() {
                self.check_at = Some(Instant::now() + CONFIRM_CHECK);
            }
            match turn {
                Turn::Over => {}
                Turn::More => self.waiting.push_back(id),
                Turn::Left => {
                    self.seats.remove(&id);
                    self.member.left();
                }
            }
        }
        if self.seats.is_empty() && self.member.close_if_empty() { Err(End::NobodyLeft) } else { Ok(()) }
    }

    /// Who waits too long for a confirmation.
    fn check_confirmations(&mut self) -> Option<SeatId> {
        let now = Instant::now();
        let oldest = self.seats.iter().filter_map(|(id, seat)| Some((seat.waits_since()?, *id))).min();
        self.check_at = oldest.map(|_| now + CONFIRM_CHECK);
        oldest.filter(|(since, _)| now.duration_since(*since) >= CONFIRM_TIMEOUT).map(|(_, id)| id)
    }

    async fn finish(mut self, end: End, shared: &Arc<Shared>, reign: &Reign) {
        let arrivals = self.member.close();
        let mut seats: Vec<_> = std::mem::take(&mut self.seats).into_iter().collect();
        seats.sort_unstable_by_key(|(id, _)| *id);
        let is_shared = self.member.is_shared;
        let mut moving: Vec<Port> = Vec::new();
        match end {
            End::NobodyLeft | End::Stopped => {
                drop((arrivals, seats));
                farewell(&mut self.link, FAREWELL).await;
                return;
            }
            End::ReignOver => return,
            End::Failed(failure) => {
                tracing::debug!(upstream = %reign.address, %failure, "upstream connection lost");
                if is_shared {
                    moving.extend(seats.into_iter().filter_map(|(_, seat)| seat.move_away().ok()));
                }
            }
            End::Refused(error, about, ticket) => {
                for (id, seat) in seats {
                    let spared = is_shared && about.is_some_and(|about| about != id);
                    match if is_shared && about != Some(id) { seat.move_away() } else { Err(Box::new(seat)) } {
                        Ok(port) => moving.push(port),
                        // Where the upstream has said whom it means, the others only lose their connection.
                        Err(seat) if spared => drop(seat),
                        Err(seat) => seat.refuse(&error, ticket.filter(|_| about == Some(id))),
                    }
                }
            }
        }
        if is_shared {
            moving.extend(arrivals.into_iter().map(|(_, port)| port));
            shared.seat_again(moving);
        }
    }
}

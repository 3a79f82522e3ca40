//! A session's place at a connection to an upstream.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    bell::SeatId,
    link::Link,
    port::Port,
    queue::{Item, Next},
    translator::{Incoming, LATE, Leftover, Translator},
};
use crate::{
    engine::{EngineError, Event, Operation, Ticket},
    stomp::Frame,
};

/// Operations that the upstream may have left to confirm.
const MAX_UNCONFIRMED: usize = 1_000;
/// Operations of one session before others have their turn.
const TURN: usize = 64;
/// Octets of deliveries that wait for a slow client at a shared connection. More than the windows of its subscriptions hold,
/// unless messages are large.
const MAX_HELD: usize = 4 << 20;

/// How a session's turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has nothing more, or must wait for the upstream.
    Over,
    /// It would like another turn.
    More,
    /// It is gone, and nothing of it is left upstream.
    Left,
}

/// The place.
pub(super) struct Seat {
    port: Port,
    is_shared: bool,
    /// Deliveries that the mailbox had no room for.
    held: VecDeque<Incoming>,
    held_octets: usize,
    /// An operation refused before it came here, to be answered after all that came before it.
    refusal: Option<(EngineError, Option<Ticket>)>,
    /// The session is gone, so nobody takes deliveries.
    closed: bool,
    /// Its subscriptions are being ended.
    leaving: bool,
}

impl Seat {
    /// Seats a session, at this place where it is one of many; what it had subscribed to elsewhere is subscribed to again.
    pub(super) fn new(mut port: Port, place: Option<SeatId>, link: &mut Link) -> Self {
        let mut translator = Translator::new(link.agreement(), place, port.deliveries, rand::random());
        for subscription in std::mem::take(&mut port.again) {
            translator.operation(&Operation::Subscribe(subscription), None, Instant::now(), link.output());
        }
        port.translator = Some(translator);
        Self {
            port,
            is_shared: place.is_some(),
            held: VecDeque::new(),
            held_octets: 0,
            refusal: None,
            closed: false,
            leaving: false,
        }
    }

    /// Whether deliveries wait for a slow client.
    pub(super) fn is_held_up(&self) -> bool {
        !self.held.is_empty()
    }

    /// Looks at what the session has told besides operations; says whether it is gone.
    pub(super) fn look(&mut self, link: &mut Link) -> bool {
        let news = self.port.queue.look();
        if news.closed && !self.closed {
            self.closed = true;
            self.drop_held(link);
        }
        if news.room {
            self.port.users.resume();
            self.deliver_held(link);
        }
        news.closed
    }

    /// Takes a MESSAGE.
    pub(super) fn message(&mut self, frame: Frame, link: &mut Link) {
        let Some(incoming) = self.port.translator.as_mut().and_then(|translator| translator.message(frame)) else {
            tracing::debug!(session.id = %self.port.session, "MESSAGE for no subscription of the session");
            return;
        };
        // Nobody reads the mailbox of a session that has gone; the upstream gets back what is not settled.
        if self.closed {
            return;
        }
        if self.held.is_empty() && self.deliver(&incoming, link) {
            return;
        }
        self.held_octets += incoming.delivery.message.size();
        self.held.push_back(incoming);
        if self.is_shared && self.held_octets > MAX_HELD {
            let text = format!("more than {MAX_HELD} octets wait for it at the upstream connection");
            self.expel(EngineError::SlowConsumer(text.into()), link);
        }
    }

    /// Puts a delivery into the mailbox; says whether there was room, else [`Self::look`] is told when there is.
    fn deliver(&mut self, incoming: &Incoming, link: &mut Link) -> bool {
        let mailbox = &self.port.mailbox;
        while mailbox.deliver(incoming.delivery.clone()).is_err() {
            // Half of the box at least, so that reading is not switched on and off with every message.
            let room = incoming.delivery.message.size().max(mailbox.capacity() / 2);
            if !mailbox.wait_for_room(room) {
                return false;
            }
        }
        if let Some(translator) = &mut self.port.translator {
            translator.handed_over(incoming.own, link.output());
        }
        true
    }

    fn deliver_held(&mut self, link: &mut Link) {
        while let Some(incoming) = self.held.pop_front() {
            if !self.deliver(&incoming, link) {
                self.held.push_front(incoming);
                return;
            }
            self.held_octets = self.held_octets.saturating_sub(incoming.delivery.message.size());
        }
        self.drop_held(link);
    }

    /// Nothing is held any more, so the measures of silence start anew where nothing was read meanwhile.
    fn drop_held(&mut self, link: &mut Link) {
        self.held = VecDeque::new();
        self.held_octets = 0;
        if !self.is_shared {
            link.listen_again();
            if let Some(translator) = &mut self.port.translator {
                translator.ledger.restart_waiting(Instant::now());
            }
        }
    }

    /// Ends the session, which the connection outlives.
    fn expel(&mut self, error: EngineError, link: &mut Link) {
        if let Some(translator) = &mut self.port.translator {
            for ticket in translator.ledger.forget_tickets() {
                self.port.mailbox.notify(Event::Failed { ticket: Some(ticket), error: error.clone() });
            }
        }
        for ticket in self.port.queue.end().iter().filter_map(Item::ticket) {
            self.port.fail(Some(ticket), &error);
        }
        self.port.mailbox.notify(Event::Closed(error));
        self.port.queue.close();
        self.closed = true;
        self.drop_held(link);
    }

    /// Takes a `receipt-id`; what the upstream has not taken back with an ended subscription is given back to it.
    pub(super) fn confirm(&mut self, receipt: &str) -> Vec<Leftover> {
        let Some(translator) = &mut self.port.translator else { return Vec::new() };
        translator.confirm(receipt);
        self.complete();
        self.port.translator.as_mut().map(Translator::take_leftovers).unwrap_or_default()
    }

    /// Tells the session what is done.
    fn complete(&mut self) {
        let Some(translator) = &mut self.port.translator else { return };
        while let Some(ticket) = translator.completed() {
            self.port.mailbox.notify(Event::Completed(ticket));
        }
    }

    /// The ticket that an ERROR with this `receipt-id` is about.
    pub(super) fn failed(&mut self, receipt: &str) -> Option<Ticket> {
        self.port.translator.as_mut()?.failed(receipt)
    }

    /// Whether an ERROR only says that a delivery came too late for a subscription of this session.
    pub(super) fn is_harmless(&self, error: &Frame) -> bool {
        self.port.translator.as_ref().is_some_and(|translator| translator.is_harmless(error))
    }

    /// The same for a subscription of a session that has left.
    pub(super) fn is_late(error: &Frame) -> bool {
        error.header("message") == Some(LATE) && error.header("receipt-id").is_none()
    }

    /// Whether every delivery waits to be settled.
    pub(super) fn accounts_for_all(&self) -> bool {
        self.port.translator.as_ref().is_none_or(Translator::accounts_for_all)
    }

    /// As [`Translator::orphan`].
    pub(super) fn orphan(&mut self, id: &str, name: Box<str>, out: &mut Vec<u8>) -> Result<(), Box<str>> {
        match &mut self.port.translator {
            Some(translator) => translator.orphan(id, name, out),
            None => Err(name),
        }
    }

    /// Since when the oldest confirmation is waited for; not while nothing is read.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let waits = self.is_shared || self.held.is_empty();
        self.port.translator.as_ref().filter(|_| waits)?.ledger.oldest()
    }

    /// Takes some operations.
    pub(super) fn turn(&mut self, link: &mut Link) -> Turn {
        for _ in 0..TURN {
            let Some(translator) = &mut self.port.translator else { return Turn::Left };
            if translator.ledger.len() == 0 {
                if let Some((error, ticket)) = self.refusal.take() {
                    self.port.fail(ticket, &error);
                }
            } else if self.refusal.is_some() || translator.ledger.len() >= MAX_UNCONFIRMED {
                return Turn::Over;
            }
            match self.port.queue.pop() {
                Next::Item(item, relieved) => {
                    if relieved {
                        self.port.mailbox.notify(Event::Ready);
                    }
                    if !self.take(item, link) {
                        return Turn::Over;
                    }
                }
                Next::Empty => return Turn::Over,
                Next::Closed => return self.leave(link),
            }
        }
        Turn::More
    }

    /// Says whether the operation could be taken now.
    fn take(&mut self, item: Item, link: &mut Link) -> bool {
        let Some(translator) = &mut self.port.translator else { return false };
        match item {
            Item::Operation(operation, ticket) if self.port.users.takes(&operation) => {
                match self.port.users.apply(operation) {
                    Ok(()) => translator.done(ticket, Instant::now()),
                    Err(error) => self.refusal = Some((error, ticket)),
                }
                self.complete();
            }
            Item::Operation(Operation::Commit(operations), ticket) => {
                let operation = Operation::Commit(self.port.users.split(operations));
                match translator.refuses(&operation) {
                    Some(error) => self.refusal = Some((error, ticket)),
                    None => translator.operation(&operation, ticket, Instant::now(), link.output()),
                }
            }
            Item::Operation(operation, ticket) => {
                if translator.must_wait(&operation) {
                    self.port.queue.put_back(Item::Operation(operation, ticket));
                    return false;
                }
                match translator.refuses(&operation) {
                    Some(error) => self.refusal = Some((error, ticket)),
                    None => translator.operation(&operation, ticket, Instant::now(), link.output()),
                }
            }
            Item::Refusal(error, ticket) => self.refusal = Some((error, ticket)),
        }
        true
    }

    /// The receipts of a session that has gone interest nobody but for the ends of its subscriptions, and these only where
    /// the connection goes on; else DISCONNECT waits for its own.
    fn leave(&mut self, link: &mut Link) -> Turn {
        let Some(translator) = self.port.translator.as_mut().filter(|_| self.is_shared) else { return Turn::Left };
        if !self.leaving {
            self.leaving = true;
            translator.leave(Instant::now(), link.output());
        }
        if translator.ledger.len() == 0 { Turn::Left } else { Turn::Over }
    }

    /// Gives the session for another connection, unless it waits for a confirmation of this one.
    pub(super) fn move_away(mut self) -> Result<Port, Box<Self>> {
        let waits = self.port.translator.as_ref().is_none_or(|translator| translator.ledger.len() > 0);
        if waits || self.closed {
            return Err(Box::new(self));
        }
        self.port.unseat();
        Ok(self.port)
    }

    /// Ends the session with the error of the upstream, which is about `ticket` where there is one.
    pub(super) fn refuse(mut self, error: &EngineError, ticket: Option<Ticket>) {
        // The one that the ERROR names goes first, so that the client's ERROR names it too.
        if ticket.is_some() && !self.port.queue.is_closed() {
            self.port.fail(ticket, error);
        }
        self.port.error = error.clone();
    }
}

//! Operations into frames for the upstream, frames of the upstream into deliveries and answers. Pure.
//!
//! One translator a session and connection. The upstream knows a subscription by the session's key, or by the client's own
//! `id` where it names a durable subscription, because the upstream derives its queue from it. On a connection that sessions
//! share, all names begin with the session's place there, and what clients would have acknowledged when it is written is
//! acknowledged one by one, so that no session is given more than it can hold.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    bell::SeatId,
    ledger::{Certainty, Ledger},
    link::{Agreement, Dialect},
};
use crate::{
    engine::{
        Acknowledge, Delivery, DeliveryTag, EngineError, Operation, Settlement, Subscription, SubscriptionKey, Ticket,
    },
    message::Message,
    stomp::{Command, Frame, Header, Version, encode, keep_first},
};

/// Unsettled deliveries of a subscription with client acknowledgement that does not say how many it wants.
const DEFAULT_PREFETCH: u32 = 100;
/// The same on a shared connection, of subscriptions that the client does not acknowledge.
const SHARED_PREFETCH: u32 = 64;

/// What `RabbitMQ` says of a delivery whose subscription has ended.
pub(super) const LATE: &str = "Subscription not found";

/// Headers of SEND that the relay sets itself.
const OWN_SEND: [&str; 7] =
    ["destination", "content-length", "receipt", "transaction", "message-id", "subscription", "ack"];
/// Headers that never go upstream. `RabbitMQ` takes only the name of the login as `user-id`, which is the relay's and not
/// the user's; the others name a queue or an exchange that the rules for the destination have not seen.
const KEPT_BACK: [&str; 4] = ["user-id", "x-queue-name", "x-dead-letter-exchange", "x-dead-letter-routing-key"];
/// Headers of SUBSCRIBE that the relay sets itself.
const OWN_SUBSCRIBE: [&str; 7] =
    ["id", "destination", "ack", "receipt", "content-length", "prefetch-count", "activemq.prefetchSize"];
/// Headers of MESSAGE that the session sets itself, and those of the relay's own SEND that `RabbitMQ` gives to receivers.
const OWN_MESSAGE: [&str; 8] =
    ["destination", "message-id", "subscription", "ack", "content-length", "redelivered", "receipt", "transaction"];

#[derive(Debug)]
struct Upstream {
    id: Box<str>,
    acknowledge: Acknowledge,
    ending: bool,
    /// Whether what is left unsettled belongs to a queue that outlives the subscription.
    queue: bool,
    /// How to subscribe again on another connection; only where connections are shared.
    again: Option<Box<Subscription>>,
}

#[derive(Debug)]
struct Unsettled {
    subscription: SubscriptionKey,
    /// What ACK names: the `ack` header in 1.2, `message-id` in 1.1.
    name: Box<str>,
}

/// A MESSAGE for the session.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// As the session sees it.
    pub(super) delivery: Delivery,
    /// What to tell [`Translator::handed_over`] when the session has it.
    pub(super) own: Option<DeliveryTag>,
}

/// Deliveries that the upstream has not taken back with the end of their subscription.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    /// What the upstream called the subscription.
    pub(super) subscription: Box<str>,
    /// What NACK names, in the order of delivery.
    pub(super) names: Vec<Box<str>>,
}

/// The translator of one session on one connection.
#[derive(Debug)]
pub(super) struct Translator {
    /// Before all names, on a shared connection.
    prefix: Option<Box<str>>,
    version: Version,
    dialect: Dialect,
    /// What receipts are still owed.
    pub(super) ledger: Ledger,
    subscriptions: HashMap<SubscriptionKey, Upstream>,
    keys: HashMap<Box<str>, SubscriptionKey>,
    unsettled: BTreeMap<DeliveryTag, Unsettled>,
    leftovers: Vec<Leftover>,
    deliveries: u64,
    transactions: u64,
    /// Whether a subscription has ended on this connection.
    unsubscribed: bool,
    /// Whether the upstream has been asked for deliveries that it does not wait to be settled.
    unaccounted: bool,
    /// Makes the message ids of this connection unique where the upstream's cannot be used.
    salt: u64,
}

impl Translator {
    /// The translator of a session that is new on a connection, at this place of it where it is a shared one; `salt` is
    /// random. Tags of deliveries come after `deliveries`.
    pub(super) fn new(agreement: Agreement, seat: Option<SeatId>, deliveries: u64, salt: u64) -> Self {
        Self {
            prefix: seat.map(|SeatId(number)| format!("{number}-").into()),
            version: agreement.version,
            dialect: agreement.dialect,
            ledger: Ledger::default(),
            subscriptions: HashMap::new(),
            keys: HashMap::new(),
            unsettled: BTreeMap::new(),
            leftovers: Vec::new(),
            deliveries,
            transactions: 0,
            unsubscribed: false,
            unaccounted: false,
            salt,
        }
    }

    /// Whether the operation must wait until the upstream has ended an earlier subscription of the same name: until then
    /// its messages could not be told apart.
    pub(super) fn must_wait(&self, operation: &Operation) -> bool {
        let Operation::Subscribe(subscription) = operation else { return false };
        let ending = |key| self.subscriptions.get(&key).is_some_and(|upstream| upstream.ending);
        ending(subscription.key) || self.keys.get(&*self.upstream_id(subscription)).is_some_and(|key| ending(*key))
    }

    /// Writes the frames of an operation.
    pub(super) fn operation(&mut self, operation: &Operation, ticket: Option<Ticket>, now: Instant, out: &mut Vec<u8>) {
        match operation {
            Operation::Send(message) => {
                let receipt = self.receipt_or_guard(ticket, now);
                self.send(message, receipt.as_deref(), None, out);
            }
            Operation::Subscribe(subscription) => self.subscribe(subscription, ticket, now, out),
            Operation::Unsubscribe { subscription, headers } => {
                self.unsubscribe(*subscription, headers, ticket, now, out);
            }
            Operation::Settle { deliveries, settlement, .. } => {
                let settled = self.known(deliveries);
                let Some((last, rest)) = settled.split_last() else {
                    return self.done(ticket, now);
                };
                for delivery in rest {
                    self.settle(delivery, *settlement, None, None, out);
                }
                let receipt = self.receipt(ticket, now);
                self.settle(last, *settlement, receipt.as_deref(), None, out);
            }
            Operation::Commit(operations) => self.commit(operations, ticket, now, out),
        }
    }

    /// A delivery; none when nobody waits for it.
    pub(super) fn message(&mut self, frame: Frame) -> Option<Incoming> {
        let key = *self.keys.get(frame.header("subscription")?)?;
        let acknowledge = self.subscriptions.get(&key)?.acknowledge;
        self.deliveries += 1;
        let tag = DeliveryTag(self.deliveries);
        let message_id = frame.header("message-id").unwrap_or_default();
        let by_client = acknowledge == Acknowledge::ByClient;
        if by_client || self.prefix.is_some() {
            let name = self.ack_name(&frame).unwrap_or_default();
            self.unsettled.insert(tag, Unsettled { subscription: key, name: name.into() });
        }
        let id = if is_plain(message_id) {
            message_id.into()
        } else {
            format!("relay-{:016x}-{}", self.salt, self.deliveries).into()
        };
        let destination = frame.header("destination").unwrap_or_default().into();
        let content_length = frame.header("content-length").is_some();
        let redelivered = frame.header("redelivered") == Some("true");
        let message = Arc::new(Message::new(id, destination, shown(frame.headers), frame.body, content_length));
        let delivery = Delivery { subscription: key, message, tag: by_client.then_some(tag), redelivered };
        Some(Incoming { delivery, own: (!by_client && self.prefix.is_some()).then_some(tag) })
    }

    /// What ACK would name.
    fn ack_name<'a>(&self, message: &'a Frame) -> Option<&'a str> {
        let acks = message.header("ack").filter(|_| self.version == Version::V1_2);
        acks.or_else(|| message.header("message-id"))
    }

    /// Acknowledges a delivery that the client does not acknowledge itself.
    pub(super) fn handed_over(&mut self, own: Option<DeliveryTag>, out: &mut Vec<u8>) {
        let Some(tag) = own else { return };
        for delivery in self.known(&[tag]) {
            self.settle(&delivery, Settlement::Accept, None, None, out);
        }
    }

    /// Ends all subscriptions, for a session that has gone.
    pub(super) fn leave(&mut self, now: Instant, out: &mut Vec<u8>) {
        let mut keys: Vec<_> = self.subscriptions.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.unsubscribe(key, &[], None, now, out);
        }
    }

    /// The subscriptions that live, for another connection.
    pub(super) fn subscribe_again(&mut self) -> Vec<Subscription> {
        let mut again: Vec<_> = self
            .subscriptions
            .values_mut()
            .filter(|upstream| !upstream.ending)
            .filter_map(|u| u.again.take())
            .collect();
        again.sort_unstable_by_key(|subscription| subscription.key);
        again.into_iter().map(|subscription| *subscription).collect()
    }

    /// How many deliveries there have been.
    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// A delivery that came too late for its subscription, if that is one of the session that lives or is ending: it is
    /// given back now or with the end. Else gives `name` back.
    pub(super) fn orphan(&mut self, id: &str, name: Box<str>, out: &mut Vec<u8>) -> Result<(), Box<str>> {
        let Some((key, upstream)) = self.keys.get(id).and_then(|key| Some((*key, self.subscriptions.get(key)?))) else {
            return Err(name);
        };
        let delivery = Unsettled { subscription: key, name };
        if upstream.ending {
            self.deliveries += 1;
            self.unsettled.insert(DeliveryTag(self.deliveries), delivery);
        } else {
            self.settle(&delivery, Settlement::Requeue, None, None, out);
        }
        Ok(())
    }

    /// Whether every delivery of the upstream waits to be settled, so that any may be given back.
    pub(super) const fn accounts_for_all(&self) -> bool {
        !self.unaccounted
    }

    /// What has been left behind since the last call.
    pub(super) fn take_leftovers(&mut self) -> Vec<Leftover> {
        std::mem::take(&mut self.leftovers)
    }

    /// Takes a `receipt-id`.
    pub(super) fn confirm(&mut self, receipt: &str) {
        if let Some(number) = self.number(receipt) {
            self.ledger.confirm(number);
        }
    }

    /// The ticket that waits for this `receipt-id`.
    pub(super) fn failed(&mut self, receipt: &str) -> Option<Ticket> {
        let number = self.number(receipt)?;
        self.ledger.take(number)
    }

    fn number<'a>(&self, receipt: &'a str) -> Option<&'a str> {
        self.prefix.as_deref().map_or(Some(receipt), |prefix| receipt.strip_prefix(prefix))
    }

    /// Why a shared connection could not bear an operation: `RabbitMQ` does not say whose frame an ERROR is about, so what
    /// is known to be one is refused before. Durable subscriptions need a connection of the session's own, for the
    /// upstream knows each by a name that must be unique on a connection.
    pub(super) fn refuses(&self, operation: &Operation) -> Option<EngineError> {
        self.prefix.as_ref()?;
        match operation {
            Operation::Send(message) => self.refuses_destination(&message.destination),
            Operation::Subscribe(subscription) => match durable_header(subscription) {
                Some(header) => Some(EngineError::IncompleteDurable {
                    header,
                    needs: "a client-id in CONNECT, since sessions share connections to the upstream (relay.multiplex)",
                }),
                None => self.refuses_destination(&subscription.destination),
            },
            Operation::Commit(operations) => operations.iter().find_map(|operation| self.refuses(operation)),
            Operation::Unsubscribe { .. } | Operation::Settle { .. } => None,
        }
    }

    fn refuses_destination(&self, destination: &str) -> Option<EngineError> {
        let one_segment =
            ["/topic/", "/queue/", "/amq/queue/"].iter().find_map(|begin| destination.strip_prefix(begin));
        let is_wrong = one_segment.is_some_and(|name| name.is_empty() || name.contains('/'));
        (self.dialect == Dialect::RabbitMq && is_wrong).then(|| EngineError::Upstream("Invalid destination".into()))
    }

    /// Whether an ERROR only says that `RabbitMQ` had a delivery left for a subscription that has ended since. It goes on
    /// after it, and so does the session.
    pub(super) fn is_harmless(&self, error: &Frame) -> bool {
        self.dialect == Dialect::RabbitMq
            && self.unsubscribed
            && error.header("receipt-id").is_none()
            && error.header("message") == Some(LATE)
    }

    /// The next operation that the receipts so far have completed.
    pub(super) fn completed(&mut self) -> Option<Ticket> {
        loop {
            match self.ledger.pop()? {
                Certainty::Completed(ticket) => return Some(ticket),
                Certainty::Ended(key) => {
                    if let Some(upstream) = self.subscriptions.remove(&key) {
                        self.keys.remove(&upstream.id);
                        let left = self.unsettled.extract_if(.., |_, unsettled| unsettled.subscription == key);
                        let names: Vec<_> = left.map(|(_, unsettled)| unsettled.name).collect();
                        if upstream.queue && !names.is_empty() {
                            self.leftovers.push(Leftover { subscription: upstream.id, names });
                        }
                    }
                }
            }
        }
    }

    fn receipt(&mut self, ticket: Option<Ticket>, now: Instant) -> Option<String> {
        ticket.map(|ticket| self.open(Some(ticket), None, now))
    }

    /// On a shared connection also without a ticket, so that it is known whom an ERROR may be about.
    fn receipt_or_guard(&mut self, ticket: Option<Ticket>, now: Instant) -> Option<String> {
        (ticket.is_some() || self.prefix.is_some()).then(|| self.open(ticket, None, now))
    }

    fn open(&mut self, ticket: Option<Ticket>, ends: Option<SubscriptionKey>, now: Instant) -> String {
        let number = self.ledger.open(ticket, ends, now);
        self.named(number)
    }

    fn named(&self, name: impl Display) -> String {
        format!("{}{name}", self.prefix.as_deref().unwrap_or_default())
    }

    /// The id that the upstream knows a subscription by.
    fn upstream_id(&self, subscription: &Subscription) -> Box<str> {
        let id = durable_header(subscription).and_then(|_| header(subscription, "id"));
        match id.filter(|_| self.prefix.is_none()) {
            Some(id) => id.into(),
            None => self.named(subscription.key.0).into(),
        }
    }

    /// Notes an operation that needs nothing of the upstream.
    pub(super) fn done(&mut self, ticket: Option<Ticket>, now: Instant) {
        if let Some(ticket) = ticket {
            self.ledger.open_done(ticket, now);
        }
    }

    fn send(&self, message: &Message, receipt: Option<&str>, transaction: Option<&str>, out: &mut Vec<u8>) {
        let own = [("destination", Some(&*message.destination)), ("receipt", receipt), ("transaction", transaction)];
        let headers = present(own).chain(passed_on(&message.headers, &OWN_SEND));
        // Only a body with a NUL needs what the client did not give.
        let content_length = message.content_length || memchr::memchr(0, &message.body).is_some();
        encode(out, Some(self.version), Command::Send, headers, content_length, &message.body);
    }

    fn subscribe(&mut self, subscription: &Subscription, ticket: Option<Ticket>, now: Instant, out: &mut Vec<u8>) {
        let mut id = self.upstream_id(subscription);
        while self.keys.contains_key(&id) {
            // The client chose the id of a durable subscription so that it looks like a key.
            id = format!("{id}-").into();
        }
        let receipt = self.receipt_or_guard(ticket, now);
        let (ack, prefetch) = match (subscription.acknowledge, &self.prefix) {
            (Acknowledge::WhenWritten, None) => {
                self.unaccounted = true;
                ("auto", None)
            }
            (Acknowledge::WhenWritten, Some(_)) => ("client-individual", Some(SHARED_PREFETCH.to_string())),
            (Acknowledge::ByClient, _) => {
                let prefetch = subscription.prefetch.filter(|prefetch| *prefetch > 0).unwrap_or(DEFAULT_PREFETCH);
                ("client-individual", Some(prefetch.to_string()))
            }
        };
        let own = [
            ("id", Some(&*id)),
            ("destination", Some(&*subscription.destination)),
            ("ack", Some(ack)),
            ("receipt", receipt.as_deref()),
            ("prefetch-count", prefetch.as_deref()),
            ("activemq.prefetchSize", prefetch.as_deref().filter(|_| self.dialect == Dialect::ActiveMq)),
        ];
        let headers = present(own).chain(passed_on(&subscription.headers, &OWN_SUBSCRIBE));
        encode(out, Some(self.version), Command::Subscribe, headers, false, b"");
        self.keys.insert(id.clone(), subscription.key);
        let upstream = Upstream {
            id,
            acknowledge: subscription.acknowledge,
            ending: false,
            queue: !subscription.destination.starts_with("/topic/") || durable_header(subscription).is_some(),
            again: self.prefix.is_some().then(|| Box::new(subscription.clone())),
        };
        self.subscriptions.insert(subscription.key, upstream);
    }

    fn unsubscribe(
        &mut self,
        key: SubscriptionKey,
        headers: &[Header],
        ticket: Option<Ticket>,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        let Some(upstream) = self.subscriptions.get_mut(&key).filter(|upstream| !upstream.ending) else {
            return self.done(ticket, now);
        };
        upstream.ending = true;
        self.unsubscribed = true;
        let id = upstream.id.clone();
        let receipt = self.open(ticket, Some(key), now);
        let own = [("id", Some(&*id)), ("receipt", Some(&*receipt))];
        let headers = present(own).chain(passed_on(headers, &OWN_SUBSCRIBE));
        encode(out, Some(self.version), Command::Unsubscribe, headers, false, b"");
    }

    fn commit(&mut self, operations: &[Operation], ticket: Option<Ticket>, now: Instant, out: &mut Vec<u8>) {
        self.transactions += 1;
        let transaction = self.named(self.transactions);
        encode(out, Some(self.version), Command::Begin, [("transaction", &*transaction)], false, b"");
        for operation in operations {
            match operation {
                Operation::Send(message) => self.send(message, None, Some(&transaction), out),
                Operation::Settle { deliveries, settlement, .. } => {
                    for delivery in self.known(deliveries) {
                        self.settle(&delivery, *settlement, None, Some(&transaction), out);
                    }
                }
                // No part of a transaction in STOMP; a session sends none.
                Operation::Subscribe(_) | Operation::Unsubscribe { .. } | Operation::Commit(_) => {
                    self.operation(operation, None, now, out);
                }
            }
        }
        let receipt = self.receipt_or_guard(ticket, now);
        let headers = present([("transaction", Some(&*transaction)), ("receipt", receipt.as_deref())]);
        encode(out, Some(self.version), Command::Commit, headers, false, b"");
    }

    /// Those that the upstream still waits for; they are settled from now on. Those of a subscription that is ending are
    /// not: the upstream takes them back, and an ACK that comes too late would be an ERROR.
    fn known(&mut self, deliveries: &[DeliveryTag]) -> Vec<Unsettled> {
        let live = |key| self.subscriptions.get(&key).is_some_and(|upstream| !upstream.ending);
        let known = deliveries.iter().filter_map(|tag| self.unsettled.remove(tag));
        known.filter(|unsettled| live(unsettled.subscription)).collect()
    }

    fn settle(
        &self,
        delivery: &Unsettled,
        settlement: Settlement,
        receipt: Option<&str>,
        transaction: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        // `requeue` is RabbitMQ's; ActiveMQ and Artemis dead-letter or redeliver as their own policy says.
        let (command, requeue) = match settlement {
            Settlement::Accept => (Command::Ack, None),
            Settlement::Nack | Settlement::Requeue => (Command::Nack, Some("true")),
            Settlement::Reject => (Command::Nack, Some("false")),
        };
        let subscription = self.subscriptions.get(&delivery.subscription).map(|upstream| &*upstream.id);
        let (name, subscription) = match self.version {
            Version::V1_2 => ("id", None),
            _ => ("message-id", subscription),
        };
        let headers = present([
            (name, Some(&*delivery.name)),
            ("subscription", subscription),
            ("requeue", requeue.filter(|_| self.dialect == Dialect::RabbitMq)),
            ("receipt", receipt),
            ("transaction", transaction),
        ]);
        encode(out, Some(self.version), command, headers, false, b"");
    }
}

fn header<'a>(subscription: &'a Subscription, name: &str) -> Option<&'a str> {
    subscription.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
}

/// The header that makes a subscription a durable one.
fn durable_header(subscription: &Subscription) -> Option<&'static str> {
    ["durable", "persistent"].into_iter().find(|name| header(subscription, name) == Some("true"))
}

fn present<'a, const N: usize>(headers: [(&'a str, Option<&'a str>); N]) -> impl Iterator<Item = (&'a str, &'a str)> {
    headers.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn passed_on<'a>(headers: &'a [Header], own: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .filter(|(name, _)| !own.contains(name) && !KEPT_BACK.contains(name))
}

/// The headers of a MESSAGE that receivers see; of repeated names only the first, so that no sender can spoof one.
pub(super) fn shown(mut headers: Vec<Header>) -> Vec<Header> {
    headers.retain(|(name, _)| !OWN_MESSAGE.contains(&&**name));
    keep_first(&mut headers);
    headers
}

/// Whether an id needs no escapes in any version.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"@._-".contains(&octet))
}

#[cfg(test)]
#[path = "translator_tests.rs"]
mod tests;

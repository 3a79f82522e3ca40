//! Operations into frames for the upstream, frames of the upstream into deliveries and answers. Pure.
//!
//! One translator a connection. The upstream knows a subscription by the session's key, or by the client's own `id` where
//! it names a durable subscription, because the upstream derives its queue from it.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    ledger::{Certainty, Ledger},
    link::{Agreement, Dialect},
};
use crate::{
    engine::{Acknowledge, Delivery, DeliveryTag, Operation, Settlement, Subscription, SubscriptionKey, Ticket},
    message::Message,
    stomp::{Command, Frame, Header, Version, encode, keep_first},
};

/// Unsettled deliveries of a subscription with client acknowledgement that does not say how many it wants.
const DEFAULT_PREFETCH: u32 = 100;

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
}

#[derive(Debug)]
struct Unsettled {
    subscription: SubscriptionKey,
    /// What ACK names: the `ack` header in 1.2, `message-id` in 1.1.
    name: Box<str>,
}

/// The translator of one connection.
#[derive(Debug)]
pub(super) struct Translator {
    version: Version,
    dialect: Dialect,
    /// What receipts are still owed.
    pub(super) ledger: Ledger,
    subscriptions: HashMap<SubscriptionKey, Upstream>,
    keys: HashMap<Box<str>, SubscriptionKey>,
    unsettled: HashMap<DeliveryTag, Unsettled>,
    deliveries: u64,
    transactions: u64,
    /// Whether a subscription has ended on this connection.
    unsubscribed: bool,
    /// Makes the message ids of this connection unique where the upstream's cannot be used.
    salt: u64,
}

impl Translator {
    /// The translator of a new connection; `salt` is random.
    pub(super) fn new(agreement: Agreement, salt: u64) -> Self {
        Self {
            version: agreement.version,
            dialect: agreement.dialect,
            ledger: Ledger::default(),
            subscriptions: HashMap::new(),
            keys: HashMap::new(),
            unsettled: HashMap::new(),
            deliveries: 0,
            transactions: 0,
            unsubscribed: false,
            salt,
        }
    }

    /// Whether the operation must wait until the upstream has ended an earlier subscription of the same name: until then
    /// its messages could not be told apart.
    pub(super) fn must_wait(&self, operation: &Operation) -> bool {
        let Operation::Subscribe(subscription) = operation else { return false };
        let ending = |key| self.subscriptions.get(&key).is_some_and(|upstream| upstream.ending);
        ending(subscription.key) || self.keys.get(&*upstream_id(subscription)).is_some_and(|key| ending(*key))
    }

    /// Writes the frames of an operation.
    pub(super) fn operation(&mut self, operation: &Operation, ticket: Option<Ticket>, now: Instant, out: &mut Vec<u8>) {
        match operation {
            Operation::Send(message) => {
                let receipt = self.receipt(ticket, now);
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
    pub(super) fn message(&mut self, frame: Frame) -> Option<Delivery> {
        let key = *self.keys.get(frame.header("subscription")?)?;
        let upstream = self.subscriptions.get(&key)?;
        self.deliveries += 1;
        let message_id = frame.header("message-id").unwrap_or_default();
        let tag = (upstream.acknowledge == Acknowledge::ByClient).then(|| {
            let name = frame.header("ack").filter(|_| self.version == Version::V1_2).unwrap_or(message_id);
            let tag = DeliveryTag(self.deliveries);
            self.unsettled.insert(tag, Unsettled { subscription: key, name: name.into() });
            tag
        });
        let id = if is_plain(message_id) {
            message_id.into()
        } else {
            format!("relay-{:016x}-{}", self.salt, self.deliveries).into()
        };
        let destination = frame.header("destination").unwrap_or_default().into();
        let content_length = frame.header("content-length").is_some();
        let redelivered = frame.header("redelivered") == Some("true");
        let message = Arc::new(Message::new(id, destination, shown(frame.headers), frame.body, content_length));
        Some(Delivery { subscription: key, message, tag, redelivered })
    }

    /// Whether an ERROR only says that `RabbitMQ` had a delivery left for a subscription that has ended since. It goes on
    /// after it, and so does the session.
    pub(super) fn is_harmless(&self, error: &Frame) -> bool {
        self.dialect == Dialect::RabbitMq
            && self.unsubscribed
            && error.header("receipt-id").is_none()
            && error.header("message") == Some("Subscription not found")
    }

    /// The next operation that the receipts so far have completed.
    pub(super) fn completed(&mut self) -> Option<Ticket> {
        loop {
            match self.ledger.pop()? {
                Certainty::Completed(ticket) => return Some(ticket),
                Certainty::Ended(key) => {
                    if let Some(upstream) = self.subscriptions.remove(&key) {
                        self.keys.remove(&upstream.id);
                    }
                    self.unsettled.retain(|_, unsettled| unsettled.subscription != key);
                }
            }
        }
    }

    fn receipt(&mut self, ticket: Option<Ticket>, now: Instant) -> Option<String> {
        ticket.map(|ticket| self.ledger.open(Some(ticket), None, now).to_string())
    }

    fn done(&mut self, ticket: Option<Ticket>, now: Instant) {
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
        let mut id = upstream_id(subscription);
        while self.keys.contains_key(&id) {
            // The client chose the id of a durable subscription so that it looks like a key.
            id = format!("{id}-").into();
        }
        let receipt = self.receipt(ticket, now);
        let (ack, prefetch) = match subscription.acknowledge {
            Acknowledge::WhenWritten => ("auto", None),
            Acknowledge::ByClient => {
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
        let upstream = Upstream { id, acknowledge: subscription.acknowledge, ending: false };
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
        let receipt = self.ledger.open(ticket, Some(key), now).to_string();
        let own = [("id", Some(&*upstream.id)), ("receipt", Some(&*receipt))];
        let headers = present(own).chain(passed_on(headers, &OWN_SUBSCRIBE));
        encode(out, Some(self.version), Command::Unsubscribe, headers, false, b"");
    }

    fn commit(&mut self, operations: &[Operation], ticket: Option<Ticket>, now: Instant, out: &mut Vec<u8>) {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
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
        let receipt = self.receipt(ticket, now);
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

/// The id that the upstream knows a subscription by.
fn upstream_id(subscription: &Subscription) -> Box<str> {
    let header = |name: &str| subscription.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value);
    let durable = ["durable", "persistent"].iter().any(|name| header(name) == Some("true"));
    match header("id").filter(|_| durable) {
        Some(id) => id.into(),
        None => subscription.key.0.to_string().into(),
    }
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
fn shown(mut headers: Vec<Header>) -> Vec<Header> {
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

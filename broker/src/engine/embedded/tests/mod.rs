//! Rules of the engine, seen through plain mailboxes.

mod aliases;
mod browsers;
mod dead_letters;
mod declared;
mod durable;
mod group_model;
mod groups;
mod model;
mod persistence;
mod policies;
mod priorities;
mod queues;
mod selectors;
mod stress;
mod temporary;
mod timing;
mod topics;
mod transactions;
mod users;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stompbroker_config::DestinationPolicy;

use super::EmbeddedEngine;
use crate::{
    engine::{
        Acknowledge, Delivery, DeliveryTag, DestinationStatus, Engine, EngineError, EngineSession, Event, Operation,
        SessionInfo, Settlement, Subscription, SubscriptionKey, Ticket,
    },
    mailbox::Mailbox,
    message::Message,
    stomp::Header,
};

const ROOMY: usize = 1 << 30;

fn engine() -> EmbeddedEngine {
    engine_with(1 << 20, 7)
}

fn engine_with(queue_size: u64, prefetch: u32) -> EmbeddedEngine {
    EmbeddedEngine::new(&stompbroker_config::EmbeddedEngine {
        queue_size: stompbroker_config::ByteSize(queue_size),
        prefetch,
        ..Default::default()
    })
}

/// An engine with policies such as `DestinationPolicy { expires, ..policy("/queue/a") }`.
fn engine_where(policies: &[DestinationPolicy]) -> EmbeddedEngine {
    let engine = engine();
    engine.set_policies(policies);
    engine
}

fn policy(pattern: &str) -> DestinationPolicy {
    DestinationPolicy { r#match: pattern.to_owned(), ..DestinationPolicy::default() }
}

fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

fn message(destination: &str, body: &str) -> Arc<Message> {
    message_with(destination, body, vec![])
}

fn message_with(destination: &str, body: &str, headers: Vec<Header>) -> Arc<Message> {
    Arc::new(Message::new("m".into(), destination.into(), headers, body.as_bytes().to_vec().into(), true))
}

fn body(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.message.body).unwrap()
}

/// A session as the broker drives one.
struct Session {
    mailbox: Arc<Mailbox>,
    half: Box<dyn EngineSession>,
    tickets: u64,
    /// Taken from the mailbox and not asked for yet.
    deliveries: Vec<Delivery>,
    others: Vec<Event>,
}

impl Session {
    fn open(engine: &EmbeddedEngine) -> Self {
        Self::with_capacity(engine, ROOMY)
    }

    fn with_capacity(engine: &EmbeddedEngine, capacity: usize) -> Self {
        Self::with(engine, capacity, "s", "u")
    }

    /// The session of this id, of this user.
    fn open_as(engine: &EmbeddedEngine, id: &str, user: &str) -> Self {
        Self::with(engine, ROOMY, id, user)
    }

    fn with(engine: &EmbeddedEngine, capacity: usize, id: &str, user: &str) -> Self {
        let info = SessionInfo { id: id.into(), user: user.into(), virtual_host: None, client_id: None };
        Self::with_info(engine, capacity, &info)
    }

    fn with_info(engine: &EmbeddedEngine, capacity: usize, info: &SessionInfo) -> Self {
        let mailbox = Arc::new(Mailbox::new(capacity));
        let half = engine.open(info, Arc::clone(&mailbox)).unwrap();
        Self { mailbox, half, tickets: 0, deliveries: vec![], others: vec![] }
    }

    /// Submits an operation and checks that it was answered once, by its own ticket.
    #[track_caller]
    fn try_do(&mut self, operation: Operation) -> Result<(), EngineError> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.half.submit(operation, Some(ticket));
        self.collect();
        let answers: Vec<Event> =
            self.others.extract_if(.., |event| matches!(event, Event::Completed(_) | Event::Failed { .. })).collect();
        match &answers[..] {
            [Event::Completed(answered)] if *answered == ticket => Ok(()),
            [Event::Failed { ticket: Some(answered), error }] if *answered == ticket => Err(error.clone()),
            other => panic!("not one answer to {ticket:?}: {other:?}"),
        }
    }

    #[track_caller]
    fn send(&mut self, destination: &str, body: &str) {
        self.try_do(Operation::Send(message(destination, body))).unwrap();
    }

    #[track_caller]
    fn subscribe(&mut self, key: u32, destination: &str, acknowledge: Acknowledge, prefetch: u32) {
        self.subscribe_with(key, destination, acknowledge, prefetch, vec![]);
    }

    #[track_caller]
    fn subscribe_with(&mut self, key: u32, to: &str, acknowledge: Acknowledge, prefetch: u32, headers: Vec<Header>) {
        let (key, prefetch) = (SubscriptionKey(key), Some(prefetch));
        let subscription = Subscription { key, destination: to.into(), acknowledge, prefetch, headers };
        self.try_do(Operation::Subscribe(subscription)).unwrap();
    }

    #[track_caller]
    fn unsubscribe(&mut self, key: u32) {
        self.try_do(Operation::Unsubscribe { subscription: SubscriptionKey(key), headers: Vec::new() }).unwrap();
    }

    #[track_caller]
    fn settle(&mut self, deliveries: &[Delivery], settlement: Settlement) {
        let subscription = deliveries[0].subscription;
        let deliveries = deliveries.iter().map(|delivery| delivery.tag.unwrap()).collect();
        self.try_do(Operation::Settle { subscription, deliveries, settlement }).unwrap();
    }

    fn collect(&mut self) {
        let mut batch = Vec::new();
        self.mailbox.take(&mut batch);
        for event in batch {
            match event {
                Event::Delivery(delivery) => self.deliveries.push(delivery),
                Event::Broadcast(subscription, batch) => {
                    let messages = batch.messages().iter().cloned();
                    let single = |message| Delivery { subscription, message, tag: None, redelivered: false };
                    self.deliveries.extend(messages.map(single));
                }
                other => self.others.push(other),
            }
        }
    }

    /// Everything delivered since the last call, as if it had been written to the socket.
    fn receive(&mut self) -> Vec<Delivery> {
        self.collect();
        let deliveries = std::mem::take(&mut self.deliveries);
        for delivery in &deliveries {
            self.mailbox.release(delivery.message.size());
        }
        deliveries
    }

    fn receive_bodies(&mut self) -> Vec<String> {
        self.receive().iter().map(|delivery| body(delivery).to_owned()).collect()
    }

    /// Why the engine closed the session, if it did.
    fn closed(&mut self) -> Option<String> {
        self.collect();
        let closed: Vec<Event> = self.others.extract_if(.., |event| matches!(event, Event::Closed(_))).collect();
        assert!(closed.len() <= 1, "closed twice: {closed:?}");
        closed.first().map(|event| match event {
            Event::Closed(error) => error.to_string(),
            other => panic!("{other:?}"),
        })
    }
}

fn status(engine: &EmbeddedEngine, destination: &str) -> Option<(u64, u64, u64)> {
    let DestinationStatus { depth, unsettled, consumers } = *engine.destinations().get(destination)?;
    Some((depth, unsettled, consumers))
}

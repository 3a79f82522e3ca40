//! The engine's half of one session: its subscriptions are served by the local part of the engine, its messages go to NATS.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Shared,
    answers::Answers,
    commands::{Command, Nobody, stored},
    commit::{self, Plan},
    envelope,
    interests::Target,
    names::canonical_pattern,
};
use crate::{
    engine::{
        EngineError, EngineSession, Event, Operation, SubscriptionKey, Ticket,
        embedded::{EmbeddedEngine, EmbeddedSession, Standing, Way, durable, lease::Then},
    },
    mailbox::Mailbox,
    message::Message,
};

/// The engine's half of one session.
pub(super) struct JetStreamSession {
    half: Arc<Mutex<Half>>,
    /// Its place among those that are told when NATS is away; taken with the first operation.
    place: Option<u64>,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
}

/// The same, shared with what follows a transaction.
pub(super) struct Half {
    shared: Arc<Shared>,
    local: EmbeddedSession,
    answers: Arc<Answers>,
    /// What each subscription of the session needs of NATS.
    needs: HashMap<SubscriptionKey, Standing>,
    /// A transaction is on its way to safety; what follows waits for it.
    busy: bool,
    later: VecDeque<(Operation, Option<Ticket>)>,
    itself: Weak<Mutex<Self>>,
}

impl JetStreamSession {
    /// A session that has done nothing yet.
    pub(super) fn new(shared: Arc<Shared>, local: EmbeddedSession, mailbox: Arc<Mailbox>) -> Self {
        let answers = Arc::new(Answers::new(mailbox.clone()));
        let half = Arc::new_cyclic(|itself| {
            Mutex::new(Half {
                shared: shared.clone(),
                local,
                answers,
                needs: HashMap::new(),
                busy: false,
                later: VecDeque::new(),
                itself: itself.clone(),
            })
        });
        Self { half, place: None, shared, mailbox }
    }
}

impl EngineSession for JetStreamSession {
    fn submit(&mut self, operation: Operation, ticket: Option<Ticket>) {
        if self.place.is_none() {
            self.place = self.shared.sessions.enter(&self.mailbox);
        }
        if self.place.is_none() {
            return self.mailbox.notify(Event::Failed { ticket, error: EngineError::NotAvailable });
        }
        self.half.lock().submit(operation, ticket);
    }

    fn is_ready(&self) -> bool {
        let half = self.half.lock();
        half.answers.is_ready()
            && !half.busy
            && self.place.is_none_or(|place| self.shared.outgoing.is_ready(place, &self.mailbox))
    }

    fn reply_destination(&self, own: &str) -> Option<Box<str>> {
        self.half.lock().local.reply_destination(own)
    }
}

impl Drop for JetStreamSession {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.sessions.leave(place);
            self.shared.outgoing.forget(place);
        }
        self.half.lock().end();
    }
}

impl Half {
    fn submit(&mut self, operation: Operation, ticket: Option<Ticket>) {
        if self.busy {
            self.later.push_back((operation, ticket));
        } else {
            self.carry_out(operation, ticket);
        }
    }

    /// Carries out an operation; its answer comes by [`Self::answers`].
    fn carry_out(&mut self, operation: Operation, ticket: Option<Ticket>) {
        let outcome = match operation {
            Operation::Send(message) => self.send(message, ticket),
            Operation::Subscribe(subscription) => self.subscribe(subscription, ticket),
            Operation::Unsubscribe { subscription, headers } => {
                self.unsubscribe(subscription, durable::deletes(&headers), ticket);
                Ok(())
            }
            Operation::Settle { .. } => {
                self.settle(operation, ticket);
                Ok(())
            }
            Operation::Commit(operations) => self.commit(operations, ticket),
        };
        if let Err(error) = outcome {
            self.answers.answer(ticket, Err(error));
        }
    }

    fn send(&mut self, message: Arc<Message>, ticket: Option<Ticket>) -> Result<(), EngineError> {
        let (way, payload) = self.packed(message)?;
        match way {
            Way::Queue(message) => {
                let subject = self.shared.names.queue(&message.destination)?;
                let then = self.awaited(ticket, message.size());
                let id = message.id.clone();
                self.shared.outgoing.say(Command::Store { subject, payload, id, then: stored(then) });
                Ok(())
            }
            Way::Topic(message) if EmbeddedEngine::is_delayed(&message) => {
                let then = self.awaited(ticket, message.size());
                let (_, subject) = self.shared.names.delayed();
                let (id, then) = (message.id.clone(), stored(then));
                self.shared.outgoing.say(Command::Store { subject, payload, id, then });
                Ok(())
            }
            way => {
                let is_kept = matches!(&way, Way::Topic(message) if self.shared.keeps(&message.destination));
                let then = (is_kept || ticket.is_some()).then(|| self.awaited(ticket, payload.len()));
                self.publish(way, payload, then)
            }
        }
    }

    /// Where a message goes, and its payload, which is checked against what NATS takes.
    fn packed(&self, message: Arc<Message>) -> Result<(Way, Bytes), EngineError> {
        let way = self.local.way(message)?;
        let (Way::Queue(message) | Way::Topic(message) | Way::Temporary(message) | Way::User(_, message)) = &way;
        let limit = self.shared.max_payload();
        let payload = envelope::encode(message).filter(|payload| payload.len() <= limit);
        let payload = payload.ok_or_else(|| EngineError::TooLarge {
            destination: message.destination.as_str().into(),
            limit: format!("max_payload of NATS ({limit} octets, with all headers)").into(),
        })?;
        Ok((way, payload))
    }

    /// Sends a message to whoever is there.
    fn publish(&self, way: Way, payload: Bytes, then: Option<Then>) -> Result<(), EngineError> {
        let names = &self.shared.names;
        let (subject, nobody) = match way {
            Way::Topic(message) | Way::Queue(message) => return self.shared.publish_topic(&message, payload, then),
            Way::Temporary(message) => (names.temporary(&message.destination)?, None),
            Way::User(name, message) => {
                let (subject, shared) = (names.user(&name)?, self.shared.clone());
                (subject, Some(Box::new(move || shared.unresolved(&message)) as Nobody))
            }
        };
        self.shared.outgoing.say(Command::Publish { subject, payload, then, nobody });
        Ok(())
    }

    /// An answer that comes when NATS has confirmed.
    fn awaited(&self, ticket: Option<Ticket>, octets: usize) -> Then {
        let (number, answers) = (self.answers.open(ticket, octets), self.answers.clone());
        Box::new(move |outcome| answers.close(number, outcome))
    }

    fn subscribe(
        &mut self,
        subscription: crate::engine::Subscription,
        ticket: Option<Ticket>,
    ) -> Result<(), EngineError> {
        let key = subscription.key;
        self.release(key);
        self.local.subscribe(subscription)?;
        let Some(standing) = self.local.standing(key) else { return Ok(()) };
        if let Err(error) = self.shared.need(&standing) {
            self.local.unsubscribe(key, false);
            return Err(error);
        }
        if ticket.is_some() {
            let then = self.awaited(ticket, 0);
            match &standing {
                // What is sent after the answer has to be kept for it.
                Standing::Queue(queue) if durable::topic_of(&queue.name).is_some() => {
                    self.shared.fetchers.when_made(&queue.name, then);
                }
                _ => self.shared.outgoing.say(Command::Mark(then)),
            }
        }
        self.needs.insert(key, standing);
        Ok(())
    }

    fn unsubscribe(&mut self, key: SubscriptionKey, delete: bool, ticket: Option<Ticket>) {
        let kept = match self.needs.get(&key) {
            Some(Standing::Queue(queue)) if delete && durable::topic_of(&queue.name).is_some() => {
                Some(queue.name.clone())
            }
            _ => None,
        };
        // First, so that what is given back does not come here again.
        self.release(key);
        self.local.unsubscribe(key, false);
        let Some(name) = kept else { return self.answers.answer(ticket, Ok(())) };
        // What follows may be about the same one.
        self.busy = true;
        let then = self.awaited(ticket, 0);
        let (shared, itself) = (self.shared.clone(), self.itself.clone());
        self.shared.tasks.spawn(async move {
            then(shared.delete_durable(&name).await);
            if let Some(half) = itself.upgrade() {
                half.lock().go_on();
            }
        });
    }

    /// Needs nothing more of NATS for a subscription.
    fn release(&mut self, key: SubscriptionKey) {
        if let Some(standing) = self.needs.remove(&key) {
            self.shared.release(&standing);
        }
    }

    fn settle(&self, operation: Operation, ticket: Option<Ticket>) {
        let Operation::Settle { subscription, deliveries, settlement } = operation else { return };
        let leases = self.local.settle_borrowed(subscription, &deliveries, settlement);
        match ticket {
            None => leases.into_iter().for_each(|lease| lease.accept(None)),
            Some(_) if leases.is_empty() => self.answers.answer(ticket, Ok(())),
            Some(_) => {
                let then = commit::all(leases.len(), self.awaited(ticket, 0));
                leases.into_iter().zip(then).for_each(|(lease, then)| lease.accept(Some(then)));
            }
        }
    }

    fn commit(&mut self, operations: Vec<Operation>, ticket: Option<Ticket>) -> Result<(), EngineError> {
        let mut plan = Plan::default();
        for operation in operations {
            match operation {
                Operation::Send(message) => {
                    let (way, payload) = self.packed(message)?;
                    match way {
                        Way::Queue(message) => {
                            let subject = self.shared.names.queue(&message.destination)?;
                            plan.stored.push((subject, payload, message.id.clone()));
                        }
                        Way::Topic(message) if EmbeddedEngine::is_delayed(&message) => {
                            plan.stored.push((self.shared.names.delayed().1, payload, message.id.clone()));
                        }
                        Way::Topic(message) if self.shared.keeps(&message.destination) => {
                            let subject = self.shared.names.stored_topic(&message.destination)?;
                            plan.stored.push((subject, payload.clone(), message.id.clone()));
                            plan.live.push((self.shared.names.topic(&message.destination)?, payload));
                        }
                        way => plan.published.push((way, payload)),
                    }
                }
                other => plan.others.push(other),
            }
        }
        let number = self.answers.open(ticket, 0);
        let (answers, itself) = (self.answers.clone(), self.itself.clone());
        let begun = plan.begin(&self.shared, move |outcome, rest| {
            // The session may have gone; what is left then is for nobody.
            let outcome = match (outcome, itself.upgrade()) {
                (Ok(()), Some(half)) => half.lock().finish(rest),
                (outcome, _) => outcome,
            };
            answers.close(number, outcome);
            if let Some(half) = itself.upgrade() {
                half.lock().go_on();
            }
        });
        match begun {
            Ok(()) => self.busy = true,
            Err(error) => self.answers.close(number, Err(error)),
        }
        Ok(())
    }

    /// Does what of a transaction needs no safety of its own, now that the rest is safe.
    fn finish(&mut self, plan: Plan) -> Result<(), EngineError> {
        for (subject, payload) in plan.live {
            self.shared.outgoing.say(Command::Publish { subject, payload, then: None, nobody: None });
        }
        for (way, payload) in plan.published {
            self.publish(way, payload, None)?;
        }
        for operation in plan.others {
            self.carry_out(operation, None);
        }
        Ok(())
    }

    /// Goes on with what has waited for a transaction.
    fn go_on(&mut self) {
        self.busy = false;
        while !self.busy
            && let Some((operation, ticket)) = self.later.pop_front()
        {
            self.carry_out(operation, ticket);
        }
        if !self.busy {
            self.answers.ready();
        }
    }

    /// Gives back all that the session held.
    fn end(&mut self) {
        self.later.clear();
        // First, so that what is given back does not come here again.
        for (_, standing) in std::mem::take(&mut self.needs) {
            self.shared.release(&standing);
        }
        self.local.end();
    }
}

/// For whom messages come to where a subscription stands.
pub(super) fn target(standing: &Standing) -> Option<Target> {
    match standing {
        Standing::Queue(_) => None,
        Standing::Temporary(_) => Some(Target::Temporary),
        Standing::Topic(_) => Some(Target::Topic),
        Standing::Pattern(pattern) => Some(Target::Pattern(canonical_pattern(pattern))),
        Standing::User(_) => Some(Target::User),
    }
}

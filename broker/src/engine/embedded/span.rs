//! The part of an engine over several pods that is in this process: subscriptions are kept and served here, messages come and
//! go by another system.

use std::{sync::Arc, time::Instant};

use stompbroker_config::{DestinationPolicy, UserDestinations};

use super::{
    EmbeddedEngine, EmbeddedSession,
    asked::Asked,
    declared::Declared,
    durable::{self, Requested},
    lease::Lease,
    names::{self, Kind},
    queue::{Borrowed, Queue, QueueState, Terms},
    route, temporary,
};
use crate::{
    destination::{Segment, is_pattern, segments, spans},
    engine::{DeliveryTag, EngineError, Settlement, SubscriptionKey},
    message::{Batch, Message},
    stomp::Header,
};

/// Where a subscription of a session stands, so that messages can be fetched for it.
#[derive(Debug)]
pub(in crate::engine) enum Standing {
    /// In a queue whose messages are borrowed.
    Queue(Arc<Queue>),
    /// In a queue of this process, which others send to by this name.
    Temporary(Box<str>),
    /// Under the name of one topic.
    Topic(Box<str>),
    /// Under a pattern of topics.
    Pattern(Box<str>),
    /// Under names of a user and of a session.
    User(Box<[Box<str>]>),
}

/// Where a message goes that a session sends.
#[derive(Debug)]
pub(in crate::engine) enum Way {
    /// Into the queue of its destination.
    Queue(Arc<Message>),
    /// To whoever is subscribed to its destination now.
    Topic(Arc<Message>),
    /// To the process that has the queue of its destination, if one has.
    Temporary(Arc<Message>),
    /// To the sessions of a name.
    User(Box<str>, Arc<Message>),
}

/// Refuses what cannot be done for a subscription over several pods.
pub(super) fn check(
    kind: Kind,
    durable: Option<&Requested>,
    destination: &str,
    name: &str,
    headers: &[Header],
) -> Result<(), EngineError> {
    if durable.is_some_and(|requested| !requested.stays) {
        let remedy =
            "NATS keeps what subscribers share only as a durable subscription; add durable:true to x-queue-name";
        return names::refuse(destination, remedy);
    }
    if durable.is_some() || kind == Kind::Queue && !temporary::is_reply_queue(name) {
        let asked = Asked::read(headers)?;
        if asked.selector.is_some() {
            let remedy = "what NATS keeps for consumers to share takes no selector; use a queue or topic for each kind of \
                          message, or a selector on an ordinary subscription to a topic";
            return names::refuse(destination, remedy);
        }
        if asked.exclusive {
            return names::refuse(destination, "a queue whose messages NATS keeps has no exclusive consumers");
        }
        if asked.browser {
            return names::refuse(destination, "a queue whose messages NATS keeps cannot be browsed");
        }
        say_nothing(destination, headers)?;
    }
    Ok(())
}

/// Refuses what clients say of a queue by headers: no pod could hold the others to it.
fn say_nothing(destination: &str, headers: &[Header]) -> Result<(), EngineError> {
    let said = Declared::read(headers)?;
    if said.is_none_or(|said| said == Declared::default()) {
        return Ok(());
    }
    names::refuse(
        destination,
        "a queue whose messages NATS keeps goes by the configuration's destinations alone; leave out the headers about it",
    )
}

impl EmbeddedSession {
    /// Where a subscription stands.
    pub(in crate::engine) fn standing(&self, key: SubscriptionKey) -> Option<Standing> {
        let attached = self.subscriptions.get(&key)?;
        let name = || attached.name().into();
        Some(match (attached.kind, &attached.queue) {
            (Kind::Queue, Some(queue)) if queue.state.lock().is_borrowed() => Standing::Queue(Arc::clone(queue)),
            (Kind::Queue, _) => Standing::Temporary(name()),
            (Kind::Topic, _) => Standing::Topic(name()),
            (Kind::Pattern, _) => Standing::Pattern(name()),
            (Kind::User, _) => {
                Standing::User(attached.names.iter().filter_map(|key| route::user_of(key)).map(Into::into).collect())
            }
        })
    }

    /// There is room in the mailbox again; for a caller who asks the mailbox to be told of that itself.
    pub(in crate::engine) fn resume(&self) {
        self.outlet.resume();
    }

    /// Settles deliveries; the caller has the leases of what is done with accepted.
    pub(in crate::engine) fn settle_borrowed(
        &self,
        subscription: SubscriptionKey,
        deliveries: &[DeliveryTag],
        settlement: Settlement,
    ) -> Vec<Box<dyn Lease>> {
        let attached = self.subscriptions.get(&subscription);
        let Some((receiver, queue)) = attached.and_then(|to| Some((&to.receiver, to.queue.as_ref()?))) else {
            return Vec::new();
        };
        self.shared.queues.with_queue(queue, |state| {
            state.settle(receiver.id, deliveries, settlement);
            state.take_done()
        })
    }

    /// Decides where a message goes, with the destination that its receivers see.
    ///
    /// # Errors
    /// When it goes nowhere, or a header means nothing.
    pub(in crate::engine) fn way(&self, message: Arc<Message>) -> Result<Way, EngineError> {
        Terms::read(&message, std::time::Duration::ZERO)?;
        let message = self.with_reply_to(message);
        if let Some(name) = self.reply_destination(&message.destination) {
            if temporary::is_reply_queue(&name) && !self.shared.queues.has(&name) {
                return names::refuse(&message.destination, "it is not there; subscribe to it first");
            }
            return Ok(Way::to(Arc::new(message.sent_on(name.into(), None))));
        }
        if temporary::is_reply_queue(&message.destination) || temporary::is_reply_topic(&message.destination) {
            return Ok(Way::to(message));
        }
        let users = self.shared.user_destinations.load();
        if let Some(addressee) = users.addressee(&message.destination) {
            if is_pattern(&message.destination) {
                return names::refuse(&message.destination, "a message goes to one destination of one user");
            }
            let name = addressee.name.as_ref().into();
            return Ok(Way::User(name, message));
        }
        let message = match route::by_own_name(&self.shared, &message.destination)? {
            Some(name) => Arc::new(message.sent_on(name.into(), None)),
            None => message,
        };
        names::for_send(&message.destination)?;
        let way = Way::to(message);
        if let Way::Queue(message) = &way {
            say_nothing(&message.destination, &message.headers)?;
        }
        Ok(way)
    }
}

impl Way {
    fn to(message: Arc<Message>) -> Self {
        if names::is_topic(&message.destination) {
            Self::Topic(message)
        } else if names::is_transient(&message.destination, &message.headers) {
            Self::Temporary(message)
        } else {
            Self::Queue(message)
        }
    }
}

/// Whether a pattern stands for this topic.
fn is_of(pattern: &str, topic: &str) -> bool {
    let path: Vec<Segment<'_>> = segments(pattern).collect();
    spans(
        &path,
        |own| *own == Segment::Rest,
        topic.split(['/', '.']),
        |own, text| match own {
            Segment::Any | Segment::Rest => true,
            Segment::Literal(own) => *own == text,
        },
    )
}

/// Whether what is consumed as a queue of this name has messages of this destination. Other systems cannot tell all
/// destinations apart.
pub(in crate::engine) fn has_messages_of(queue: &str, destination: &str) -> bool {
    match durable::topic_of(queue) {
        Some(topic) if is_pattern(topic) => is_of(topic, destination),
        Some(topic) => topic == destination,
        None => queue == destination,
    }
}

impl EmbeddedEngine {
    /// Hands messages of one topic to those who subscribed to it by its name.
    pub(in crate::engine) fn deliver_topic(&self, topic: &str, batch: &Arc<Batch>) {
        self.shared.topics.deliver(topic, batch, &self.shared.queues);
    }

    /// Hands messages to those who subscribed to this pattern.
    /// There may be others among them, which the other system could not tell from those of the pattern.
    pub(in crate::engine) fn deliver_pattern(&self, pattern: &str, messages: &[Arc<Message>]) {
        let is_of = |message: &&Arc<Message>| is_of(pattern, &message.destination);
        let messages: Vec<_> = messages.iter().filter(is_of).cloned().collect();
        if !messages.is_empty() {
            self.shared.topics.deliver_to_pattern(pattern, &Arc::new(Batch::new(messages)), &self.shared.queues);
        }
    }

    /// Hands a message to those sessions of a name that subscribed to their own destination of it.
    pub(in crate::engine) fn deliver_user(&self, message: &Message) {
        let users = self.shared.user_destinations.load();
        let Some(addressee) = users.addressee(&message.destination) else { return };
        let key = route::user_key(&addressee.name, addressee.own);
        let batch = Arc::new(Batch::new(vec![users.resolved(message, addressee.own)]));
        self.shared.users.deliver(&key, &batch, &self.shared.queues);
    }

    /// Hands a message to a queue that is in this process alone; says whether there is room for it.
    pub(in crate::engine) fn deliver_temporary(&self, message: &Arc<Message>) -> bool {
        let terms = Terms::read(message, std::time::Duration::ZERO).unwrap_or_default();
        self.shared.queues.push(message, &terms, true).is_ok()
    }

    /// What becomes of a message for a user whom nobody is: it goes to a topic, or nowhere. Counts it.
    pub(in crate::engine) fn unresolved(&self, message: &Message) -> Option<Arc<Message>> {
        self.shared.unresolved.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.shared.user_destinations.load().unresolved(message)
    }

    /// Takes a message that was fetched for a queue.
    pub(in crate::engine) fn borrow(&self, queue: &str, borrowed: Borrowed) {
        self.shared.queues.with(queue, |_, state| state.borrow(borrowed));
    }

    /// How many messages the consumers of a queue could take at once.
    pub(in crate::engine) fn appetite(queue: &Queue) -> usize {
        queue.state.lock().appetite()
    }

    /// Whether a message is to be delivered later.
    pub(in crate::engine) fn is_delayed(message: &Message) -> bool {
        !Self::delay_left(message, std::time::Duration::ZERO).is_zero()
    }

    /// How long after it was sent a message of a queue may be delivered first; nothing if it may be now.
    pub(in crate::engine) fn delay_left(message: &Message, age: std::time::Duration) -> std::time::Duration {
        Terms::read(message, age).unwrap_or_default().delay
    }

    /// Does what is due by time in the queues.
    pub(in crate::engine) fn sweep_queues(&self, now: Instant) {
        self.shared.queues.sweep(now);
    }

    /// Puts changed policies and destinations of users in force.
    pub(in crate::engine) fn set_destinations(&self, policies: &[DestinationPolicy], users: &UserDestinations) {
        self.set_policies(policies);
        self.set_user_destinations(users);
    }
}

impl QueueState {
    /// Whether another system keeps what is in it.
    pub(super) fn is_borrowed(&self) -> bool {
        self.borrowed && !self.transient
    }
}

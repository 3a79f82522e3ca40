//! The engine's half of one session: carries out its operations at once and answers through its mailbox.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use rand::{Rng as _, distr::Alphanumeric};
use stompbroker_config::DestinationPolicy;

use super::{
    Shared,
    asked::{self, Asked},
    declared::Declared,
    durable::{self, ClientId},
    names::{self, Kind},
    outlet::{Filter, Outlet, Receiver},
    queue::{Queue, QueueState, Terms, Wishes},
    queues::Reservation,
    route::{self, Route},
    span,
    store::{Place, Store},
    temporary,
    topics::Subscriber,
};
use crate::{
    destination::is_pattern,
    engine::{
        Acknowledge, DeliveryTag, EngineError, EngineSession, Event, Operation, SessionInfo, Settlement, Subscription,
        SubscriptionKey, Ticket,
    },
    mailbox::Mailbox,
    message::{Batch, Message},
};

/// Characters of the secret in the names of temporary destinations.
const SECRET: usize = 22;
/// Messages that a subscription may hold which has said how many octets it wants to hold.
const WINDOWED_PREFETCH: u32 = 65_535;

/// The engine's half of one session.
#[derive(Debug)]
pub(in crate::engine) struct EmbeddedSession {
    pub(super) shared: Arc<Shared>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) subscriptions: BTreeMap<SubscriptionKey, Box<Attached>>,
    id: Arc<str>,
    /// The user's name; empty for an anonymous session.
    user: Arc<str>,
    /// What only those know who were given a temporary destination of this session; made when it is needed first.
    secret: OnceCell<Box<str>>,
    /// What the client calls itself, if it does.
    client: Option<Box<ClientId>>,
    /// Among the answers that the store holds back.
    place: Place,
    /// Messages to one topic that are not published yet, so that each subscriber gets them in one go.
    unpublished: Vec<Arc<Message>>,
    unpublished_size: usize,
}

/// Most messages to a topic that are held back, and about how many octets.
const MOST_UNPUBLISHED: usize = 64;
const MOST_UNPUBLISHED_SIZE: usize = 32 << 10;

/// Whether an operation changed the store, so that its answer waits for a commit.
type Stored = bool;

/// The names that a subscription stands under, where they are not its destination.
pub(super) type Names = Box<[Box<str>]>;

/// A subscription of this session, and where it is attached.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) receiver: Arc<Receiver>,
    pub(super) kind: Kind,
    /// The names that it stands under, where they are not its destination.
    pub(super) names: Names,
    /// The queue, or the private queue of a topic with acknowledgements.
    pub(super) queue: Option<Arc<Queue>>,
}

/// An operation of a transaction that can no longer fail.
enum Checked<'a> {
    Queue { message: Arc<Message>, terms: Terms, room: Reservation<'a> },
    Topic(Arc<Message>),
    Users { key: Box<str>, message: Arc<Message> },
    Nowhere,
    Other(Operation),
}

impl EmbeddedSession {
    /// A session that has done nothing yet.
    ///
    /// # Errors
    /// When another session has its `client-id`.
    pub(super) fn new(shared: Arc<Shared>, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Result<Self, EngineError> {
        let client = session.client_id.as_deref().map(|name| shared.client_ids.take(name)).transpose()?.map(Box::new);
        let (id, user) = (Arc::clone(&session.id), Arc::clone(&session.user));
        let (outlet, subscriptions) = (Outlet::new(mailbox), BTreeMap::new());
        Ok(Self {
            shared,
            outlet,
            subscriptions,
            id,
            user,
            secret: OnceCell::new(),
            client,
            place: Place::default(),
            unpublished: Vec::new(),
            unpublished_size: 0,
        })
    }

    fn apply(&mut self, operation: Operation) -> Result<Stored, EngineError> {
        match operation {
            Operation::Send(message) => self.send(&message),
            Operation::Subscribe(subscription) => self.subscribe(subscription),
            Operation::Unsubscribe { subscription, headers } => {
                Ok(self.unsubscribe(subscription, durable::deletes(&headers)))
            }
            Operation::Settle { subscription, deliveries, settlement } => {
                Ok(self.settle(subscription, &deliveries, settlement))
            }
            Operation::Commit(operations) => self.commit(operations),
        }
    }

    fn send(&mut self, message: &Arc<Message>) -> Result<Stored, EngineError> {
        let terms = Terms::read(message, Duration::ZERO)?;
        match self.route(Arc::clone(message))? {
            Route::Topic(message) if terms.delay.is_zero() => {
                self.admit_to_topic(&message)?;
                self.hold_back(message);
                Ok(false)
            }
            // A delayed message of a topic waits in a queue, too.
            Route::Queue(message) | Route::Topic(message) => {
                self.publish();
                let transient = names::is_transient(&message.destination, &message.headers);
                let stored = self.admit(&message, transient)?;
                if terms.declares {
                    let room = self.shared.reserve(&message)?;
                    room.fill(message, &terms, transient);
                    return Ok(stored);
                }
                self.shared.queues.push(&message, &terms, transient).map_err(|_| self.shared.full(&message))?;
                Ok(stored)
            }
            Route::Users(key, message) => {
                self.publish();
                self.shared.users.deliver(&key, &Arc::new(Batch::new(vec![message])), &self.shared.queues);
                Ok(false)
            }
            Route::Nowhere => Ok(false),
        }
    }

    /// Keeps a message to a topic until others that follow at once can go with it.
    fn hold_back(&mut self, message: Arc<Message>) {
        let other_topic = self.unpublished.last().is_some_and(|last| last.destination != message.destination);
        if other_topic || self.unpublished.len() >= MOST_UNPUBLISHED || self.unpublished_size >= MOST_UNPUBLISHED_SIZE {
            self.publish();
        }
        self.unpublished_size += message.size();
        self.unpublished.push(message);
    }

    /// Publishes what was sent to one topic and held back. The next answer waits for what of it is stored.
    fn publish(&mut self) {
        let messages = std::mem::take(&mut self.unpublished);
        self.unpublished_size = 0;
        if let Some(first) = messages.first().cloned() {
            let batch = Arc::new(Batch::new(messages));
            let stored = self.shared.topics.publish(&first.destination, &batch, &self.shared.queues);
            if stored && let Some(store) = self.shared.queues.store() {
                store.follow(&mut self.place);
            }
        }
    }

    /// Decides where a message goes. What is this session's own gets the name that others have for it.
    fn route(&self, message: Arc<Message>) -> Result<Route, EngineError> {
        let message = self.with_reply_to(message);
        let Some(name) = self.reply_destination(&message.destination) else { return self.shared.route(message) };
        match self.shared.route(Arc::new(message.sent_on(name.into(), None)))? {
            Route::Nowhere => names::refuse(&message.destination, "it is not there; subscribe to it first"),
            route => Ok(route),
        }
    }

    /// The same message, with a `reply-to` that others can send to.
    pub(super) fn with_reply_to(&self, message: Arc<Message>) -> Arc<Message> {
        match message.header("reply-to").and_then(|to| self.reply_destination(to)) {
            Some(to) => Arc::new(message.sent_on(message.destination.clone(), Some(("reply-to".into(), to.into())))),
            None => message,
        }
    }

    /// How others call a temporary destination of this session; none if it is no such destination.
    pub(in crate::engine) fn reply_destination(&self, own: &str) -> Option<Box<str>> {
        temporary::reply_destination(own, || {
            let make = || rand::rng().sample_iter(Alphanumeric).take(SECRET).map(char::from).collect::<String>().into();
            self.secret.get_or_init(make).to_string()
        })
    }

    /// Whether a message for a queue will be stored; refuses it when that cannot be done now.
    fn admit(&self, message: &Message, transient: bool) -> Result<Stored, EngineError> {
        match self.shared.queues.store() {
            Some(store) if !transient && message.is_persistent() => store.admit().map(|()| true),
            _ => Ok(false),
        }
    }

    /// Refuses a message for a topic that a durable subscription would have to store when that cannot be done now.
    fn admit_to_topic(&self, message: &Message) -> Result<(), EngineError> {
        match self.shared.queues.store() {
            Some(store) if message.is_persistent() && self.shared.topics.feeds_durable(&message.destination) => {
                store.admit()
            }
            _ => Ok(()),
        }
    }

    pub(in crate::engine) fn subscribe(&mut self, subscription: Subscription) -> Result<Stored, EngineError> {
        let Subscription { key, destination, acknowledge, prefetch, headers } = subscription;
        let (kind, names) = self.names(&destination)?;
        let client = self.client.as_deref().map(ClientId::name);
        let durable = durable::requested(&headers, client, kind, &destination, names.first().unwrap_or(&destination))?;
        if self.shared.queues.owner().is_some() {
            span::check(kind, durable.as_ref(), &destination, names.first().unwrap_or(&destination), &headers)?;
        }
        self.unsubscribe(key, false);
        let mut stored = false;
        let id = self.shared.next_receiver();
        let declared = Declared::read(&headers)?;
        let Asked { selector, window, exclusive, no_local, browser } = Asked::read(&headers)?;
        if browser && (kind != Kind::Queue || durable.is_some()) {
            return Err(asked::not_a_queue());
        }
        let by_client = acknowledge == Acknowledge::ByClient;
        let prefetch = match prefetch.filter(|&count| count > 0) {
            Some(count) => count,
            None if window.is_some() => WINDOWED_PREFETCH,
            // 0 means "no limit" to some brokers; here every window is bounded.
            None => self.shared.prefetch(),
        };
        let exclusive = exclusive && (kind == Kind::Queue || durable.is_some());
        let wishes = Wishes { prefetch, by_client, window: window.filter(|_| by_client), exclusive };
        let transient = names::is_transient(names.first().unwrap_or(&destination), &headers);
        // In a queue a message that its only consumer does not want would stay for ever.
        let not_of = (no_local && kind != Kind::Queue && durable.is_none()).then(|| format!("{}-", self.id).into());
        let wants_all = selector.is_none() && not_of.is_none();
        let filter = (!wants_all).then(|| Box::new(Filter { selector, not_of }));
        let receive = |from: Weak<Queue>, destination| {
            Receiver::new(id, destination, key, Arc::clone(&self.outlet), filter, from)
        };

        let attached = if kind == Kind::Queue || durable.is_some() {
            let of_topic = durable.as_ref().map(|requested| &requested.queue);
            let name = of_topic.or_else(|| names.first()).unwrap_or(&destination).clone();
            self.shared.queues.with(&name, |queue, state| {
                if let Some(declared) = declared.as_ref().filter(|_| !browser) {
                    state.declare(declared)?;
                }
                if let Some(requested) = durable.as_ref().filter(|_| self.shared.queues.owner().is_none()) {
                    stored = self.shared.queues.begin_durable(queue, state, requested.stays)?;
                }
                let receiver = receive(Arc::downgrade(queue), destination.clone());
                if browser {
                    let end = format!("{}-browser-{}", self.id, id.0).into();
                    state.browse(Arc::clone(&receiver), wishes, asked::browsed(end, destination.clone()));
                } else {
                    state.attach(Arc::clone(&receiver), wishes, transient && durable.is_none());
                }
                Ok(Attached { receiver, kind: Kind::Queue, names, queue: Some(Arc::clone(queue)) })
            })?
        } else {
            let (receiver, window) = match acknowledge {
                Acknowledge::WhenWritten => (receive(Weak::new(), destination), None),
                Acknowledge::ByClient => {
                    let queue = Arc::new(Queue::new(
                        destination.clone(),
                        Arc::default(),
                        None,
                        self.window_policy(&destination),
                    ));
                    let receiver = receive(Arc::downgrade(&queue), destination);
                    let mut state = queue.state.lock();
                    if let Some(declared) = &declared {
                        state.declare(declared)?;
                    }
                    state.attach(Arc::clone(&receiver), wishes, false);
                    drop(state);
                    (receiver, Some(queue))
                }
            };
            let subscriber = Subscriber::new(Arc::clone(&receiver), window.clone());
            let attached = Attached { receiver, kind, names, queue: window };
            match kind {
                Kind::Pattern => self.shared.topics.subscribe_pattern(attached.name(), subscriber),
                Kind::User => {
                    for name in attached.names.iter().skip(1) {
                        self.shared.users.subscribe(name, subscriber.again());
                    }
                    self.shared.users.subscribe(attached.name(), subscriber);
                }
                Kind::Queue | Kind::Topic => self.shared.topics.subscribe(attached.name(), subscriber),
            }
            attached
        };
        self.subscriptions.insert(key, Box::new(attached));
        Ok(stored)
    }

    /// The kind of a destination that is subscribed to, and the names that it stands under, where they are others.
    fn names(&self, destination: &str) -> Result<(Kind, Names), EngineError> {
        if let Some(own) = self.shared.user_destinations.load().own(destination) {
            if is_pattern(destination) {
                return names::refuse(destination, "a destination of a user is subscribed to by its whole name");
            }
            let mut keys = vec![route::user_key(&self.id, own)];
            if !self.user.is_empty() && self.user != self.id {
                keys.push(route::user_key(&self.user, own));
            }
            return Ok((Kind::User, keys.into()));
        }
        if let Some(name) = self.reply_destination(destination) {
            let kind = if temporary::is_reply_queue(&name) { Kind::Queue } else { Kind::Topic };
            return Ok((kind, [name].into()));
        }
        let name = route::by_own_name(&self.shared, destination)?;
        let kind = names::for_subscribe(name.as_deref().unwrap_or(destination))?;
        Ok((kind, name.into_iter().collect()))
    }

    /// Ends a subscription; `delete`: with the durable subscription that it consumes from, as soon as no others do.
    pub(in crate::engine) fn unsubscribe(&mut self, key: SubscriptionKey, delete: bool) -> Stored {
        let Some(attached) = self.subscriptions.remove(&key) else { return false };
        attached.receiver.end();
        let stored = delete && attached.queue.as_ref().is_some_and(|queue| queue.state.lock().delete());
        self.detach(&attached);
        self.hand_on(&attached);
        stored
    }

    /// Takes a subscription away from its destination, without handing on what it gives back.
    fn detach(&self, attached: &Attached) {
        let Attached { receiver, kind, names, queue } = attached;
        match kind {
            Kind::Queue => {}
            Kind::Topic => self.shared.topics.unsubscribe(attached.name(), receiver.id),
            Kind::Pattern => self.shared.topics.unsubscribe_pattern(attached.name(), receiver.id),
            Kind::User => names.iter().for_each(|name| self.shared.users.unsubscribe(name, receiver.id)),
        }
        if let Some(queue) = queue {
            queue.state.lock().detach(receiver.id);
        }
    }

    /// Hands what a subscription gave back to the other consumers of its queue, or removes the queue if it is idle.
    fn hand_on(&self, attached: &Attached) {
        if let Attached { kind: Kind::Queue, queue: Some(queue), .. } = attached {
            self.shared.queues.with_queue(queue, QueueState::dispatch);
        }
    }

    fn settle(&self, subscription: SubscriptionKey, deliveries: &[DeliveryTag], settlement: Settlement) -> Stored {
        match self.subscriptions.get(&subscription).map(|attached| &**attached) {
            Some(Attached { receiver, queue: Some(queue), .. }) => {
                self.shared.queues.with_queue(queue, |state| state.settle(receiver.id, deliveries, settlement))
            }
            // A subscription that has ended gave back everything; settling it late changes nothing.
            _ => false,
        }
    }

    /// What holds for the private queue of a subscription to a topic: what it refuses is kept only where somebody said so,
    /// for others have got it.
    fn window_policy(&self, destination: &str) -> Arc<DestinationPolicy> {
        let mut policy = self.shared.queues.policy_of(destination);
        if policy.dead_letter.is_none() {
            Arc::make_mut(&mut policy).dead_letter = Some(DestinationPolicy::DISCARD.to_owned());
        }
        policy
    }

    fn commit(&mut self, operations: Vec<Operation>) -> Result<Stored, EngineError> {
        let shared = Arc::clone(&self.shared);
        let mut stored = false;
        let mut checked = Vec::with_capacity(operations.len());
        for operation in operations {
            checked.push(match operation {
                Operation::Send(message) => {
                    let terms = Terms::read(&message, Duration::ZERO)?;
                    match self.route(message)? {
                        Route::Topic(message) if terms.delay.is_zero() => {
                            self.admit_to_topic(&message)?;
                            Checked::Topic(message)
                        }
                        Route::Queue(message) | Route::Topic(message) => {
                            stored |=
                                self.admit(&message, names::is_transient(&message.destination, &message.headers))?;
                            let room = shared.reserve(&message)?;
                            Checked::Queue { message, terms, room }
                        }
                        Route::Users(key, message) => Checked::Users { key, message },
                        Route::Nowhere => Checked::Nowhere,
                    }
                }
                operation => Checked::Other(operation),
            });
        }
        let _together = shared.queues.store().map(Store::together);
        for operation in checked {
            match operation {
                Checked::Queue { message, terms, room } => {
                    let transient = names::is_transient(&message.destination, &message.headers);
                    room.fill(message, &terms, transient);
                }
                Checked::Topic(message) => {
                    let topic = message.destination.clone();
                    stored |= shared.topics.publish(&topic, &Arc::new(Batch::new(vec![message])), &shared.queues);
                }
                Checked::Users { key, message } => {
                    shared.users.deliver(&key, &Arc::new(Batch::new(vec![message])), &shared.queues);
                }
                Checked::Nowhere => {}
                Checked::Other(operation) => stored |= self.apply(operation)?,
            }
        }
        Ok(stored)
    }
}

impl Attached {
    /// The first name that it stands under.
    pub(super) fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.receiver.destination)
    }
}

impl EngineSession for EmbeddedSession {
    fn submit(&mut self, operation: Operation, ticket: Option<Ticket>) {
        let (is_send, is_awaited) = (matches!(operation, Operation::Send(_)), ticket.is_some());
        if !is_send {
            self.publish();
        }
        let outcome = self.apply(operation);
        if !is_send || is_awaited {
            self.publish();
        }
        let (answer, stored) = match (outcome, ticket) {
            (Ok(stored), Some(ticket)) => (Some(Event::Completed(ticket)), stored),
            (Ok(stored), None) => (None, stored),
            (Err(error), ticket) => (Some(Event::Failed { ticket, error }), false),
        };
        match (answer, self.shared.queues.store()) {
            (Some(event), None) => self.outlet.mailbox.notify(event),
            (Some(event), Some(store)) => store.answer(&mut self.place, &self.outlet.mailbox, event, stored),
            (None, Some(store)) if stored => store.follow(&mut self.place),
            (None, _) => {}
        }
    }

    fn flush(&mut self) {
        self.publish();
    }

    fn reply_destination(&self, own: &str) -> Option<Box<str>> {
        Self::reply_destination(self, own)
    }

    fn is_ready(&self) -> bool {
        self.shared.queues.store().is_none_or(|store| store.is_ready(&self.outlet.mailbox))
    }
}

impl EmbeddedSession {
    /// Ends all subscriptions. Gives everything back before anything is handed on, so that other consumers get it in the old
    /// order.
    pub(in crate::engine) fn end(&mut self) {
        self.publish();
        // Else other threads would still deliver here what is then marked as redelivered for nothing.
        self.outlet.close();
        let subscriptions = std::mem::take(&mut self.subscriptions);
        for attached in subscriptions.values() {
            self.detach(attached);
        }
        for attached in subscriptions.values() {
            self.hand_on(attached);
        }
        self.outlet.forget_stalled();
    }
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        self.end();
    }
}

//! Where messages go. One trait, several implementations; none of them sees a socket or a frame of a client.
//!
//! A session opens its half of the engine with [`Engine::open`] and hands it [`Operation`]s in order. Everything the
//! engine has to say comes back through the session's [`Mailbox`], also the answers, so that an engine may take its time.
//!
//! Invariants every engine keeps:
//! * An operation that came with a [`Ticket`] is answered exactly once, by `Completed` or `Failed`; answers of one session
//!   come in the order of its operations. One without a ticket is answered only when it fails.
//! * `Completed` for a message means that the engine has taken it as safely as it ever will (a RECEIPT follows).
//! * After `Completed` for an unsubscribe, no more deliveries of that subscription are put into the mailbox.
//! * Dropping the [`EngineSession`] gives back everything that was delivered and not settled, in order, redelivered.
//! * Messages of one session to one destination are delivered to each subscriber in the order in which they were sent.

pub mod embedded;
mod failure;
pub mod jetstream;
pub mod relay;

use std::{collections::BTreeMap, sync::Arc};

use stompbroker_config::admin::RelayStatus;

use crate::{
    mailbox::Mailbox,
    message::{Batch, Message},
};

/// The session's name for one of its subscriptions; small, dense, reused after an unsubscribe has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey(pub u32);

/// The session's name for an operation whose answer it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The engine's name for a delivery that must be settled, unique within the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag(pub u64);

/// Whether the session settles a delivery when it is written, or the client does by ACK and NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Settled as soon as written: `ack:auto`.
    WhenWritten,
    /// Settled by the client: `ack:client` and `ack:client-individual`; the session resolves cumulative ACKs itself.
    ByClient,
}

/// A subscription as the engine needs it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The session's name for it.
    pub key: SubscriptionKey,
    /// Destination or pattern, exactly as the client wrote it.
    pub destination: Box<str>,
    /// Who settles its deliveries.
    pub acknowledge: Acknowledge,
    /// Most deliveries unsettled at once; absent: the engine's default.
    pub prefetch: Option<u32>,
    /// All other headers of SUBSCRIBE, for engines that pass them on; its `id` too, which names a durable subscription.
    pub headers: Vec<crate::stomp::Header>,
}

/// What becomes of a settled delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Done; the message is gone.
    Accept,
    /// Not done, and nothing said of what is to become of it: back to its queue, or whatever its destination has for that.
    Nack,
    /// Back to the head of its queue, in order.
    Requeue,
    /// Refused for good; dead-lettered where there is such a place, else dropped.
    Reject,
}

/// What a session asks of its engine.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Take this message.
    Send(Arc<Message>),
    /// Begin a subscription.
    Subscribe(Subscription),
    /// End a subscription; what it was given and has not settled is requeued.
    Unsubscribe {
        /// Which one.
        subscription: SubscriptionKey,
        /// The other headers of UNSUBSCRIBE: some upstreams delete a durable subscription by `durable:true` in it.
        headers: Vec<crate::stomp::Header>,
    },
    /// Settle deliveries of one subscription, in the order of their delivery.
    Settle {
        /// The subscription that they were delivered to.
        subscription: SubscriptionKey,
        /// What the engine called them.
        deliveries: Vec<DeliveryTag>,
        /// What becomes of them.
        settlement: Settlement,
    },
    /// All or nothing: sends and settlements of one transaction, in order.
    Commit(Vec<Operation>),
}

/// A message for one subscription.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which subscription it is for.
    pub subscription: SubscriptionKey,
    /// The message.
    pub message: Arc<Message>,
    /// How to settle it; absent where the engine keeps no account of it (topics without acknowledgement).
    pub tag: Option<DeliveryTag>,
    /// Whether it has been delivered before, to whomever.
    pub redelivered: bool,
}

/// What an engine tells a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message for a subscription.
    Delivery(Delivery),
    /// Messages for a subscription, for the first time, of which the engine keeps no account.
    Broadcast(SubscriptionKey, Arc<Batch>),
    /// The operation with this ticket is done.
    Completed(Ticket),
    /// An operation failed; the session ends with an ERROR.
    Failed {
        /// Its ticket, where it had one.
        ticket: Option<Ticket>,
        /// Why, in words for the client.
        error: EngineError,
    },
    /// The operation with this ticket has come to nothing, which a message tells the client; the session goes on.
    Refused(Ticket),
    /// The engine can serve this session no longer.
    Closed(EngineError),
    /// The engine, which was not [`EngineSession::is_ready`], takes operations again.
    Ready,
}

/// Why an operation failed; the text goes to the client and names no internals.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// The destination is not one that this engine serves.
    #[error("{destination:?} is not a destination of this broker; {remedy}")]
    UnknownDestination {
        /// As the client wrote it.
        destination: Box<str>,
        /// Which destinations there are.
        remedy: Box<str>,
    },
    /// A queue holds as much as it may.
    #[error("{destination:?} is full; consume from it or raise {limit}")]
    Full {
        /// As the client wrote it.
        destination: Box<str>,
        /// The configuration key of the bound and its value.
        limit: Box<str>,
    },
    /// A message is larger than what it has to pass through.
    #[error("{destination:?}: the message is larger than {limit}; make it smaller or raise that")]
    TooLarge {
        /// As the client wrote it.
        destination: Box<str>,
        /// The bound and its value.
        limit: Box<str>,
    },
    /// A header that the engine goes by has a value that means nothing.
    #[error("the header {header} must be {expected}, not {value:?}")]
    InvalidHeader {
        /// Its name.
        header: Box<str>,
        /// As the client wrote it.
        value: Box<str>,
        /// What would be right.
        expected: &'static str,
    },
    /// A header says something else of a queue than has been said before.
    #[error(
        "the header {header} is {value:?}, but the queue has {present:?} from one who used it before; give the same, leave \
         the header out, or use another queue"
    )]
    Declared {
        /// Its name.
        header: Box<str>,
        /// What it says.
        value: Box<str>,
        /// What has been said before.
        present: Box<str>,
    },
    /// The selector of a subscription cannot be read.
    #[error("the selector {selector:?} cannot be read {error}")]
    Selector {
        /// As the client wrote it.
        selector: Box<str>,
        /// Where and why.
        error: crate::selector::SelectorError,
    },
    /// A header asks for a durable subscription without what that needs.
    #[error("the header {header} asks for a durable subscription, which needs {needs}")]
    IncompleteDurable {
        /// Its name.
        header: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// There are as many durable subscriptions as there may be.
    #[error(
        "there are {0} durable subscriptions, which is the most; delete some by UNSUBSCRIBE with durable:true, or have \
         them expire by destinations[].expires"
    )]
    TooManyDurable(usize),
    /// Another session has this `client-id`.
    #[error("the client-id {0:?} is connected already; give each connection its own, or end the other one first")]
    ClientIdTaken(Box<str>),
    /// The session did not take its deliveries in time.
    #[error("slow consumer: {0}")]
    SlowConsumer(Box<str>),
    /// The upstream is away; Spring's relay uses the same words.
    #[error("Broker not available.")]
    NotAvailable,
    /// A message, or that it was settled, cannot be made safe now.
    #[error("the store of persistent messages cannot be written: {0}")]
    NotStored(Box<str>),
    /// The upstream answered with an ERROR of its own.
    #[error("{0}")]
    Upstream(Box<str>),
}

/// Who opened a session, as far as an engine may know.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// The session's id, unique in the cluster.
    pub id: Arc<str>,
    /// The user's name; empty for an anonymous session.
    pub user: Arc<str>,
    /// The `host` header of CONNECT, where there was one.
    pub virtual_host: Option<Box<str>>,
    /// The `client-id` of CONNECT, where there was one: whose durable subscriptions the session means.
    pub client_id: Option<Box<str>>,
}

/// A place that messages go to, shared by all sessions of the process.
pub trait Engine: Send + Sync {
    /// Opens the engine's half of a session; answers and deliveries go to `mailbox`.
    ///
    /// # Errors
    /// When this session may not be; the client gets an ERROR in place of CONNECTED.
    fn open(&self, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Result<Box<dyn EngineSession>, EngineError>;

    /// Whether messages flow, for `/readyz`.
    ///
    /// # Errors
    /// The reason, for people, when they do not.
    fn ready(&self) -> Result<(), String>;

    /// Depth and consumers by destination, for `/websocket-stats` and `/metrics`; empty where only the upstream knows.
    fn destinations(&self) -> BTreeMap<Box<str>, DestinationStatus>;

    /// Messages for users that reached no session, where this engine resolves destinations of users.
    fn unresolved_messages(&self) -> Option<u64> {
        None
    }

    /// Messages that durable subscriptions had no room for, where this engine has such.
    fn dropped_messages(&self) -> Option<u64> {
        None
    }

    /// The store of persistent messages, where there is one.
    fn store_status(&self) -> Option<StoreStatus> {
        None
    }

    /// The upstreams as the relay sees them.
    fn relay_status(&self) -> Option<RelayStatus> {
        None
    }
}

/// What an engine knows of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Messages that wait for a consumer.
    pub depth: u64,
    /// Messages delivered and not settled.
    pub unsettled: u64,
    /// Subscriptions.
    pub consumers: u64,
}

/// What an engine knows of its store of persistent messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Octets in use.
    pub used: u64,
    /// Octets that it may use.
    pub size: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Why persistent messages are refused now.
    pub trouble: Option<String>,
}

/// The engine's half of one session. Never blocks; dropping it ends the half.
pub trait EngineSession: Send {
    /// Takes an operation; the answer comes through the mailbox.
    fn submit(&mut self, operation: Operation, ticket: Option<Ticket>);

    /// Says that no more operations come for now. An engine may hold back what was submitted without a ticket until then,
    /// to do it in one go.
    fn flush(&mut self) {}

    /// Whether more operations are welcome. While not, the connection reads nothing from its client; `Event::Ready` follows.
    fn is_ready(&self) -> bool {
        true
    }

    /// How others call a temporary destination of this session, where the engine has such; none if it is no such destination.
    fn reply_destination(&self, own: &str) -> Option<Box<str>> {
        let _ = own;
        None
    }
}

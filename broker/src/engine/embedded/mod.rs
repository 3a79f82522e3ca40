//! Topics and queues in the memory of this one process.
//!
//! * `/queue/...`: every message goes to one consumer. Consumers take turns as long as they have credit (`prefetch`
//!   minus what they have not settled); what nobody can take now waits, up to `queueSize` octets a queue and four
//!   times that in all queues, then a SEND fails. A queue comes to be with its first SEND or SUBSCRIBE and vanishes when it has neither messages nor
//!   consumers. One that Spring made for a user's session is *transient*, see [`names::is_transient`].
//! * `/topic/...`: every message goes to each of the current subscriptions, also to those with wildcards. A subscription
//!   with acknowledgements gets a private queue of its own. A session that takes its messages too slowly is closed with
//!   [`super::EngineError::SlowConsumer`]; nobody else notices. A *durable* subscription is a queue that the topic feeds, also
//!   while nobody consumes from it, see [`durable`]; up to `queueSize`, then its oldest messages are dropped.
//! * `/user/...`: a session subscribes for itself alone, and is reached by the name of its user or its own id, see [`route`].
//! * A transaction is checked and its room in queues reserved before any of it is applied, so applying cannot fail.
//!
//! * `persistent:true` messages of queues are also in a [`store`] on a volume, where the configuration names one; answers that
//!   vouch for them wait for the disk.
//!
//! Every operation is carried out in [`super::EngineSession::submit`], so answers come in order by themselves, except those
//! that the store holds back, in order. Nothing here waits; all locks are short.
//!
//! # Lock order
//! changes kept together ([`store`]) → shard of queues → one queue → the store's pending changes, or → mailbox, or → list of stalled receivers of a session, or → agenda, or →
//! topics (a durable subscription begins or ends). The locks of topics are released before anything is delivered. No two queues are ever locked at once, nor two of any other kind. The call on room in
//! a mailbox comes from its own session's task, which holds no lock.

mod agenda;
mod asked;
mod declared;
pub(in crate::engine) mod durable;
pub(in crate::engine) mod lease;
pub(in crate::engine) mod names;
mod outlet;
mod queue;
mod queues;
mod route;
mod session;
mod span;
mod store;
pub(in crate::engine) mod temporary;
mod topics;
mod trie;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use stompbroker_config::{ByteSize, DestinationPolicy};

pub use self::store::StoreError;
use self::{
    declared::Declared,
    durable::ClientIds,
    lease::Owner,
    queue::FULL_QUEUES,
    queues::{Queues, Reservation},
    store::Store,
    topics::Topics,
};
pub(in crate::engine) use self::{
    queue::{Borrowed, DIED_IN, Queue},
    session::EmbeddedSession,
    span::{Standing, Way, has_messages_of},
};
use super::{DestinationStatus, Engine, EngineError, EngineSession, SessionInfo, StoreStatus};
use crate::{
    destination::{DestinationPolicies, UserDestinations},
    mailbox::Mailbox,
    message::{Batch, Message},
};

/// Topics and queues in the memory of this one process, shared by all its sessions.
#[derive(Debug)]
pub struct EmbeddedEngine {
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    queues: Queues,
    topics: Arc<Topics>,
    client_ids: ClientIds,
    /// Subscriptions to destinations of users, by [`route::user_key`].
    users: Topics,
    user_destinations: ArcSwap<UserDestinations>,
    /// Messages for users that reached no session.
    unresolved: AtomicU64,
    settings: Settings,
}

/// The configuration, exchangeable while messages flow.
#[derive(Debug)]
struct Settings {
    prefetch: AtomicU32,
}

impl EmbeddedEngine {
    /// An engine in memory alone, whatever the configuration says of persistence. It has no destinations; they come to be
    /// when they are used.
    pub fn new(config: &stompbroker_config::EmbeddedEngine) -> Self {
        Self::with_queues(config, Queues::default())
    }

    /// An engine as the configuration wants it, with the queues that an earlier process left in the store. Blocks.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn open(config: &stompbroker_config::EmbeddedEngine) -> Result<Self, StoreError> {
        let Some(persistence) = &config.persistence else { return Ok(Self::new(config)) };
        let limit = octets(config.queue_size).saturating_mul(FULL_QUEUES);
        let mut recovered = Vec::new();
        let store = Store::open(persistence, limit, |message| recovered.push(message))?;
        Ok(Self::with_queues(config, Queues::with_store(store, recovered)))
    }

    fn with_queues(config: &stompbroker_config::EmbeddedEngine, queues: Queues) -> Self {
        let settings = Settings { prefetch: AtomicU32::new(0) };
        let shared = Shared {
            topics: Arc::clone(queues.topics()),
            queues,
            client_ids: ClientIds::default(),
            users: Topics::default(),
            user_destinations: ArcSwap::default(),
            unresolved: AtomicU64::new(0),
            settings,
        };
        let engine = Self { shared: Arc::new(shared) };
        engine.configure(config);
        engine
    }

    /// An engine whose queues borrow their messages of `owner`, and whose topics hear of messages by
    /// [`Self::publish`] alone.
    pub(in crate::engine) fn borrowing(config: &stompbroker_config::EmbeddedEngine, owner: Arc<dyn Owner>) -> Self {
        Self::with_queues(config, Queues::borrowing(owner))
    }

    /// Opens a session whose operations the caller answers.
    pub(in crate::engine) fn session(
        &self,
        session: &SessionInfo,
        mailbox: Arc<Mailbox>,
    ) -> Result<EmbeddedSession, EngineError> {
        EmbeddedSession::new(Arc::clone(&self.shared), session, mailbox)
    }

    /// Makes the last changes safe and closes the store, where there is one. To be called when all sessions have ended; a
    /// persistent message that comes later is refused. Blocks.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Puts a changed configuration in force: `queueSize` for the next message, `prefetch` for new subscriptions.
    pub fn configure(&self, config: &stompbroker_config::EmbeddedEngine) {
        let Settings { prefetch } = &self.shared.settings;
        self.shared.queues.set_limit(octets(config.queue_size));
        prefetch.store(config.prefetch, Ordering::Relaxed);
    }

    /// Puts changed entries of `destinations` in force, for the queues that there are too.
    pub fn set_policies(&self, policies: &[DestinationPolicy]) {
        self.shared.queues.set_policies(DestinationPolicies::new(policies));
    }

    /// Puts changed `userDestinations` in force, for what is sent and subscribed to from now on.
    pub fn set_user_destinations(&self, config: &stompbroker_config::UserDestinations) {
        self.shared.user_destinations.store(Arc::new(UserDestinations::new(config)));
    }

    /// Does what is due by time; to be called some times a second, for so late a delayed message may be.
    pub fn sweep(&self, now: Instant) {
        for message in self.shared.queues.sweep(now) {
            let topic = message.destination.clone();
            self.shared.topics.publish(&topic, &Arc::new(Batch::new(vec![message])), &self.shared.queues);
        }
    }
}

impl Engine for EmbeddedEngine {
    fn open(&self, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Result<Box<dyn EngineSession>, EngineError> {
        Ok(Box::new(self.session(session, mailbox)?))
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn store_status(&self) -> Option<StoreStatus> {
        self.shared.queues.store().map(Store::status)
    }

    fn unresolved_messages(&self) -> Option<u64> {
        Some(self.shared.unresolved.load(Ordering::Relaxed))
    }

    fn dropped_messages(&self) -> Option<u64> {
        Some(self.shared.topics.dropped())
    }

    fn destinations(&self) -> BTreeMap<Box<str>, DestinationStatus> {
        let mut destinations = self.shared.queues.status();
        self.shared.topics.add_status(&mut destinations);
        self.shared.users.add_status(&mut destinations);
        destinations
    }
}

fn octets(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

impl Shared {
    fn close(&self) {
        if let Some(store) = self.queues.store() {
            store.close();
        }
    }

    /// Sets room aside for a message in its queue, which goes by what the message says of it from now on.
    fn reserve(&self, message: &Message) -> Result<Reservation<'_>, EngineError> {
        let room = self.queues.reserve(message).map_err(|_| self.full(message))?;
        if !names::is_topic(&message.destination)
            && let Some(declared) = Declared::read(&message.headers)?
        {
            room.declare(&declared)?;
        }
        Ok(room)
    }

    /// Why a message finds no room in its queue.
    fn full(&self, message: &Message) -> EngineError {
        let limit = ByteSize(self.queues.limit() as u64);
        EngineError::Full {
            destination: (*message.destination).into(),
            limit: format!(
                "engine.embedded.queueSize ({limit}; all queues together hold at most {FULL_QUEUES} times as much)"
            )
            .into(),
        }
    }

    fn prefetch(&self) -> u32 {
        self.settings.prefetch.load(Ordering::Relaxed).max(1)
    }

    /// A number that no other receiver of this process has.
    fn next_receiver(&self) -> outlet::ReceiverId {
        self.topics.next_receiver()
    }
}

impl Drop for Shared {
    /// Else the queues, which go now, would take their messages out of the store.
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;

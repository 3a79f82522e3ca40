//! Topics and queues in the memory of this one process.
//!
//! * `/queue/...`: every message goes to one consumer. Consumers take turns as long as they have credit (`prefetch`
//!   minus what they have not settled); what nobody can take now waits, up to `queueSize` octets a queue and four
//!   times that in all queues, then a SEND fails. A queue comes to be with its first SEND or SUBSCRIBE and vanishes when it has neither messages nor
//!   consumers. One that Spring made for a user's session is *transient*, see [`names::is_transient`].
//! * `/topic/...`: every message goes to each of the current subscriptions, also to those with wildcards. A subscription
//!   with acknowledgements gets a private queue of its own. A session that takes its messages too slowly is closed with
//!   [`super::EngineError::SlowConsumer`]; nobody else notices.
//! * A transaction is checked and its room in queues reserved before any of it is applied, so applying cannot fail.
//!
//! Every operation is carried out in [`super::EngineSession::submit`], so answers come in order by themselves. Nothing here
//! waits; all locks are short.
//!
//! # Lock order
//! shard of queues → one queue → mailbox, or → list of stalled receivers of a session. The locks of topics are released
//! before anything is delivered. No two queues are ever locked at once, nor two of any other kind. The call on room in
//! a mailbox comes from its own session's task, which holds no lock.

mod names;
mod outlet;
mod queue;
mod queues;
mod session;
mod topics;
mod trie;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use self::{queues::Queues, session::EmbeddedSession, topics::Topics};
use super::{DestinationStatus, Engine, EngineSession, SessionInfo};
use crate::mailbox::Mailbox;

/// Topics and queues in the memory of this one process, shared by all its sessions.
#[derive(Debug)]
pub struct EmbeddedEngine {
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    queues: Queues,
    topics: Topics,
    settings: Settings,
    receivers: AtomicU64,
}

/// The configuration, exchangeable while messages flow.
#[derive(Debug)]
struct Settings {
    queue_size: AtomicUsize,
    prefetch: AtomicU32,
}

impl EmbeddedEngine {
    /// An engine without destinations; they come to be when they are used.
    pub fn new(config: &stompbroker_config::EmbeddedEngine) -> Self {
        let settings = Settings { queue_size: AtomicUsize::new(0), prefetch: AtomicU32::new(0) };
        let shared =
            Shared { queues: Queues::default(), topics: Topics::default(), settings, receivers: AtomicU64::new(0) };
        let engine = Self { shared: Arc::new(shared) };
        engine.configure(config);
        engine
    }

    /// Puts a changed configuration in force: `queueSize` for the next message, `prefetch` for new subscriptions.
    pub fn configure(&self, config: &stompbroker_config::EmbeddedEngine) {
        let Settings { queue_size, prefetch } = &self.shared.settings;
        queue_size.store(usize::try_from(config.queue_size.0).unwrap_or(usize::MAX), Ordering::Relaxed);
        prefetch.store(config.prefetch, Ordering::Relaxed);
    }
}

impl Engine for EmbeddedEngine {
    fn open(&self, _session: &SessionInfo, mailbox: Arc<Mailbox>) -> Box<dyn EngineSession> {
        Box::new(EmbeddedSession::new(Arc::clone(&self.shared), mailbox))
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn destinations(&self) -> BTreeMap<Box<str>, DestinationStatus> {
        let mut destinations = self.shared.queues.status();
        self.shared.topics.add_status(&mut destinations);
        destinations
    }
}

impl Shared {
    fn queue_size(&self) -> usize {
        self.settings.queue_size.load(Ordering::Relaxed)
    }

    fn prefetch(&self) -> u32 {
        self.settings.prefetch.load(Ordering::Relaxed).max(1)
    }

    /// A number that no other receiver of this process has.
    fn next_receiver(&self) -> outlet::ReceiverId {
        outlet::ReceiverId(self.receivers.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;

//! Persistent messages on a volume: one store, one thread that writes it, any number of sessions that feed it.
//!
//! The queues stay in memory and are served from there; the store is what a new process begins with. A queue says when a
//! message comes, is given back and leaves ([`Store::enter`], [`Store::give_back`], [`Store::leave`]); a session has its
//! answers given through the store ([`Store::answer`]), which holds back those that depend on what is not safe yet.
//!
//! Invariants:
//! * `Completed` of an operation follows the commit that holds all its changes, and the answers of one session keep their
//!   order, also those that need no commit.
//! * What is added while a guard of [`Store::together`] lives is in one commit: a crash leaves all of it or nothing.
//! * Ids grow in the order of each queue, because they are given under its lock; loading by id restores that order.
//! * A message that leaves before it was written is not written. An answer to its sender is then as good as after a
//!   commit: nobody needs the message any more.
//! * Memory: what waits for the disk is bounded by holding sessions back, and every message in it is in a queue anyway.
//!
//! When a commit fails, those who wait for it are told, further persistent messages are refused, and the same changes
//! are tried again together with those that came later, until they are written. Consumers go on all the time.

mod channel;
mod database;
mod error;
mod keep;
mod pending;
mod writer;

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::{Mutex, RwLockReadGuard};
use stompbroker_config::{ByteSize, Persistence};

pub use self::error::StoreError;
use self::{
    channel::Channel,
    database::Database,
    pending::{Change, Stored},
};
pub(super) use self::{
    channel::Place,
    keep::{Keeper, Kept},
    pending::StoredId,
};
use crate::{
    engine::{EngineError, Event, StoreStatus},
    mailbox::Mailbox,
};

/// The store of one engine. Dropping it writes what is left and closes it.
#[derive(Debug)]
pub(super) struct Store {
    channel: Arc<Channel>,
    next_id: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A message that an earlier process stored.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Its name in the store.
    pub(super) id: StoredId,
    /// The message and its queue.
    pub(super) stored: Stored,
    /// Whether it may have been delivered before.
    pub(super) redelivered: bool,
}

impl Store {
    /// Opens the store, or makes it, and hands out what is in it in the order in which it came. Blocks.
    ///
    /// # Errors
    /// When the store cannot be used, or holds more than `limit` octets of messages.
    pub(super) fn open(
        persistence: &Persistence,
        limit: usize,
        mut take: impl FnMut(Recovered),
    ) -> Result<Self, StoreError> {
        let database = Database::open(&persistence.directory, persistence.size.0)?;
        let (mut next_id, mut octets, mut messages) = (1, 0, 0_u64);
        database.load(|id, stored| {
            next_id = id.0.get() + 1;
            octets += stored.message.size();
            messages += 1;
            if octets > limit {
                return Err(StoreError::TooLarge { file: database.file().to_owned(), limit: ByteSize(limit as u64) });
            }
            let redelivered = stored.returns > 0 || !database.was_closed();
            take(Recovered { id, stored, redelivered });
            Ok(())
        })?;
        tracing::info!(file = ?database.file(), messages, octets, in_order = database.was_closed(), "the store is open");

        let channel = Arc::new(Channel::new(database.used().unwrap_or(0), persistence.size));
        let (of_writer, size) = (Arc::clone(&channel), persistence.size);
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || writer::run(database, &of_writer, size)).map_err(StoreError::Thread)?;
        Ok(Self { channel, next_id: AtomicU64::new(next_id), thread: Mutex::new(Some(thread)) })
    }

    /// Whether another message may be stored.
    ///
    /// # Errors
    /// Why not, for its sender.
    pub(super) fn admit(&self) -> Result<(), EngineError> {
        self.channel.admit()
    }

    /// Has a message stored. To be called under the lock of its queue, so that ids grow in the queue's order.
    pub(super) fn enter(&self, stored: Stored) -> StoredId {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let id = StoredId(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN));
        self.channel.add(id, Change::Enter(stored));
        id
    }

    /// Has it remembered how often a message was given back.
    pub(super) fn give_back(&self, id: StoredId, returns: u32) {
        self.channel.add(id, Change::Return(returns));
    }

    /// Has a message removed.
    pub(super) fn leave(&self, id: StoredId) {
        self.channel.add(id, Change::Leave);
    }

    /// Keeps together in one commit whatever is added while the guard lives. To be taken before any lock of a queue.
    pub(super) fn together(&self) -> RwLockReadGuard<'_, ()> {
        self.channel.together()
    }

    /// As [`Self::together`], also for who may hold such a guard already.
    pub(super) fn together_within(&self) -> RwLockReadGuard<'_, ()> {
        self.channel.together_within()
    }

    /// Answers a session. `depends`: whether the operation added changes, so that the answer must wait for their commit.
    pub(super) fn answer(&self, place: &mut Place, mailbox: &Arc<Mailbox>, event: Event, depends: bool) {
        self.channel.answer(place, mailbox, event, depends);
    }

    /// Has a session's next answer wait for what it changed now and wants no answer to: a RECEIPT vouches for all before it.
    pub(super) fn follow(&self, place: &mut Place) {
        self.channel.follow(place);
    }

    /// Whether the session of this mailbox may go on; if not, `Event::Ready` follows.
    pub(super) fn is_ready(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.channel.is_ready(mailbox)
    }

    /// Numbers for people.
    pub(super) fn status(&self) -> StoreStatus {
        self.channel.status()
    }

    /// Writes what is left and closes the store; what comes later is refused. Blocks.
    pub(super) fn close(&self) {
        self.channel.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the store has failed");
        }
    }

    /// Ends as a killed process does: what no commit covers yet is lost.
    #[cfg(test)]
    fn crash(self) {
        self.channel.end();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;

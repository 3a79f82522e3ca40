//! A queue whose messages another system keeps, see [`crate::engine::embedded::lease`].

use std::{sync::Arc, time::Duration};

use super::{Queue, QueueState, Terms};
use crate::{engine::embedded::lease::Lease, message::Message};

/// A message that was fetched for the consumers of a queue.
#[derive(Debug)]
pub(in crate::engine) struct Borrowed {
    /// The message.
    pub(in crate::engine) message: Arc<Message>,
    /// How long ago it was sent.
    pub(in crate::engine) age: Duration,
    /// How often it was given to a consumer before, as far as its owner knows.
    pub(in crate::engine) returns: u32,
    /// Whom to tell what becomes of it.
    pub(in crate::engine) lease: Box<dyn Lease>,
}

impl Queue {
    /// The same, for messages that another system keeps.
    pub(in crate::engine::embedded) fn borrowing(mut self) -> Self {
        self.state.get_mut().borrowed = true;
        self
    }
}

impl QueueState {
    /// Takes a message that was fetched, or gives it back if its consumers have gone.
    pub(in crate::engine::embedded) fn borrow(&mut self, borrowed: Borrowed) {
        let Borrowed { message, age, returns, lease } = borrowed;
        if self.consumers.is_empty() {
            return lease.give_back();
        }
        let size = message.size();
        self.octets += size;
        self.octets_of_all.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
        // They were read when it was sent; its delay is over.
        let terms = Terms::read(&message, age).unwrap_or_default().without_delay();
        self.enter(message, size, &terms, |entry| {
            (entry.redelivered, entry.returns) = (returns > 0, returns);
            entry.rare.get_or_insert_default().lease = Some(lease);
        });
        self.dispatch();
    }

    /// How many more messages its consumers could take at once.
    pub(in crate::engine::embedded) fn appetite(&self) -> usize {
        let credit: usize = self.consumers.values().map(|consumer| consumer.credit()).sum();
        credit.saturating_sub(self.ready.len())
    }

    /// The leases of what is done with and not accepted yet.
    pub(in crate::engine::embedded) fn take_done(&mut self) -> Vec<Box<dyn Lease>> {
        std::mem::take(&mut self.done)
    }
}

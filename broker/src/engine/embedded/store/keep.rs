//! What a queue holds of the store: a place to keep its messages, and a handle for each message kept.

use std::{sync::Arc, thread, time::SystemTime};

use super::{Store, Stored, StoredId};
use crate::message::Message;

/// Keeps the persistent messages of one queue.
#[derive(Debug)]
pub(in crate::engine::embedded) struct Keeper {
    store: Arc<Store>,
    queue: Box<str>,
}

/// A message's place in the store. It leaves the store when this is dropped, on whatever way it leaves its queue.
#[derive(Debug)]
pub(in crate::engine::embedded) struct Kept {
    store: Arc<Store>,
    id: StoredId,
}

impl Keeper {
    /// For the queue of this name.
    pub(in crate::engine::embedded) fn new(store: Arc<Store>, queue: Box<str>) -> Self {
        Self { store, queue }
    }

    /// Has a message stored, if its sender wants that. To be called under the lock of the queue.
    pub(in crate::engine::embedded) fn keep(&self, message: &Arc<Message>) -> Option<Kept> {
        message.is_persistent().then(|| {
            let queue = (*self.queue != *message.destination).then(|| self.queue.clone());
            let stored = Stored { queue, message: Arc::clone(message), entered: SystemTime::now(), returns: 0 };
            Kept { store: Arc::clone(&self.store), id: self.store.enter(stored) }
        })
    }
}

impl Kept {
    /// The place of a message that an earlier process stored.
    pub(in crate::engine::embedded) fn recovered(store: Arc<Store>, id: StoredId) -> Self {
        Self { store, id }
    }

    /// Has it remembered how often the message was given back.
    pub(in crate::engine::embedded) fn give_back(&self, returns: u32) {
        self.store.give_back(self.id, returns);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What a panic drops was not settled: the next process has it again.
        if !thread::panicking() {
            self.store.leave(self.id);
        }
    }
}

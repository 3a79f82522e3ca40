//! A queue that is a durable subscription: it stays though nothing and nobody is in it, and what is too much for it pushes
//! out the oldest, so that no sender is ever refused for somebody who is away.

use std::sync::Arc;

use super::{QueueState, Terms};
use crate::{
    engine::embedded::{outlet::ReceiverId, store::Kept},
    message::Message,
};

/// What a durable subscription has besides a queue.
#[derive(Debug)]
pub(super) struct Durable {
    /// What the topic calls it.
    feed: ReceiverId,
    /// Its place in the store, which tells the next process of it.
    kept: Option<Kept>,
    /// False when it was deleted or has expired: then it goes with its last consumer.
    stays: bool,
}

/// What became of a message for a durable subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::embedded) struct Taken {
    /// Whether it is in the store.
    pub(in crate::engine::embedded) stored: bool,
    /// Messages that were dropped for lack of room, itself perhaps among them.
    pub(in crate::engine::embedded) dropped: u64,
}

impl QueueState {
    /// Whether it is a durable subscription that was not deleted.
    pub(in crate::engine::embedded) fn stays(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.stays)
    }

    /// Makes it a durable subscription. `feed` has the topic feed it and is called once in its life.
    pub(in crate::engine::embedded) fn make_durable(&mut self, kept: Option<Kept>, feed: impl FnOnce() -> ReceiverId) {
        let feed = self.durable.take().map_or_else(feed, |durable| durable.feed);
        self.durable = Some(Box::new(Durable { feed, kept, stays: true }));
    }

    /// Has the store remember a durable subscription of this name, where there is one.
    pub(in crate::engine::embedded) fn keep_subscription(&self, name: &str) -> Option<Kept> {
        let persistent = vec![("persistent".into(), "true".into())];
        let itself = Message::new("durable".into(), name.into(), persistent, Vec::new().into(), true);
        self.keeper.as_ref().and_then(|keeper| keeper.keep(&Arc::new(itself)))
    }

    /// Deletes the durable subscription, as soon as it has no consumers; says whether the store knew it.
    pub(in crate::engine::embedded) fn delete(&mut self) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        durable.stays = false;
        durable.kept.take().is_some()
    }

    /// What the topic calls it, if it is fed by one.
    pub(in crate::engine::embedded) fn feed(&self) -> Option<ReceiverId> {
        self.durable.as_ref().map(|durable| durable.feed)
    }

    /// Whether what is in it goes with its last consumer.
    pub(super) fn goes_with_last_consumer(&self) -> bool {
        match &self.durable {
            Some(durable) => !durable.stays,
            None => self.transient || self.borrowed || self.policy.auto_delete,
        }
    }

    /// Takes a message of the topic. While it does not fit, the oldest of the lowest priority is dropped.
    pub(in crate::engine::embedded) fn take_from_topic(
        &mut self,
        message: &Arc<Message>,
        terms: &Terms,
        limit: usize,
    ) -> Taken {
        let mut taken = Taken::default();
        if self.retired || self.consumers.is_empty() && !self.stays() {
            return taken;
        }
        let size = message.size();
        while self.reserve(size, limit).is_err() {
            taken.dropped += 1;
            let Some(oldest) = self.ready.pop_lowest() else { return taken };
            self.leave(oldest);
        }
        taken.stored = self.keeper.is_some() && message.is_persistent();
        self.push_reserved(Arc::clone(message), size, terms, false);
        taken
    }
}

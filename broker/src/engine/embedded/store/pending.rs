//! What waits to be written: for each message only what is left to do, so that one which comes and goes between two
//! commits is never written at all.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc, time::SystemTime};

use crate::{engine::Event, mailbox::Mailbox, message::Message};

/// Names a stored message for ever; ids of one queue grow in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::engine::embedded) struct StoredId(pub(super) NonZeroU64);

/// A message as it is stored.
#[derive(Clone, Debug)]
pub(in crate::engine::embedded) struct Stored {
    /// The queue that it is in, where that is not its destination.
    pub(in crate::engine::embedded) queue: Option<Box<str>>,
    /// The message.
    pub(in crate::engine::embedded) message: Arc<Message>,
    /// When it came into the queue.
    pub(in crate::engine::embedded) entered: SystemTime,
    /// How often it was given back.
    pub(in crate::engine::embedded) returns: u32,
}

/// What is left to do about one message.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Write it.
    Enter(Stored),
    /// Write how often it was given back.
    Return(u32),
    /// Remove it.
    Leave,
}

/// Changes by message, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    by_id: BTreeMap<StoredId, Change>,
    /// Of the messages that are to be written.
    octets: usize,
}

impl Changes {
    /// Adds what happened to a message after all that is here.
    pub(super) fn add(&mut self, id: StoredId, change: Change) {
        match (self.by_id.get_mut(&id), change) {
            (Some(Change::Enter(stored)), Change::Return(returns)) => stored.returns = returns,
            (Some(Change::Enter(stored)), Change::Leave) => {
                self.octets -= stored.message.size();
                self.by_id.remove(&id);
            }
            (Some(Change::Leave), Change::Return(_)) => {}
            (_, change) => {
                if let Change::Enter(stored) = &change {
                    self.octets += stored.message.size();
                }
                self.by_id.insert(id, change);
            }
        }
    }

    /// Adds all that happened later.
    pub(super) fn extend(&mut self, later: Self) {
        for (id, change) in later.by_id {
            self.add(id, change);
        }
    }

    /// All changes, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (StoredId, &Change)> {
        self.by_id.iter().map(|(id, change)| (*id, change))
    }

    /// Whether nothing is left to do.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Octets of the messages that are to be written.
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }
}

/// An answer to a session that waits for a commit.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whose.
    pub(super) mailbox: Arc<Mailbox>,
    /// What it is when all goes well.
    pub(super) event: Event,
    /// Whether its operation changed the store; else it only keeps its place among the session's answers.
    pub(super) depends: bool,
}

/// What the next commit will cover.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What to write.
    pub(super) changes: Changes,
    /// Whom to answer afterwards, in order.
    pub(super) answers: Vec<Answer>,
    /// Sessions that wait for the backlog to shrink.
    pub(super) held_back: Vec<Arc<Mailbox>>,
    /// The number of that commit.
    pub(super) batch: u64,
    /// Nothing more is written after this batch.
    pub(super) closing: bool,
    /// Nothing is written any more.
    pub(super) ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> StoredId {
        StoredId(NonZeroU64::new(number).unwrap())
    }

    fn enter() -> Change {
        let message = Arc::new(Message::new("m".into(), "/queue/a".into(), vec![], vec![1; 10].into(), true));
        Change::Enter(Stored { queue: None, message, entered: SystemTime::UNIX_EPOCH, returns: 0 })
    }

    #[test]
    fn a_message_that_comes_and_goes_leaves_nothing_to_write() {
        let mut changes = Changes::default();
        changes.add(id(1), enter());
        assert!(changes.octets() > 0);
        changes.add(id(1), Change::Return(2));
        changes.add(id(1), Change::Leave);
        assert!(changes.is_empty());
        assert_eq!(changes.octets(), 0);
    }

    #[test]
    fn a_stored_message_that_is_given_back_and_leaves_is_removed() {
        let mut changes = Changes::default();
        changes.add(id(1), Change::Return(1));
        changes.add(id(1), Change::Leave);
        changes.add(id(1), Change::Return(2));
        assert!(matches!(changes.iter().next(), Some((_, Change::Leave))));
    }

    #[test]
    fn what_happened_later_is_added_to_what_could_not_be_written() {
        let (mut failed, mut later) = (Changes::default(), Changes::default());
        failed.add(id(1), enter());
        failed.add(id(2), enter());
        later.add(id(1), Change::Leave);
        later.add(id(2), Change::Return(3));
        later.add(id(3), enter());
        failed.extend(later);
        let left: Vec<_> = failed.iter().map(|(id, _)| id.0.get()).collect();
        assert_eq!(left, [2, 3]);
        assert!(matches!(failed.iter().next(), Some((_, Change::Enter(Stored { returns: 3, .. })))));
    }
}

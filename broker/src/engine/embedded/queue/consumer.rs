//! One consumer of a queue: what it holds, and how much more it may.

use std::{collections::VecDeque, sync::Arc};

use super::{Entry, wanted::Wanted};
use crate::engine::{DeliveryTag, embedded::outlet::Receiver};

/// What a subscription asks of a queue.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::embedded) struct Wishes {
    /// Most messages that it may hold unsettled.
    pub(in crate::engine::embedded) prefetch: u32,
    /// Whether its client settles them, so that one that is given back has been looked at, as far as we know.
    pub(in crate::engine::embedded) by_client: bool,
    /// Most octets that it may hold unsettled, but always one message; absent: as `prefetch` says.
    pub(in crate::engine::embedded) window: Option<u32>,
    /// Whether it is to be the only one that gets anything, for as long as it is there.
    pub(in crate::engine::embedded) exclusive: bool,
}

/// A consumer of a queue.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Consumer {
    pub(super) receiver: Arc<Receiver>,
    prefetch: usize,
    window: usize,
    /// Octets of what it holds.
    held: usize,
    /// Gets everything while it is the oldest of its kind.
    pub(super) exclusive: bool,
    /// What it wants, where that is not just everything.
    pub(super) wanted: Option<Box<Wanted>>,
    /// What it gives back counts as delivered.
    pub(super) by_client: bool,
    /// In the order of delivery, hence by tag.
    unsettled: VecDeque<(DeliveryTag, Entry)>,
    pub(super) in_rota: bool,
    /// The number of its last delivery among all of the queue: of those who want the same, the lowest is next.
    pub(super) turn: u64,
    /// Its mailbox was full; [`super::Queue::resume`] follows.
    pub(super) stalled: bool,
}

/// A number that fits the memory of the machine.
pub(super) fn octets(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Consumer {
    /// A consumer that holds nothing yet.
    pub(super) fn new(receiver: Arc<Receiver>, wishes: Wishes, wanted: Option<Box<Wanted>>) -> Self {
        let Wishes { prefetch, by_client, window, exclusive } = wishes;
        Self {
            receiver,
            prefetch: octets(prefetch),
            window: window.map_or(usize::MAX, octets),
            held: 0,
            exclusive,
            wanted,
            by_client,
            unsettled: VecDeque::new(),
            in_rota: false,
            turn: 0,
            stalled: false,
        }
    }

    /// Whether it may be given one more message.
    pub(super) fn has_credit(&self) -> bool {
        !self.stalled && self.unsettled.len() < self.prefetch && (self.held < self.window || self.unsettled.is_empty())
    }

    /// How many more messages it may be given, as far as their number counts.
    pub(super) fn credit(&self) -> usize {
        if self.has_credit() { self.prefetch.saturating_sub(self.unsettled.len()) } else { 0 }
    }

    /// Holds a message that was delivered by this tag.
    pub(super) fn hold(&mut self, tag: DeliveryTag, entry: Entry) {
        self.held = self.held.saturating_add(entry.size);
        self.unsettled.push_back((tag, entry));
    }

    /// How many messages it holds.
    pub(super) fn held(&self) -> usize {
        self.unsettled.len()
    }

    /// What it holds, in the order of delivery.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.unsettled.into_iter().map(|(_, entry)| entry)
    }

    /// Takes out the unsettled delivery of this tag.
    pub(super) fn take(&mut self, tag: DeliveryTag) -> Option<Entry> {
        let index = self.unsettled.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        let (_, entry) = self.unsettled.remove(index)?;
        self.held -= entry.size;
        Some(entry)
    }
}

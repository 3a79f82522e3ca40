//! One consumer of a queue: what it holds, and how much more it may.

use std::{collections::VecDeque, sync::Arc};

use super::Entry;
use crate::engine::{DeliveryTag, embedded::outlet::Receiver};

/// A consumer of a queue.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) receiver: Arc<Receiver>,
    prefetch: usize,
    /// In the order of delivery, hence by tag.
    pub(super) unsettled: VecDeque<(DeliveryTag, Entry)>,
    pub(super) in_rota: bool,
    /// Its mailbox was full; [`super::Queue::resume`] follows.
    pub(super) stalled: bool,
}

impl Consumer {
    /// A consumer that may hold `prefetch` messages unsettled and holds none.
    pub(super) fn new(receiver: Arc<Receiver>, prefetch: u32) -> Self {
        let prefetch = usize::try_from(prefetch).unwrap_or(usize::MAX);
        Self { receiver, prefetch, unsettled: VecDeque::new(), in_rota: false, stalled: false }
    }

    /// Whether it may be given one more message.
    pub(super) fn has_credit(&self) -> bool {
        !self.stalled && self.unsettled.len() < self.prefetch
    }

    /// Takes out the unsettled delivery of this tag.
    pub(super) fn take(&mut self, tag: DeliveryTag) -> Option<Entry> {
        let index = self.unsettled.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.unsettled.remove(index).map(|(_, entry)| entry)
    }
}

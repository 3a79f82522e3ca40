//! One consumer of a queue: what it holds, and how much more it may.

use std::{collections::VecDeque, sync::Arc};

use super::Entry;
use crate::engine::{DeliveryTag, embedded::outlet::Receiver};

/// What a subscription asks of a queue.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::embedded) struct Wishes {
    /// Most messages that it may hold unsettled.
    pub(in crate::engine::embedded) prefetch: u32,
    /// Whether its client settles them, so that one that is given back has been looked at, as far as we know.
    pub(in crate::engine::embedded) by_client: bool,
}

/// A consumer of a queue.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) receiver: Arc<Receiver>,
    prefetch: usize,
    /// What it gives back counts as delivered.
    pub(super) by_client: bool,
    /// In the order of delivery, hence by tag.
    pub(super) unsettled: VecDeque<(DeliveryTag, Entry)>,
    pub(super) in_rota: bool,
    /// Its mailbox was full; [`super::Queue::resume`] follows.
    pub(super) stalled: bool,
}

impl Consumer {
    /// A consumer that holds nothing yet.
    pub(super) fn new(receiver: Arc<Receiver>, Wishes { prefetch, by_client }: Wishes) -> Self {
        let prefetch = usize::try_from(prefetch).unwrap_or(usize::MAX);
        Self { receiver, prefetch, by_client, unsettled: VecDeque::new(), in_rota: false, stalled: false }
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

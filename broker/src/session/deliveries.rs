//! What a subscription has been given and its client has not yet settled.

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use super::{receipts::give_back, transactions::TransactionKey};
use crate::{engine::DeliveryTag, message::Message};

/// The unsettled deliveries of one subscription, in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    unsettled: VecDeque<Unsettled>,
}

/// One delivery that waits for its ACK or NACK.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// Its number within the session, rising.
    pub(super) number: u64,
    /// How to settle it; absent where the engine keeps no account of it.
    pub(super) tag: Option<DeliveryTag>,
    /// The message, kept where the client names it by its id, before STOMP 1.2, and where it is traced.
    pub(super) message: Option<Arc<Message>>,
    /// The open transaction that has acknowledged it.
    pub(super) transaction: Option<TransactionKey>,
}

/// What an ACK or NACK settles: most often a single delivery.
pub(super) type Tags = SmallVec<[DeliveryTag; 2]>;

/// How far an ACK or NACK reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The named delivery and all before it in its subscription.
    Cumulative,
    /// The named delivery alone.
    Individual,
}

impl Deliveries {
    pub(super) fn push(&mut self, delivery: Unsettled) {
        self.unsettled.push_back(delivery);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Where the delivery of this number is, unless it is settled or claimed by a transaction.
    pub(super) fn by_number(&self, number: u64) -> Option<usize> {
        let at = self.unsettled.binary_search_by_key(&number, |delivery| delivery.number).ok()?;
        self.unsettled[at].transaction.is_none().then_some(at)
    }

    /// Where the oldest delivery of the message with this id is, unless it is settled or claimed by a transaction.
    pub(super) fn by_message(&self, id: &str) -> Option<usize> {
        let named = |delivery: &Unsettled| delivery.message.as_ref().is_some_and(|message| &*message.id == id);
        self.unsettled.iter().position(|delivery| delivery.transaction.is_none() && named(delivery))
    }

    /// The number of the delivery that is there.
    pub(super) fn number_at(&self, at: usize) -> u64 {
        self.unsettled[at].number
    }

    /// Takes out what an ACK or NACK of the delivery at `at` settles; what open transactions have claimed stays theirs.
    /// `settled` gets the messages that were kept.
    pub(super) fn settle(&mut self, at: usize, reach: Reach, mut settled: impl FnMut(Arc<Message>)) -> Tags {
        let take = |mut delivery: Unsettled| {
            delivery.message.take().into_iter().for_each(&mut settled);
            delivery.tag
        };
        let tags = if reach == Reach::Individual {
            self.unsettled.remove(at).and_then(take).into_iter().collect()
        } else if self.unsettled.iter().take(at + 1).all(|delivery| delivery.transaction.is_none()) {
            self.unsettled.drain(..=at).filter_map(take).collect()
        } else {
            let last = self.unsettled[at].number;
            let taken = |delivery: &Unsettled| delivery.number <= last && delivery.transaction.is_none();
            self.take_where(taken, settled)
        };
        give_back(&mut self.unsettled);
        tags
    }

    /// Claims for a transaction what an ACK or NACK of the delivery at `at` settles once it is committed.
    pub(super) fn claim(&mut self, at: usize, reach: Reach, transaction: TransactionKey) -> Vec<DeliveryTag> {
        let first = if reach == Reach::Individual { at } else { 0 };
        let mut tags = Vec::new();
        for delivery in self.unsettled.range_mut(first..=at).filter(|delivery| delivery.transaction.is_none()) {
            delivery.transaction = Some(transaction);
            tags.extend(delivery.tag);
        }
        tags
    }

    /// The transaction is committed: what it claimed is settled. `settled` gets the messages that were kept.
    pub(super) fn forget_claimed(&mut self, transaction: TransactionKey, settled: impl FnMut(Arc<Message>)) {
        self.take_where(|delivery| delivery.transaction == Some(transaction), settled);
        give_back(&mut self.unsettled);
    }

    /// The transaction is aborted: what it claimed can be acknowledged again.
    pub(super) fn release_claimed(&mut self, transaction: TransactionKey) {
        for delivery in self.unsettled.iter_mut().filter(|delivery| delivery.transaction == Some(transaction)) {
            delivery.transaction = None;
        }
    }

    fn take_where(&mut self, taken: impl Fn(&Unsettled) -> bool, mut settled: impl FnMut(Arc<Message>)) -> Tags {
        let mut tags = Tags::new();
        self.unsettled.retain_mut(|delivery| {
            let taken = taken(delivery);
            if taken {
                delivery.message.take().into_iter().for_each(&mut settled);
                tags.extend(delivery.tag);
            }
            !taken
        });
        tags
    }
}

//! One queue: messages in order, consumers that take turns.
//!
//! Invariants, all under the queue's one lock:
//! * A message is ready or unsettled with exactly one consumer until it is accepted or rejected.
//! * `ready` is sorted by position, and a message keeps its position for life, so what comes back is in its old place.
//! * In the rota stand exactly the consumers that have credit and are not stalled, each once, the next one first.
//! * After [`QueueState::dispatch`], `ready` or the rota is empty.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    outlet::{Attempt, Receiver, ReceiverId},
    store::{Keeper, Kept},
};
use crate::{
    engine::{DeliveryTag, DestinationStatus, Settlement},
    message::Message,
};

/// A queue and its lock.
#[derive(Debug)]
pub(super) struct Queue {
    /// The destination.
    pub(super) name: Box<str>,
    pub(super) state: Mutex<QueueState>,
}

/// What is in a queue, and who takes it.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    ready: VecDeque<Entry>,
    /// Of everything here: ready, unsettled and reserved.
    octets: usize,
    /// Of everything in all queues; a private queue has its own.
    octets_of_all: Arc<AtomicUsize>,
    next_position: u64,
    /// Keeps persistent messages, where there is a store.
    keeper: Option<Box<Keeper>>,
    consumers: HashMap<ReceiverId, Consumer>,
    rota: VecDeque<ReceiverId>,
    /// Lives only as long as it has consumers.
    transient: bool,
    /// No longer in the map of queues; whoever finds it looks there again.
    retired: bool,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    message: Arc<Message>,
    size: usize,
    redelivered: bool,
    /// How often it was given back.
    returns: u32,
    /// Its place in the store, for as long as it is in this queue.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Consumer {
    receiver: Arc<Receiver>,
    prefetch: usize,
    /// In the order of delivery, hence by tag.
    unsettled: VecDeque<(DeliveryTag, Entry)>,
    in_rota: bool,
    /// Its mailbox was full; [`Queue::resume`] follows.
    stalled: bool,
}

/// The queue, or all queues together, hold as much as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// How many times as much as one queue all queues together may hold. Names cost nothing, so the memory of the process
/// must not depend on how many of them clients think up.
pub(super) const FULL_QUEUES: usize = 4;

impl Queue {
    /// An empty queue; `octets_of_all` counts what is in all that share it, `keeper` keeps its persistent messages.
    pub(super) fn new(name: Box<str>, octets_of_all: Arc<AtomicUsize>, keeper: Option<Keeper>) -> Self {
        let keeper = keeper.map(Box::new);
        Self { name, state: Mutex::new(QueueState { octets_of_all, keeper, ..QueueState::default() }) }
    }

    /// Goes on with a consumer whose mailbox has room again.
    pub(super) fn resume(&self, id: ReceiverId) {
        let mut state = self.state.lock();
        if let Some(consumer) = state.consumers.get_mut(&id) {
            consumer.stalled = false;
            state.invite(id);
            state.dispatch();
        }
    }
}

impl QueueState {
    /// Sets room aside for a message that [`Self::push_reserved`] will bring. A message always fits an empty queue, unless
    /// all queues together are full.
    pub(super) fn reserve(&mut self, size: usize, limit: usize) -> Result<(), QueueFull> {
        let fits = |octets: usize, limit| octets == 0 || octets.saturating_add(size) <= limit;
        if !fits(self.octets, limit) {
            return Err(QueueFull);
        }
        let add = |octets| fits(octets, limit.saturating_mul(FULL_QUEUES)).then(|| octets + size);
        self.octets_of_all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| QueueFull)?;
        self.octets += size;
        Ok(())
    }

    /// Gives back room that was set aside and is not needed.
    pub(super) fn release(&mut self, size: usize) {
        self.octets -= size;
        self.octets_of_all.fetch_sub(size, Ordering::Relaxed);
    }

    /// Takes a message whose room was reserved. A transient queue without consumers drops it.
    pub(super) fn push_reserved(&mut self, message: Arc<Message>, size: usize, transient: bool) {
        self.transient |= transient;
        if self.transient && self.consumers.is_empty() {
            self.release(size);
            return;
        }
        let kept = self.keeper.as_ref().filter(|_| !self.transient).and_then(|keeper| keeper.keep(&message));
        self.append(Entry { position: 0, message, size, redelivered: false, returns: 0, kept });
        self.dispatch();
    }

    /// Takes back a message that an earlier process stored, after all that are here, whether there is room or not.
    pub(super) fn restore(&mut self, message: Arc<Message>, redelivered: bool, returns: u32, kept: Kept) {
        let size = message.size();
        self.octets += size;
        self.octets_of_all.fetch_add(size, Ordering::Relaxed);
        self.append(Entry { position: 0, message, size, redelivered, returns, kept: Some(kept) });
    }

    fn append(&mut self, entry: Entry) {
        self.ready.push_back(Entry { position: self.next_position, ..entry });
        self.next_position += 1;
    }

    /// Takes a message.
    pub(super) fn push(&mut self, message: Arc<Message>, limit: usize, transient: bool) -> Result<(), QueueFull> {
        let size = message.size();
        self.reserve(size, limit)?;
        self.push_reserved(message, size, transient);
        Ok(())
    }

    /// Adds a consumer that may hold `prefetch` messages unsettled.
    pub(super) fn attach(&mut self, receiver: Arc<Receiver>, prefetch: u32, transient: bool) {
        self.transient |= transient;
        let id = receiver.id;
        let prefetch = usize::try_from(prefetch).unwrap_or(usize::MAX);
        let consumer = Consumer { receiver, prefetch, unsettled: VecDeque::new(), in_rota: false, stalled: false };
        self.consumers.insert(id, consumer);
        self.invite(id);
        self.dispatch();
    }

    /// Removes a consumer and puts back what it has not settled, without delivering that to others yet.
    pub(super) fn detach(&mut self, id: ReceiverId) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        if consumer.in_rota {
            self.rota.retain(|&other| other != id);
        }
        for (_, entry) in consumer.unsettled {
            self.put_back(entry);
        }
        if self.transient && self.consumers.is_empty() {
            let octets: usize = self.ready.drain(..).map(|entry| entry.size).sum();
            self.release(octets);
        }
    }

    /// Settles deliveries of a consumer; says whether a stored message was among them. Unknown tags were given back before
    /// and are passed over.
    pub(super) fn settle(&mut self, id: ReceiverId, tags: &[DeliveryTag], settlement: Settlement) -> bool {
        let mut stored = false;
        for tag in tags {
            let Some(consumer) = self.consumers.get_mut(&id) else { return stored };
            let Ok(index) = consumer.unsettled.binary_search_by_key(tag, |(tag, _)| *tag) else { continue };
            let Some((_, entry)) = consumer.unsettled.remove(index) else { continue };
            stored |= entry.kept.is_some();
            match settlement {
                Settlement::Accept | Settlement::Reject => self.release(entry.size),
                Settlement::Requeue => self.put_back(entry),
            }
        }
        self.invite(id);
        self.dispatch();
        stored
    }

    fn put_back(&mut self, mut entry: Entry) {
        entry.redelivered = true;
        entry.returns = entry.returns.saturating_add(1);
        if let Some(kept) = &entry.kept {
            kept.give_back(entry.returns);
        }
        let index = self.ready.partition_point(|other| other.position < entry.position);
        self.ready.insert(index, entry);
    }

    /// Puts a consumer at the end of the rota if it can take something and does not stand there.
    fn invite(&mut self, id: ReceiverId) {
        if let Some(consumer) = self.consumers.get_mut(&id)
            && !consumer.in_rota
            && !consumer.stalled
            && consumer.unsettled.len() < consumer.prefetch
        {
            consumer.in_rota = true;
            self.rota.push_back(id);
        }
    }

    /// Delivers as long as there are messages and consumers that can take them.
    pub(super) fn dispatch(&mut self) {
        while let Some(entry) = self.ready.pop_front() {
            let Some(id) = self.rota.pop_front() else {
                self.ready.push_front(entry);
                return;
            };
            let Some(consumer) = self.consumers.get_mut(&id) else {
                self.ready.push_front(entry);
                continue;
            };
            consumer.in_rota = false;
            let tag = consumer.receiver.next_tag();
            match consumer.receiver.deliver(&entry.message, Some(tag), entry.redelivered) {
                Attempt::Delivered => {
                    consumer.unsettled.push_back((tag, entry));
                    self.invite(id);
                }
                Attempt::NoRoom => {
                    consumer.stalled = true;
                    if consumer.receiver.wait_for_room(entry.size) {
                        consumer.stalled = false;
                    }
                    self.ready.push_front(entry);
                    self.invite(id);
                }
                // Its end is on the way: until `detach` it just stands in no rota.
                Attempt::Gone => self.ready.push_front(entry),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn rota_len(&self) -> usize {
        self.rota.len()
    }

    /// Whether nothing would be lost with the queue.
    pub(super) fn is_idle(&self) -> bool {
        self.octets == 0 && self.consumers.is_empty()
    }

    /// Marks the queue as no longer in the map, if it is idle; says whether it did.
    pub(super) fn retire(&mut self) -> bool {
        self.retired |= self.is_idle();
        self.retired
    }

    /// Whether the queue is no longer in the map.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Numbers for people.
    pub(super) fn status(&self) -> DestinationStatus {
        let unsettled: usize = self.consumers.values().map(|consumer| consumer.unsettled.len()).sum();
        DestinationStatus {
            depth: self.ready.len() as u64,
            unsettled: unsettled as u64,
            consumers: self.consumers.len() as u64,
        }
    }
}

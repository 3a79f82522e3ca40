//! One queue: messages in order, consumers that take turns.
//!
//! A message enters in [`QueueState::enter`] and leaves for good in [`QueueState::leave`], or in [`QueueState::die`] when it
//! becomes a dead letter.
//!
//! Invariants, all under the queue's one lock:
//! * A message is delayed, ready, or unsettled with exactly one consumer until it leaves.
//! * `ready` is sorted by priority and position, and a message keeps both for life, so what comes back is in its old place.
//! * In the rota stand exactly the consumers that have credit, are not stalled and want something that is ready, each
//!   once, the next one first; only the exclusive one, where there is one.
//! * After [`QueueState::dispatch`], the rota is empty, or nothing is ready that a consumer in it wants.

mod borrowed;
mod bounds;
mod browse;
mod consumer;
mod dead;
mod dispatch;
mod durable;
mod entry;
mod groups;
mod lanes;
mod timing;
mod wanted;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stompbroker_config::{DestinationPolicy, Nack};
use tokio::sync::Notify;

#[cfg(test)]
pub(super) use self::groups::Group;
pub(in crate::engine) use self::{borrowed::Borrowed, dead::DIED_IN};
use self::{
    bounds::Bounds,
    browse::Browser,
    consumer::Consumer,
    durable::Durable,
    entry::Entry,
    groups::Groups,
    lanes::Lanes,
    timing::Delayed,
    wanted::{View, Wanted},
};
pub(super) use self::{
    consumer::Wishes,
    dead::{Dead, Reason},
    entry::{Terms, X_DELAY},
};
use super::{
    agenda::Planned,
    lease::Lease,
    outlet::{Receiver, ReceiverId},
    store::{Keeper, Kept},
};
use crate::{
    engine::{DeliveryTag, DestinationStatus, Settlement},
    message::Message,
};

/// A queue and its lock.
#[derive(Debug)]
pub(in crate::engine) struct Queue {
    /// The destination.
    pub(in crate::engine) name: Box<str>,
    pub(super) state: Mutex<QueueState>,
    /// Told when its consumers may be able to take more, where messages have to be fetched for them.
    pub(in crate::engine) appetite: Notify,
}

/// What is in a queue, and who takes it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct QueueState {
    ready: Lanes,
    /// Of everything here: ready, unsettled and reserved.
    octets: usize,
    /// Of everything in all queues; a private queue has its own.
    octets_of_all: Arc<AtomicUsize>,
    next_position: u64,
    /// Keeps persistent messages, where there is a store.
    keeper: Option<Box<Keeper>>,
    consumers: BTreeMap<ReceiverId, Box<Consumer>>,
    rota: VecDeque<ReceiverId>,
    /// Deliveries, counted for the consumers' turns.
    turns: u64,
    browsers: Vec<Browser>,
    /// The exclusive consumer that gets everything.
    only: Option<ReceiverId>,
    /// Consumers that do not want everything.
    selective: usize,
    /// Which consumer has which group of messages, once there has been one.
    groups: Option<Box<Groups>>,
    /// Lives only as long as it has consumers.
    pub(super) transient: bool,
    /// Another system keeps what is in it.
    pub(super) borrowed: bool,
    /// Leases of what is done with; whoever unlocks the queue accepts them.
    done: Vec<Box<dyn Lease>>,
    /// Set if it is a durable subscription.
    durable: Option<Box<Durable>>,
    /// What holds for it.
    policy: Arc<DestinationPolicy>,
    /// What clients have said of it.
    bounds: Option<Box<Bounds>>,
    /// When its last consumer went, or it was made.
    unused_since: Instant,
    /// Not ready before their time.
    delayed: Option<Box<Delayed>>,
    /// What is delayed goes to the topic of this name then; nothing is ever ready.
    holds_for_topic: bool,
    /// No ready message expires before this.
    next_expiry: Option<Instant>,
    /// Will be moved by whoever unlocks the queue.
    dead: Vec<Dead>,
    /// Its entry on the agenda.
    pub(super) planned: Option<Planned>,
    /// No longer in the map of queues; whoever finds it looks there again.
    retired: bool,
}

/// The queue, or all queues together, hold as much as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// How many times as much as one queue all queues together may hold. Names cost nothing, so the memory of the process
/// must not depend on how many of them clients think up.
pub(super) const FULL_QUEUES: usize = 4;

impl Queue {
    /// An empty queue; `octets_of_all` counts what is in all that share it, `keeper` keeps its persistent messages.
    pub(super) fn new(
        name: Box<str>,
        octets_of_all: Arc<AtomicUsize>,
        keeper: Option<Keeper>,
        policy: Arc<DestinationPolicy>,
    ) -> Self {
        let state = QueueState {
            ready: Lanes::default(),
            octets: 0,
            octets_of_all,
            next_position: 0,
            consumers: BTreeMap::new(),
            rota: VecDeque::new(),
            turns: 0,
            browsers: Vec::new(),
            only: None,
            selective: 0,
            groups: None,
            transient: false,
            borrowed: false,
            done: Vec::new(),
            durable: None,
            policy,
            bounds: None,
            unused_since: Instant::now(),
            delayed: None,
            holds_for_topic: false,
            next_expiry: None,
            dead: Vec::new(),
            planned: None,
            retired: false,
            keeper: keeper.map(Box::new),
        };
        Self { name, state: Mutex::new(state), appetite: Notify::new() }
    }

    /// The same, for delayed messages of the topic of this name.
    pub(super) fn holding_for_topic(mut self) -> Self {
        self.state.get_mut().holds_for_topic = true;
        self
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
    pub(super) fn push_reserved(&mut self, message: Arc<Message>, size: usize, terms: &Terms, transient: bool) {
        self.transient |= transient;
        if self.transient && self.consumers.is_empty() && !self.holds_for_topic {
            self.release(size);
            return;
        }
        let kept = self.keeper.as_ref().filter(|_| !self.transient).and_then(|keeper| keeper.keep(&message));
        self.enter(message, size, terms, |entry| entry.kept = kept);
        self.dispatch();
    }

    /// Takes back a message that an earlier process stored so long ago, after all that are here, whether there is room or
    /// not.
    pub(super) fn restore(&mut self, message: Arc<Message>, age: Duration, known: (bool, u32), kept: Kept) {
        let size = message.size();
        self.octets += size;
        self.octets_of_all.fetch_add(size, Ordering::Relaxed);
        // What an earlier process took is not refused now.
        let terms = Terms::read(&message, age).unwrap_or_default();
        // What a topic fed it had been delayed before.
        let terms = if self.stays() { terms.without_delay() } else { terms };
        self.enter(message, size, &terms, |entry| {
            (entry.redelivered, entry.returns) = known;
            entry.kept = Some(kept);
        });
    }

    /// The one way in for a message.
    fn enter(&mut self, message: Arc<Message>, size: usize, terms: &Terms, finish: impl FnOnce(&mut Entry)) {
        let terms = match self.policy.message_ttl {
            Some(ttl) => &terms.with_ttl(ttl.0),
            None => terms,
        };
        let mut entry = Entry::new(message, size, terms);
        finish(&mut entry);
        if terms.delay.is_zero() && !self.holds_for_topic {
            self.append(entry);
        } else {
            let until = Instant::now() + terms.delay;
            self.delayed.get_or_insert_default().hold(until, entry);
        }
    }

    fn append(&mut self, mut entry: Entry) {
        entry.position = self.next_position;
        self.next_position += 1;
        self.make_ready(entry);
    }

    fn make_ready(&mut self, entry: Entry) {
        if let Some(at) = entry.expires() {
            self.next_expiry = Some(self.next_expiry.map_or(at, |earlier| earlier.min(at)));
        }
        if self.groups.is_none() && entry.group().is_some() {
            self.begin_groups();
        }
        if self.selective > 0 {
            self.offer(&entry);
        }
        self.ready.insert(entry);
    }

    /// Takes a message.
    pub(super) fn push(
        &mut self,
        message: Arc<Message>,
        terms: &Terms,
        limit: usize,
        transient: bool,
    ) -> Result<(), QueueFull> {
        let size = message.size();
        self.reserve(size, limit)?;
        self.push_reserved(message, size, terms, transient);
        Ok(())
    }

    /// The one way out for a message, by which its room is given back.
    fn leave(&mut self, mut entry: Entry) {
        self.release(entry.size);
        self.done.extend(entry.take_lease());
        drop(entry);
    }

    /// Adds a consumer.
    pub(super) fn attach(&mut self, receiver: Arc<Receiver>, wishes: Wishes, transient: bool) {
        self.transient |= transient;
        let id = receiver.id;
        let view = View { receiver: &receiver, groups: self.groups.as_deref() };
        let wanted = view.is_selective().then(|| Box::new(Wanted::new(&self.ready, view)));
        let consumer = Consumer::new(receiver, wishes, wanted);
        self.selective += usize::from(consumer.wanted.is_some());
        self.consumers.insert(id, Box::new(consumer));
        if wishes.exclusive {
            self.elect();
        }
        self.invite(id);
        self.dispatch();
    }

    /// Removes a consumer and puts back what it has not settled, without delivering that to others yet.
    pub(super) fn detach(&mut self, id: ReceiverId) {
        let Some(consumer) = self.consumers.remove(&id) else {
            self.browsers.retain(|browser| browser.receiver.id != id);
            return;
        };
        if consumer.in_rota {
            self.rota.retain(|&other| other != id);
        }
        self.selective -= usize::from(consumer.wanted.is_some());
        let by_client = consumer.by_client;
        self.free_groups_of(id);
        if consumer.exclusive {
            self.elect();
        }
        for entry in consumer.into_entries() {
            self.put_back(entry, by_client);
        }
        if self.consumers.is_empty() {
            self.unused_since = Instant::now();
            if self.goes_with_last_consumer() {
                self.clear();
            }
        }
    }

    /// Drops all that is ready, or gives it back to its owner; what is reserved comes to an empty queue.
    fn clear(&mut self) {
        let delayed = self.delayed.take().map(|delayed| delayed.into_entries());
        for mut entry in self.ready.take_all().chain(delayed.into_iter().flatten()) {
            if let Some(lease) = entry.take_lease() {
                lease.give_back();
            }
            self.leave(entry);
        }
    }

    /// Settles deliveries of a consumer; says whether a stored message was among them. Unknown tags were given back before
    /// and are passed over.
    pub(super) fn settle(&mut self, id: ReceiverId, tags: &[DeliveryTag], settlement: Settlement) -> bool {
        let mut stored = false;
        for tag in tags {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                self.settle_copies(id, tags);
                return stored;
            };
            let Some(entry) = consumer.take(*tag) else { continue };
            stored |= entry.kept.is_some();
            match settlement {
                Settlement::Accept => self.leave(entry),
                Settlement::Reject => self.die(entry, Reason::Rejected),
                Settlement::Nack if self.policy.nack == Nack::DeadLetter => self.die(entry, Reason::Rejected),
                Settlement::Nack | Settlement::Requeue => self.put_back(entry, true),
            }
        }
        self.invite(id);
        self.dispatch();
        stored
    }

    /// Puts a message into its old place, unless it has been delivered often enough; `counts` says whether this delivery
    /// was one.
    fn put_back(&mut self, mut entry: Entry, counts: bool) {
        if entry.is_lost() {
            // Nothing is said of it: its owner knows better.
            drop(entry.take_lease());
            return self.leave(entry);
        }
        entry.redelivered = true;
        entry.returns = entry.returns.saturating_add(u32::from(counts));
        if counts && self.policy.max_deliveries().is_some_and(|most| entry.returns >= most) {
            return self.die(entry, Reason::MaxDeliveries);
        }
        if let Some(kept) = &entry.kept {
            // By 0 the store would take it for one that was never delivered.
            kept.give_back(entry.returns.max(1));
        }
        self.make_ready(entry);
    }

    #[cfg(test)]
    pub(super) fn rota_len(&self) -> usize {
        self.rota.len()
    }

    /// Whether nothing would be lost with the queue.
    pub(super) fn is_idle(&self) -> bool {
        self.octets == 0 && self.consumers.is_empty() && self.dead.is_empty() && self.done.is_empty() && !self.stays()
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
        let unsettled: usize = self.consumers.values().map(|consumer| consumer.held()).sum();
        let delayed = self.delayed.as_ref().map_or(0, |delayed| delayed.len());
        DestinationStatus {
            depth: (self.ready.len() + delayed) as u64,
            unsettled: unsettled as u64,
            consumers: self.consumers.len() as u64,
        }
    }
}

//! All topics: who is subscribed to what, and the fan-out.
//!
//! A publisher takes a snapshot of the subscribers (one reference count) and delivers without any lock of a topic. The
//! lists are copied only when a subscription comes or goes while a publisher holds a snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;

use super::{
    outlet::{Attempt, Receiver, ReceiverId},
    queue::{Queue, Terms},
    trie::Trie,
};
use crate::{
    engine::DestinationStatus,
    message::{Batch, Message},
};

const SHARDS: usize = 32;

/// The subscribers of one topic or pattern.
pub(super) type Subscribers = Arc<Vec<Subscriber>>;

type Shard = RwLock<HashMap<Box<str>, Subscribers>>;

/// A subscription to a topic or pattern.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    /// The receiver's, so that a long list is searched without going through every receiver.
    id: ReceiverId,
    pub(super) receiver: Arc<Receiver>,
    /// Whether it counts; not where it stands under a second name.
    counts: bool,
    /// The private queue of a subscription with acknowledgements.
    window: Option<Arc<Queue>>,
}

/// All topics.
#[derive(Debug)]
pub(super) struct Topics {
    hasher: RandomState,
    exact: Box<[Shard]>,
    patterns: RwLock<Trie>,
    /// How many patterns there are, so that publishing without any takes no lock for them.
    pattern_count: AtomicUsize,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            exact: (0..SHARDS).map(|_| Shard::default()).collect(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
        }
    }
}

impl Topics {
    fn shard(&self, topic: &str) -> &Shard {
        let hash = self.hasher.hash_one(topic);
        // The remainder is below SHARDS, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation)]
        let index = (hash % SHARDS as u64) as usize;
        &self.exact[index]
    }

    /// Adds a subscription to one topic.
    pub(super) fn subscribe(&self, topic: &str, subscriber: Subscriber) {
        let mut topics = self.shard(topic).write();
        if let Some(subscribers) = topics.get_mut(topic) {
            Arc::make_mut(subscribers).push(subscriber);
        } else {
            topics.insert(topic.into(), Arc::new(vec![subscriber]));
        }
    }

    /// Adds a subscription to all topics of a pattern.
    pub(super) fn subscribe_pattern(&self, pattern: &str, subscriber: Subscriber) {
        self.patterns.write().insert(pattern, subscriber);
        self.pattern_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a subscription to one topic.
    pub(super) fn unsubscribe(&self, topic: &str, receiver: &Receiver) {
        let mut topics = self.shard(topic).write();
        let Some(subscribers) = topics.get_mut(topic) else { return };
        remove(subscribers, receiver.id);
        if subscribers.is_empty() {
            topics.remove(topic);
            if topics.len() * 4 < topics.capacity() {
                topics.shrink_to_fit();
            }
        }
    }

    /// Removes a subscription to a pattern.
    pub(super) fn unsubscribe_pattern(&self, pattern: &str, receiver: &Receiver) {
        if self.patterns.write().remove(pattern, receiver) {
            self.pattern_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Delivers messages to every current subscription to this topic. `limit` bounds each private queue, in octets.
    pub(super) fn publish(&self, topic: &str, batch: &Arc<Batch>, limit: usize) {
        self.deliver(topic, batch, limit);
        if self.pattern_count.load(Ordering::Relaxed) > 0 {
            let mut matching = Vec::new();
            self.patterns.read().collect(topic, &mut matching);
            for subscriber in matching.iter().flat_map(|subscribers| subscribers.iter()) {
                subscriber.deliver(batch, limit);
            }
        }
    }

    /// Delivers messages to the subscriptions to one topic, whatever their own destination.
    pub(super) fn deliver(&self, topic: &str, batch: &Arc<Batch>, limit: usize) {
        let subscribers = self.shard(topic).read().get(topic).cloned();
        for subscriber in subscribers.iter().flat_map(|subscribers| subscribers.iter()) {
            subscriber.deliver(batch, limit);
        }
    }

    /// Whether somebody has subscribed to this topic by its name.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.shard(topic).read().contains_key(topic)
    }

    /// Adds the numbers of every topic and pattern.
    pub(super) fn add_status(&self, status: &mut BTreeMap<Box<str>, DestinationStatus>) {
        let mut lists: Vec<Subscribers> = Vec::new();
        for shard in &self.exact {
            lists.extend(shard.read().values().cloned());
        }
        self.patterns.read().collect_all(&mut lists);
        for subscriber in lists.iter().flat_map(|list| list.iter()).filter(|subscriber| subscriber.counts) {
            let total = status.entry(subscriber.receiver.destination.clone()).or_default();
            let own = subscriber.window.as_ref().map(|queue| queue.state.lock().status()).unwrap_or_default();
            total.consumers += 1;
            total.depth += own.depth;
            total.unsettled += own.unsettled;
        }
    }
}

/// Removes a receiver from a list; the order of subscribers means nothing.
pub(super) fn remove(subscribers: &mut Subscribers, id: ReceiverId) -> bool {
    let Some(index) = subscribers.iter().position(|subscriber| subscriber.id == id) else { return false };
    let list = Arc::make_mut(subscribers);
    list.swap_remove(index);
    if list.len() * 4 < list.capacity() {
        list.shrink_to_fit();
    }
    true
}

impl Subscriber {
    /// A subscription, with its private queue if it has one.
    pub(super) fn new(receiver: Arc<Receiver>, window: Option<Arc<Queue>>) -> Self {
        Self { id: receiver.id, receiver, counts: true, window }
    }

    /// The same subscription under a second name.
    pub(super) fn again(&self) -> Self {
        Self { counts: false, ..self.clone() }
    }

    fn deliver(&self, batch: &Arc<Batch>, limit: usize) {
        let mut messages = batch.messages().iter().filter(|message| self.receiver.accepts(message));
        match &self.window {
            None if batch.messages().len() > 1 && !self.receiver.has_selector() && self.receiver.broadcast(batch) => {}
            None => messages.for_each(|message| self.deliver_one(message)),
            Some(queue) => {
                let mut state = queue.state.lock();
                // They were read without complaint when the message came.
                let terms = |message| Terms::read(message, Duration::ZERO).unwrap_or_default().without_delay();
                if messages.any(|message| state.push(Arc::clone(message), &terms(message), limit, false).is_err()) {
                    drop(state);
                    self.receiver.close_slow_acknowledger(limit);
                }
            }
        }
    }

    fn deliver_one(&self, message: &Arc<Message>) {
        if self.receiver.deliver(message, None, false) == Attempt::NoRoom {
            self.receiver.overflow(message);
        }
    }
}

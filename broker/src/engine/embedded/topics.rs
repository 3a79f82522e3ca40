//! All topics: who is subscribed to what, and the fan-out.
//!
//! A publisher takes a snapshot of the subscribers (one reference count) and delivers without any lock of a topic. The
//! lists are copied only when a subscription comes or goes while a publisher holds a snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;

use super::{
    names::{self, Kind},
    outlet::{Attempt, Receiver, ReceiverId},
    queue::{Queue, Terms},
    queues::Queues,
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
    /// Whether it counts; not where it stands under a second name.
    counts: bool,
    way: Way,
}

/// Where the messages of a subscription go.
#[derive(Clone, Debug)]
enum Way {
    /// To its session at once.
    Direct(Arc<Receiver>),
    /// Into the private queue of a subscription with acknowledgements.
    Window(Arc<Receiver>, Arc<Queue>),
    /// Into a queue that is a durable subscription.
    Durable(Arc<Queue>),
}

/// All topics.
#[derive(Debug)]
pub(super) struct Topics {
    hasher: RandomState,
    exact: Box<[Shard]>,
    patterns: RwLock<Trie>,
    /// How many patterns there are, so that publishing without any takes no lock for them.
    pattern_count: AtomicUsize,
    /// How many durable subscriptions there are.
    fed: AtomicUsize,
    /// Messages that durable subscriptions had no room for.
    dropped: AtomicU64,
    receivers: AtomicU64,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            exact: (0..SHARDS).map(|_| Shard::default()).collect(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
            fed: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            receivers: AtomicU64::new(0),
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

    /// A number that no other receiver has.
    pub(super) fn next_receiver(&self) -> ReceiverId {
        ReceiverId(self.receivers.fetch_add(1, Ordering::Relaxed))
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
    pub(super) fn unsubscribe(&self, topic: &str, receiver: ReceiverId) {
        let mut topics = self.shard(topic).write();
        let Some(subscribers) = topics.get_mut(topic) else { return };
        remove(subscribers, receiver);
        if subscribers.is_empty() {
            topics.remove(topic);
            if topics.len() * 4 < topics.capacity() {
                topics.shrink_to_fit();
            }
        }
    }

    /// Removes a subscription to a pattern.
    pub(super) fn unsubscribe_pattern(&self, pattern: &str, receiver: ReceiverId) {
        if self.patterns.write().remove(pattern, receiver) {
            self.pattern_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has a topic or pattern feed a durable subscription from now on; returns what to call it at the end.
    pub(super) fn feed(&self, topic: &str, queue: &Arc<Queue>) -> ReceiverId {
        let id = self.next_receiver();
        let subscriber = Subscriber { id, counts: false, way: Way::Durable(Arc::clone(queue)) };
        if is_pattern(topic) {
            self.subscribe_pattern(topic, subscriber);
        } else {
            self.subscribe(topic, subscriber);
        }
        self.fed.fetch_add(1, Ordering::Relaxed);
        id
    }

    /// Ends what [`Self::feed`] began.
    pub(super) fn stop_feeding(&self, topic: &str, id: ReceiverId) {
        if is_pattern(topic) {
            self.unsubscribe_pattern(topic, id);
        } else {
            self.unsubscribe(topic, id);
        }
        self.fed.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many durable subscriptions there are.
    pub(super) fn fed(&self) -> usize {
        self.fed.load(Ordering::Relaxed)
    }

    /// Whether a message to this topic goes into a durable subscription.
    pub(super) fn feeds_durable(&self, topic: &str) -> bool {
        if self.fed() == 0 {
            return false;
        }
        let mut lists: Vec<Subscribers> = self.shard(topic).read().get(topic).cloned().into_iter().collect();
        self.patterns.read().collect(topic, &mut lists);
        lists.iter().flat_map(|list| list.iter()).any(|subscriber| matches!(subscriber.way, Way::Durable(_)))
    }

    /// Messages that durable subscriptions had no room for.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Delivers messages to every current subscription to this topic. The bound of `queues` is that of each private
    /// queue, too. Says whether any are in the store now.
    pub(super) fn publish(&self, topic: &str, batch: &Arc<Batch>, queues: &Queues) -> bool {
        let mut stored = self.deliver(topic, batch, queues);
        if self.pattern_count.load(Ordering::Relaxed) > 0 {
            let mut matching = Vec::new();
            self.patterns.read().collect(topic, &mut matching);
            for subscriber in matching.iter().flat_map(|subscribers| subscribers.iter()) {
                stored |= self.deliver_to(subscriber, batch, queues);
            }
        }
        stored
    }

    /// Delivers messages to the subscriptions to one topic, whatever their own destination. Says whether any are in the store
    /// now.
    pub(super) fn deliver(&self, topic: &str, batch: &Arc<Batch>, queues: &Queues) -> bool {
        let subscribers = self.shard(topic).read().get(topic).cloned();
        let mut stored = false;
        for subscriber in subscribers.iter().flat_map(|subscribers| subscribers.iter()) {
            stored |= self.deliver_to(subscriber, batch, queues);
        }
        stored
    }

    fn deliver_to(&self, subscriber: &Subscriber, batch: &Arc<Batch>, queues: &Queues) -> bool {
        // They were read without complaint when the message came.
        let terms = |message| Terms::read(message, Duration::ZERO).unwrap_or_default().without_delay();
        let mut stored = false;
        match &subscriber.way {
            Way::Direct(receiver) => deliver_directly(receiver, batch),
            Way::Window(receiver, queue) => {
                let terms = |message| terms(message).without_group();
                let (mut messages, limit) = (accepted(receiver, batch), queues.limit());
                let mut state = queue.state.lock();
                if messages.any(|message| state.push(Arc::clone(message), &terms(message), limit, false).is_err()) {
                    drop(state);
                    receiver.close_slow_acknowledger(limit);
                }
            }
            Way::Durable(queue) => queues.with_queue(queue, |state| {
                for message in batch.messages() {
                    let taken = state.take_from_topic(message, &terms(message), queues.limit());
                    stored |= taken.stored;
                    if taken.dropped > 0 {
                        self.dropped.fetch_add(taken.dropped, Ordering::Relaxed);
                    }
                }
            }),
        }
        stored
    }

    /// Delivers messages to the subscriptions to one pattern.
    pub(super) fn deliver_to_pattern(&self, pattern: &str, batch: &Arc<Batch>, queues: &Queues) {
        let subscribers = self.patterns.read().get(pattern);
        for subscriber in subscribers.iter().flat_map(|subscribers| subscribers.iter()) {
            self.deliver_to(subscriber, batch, queues);
        }
    }

    /// Whether somebody has subscribed to this topic by its name.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.shard(topic).read().contains_key(topic)
    }

    /// Adds the numbers of every topic and pattern, without durable subscriptions.
    pub(super) fn add_status(&self, status: &mut BTreeMap<Box<str>, DestinationStatus>) {
        let mut lists: Vec<Subscribers> = Vec::new();
        for shard in &self.exact {
            lists.extend(shard.read().values().cloned());
        }
        self.patterns.read().collect_all(&mut lists);
        for subscriber in lists.iter().flat_map(|list| list.iter()).filter(|subscriber| subscriber.counts) {
            let (receiver, own) = match &subscriber.way {
                Way::Direct(receiver) => (receiver, DestinationStatus::default()),
                Way::Window(receiver, queue) => (receiver, queue.state.lock().status()),
                // It stands among the queues.
                Way::Durable(_) => continue,
            };
            let total = status.entry(receiver.destination.clone()).or_default();
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
        let id = receiver.id;
        let way = match window {
            None => Way::Direct(receiver),
            Some(queue) => Way::Window(receiver, queue),
        };
        Self { id, counts: true, way }
    }

    #[cfg(test)]
    pub(super) const fn id(&self) -> ReceiverId {
        self.id
    }

    /// The same subscription under a second name.
    pub(super) fn again(&self) -> Self {
        Self { counts: false, ..self.clone() }
    }
}

/// The messages that a subscription wants.
fn accepted<'a>(receiver: &'a Receiver, batch: &'a Batch) -> impl Iterator<Item = &'a Arc<Message>> {
    batch.messages().iter().filter(|message| receiver.accepts(message))
}

fn deliver_directly(receiver: &Receiver, batch: &Arc<Batch>) {
    if batch.messages().len() > 1 && !receiver.has_filter() && receiver.broadcast(batch) {
        return;
    }
    for message in accepted(receiver, batch) {
        if receiver.deliver(message, None, false) == Attempt::NoRoom {
            receiver.overflow(message);
        }
    }
}

/// Whether a durable subscription to this goes by wildcards.
fn is_pattern(topic: &str) -> bool {
    names::for_subscribe(topic) == Ok(Kind::Pattern)
}

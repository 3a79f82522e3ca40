//! All queues by name. A queue is made when it is first used and removed when it is idle.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use stompbroker_config::DestinationPolicy;

use super::{
    agenda::Agenda,
    declared::Declared,
    durable,
    lease::Owner,
    names,
    queue::{Dead, Queue, QueueFull, QueueState, Terms},
    store::{Keeper, Kept, Recovered, Store},
    temporary,
    topics::Topics,
};
use crate::{
    destination::DestinationPolicies,
    engine::{DestinationStatus, EngineError},
    message::Message,
};

const SHARDS: usize = 32;

type Shard = Mutex<HashMap<Box<str>, Arc<Queue>>>;

/// All queues.
#[derive(Debug)]
pub(super) struct Queues {
    hasher: RandomState,
    shards: Box<[Shard]>,
    /// Feed those queues that are durable subscriptions.
    topics: Arc<Topics>,
    octets: Arc<AtomicUsize>,
    /// Most octets of a queue.
    limit: AtomicUsize,
    store: Option<Arc<Store>>,
    policies: ArcSwap<DestinationPolicies>,
    agenda: Agenda,
    /// Who keeps the messages, where that is another system.
    owner: Option<Arc<dyn Owner>>,
}

/// Room in a queue that was set aside for a message; given back when it is dropped unused.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    queues: &'a Queues,
    queue: Arc<Queue>,
    size: usize,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            topics: Arc::default(),
            octets: Arc::default(),
            limit: AtomicUsize::new(0),
            store: None,
            policies: ArcSwap::default(),
            agenda: Agenda::default(),
            owner: None,
        }
    }
}

impl Queues {
    /// Queues whose persistent messages are in this store, with those that an earlier process left there.
    pub(super) fn with_store(store: Store, recovered: Vec<Recovered>) -> Self {
        let store = Arc::new(store);
        let queues = Self { store: Some(Arc::clone(&store)), ..Self::default() };
        for Recovered { id, stored, redelivered } in recovered {
            let name = stored.queue.as_deref().unwrap_or(&stored.message.destination);
            let kept = Kept::recovered(Arc::clone(&store), id);
            let age = SystemTime::now().duration_since(stored.entered).unwrap_or_default();
            let known = (redelivered, stored.returns);
            let is_durable = durable::topic_of(name).is_some();
            queues.with(name, |queue, state| {
                if is_durable && *stored.message.destination == *name {
                    queues.make_durable(queue, state, Some(kept));
                } else if !is_durable || state.stays() {
                    state.restore(Arc::clone(&stored.message), age, known, kept);
                }
                // Else the subscription was deleted, and with `kept` its message leaves the store too.
            });
        }
        queues
    }

    /// Queues that borrow their messages.
    pub(super) fn borrowing(owner: Arc<dyn Owner>) -> Self {
        Self { owner: Some(owner), ..Self::default() }
    }

    /// Who keeps the messages, where that is another system.
    pub(super) const fn owner(&self) -> Option<&Arc<dyn Owner>> {
        self.owner.as_ref()
    }

    /// All topics.
    pub(super) const fn topics(&self) -> &Arc<Topics> {
        &self.topics
    }

    /// The store, where there is one.
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_deref()
    }

    fn shard(&self, name: &str) -> &Shard {
        let hash = self.hasher.hash_one(name);
        // The remainder is below SHARDS, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation)]
        let index = (hash % SHARDS as u64) as usize;
        &self.shards[index]
    }

    /// Works on the queue of this name, which is made if there is none.
    pub(super) fn with<T>(&self, name: &str, work: impl FnOnce(&Arc<Queue>, &mut QueueState) -> T) -> T {
        loop {
            let queue = {
                let mut shard = self.shard(name).lock();
                if let Some(queue) = shard.get(name) {
                    Arc::clone(queue)
                } else {
                    let keeper = self.store.as_ref().map(|store| Keeper::new(Arc::clone(store), name.into()));
                    let policy = self.policy_of(name);
                    let queue = Queue::new(name.into(), Arc::clone(&self.octets), keeper, policy);
                    let queue = if names::is_topic(name) { queue.holding_for_topic() } else { queue };
                    let lent = self.owner.is_some() && !temporary::is_reply_queue(name) && !names::is_topic(name);
                    let queue = Arc::new(if lent { queue.borrowing() } else { queue });
                    shard.insert(name.into(), Arc::clone(&queue));
                    queue
                }
            };
            let mut state = queue.state.lock();
            if state.is_retired() {
                continue;
            }
            let result = work(&queue, &mut state);
            self.tidy(&queue, state);
            return result;
        }
    }

    /// Makes a queue the durable subscription that its name says, unless it is that already, or one that is shared for as
    /// long as somebody consumes from it; says whether the store has to learn of it. To be called in [`Self::with`].
    pub(super) fn begin_durable(
        &self,
        queue: &Arc<Queue>,
        state: &mut QueueState,
        stays: bool,
    ) -> Result<bool, EngineError> {
        if state.stays() || !stays && state.feed().is_some() {
            return Ok(false);
        }
        if self.topics.fed() >= durable::MOST {
            return Err(EngineError::TooManyDurable(durable::MOST));
        }
        if !stays {
            self.make_durable(queue, state, None);
            state.delete();
            return Ok(false);
        }
        if let Some(store) = &self.store {
            store.admit()?;
        }
        let kept = state.keep_subscription(&queue.name);
        let stored = kept.is_some();
        self.make_durable(queue, state, kept);
        Ok(stored)
    }

    fn make_durable(&self, queue: &Arc<Queue>, state: &mut QueueState, kept: Option<Kept>) {
        let topic = durable::topic_of(&queue.name).unwrap_or(&queue.name);
        state.make_durable(kept, || self.topics.feed(topic, queue));
    }

    /// Whether there is a queue of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.shard(name).lock().contains_key(name)
    }

    /// Works on a queue that is there, and removes it if that left it idle.
    pub(super) fn with_queue<T>(&self, queue: &Arc<Queue>, work: impl FnOnce(&mut QueueState) -> T) -> T {
        let mut state = queue.state.lock();
        let result = work(&mut state);
        self.tidy(queue, state);
        result
    }

    /// Does what is left to do after some work on a queue: moves its dead letters, removes it if it has become idle, and
    /// has it looked at when something is due.
    fn tidy(&self, queue: &Arc<Queue>, mut state: MutexGuard<'_, QueueState>) {
        let (dead, done) = (state.take_dead(), state.take_done());
        let idle = state.is_idle();
        if !idle && let Some(at) = state.next_look() {
            state.planned = Some(self.agenda.plan(state.planned, at, queue));
        }
        drop(state);
        if idle {
            self.prune(queue);
        }
        for lease in done {
            lease.accept(None);
        }
        queue.appetite.notify_one();
        if let Some((dead, policy)) = dead {
            // A crash leaves a message in one of the two queues, never in both or neither.
            let _together = self.store().map(Store::together_within);
            for mut dead in dead {
                if let Some(destination) = dead.reason().destination(&policy) {
                    self.bury(&mut dead, &queue.name, destination);
                }
            }
        }
    }

    /// Moves a dead letter to where it goes. One that died there already, or finds no room, is dropped.
    fn bury(&self, dead: &mut Dead, queue: &str, destination: &str) {
        let letter = Arc::new(dead.letter(queue, destination));
        if let Some(owner) = &self.owner {
            let lease = dead.take_lease();
            if queue != destination {
                return owner.bury(letter, lease);
            }
            // It died where dead letters go: nobody wants it.
            if let Some(lease) = lease {
                lease.accept(None);
            }
            return;
        }
        let terms = Terms::read(&letter, Duration::ZERO).unwrap_or_default();
        if queue == destination || self.push(&letter, &terms, false).is_err() {
            tracing::warn!(
                queue,
                destination,
                message = &*letter.id,
                "a dead letter is dropped: there is no room for it"
            );
        }
    }

    /// Puts changed policies in force, for the queues that there are too.
    pub(super) fn set_policies(&self, policies: DestinationPolicies) {
        let policies = Arc::new(policies);
        self.policies.store(Arc::clone(&policies));
        for queue in self.all() {
            self.with_queue(&queue, |state| {
                state.set_policy(policies.of(durable::topic_of(&queue.name).unwrap_or(&queue.name)));
            });
        }
    }

    /// Does what is due by time. Messages that were kept for a topic are handed out.
    pub(super) fn sweep(&self, now: Instant) -> Vec<Arc<Message>> {
        let due = self.agenda.due(now);
        due.iter().flat_map(|queue| self.with_queue(queue, |state| state.look(now))).collect()
    }

    /// Puts another bound in force for what comes next, in octets of a queue.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Most octets of a queue.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// What the configuration says of a destination.
    pub(super) fn policy_of(&self, destination: &str) -> Arc<DestinationPolicy> {
        self.policies.load().of(durable::topic_of(destination).unwrap_or(destination))
    }

    fn all(&self) -> Vec<Arc<Queue>> {
        let in_shard = |shard: &Shard| shard.lock().values().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(in_shard).collect()
    }

    /// Takes a message into the queue that it names.
    pub(super) fn push(&self, message: &Arc<Message>, terms: &Terms, transient: bool) -> Result<(), QueueFull> {
        self.with(&message.destination, |_, state| state.push(Arc::clone(message), terms, self.limit(), transient))
    }

    /// Sets room aside for a message in the queue that it names.
    pub(super) fn reserve(&self, message: &Message) -> Result<Reservation<'_>, QueueFull> {
        let size = message.size();
        self.with(&message.destination, |queue, state| {
            state.reserve(size, self.limit())?;
            Ok(Reservation { queues: self, queue: Arc::clone(queue), size })
        })
    }

    fn prune(&self, queue: &Arc<Queue>) {
        let mut shard = self.shard(&queue.name).lock();
        let in_map = shard.get(&queue.name).is_some_and(|found| Arc::ptr_eq(found, queue));
        if !in_map {
            return;
        }
        let mut state = queue.state.lock();
        if state.retire() {
            state.planned.take().into_iter().for_each(|planned| self.agenda.cancel(planned));
            if let (Some(topic), Some(feed)) = (durable::topic_of(&queue.name), state.feed()) {
                self.topics.stop_feeding(topic, feed);
            }
            drop(state);
            shard.remove(&queue.name);
            if shard.len() * 4 < shard.capacity() {
                shard.shrink_to_fit();
            }
        }
    }

    /// Numbers of every queue but the temporary ones, whose names are secrets.
    pub(super) fn status(&self) -> BTreeMap<Box<str>, DestinationStatus> {
        let queues = self.all().into_iter().filter(|queue| !temporary::is_reply_queue(&queue.name));
        queues.map(|queue| (queue.name.clone(), queue.state.lock().status())).collect()
    }
}

impl Reservation<'_> {
    /// Has the queue go by what its client says of it.
    pub(super) fn declare(&self, declared: &Declared) -> Result<(), EngineError> {
        self.queues.with_queue(&self.queue, |state| state.declare(declared))
    }

    /// Puts the message into the room that was set aside for it.
    pub(super) fn fill(mut self, message: Arc<Message>, terms: &Terms, transient: bool) {
        let size = std::mem::take(&mut self.size);
        self.queues.with_queue(&self.queue, |state| state.push_reserved(message, size, terms, transient));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.size > 0 {
            self.queues.with_queue(&self.queue, |state| state.release(self.size));
        }
    }
}

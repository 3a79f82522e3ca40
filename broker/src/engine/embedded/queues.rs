//! All queues by name. A queue is made when it is first used and removed when it is idle.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use super::{
    agenda::Agenda,
    queue::{Queue, QueueFull, QueueState, Terms},
    store::{Keeper, Kept, Recovered, Store},
    temporary,
};
use crate::{destination::DestinationPolicies, engine::DestinationStatus, message::Message};

const SHARDS: usize = 32;

type Shard = Mutex<HashMap<Box<str>, Arc<Queue>>>;

/// All queues.
#[derive(Debug)]
pub(super) struct Queues {
    hasher: RandomState,
    shards: Box<[Shard]>,
    octets: Arc<AtomicUsize>,
    store: Option<Arc<Store>>,
    policies: ArcSwap<DestinationPolicies>,
    agenda: Agenda,
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
            octets: Arc::default(),
            store: None,
            policies: ArcSwap::default(),
            agenda: Agenda::default(),
        }
    }
}

impl Queues {
    /// Queues whose persistent messages are in this store, with those that an earlier process left there.
    pub(super) fn with_store(store: Store, recovered: Vec<Recovered>) -> Self {
        let store = Arc::new(store);
        let queues = Self { store: Some(Arc::clone(&store)), ..Self::default() };
        for Recovered { id, stored, redelivered } in recovered {
            let name = stored.queue.as_ref().unwrap_or(&stored.message.destination);
            let kept = Kept::recovered(Arc::clone(&store), id);
            queues.with(name, |_, state| state.restore(Arc::clone(&stored.message), redelivered, stored.returns, kept));
        }
        queues
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
                    let policy = self.policies.load().of(name);
                    let queue = Arc::new(Queue::new(name.into(), Arc::clone(&self.octets), keeper, policy));
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

    /// Removes a queue that has become idle, and has one that waits for consumers looked at when it expires.
    fn tidy(&self, queue: &Arc<Queue>, mut state: MutexGuard<'_, QueueState>) {
        let (idle, expires_at) = (state.is_idle(), state.plan_expiry());
        drop(state);
        if idle {
            self.prune(queue);
        } else if let Some(at) = expires_at {
            self.agenda.add(at, queue);
        }
    }

    /// Puts changed policies in force, for the queues that there are too.
    pub(super) fn set_policies(&self, policies: DestinationPolicies) {
        let policies = Arc::new(policies);
        self.policies.store(Arc::clone(&policies));
        for queue in self.all() {
            self.with_queue(&queue, |state| state.set_policy(policies.of(&queue.name)));
        }
    }

    /// Removes the queues that have been without consumers for too long.
    pub(super) fn sweep(&self, now: Instant) {
        for queue in self.agenda.due(now) {
            self.with_queue(&queue, |state| state.expire(now));
        }
    }

    fn all(&self) -> Vec<Arc<Queue>> {
        let in_shard = |shard: &Shard| shard.lock().values().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(in_shard).collect()
    }

    /// Takes a message into the queue that it names.
    pub(super) fn push(
        &self,
        message: &Arc<Message>,
        terms: Terms,
        limit: usize,
        transient: bool,
    ) -> Result<(), QueueFull> {
        self.with(&message.destination, |_, state| state.push(Arc::clone(message), terms, limit, transient))
    }

    /// Sets room aside for a message in the queue that it names.
    pub(super) fn reserve(&self, message: &Message, limit: usize) -> Result<Reservation<'_>, QueueFull> {
        let size = message.size();
        self.with(&message.destination, |queue, state| {
            state.reserve(size, limit)?;
            Ok(Reservation { queues: self, queue: Arc::clone(queue), size })
        })
    }

    fn prune(&self, queue: &Arc<Queue>) {
        let mut shard = self.shard(&queue.name).lock();
        let in_map = shard.get(&queue.name).is_some_and(|found| Arc::ptr_eq(found, queue));
        if in_map && queue.state.lock().retire() {
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
    /// Puts the message into the room that was set aside for it.
    pub(super) fn fill(mut self, message: Arc<Message>, terms: Terms, transient: bool) {
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

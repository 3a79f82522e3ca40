//! When to look at which queue again. Whoever looks decides by the state of the queue; an entry alone means nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;

use super::queue::Queue;

/// Queues by the time at which somebody should look at them. Its lock may be taken while a queue is locked, not the other
/// way round.
#[derive(Debug, Default)]
pub(super) struct Agenda(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The number keeps entries of one moment apart.
    by_time: BTreeMap<(Instant, u64), Weak<Queue>>,
    added: u64,
}

impl Agenda {
    /// Has the queue looked at as soon as it is `at`.
    pub(super) fn add(&self, at: Instant, queue: &Arc<Queue>) {
        let mut entries = self.0.lock();
        entries.added += 1;
        let key = (at, entries.added);
        entries.by_time.insert(key, Arc::downgrade(queue));
    }

    /// Takes out the queues whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<Arc<Queue>> {
        let mut entries = self.0.lock();
        let later = entries.by_time.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut entries.by_time, later);
        due.into_values().filter_map(|queue| queue.upgrade()).collect()
    }
}

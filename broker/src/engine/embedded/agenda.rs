//! When to look at which queue again. Whoever looks decides by the state of the queue; an entry alone means nothing. A queue
//! has at most one.

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
    by_time: BTreeMap<Planned, Weak<Queue>>,
    added: u64,
}

/// The entry of a queue.
pub(super) type Planned = (Instant, u64);

impl Agenda {
    /// Has the queue looked at as soon as it is `at`, and not when it was `planned`.
    pub(super) fn plan(&self, planned: Option<Planned>, at: Instant, queue: &Arc<Queue>) -> Planned {
        let mut entries = self.0.lock();
        if let Some(planned) = planned {
            entries.by_time.remove(&planned);
        }
        entries.added += 1;
        let key = (at, entries.added);
        entries.by_time.insert(key, Arc::downgrade(queue));
        key
    }

    /// Takes an entry off.
    pub(super) fn cancel(&self, planned: Planned) {
        self.0.lock().by_time.remove(&planned);
    }

    /// Takes out the queues whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<Arc<Queue>> {
        let mut entries = self.0.lock();
        let later = entries.by_time.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut entries.by_time, later);
        due.into_values().filter_map(|queue| queue.upgrade()).collect()
    }
}

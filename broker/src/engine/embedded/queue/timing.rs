//! What happens in a queue by time: delayed messages come to be ready, expired ones die, and a queue that nobody consumes
//! goes.
//!
//! An expired message is never delivered, for it is looked at once more just before. That it dies although nobody asks
//! for it is done by looking through the queue, at most once in [`LOOK_PERIOD`].

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Entry, QueueState, dead::Reason};
use crate::message::Message;

/// How long a queue is not looked through again for expired messages.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Messages that are not ready before their time.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    /// The number keeps those of one moment in the order in which they came.
    by_time: BTreeMap<(Instant, u64), Entry>,
    held: u64,
}

impl Delayed {
    /// Keeps a message until then.
    pub(super) fn hold(&mut self, until: Instant, entry: Entry) {
        self.held += 1;
        self.by_time.insert((until, self.held), entry);
    }

    /// Takes out what need not be kept any longer, in order.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = Entry> + use<> {
        let later = self.by_time.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.by_time, later).into_values()
    }

    /// When the first has to be taken out.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out all.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.by_time.into_values()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}

impl QueueState {
    /// When the queue has to be looked at, unless that is planned for then or earlier.
    pub(in crate::engine::embedded) fn next_look(&self) -> Option<Instant> {
        let delayed = self.delayed.as_ref().and_then(|delayed| delayed.next());
        let next = [self.expires_at(), self.next_expiry, delayed].into_iter().flatten().min()?;
        self.planned.is_none_or(|(planned, _)| next < planned).then_some(next)
    }

    /// Does what is due. Messages that were kept for a topic are handed out.
    pub(in crate::engine::embedded) fn look(&mut self, now: Instant) -> Vec<Arc<Message>> {
        self.planned = None;
        if self.expires_at().is_some_and(|at| at <= now) {
            self.delete();
            self.clear();
        }
        let mut for_topic = Vec::new();
        let due = self.delayed.as_mut().map(|delayed| delayed.due(now));
        for entry in due.into_iter().flatten() {
            if self.holds_for_topic {
                for_topic.push(Arc::clone(&entry.message));
                self.leave(entry);
            } else {
                self.append(entry);
            }
        }
        if self.next_expiry.is_some_and(|at| at <= now) {
            for entry in self.ready.take_where(|entry| entry.expires().is_some_and(|at| at <= now)) {
                self.die(entry, Reason::Expired);
            }
            let next = self.ready.iter().filter_map(Entry::expires).min();
            self.next_expiry = next.map(|next| next.max(now + LOOK_PERIOD));
        }
        self.dispatch();
        for_topic
    }

    fn expires_at(&self) -> Option<Instant> {
        let expires = self.policy.expires.filter(|_| self.consumers.is_empty())?;
        self.unused_since.checked_add(expires.0)
    }
}

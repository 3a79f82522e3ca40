//! The tasks that fetch messages, one for each queue that somebody here consumes from.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    fetch::{Fetcher, UNUSED},
    names::Source,
};
use crate::engine::{
    EngineError,
    embedded::{Queue, durable, lease::Then},
};

/// All of them, by queue.
#[derive(Debug, Default)]
pub(super) struct Fetchers(Mutex<HashMap<Box<str>, Entry>>);

#[derive(Debug)]
struct Entry {
    consumers: usize,
    over: CancellationToken,
    made: Arc<Made>,
}

/// Whether JetStream has the consumer that messages are fetched by, and who waits for that.
#[derive(Default)]
pub(super) struct Made(Mutex<State>);

#[derive(Default)]
struct State {
    is_made: bool,
    waiting: Vec<Then>,
}

impl Fetchers {
    /// Adds a consumer of a queue, whose messages come from `source`.
    pub(super) fn add(&self, shared: &Arc<Shared>, queue: &Arc<Queue>, source: Source) {
        let mut fetchers = self.0.lock();
        if let Some(entry) = fetchers.get_mut(&queue.name) {
            entry.consumers += 1;
            return;
        }
        // Sessions come in only after the first connection.
        let Some((client, context)) = shared.nats.get().cloned() else { return };
        let (over, made) = (shared.stop.child_token(), Arc::<Made>::default());
        fetchers.insert(queue.name.clone(), Entry { consumers: 1, over: over.clone(), made: made.clone() });
        let expires = shared.config.durable_topics.as_ref().and_then(|topics| topics.expires);
        let is_durable = durable::topic_of(&queue.name).is_some();
        let fetcher = Fetcher {
            queue: queue.clone(),
            local: shared.local.clone(),
            client,
            context,
            outgoing: shared.outgoing.clone(),
            link: shared.link.subscribe(),
            source,
            made,
            unused: if is_durable { expires.map(|expires| expires.0) } else { Some(UNUSED) },
            ack_wait: shared.config.ack_wait.0,
        };
        shared.tasks.spawn(fetcher.run(over));
    }

    /// Removes a consumer of a queue.
    pub(super) fn remove(&self, queue: &str) {
        let mut fetchers = self.0.lock();
        let Some(entry) = fetchers.get_mut(queue) else { return };
        entry.consumers -= 1;
        if entry.consumers == 0 {
            entry.over.cancel();
            fetchers.remove(queue);
        }
    }

    /// Has somebody told when JetStream keeps messages for the consumers of a queue, or why it does not.
    pub(super) fn when_made(&self, queue: &str, then: Then) {
        let made = self.0.lock().get(queue).map(|entry| entry.made.clone());
        match made {
            Some(made) => made.when(then),
            None => then(Err(EngineError::NotAvailable)),
        }
    }
}

impl Made {
    fn when(&self, then: Then) {
        let mut state = self.0.lock();
        if state.is_made {
            drop(state);
            return then(Ok(()));
        }
        state.waiting.push(then);
    }

    /// Tells who waits.
    pub(super) fn tell(&self, outcome: &Result<(), EngineError>) {
        let mut state = self.0.lock();
        state.is_made |= outcome.is_ok();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for then in waiting {
            then(outcome.clone());
        }
    }
}

impl Drop for Made {
    /// The last consumer has gone before there was anything to tell: it ended its subscription, or its session did.
    fn drop(&mut self) {
        self.tell(&Ok(()));
    }
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("is_made", &self.0.lock().is_made).finish_non_exhaustive()
    }
}

//! The tasks that fetch messages, one for each queue that somebody here consumes from.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Shared, fetch::Fetcher};
use crate::engine::embedded::Queue;

/// All of them, by queue.
#[derive(Debug, Default)]
pub(super) struct Fetchers(Mutex<HashMap<Box<str>, (usize, CancellationToken)>>);

impl Fetchers {
    /// Adds a consumer of a queue.
    pub(super) fn add(&self, shared: &Arc<Shared>, queue: &Arc<Queue>) {
        let mut fetchers = self.0.lock();
        if let Some((consumers, _)) = fetchers.get_mut(&queue.name) {
            *consumers += 1;
            return;
        }
        // Sessions come in only after the first connection.
        let Some((client, context)) = shared.nats.get().cloned() else { return };
        let over = shared.stop.child_token();
        fetchers.insert(queue.name.clone(), (1, over.clone()));
        let fetcher = Fetcher {
            queue: queue.clone(),
            local: shared.local.clone(),
            client,
            context,
            outgoing: shared.outgoing.clone(),
            link: shared.link.subscribe(),
            names: shared.names.clone(),
            ack_wait: shared.config.ack_wait.0,
        };
        shared.tasks.spawn(fetcher.run(over));
    }

    /// Removes a consumer of a queue.
    pub(super) fn remove(&self, queue: &str) {
        let mut fetchers = self.0.lock();
        let Some((consumers, over)) = fetchers.get_mut(queue) else { return };
        *consumers -= 1;
        if *consumers == 0 {
            over.cancel();
            fetchers.remove(queue);
        }
    }
}

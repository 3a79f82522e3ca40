//! Who wants a pass over a StompBroker says so here.

use std::sync::atomic::{AtomicBool, Ordering};

use kube::{core::DeserializeGuard, runtime::reflector::ObjectRef};
use tokio::sync::mpsc;

use super::cache::Key;
use crate::api::StompBroker;

/// Wishes that may wait; who wishes more waits himself.
const CAPACITY: usize = 1024;

/// A reference to a StompBroker, readable or not.
pub(crate) type BrokerRef = ObjectRef<DeserializeGuard<StompBroker>>;

/// Takes wishes for passes; those of a replica that does not lead are forgotten.
#[derive(Debug)]
pub(crate) struct Triggers {
    queue: mpsc::Sender<BrokerRef>,
    leading: AtomicBool,
}

impl Triggers {
    /// The two ends of the queue.
    pub(crate) fn new() -> (Self, mpsc::Receiver<BrokerRef>) {
        let (queue, receiver) = mpsc::channel(CAPACITY);
        (Self { queue, leading: AtomicBool::new(false) }, receiver)
    }

    /// From now on wishes count. All that is in the caches by now needs a pass.
    pub(crate) fn lead(&self) {
        self.leading.store(true, Ordering::SeqCst);
    }

    /// Whether wishes count.
    pub(crate) fn leading(&self) -> bool {
        self.leading.load(Ordering::SeqCst)
    }

    /// Wishes for a pass over each of `brokers`.
    pub(crate) async fn reconcile(&self, brokers: impl IntoIterator<Item = Key>) {
        if !self.leading() {
            return;
        }
        for broker in brokers {
            // Fails only when the work loop has ended, and then the process ends as well.
            let _ = self.queue.send(BrokerRef::new(&broker.name).within(&broker.namespace)).await;
        }
    }
}

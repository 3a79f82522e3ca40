//! How far publishers may be ahead of the slowest receiver: a bounded number of batches.
//!
//! A receiver counts for itself and comes here once a batch; publishers are woken once a batch, by the last receiver.
//! Batches are complete in their order, because every receiver gets them in that order.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Where publishers wait.
#[derive(Debug)]
pub(super) struct Gate {
    receivers: usize,
    /// How many receivers have all of a batch; the batches that may be under way take turns.
    arrived: Box<[AtomicUsize]>,
    issued: AtomicU64,
    completed: AtomicU64,
    changed: Notify,
}

/// How far one receiver is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    received: u64,
    arrived: u64,
}

impl Gate {
    /// A gate that lets `window` batches through before the first is complete.
    pub(super) fn new(receivers: usize, window: usize) -> Self {
        let arrived = (0..window.max(1)).map(|_| AtomicUsize::new(0)).collect();
        Self { receivers, arrived, issued: AtomicU64::new(0), completed: AtomicU64::new(0), changed: Notify::new() }
    }

    /// Waits until one more batch may be sent.
    pub(super) async fn enter(&self) {
        let batch = self.issued.fetch_add(1, Ordering::Relaxed);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if batch < self.completed.load(Ordering::Acquire) + self.arrived.len() as u64 {
                return;
            }
            changed.await;
        }
    }

    /// Says that a receiver has got so many messages more.
    pub(super) fn received(&self, progress: &mut Progress, messages: u64, batch: u64) {
        progress.received += messages;
        while progress.arrived < progress.received / batch {
            self.arrive(progress.arrived);
            progress.arrived += 1;
        }
    }

    fn arrive(&self, batch: u64) {
        // The remainder is below the number of slots, which is a usize.
        #[expect(clippy::cast_possible_truncation)]
        let slot = &self.arrived[(batch % self.arrived.len() as u64) as usize];
        if slot.fetch_add(1, Ordering::AcqRel) + 1 == self.receivers {
            slot.store(0, Ordering::Relaxed);
            self.completed.fetch_add(1, Ordering::Release);
            self.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_batch_more_may_be_sent_when_the_slowest_receiver_has_the_oldest() {
        let gate = Gate::new(2, 3);
        let (mut fast, mut slow) = (Progress::default(), Progress::default());
        for _ in 0..3 {
            assert!(gate.enter().now_or_never().is_some());
        }
        let mut waiting = Box::pin(gate.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        gate.received(&mut fast, 30, 10);
        gate.received(&mut slow, 9, 10);
        assert!(waiting.as_mut().now_or_never().is_none());
        gate.received(&mut slow, 1, 10);
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(gate.enter().now_or_never().is_none());
    }

    #[test]
    fn one_read_may_bring_several_batches() {
        let gate = Gate::new(1, 2);
        for batch in 0..2 {
            assert!(gate.enter().now_or_never().is_some(), "{batch}");
        }
        gate.received(&mut Progress::default(), 25, 10);
        for batch in 2..4 {
            assert!(gate.enter().now_or_never().is_some(), "{batch}");
        }
        assert!(gate.enter().now_or_never().is_none());
    }
}

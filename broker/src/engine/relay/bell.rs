//! How sessions tell the task of a connection that they have something for it.

use std::task::Poll;

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

/// A connection's name for one of its sessions; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SeatId(pub(super) u32);

/// The bell of one connection. Every session rings it at most once until the task has looked after it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Vec<SeatId>>,
    task: AtomicWaker,
}

impl Bell {
    /// Has the task look after a session.
    pub(super) fn ring(&self, seat: SeatId) {
        self.rung.lock().push(seat);
        self.task.wake();
    }

    /// The sessions to look after, in the order in which they rang. Only the task may call it.
    pub(super) fn take(&self) -> Vec<SeatId> {
        std::mem::take(&mut *self.rung.lock())
    }

    /// Waits for a ring. Only the task may call it. Safe to cancel.
    pub(super) async fn rung(&self) {
        std::future::poll_fn(|context| {
            self.task.register(context.waker());
            if self.rung.lock().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

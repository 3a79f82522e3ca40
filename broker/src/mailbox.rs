//! What an engine has to tell one session: a bounded box that any task may fill and the session's task empties.
//!
//! Filling takes a short lock and wakes the owner only when the box was empty, so a fan-out to many sessions costs no
//! task and no channel hop a message. Deliveries are bounded in octets; answers to operations are not counted, for the
//! session itself bounds how many operations are open.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use crate::engine::{Delivery, Event};

/// The mailbox of one session.
#[derive(Debug)]
pub struct Mailbox {
    events: Mutex<Vec<Event>>,
    octets: AtomicUsize,
    capacity: AtomicUsize,
    owner: AtomicWaker,
}

/// The session takes its deliveries too slowly; the engine must not wait for it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the session takes its messages too slowly")]
pub struct Full;

impl Mailbox {
    /// An empty mailbox for at most `capacity` octets of deliveries.
    pub fn new(capacity: usize) -> Self {
        Self {
            events: Mutex::new(Vec::new()),
            octets: AtomicUsize::new(0),
            capacity: AtomicUsize::new(capacity),
            owner: AtomicWaker::new(),
        }
    }

    /// Changes the bound, as a reload of the configuration does.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Puts a delivery in.
    ///
    /// # Errors
    /// [`Full`] when octets are waiting and this delivery would pass the capacity; one delivery always fits an empty box.
    pub fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        let size = delivery.message.size();
        let waiting = self.octets.fetch_add(size, Ordering::Relaxed);
        if waiting > 0 && waiting + size > self.capacity.load(Ordering::Relaxed) {
            self.octets.fetch_sub(size, Ordering::Relaxed);
            return Err(Full);
        }
        self.put(Event::Delivery(delivery));
        Ok(())
    }

    /// Puts any other event in; deliveries go through [`Self::deliver`].
    pub fn notify(&self, event: Event) {
        debug_assert!(!matches!(event, Event::Delivery(_)), "deliveries are counted");
        self.put(event);
    }

    fn put(&self, event: Event) {
        let was_empty = {
            let mut events = self.events.lock();
            events.push(event);
            events.len() == 1
        };
        if was_empty {
            self.owner.wake();
        }
    }

    /// Moves everything into `batch`, which must be empty, so that both vectors keep their memory only while it is used.
    pub fn take(&self, batch: &mut Vec<Event>) {
        debug_assert!(batch.is_empty(), "a batch is handled before the next one is taken");
        std::mem::swap(&mut *self.events.lock(), batch);
    }

    /// Says that a delivery has left for the socket, so that its octets count no longer.
    pub fn release(&self, octets: usize) {
        self.octets.fetch_sub(octets, Ordering::Relaxed);
    }

    /// Octets of deliveries that have not left for the socket.
    pub fn octets(&self) -> usize {
        self.octets.load(Ordering::Relaxed)
    }

    /// Ready when there is something to take; only the owning task may call it.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.events.lock().is_empty() {
            return Poll::Ready(());
        }
        self.owner.register(context.waker());
        if self.events.lock().is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Waits until there is something to take; only the owning task may call it. Safe to cancel.
    pub async fn ready(&self) {
        std::future::poll_fn(|context| self.poll_ready(context)).await;
    }
}

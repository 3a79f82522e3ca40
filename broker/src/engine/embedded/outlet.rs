//! The way from the engine to one session and to each of its subscriptions.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::queue::Queue;
use crate::{
    engine::{Delivery, DeliveryTag, EngineError, Event, SubscriptionKey},
    mailbox::Mailbox,
    message::{Batch, Message},
    selector::Selector,
};

/// The way to one session.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) mailbox: Arc<Mailbox>,
    /// Nothing more is delivered: the session was told that it is over, or has gone.
    closed: AtomicBool,
    next_tag: AtomicU64,
    /// Receivers of queues that found the mailbox full, until there is room again.
    stalled: Mutex<Vec<Arc<Receiver>>>,
}

/// Names a receiver in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ReceiverId(pub(super) u64);

/// The way to one subscription of a session.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) id: ReceiverId,
    /// As the client wrote it.
    pub(super) destination: Box<str>,
    key: SubscriptionKey,
    outlet: Arc<Outlet>,
    live: AtomicBool,
    /// Which messages it wants; all without one.
    filter: Option<Box<Filter>>,
    /// Where its messages come from; nowhere for a topic without acknowledgements.
    queue: Weak<Queue>,
}

/// Which messages a subscription wants.
#[derive(Debug)]
pub(super) struct Filter {
    /// Only those that this matches.
    pub(super) selector: Option<Box<Selector>>,
    /// None whose id begins so, as the ids of all that one session sends do.
    pub(super) not_of: Option<Box<str>>,
}

/// What became of an attempt to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It is in the mailbox.
    Delivered,
    /// The mailbox is full.
    NoRoom,
    /// The subscription or its session has ended.
    Gone,
}

impl Outlet {
    /// The way to the session of this mailbox.
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Arc<Self> {
        let outlet = Arc::new(Self {
            mailbox,
            closed: AtomicBool::new(false),
            next_tag: AtomicU64::new(1),
            stalled: Mutex::new(Vec::new()),
        });
        let room = Arc::downgrade(&outlet);
        outlet.mailbox.on_room(move || {
            if let Some(outlet) = room.upgrade() {
                outlet.resume();
            }
        });
        outlet
    }

    /// Stops all deliveries. Says whether it was the first to do so.
    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::Relaxed)
    }

    /// Forgets who waits for room; their reference back to this outlet would keep it for ever.
    pub(super) fn forget_stalled(&self) {
        self.stalled.lock().clear();
    }

    /// Tells the session that it was too slow, once.
    pub(super) fn close_slow(&self, why: String) {
        if self.close() {
            self.mailbox.notify(Event::Closed(EngineError::SlowConsumer(why.into())));
        }
    }

    /// A name for a delivery that no other delivery of the session has.
    pub(super) fn next_tag(&self) -> DeliveryTag {
        DeliveryTag(self.next_tag.fetch_add(1, Ordering::Relaxed))
    }

    /// Delivers again to those that found the mailbox full.
    pub(super) fn resume(&self) {
        let stalled = std::mem::take(&mut *self.stalled.lock());
        for receiver in stalled {
            if let Some(queue) = receiver.queue.upgrade() {
                queue.resume(receiver.id);
            }
        }
    }
}

impl Filter {
    fn accepts(&self, message: &Message) -> bool {
        self.not_of.as_ref().is_none_or(|session| !message.id.starts_with(&**session))
            && self.selector.as_ref().is_none_or(|selector| selector.matches(message))
    }
}

impl Receiver {
    /// The way to the subscription `key` of this session.
    pub(super) fn new(
        id: ReceiverId,
        destination: Box<str>,
        key: SubscriptionKey,
        outlet: Arc<Outlet>,
        filter: Option<Box<Filter>>,
        queue: Weak<Queue>,
    ) -> Arc<Self> {
        Arc::new(Self { id, destination, key, outlet, live: AtomicBool::new(true), filter, queue })
    }

    /// Whether the subscription wants this message.
    pub(super) fn accepts(&self, message: &Message) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.accepts(message))
    }

    /// Whether the subscription does not want just everything.
    pub(super) const fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Puts a message into the session's mailbox.
    pub(super) fn deliver(&self, message: &Arc<Message>, tag: Option<DeliveryTag>, redelivered: bool) -> Attempt {
        if self.outlet.closed.load(Ordering::Relaxed) {
            return Attempt::Gone;
        }
        let delivery = Delivery { subscription: self.key, message: Arc::clone(message), tag, redelivered };
        match self.outlet.mailbox.deliver_while(&self.live, delivery) {
            Ok(true) => Attempt::Delivered,
            Ok(false) => Attempt::Gone,
            Err(crate::mailbox::Full) => Attempt::NoRoom,
        }
    }

    /// Puts all of a batch into the session's mailbox, or nothing; says whether nothing is left to be done.
    pub(super) fn broadcast(&self, batch: &Arc<Batch>) -> bool {
        self.outlet.closed.load(Ordering::Relaxed)
            || self.outlet.mailbox.broadcast_while(&self.live, self.key, batch).is_ok()
    }

    /// Does with a message that found no room what the listener's policy says; it may end the session.
    pub(super) fn overflow(&self, message: &Arc<Message>) {
        let delivery = Delivery { subscription: self.key, message: Arc::clone(message), tag: None, redelivered: false };
        if self.outlet.mailbox.overflow(&self.live, delivery) == Err(crate::mailbox::Full) {
            self.close_slow_reader();
        }
    }

    /// Ends the deliveries: none follows an answer that is put into the mailbox after this.
    pub(super) fn end(&self) {
        self.live.store(false, Ordering::Relaxed);
    }

    /// A name for the next delivery.
    pub(super) fn next_tag(&self) -> DeliveryTag {
        self.outlet.next_tag()
    }

    /// Has [`Queue::resume`] called for this receiver when so many octets fit; says whether they fit already.
    pub(super) fn wait_for_room(self: &Arc<Self>, octets: usize) -> bool {
        self.outlet.stalled.lock().push(Arc::clone(self));
        let room = self.outlet.mailbox.wait_for_room(octets);
        if room {
            self.outlet.stalled.lock().retain(|stalled| stalled.id != self.id);
        }
        room
    }

    /// Ends the session, for more waits to be sent to it than its mailbox may hold.
    fn close_slow_reader(&self) {
        let capacity = self.outlet.mailbox.capacity();
        self.outlet.close_slow(format!(
            "more than {capacity} octets wait to be sent, among them from {:?}; read faster or raise limits.sendBufferSize",
            self.destination
        ));
    }

    /// Ends the session, for more waits for its acknowledgements than its private queue may hold.
    pub(super) fn close_slow_acknowledger(&self, queue_size: usize) {
        self.outlet.close_slow(format!(
            "more than {queue_size} octets from {:?} wait for acknowledgements; acknowledge faster or raise \
             engine.embedded.queueSize",
            self.destination
        ));
    }
}

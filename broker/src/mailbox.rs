//! What an engine has to tell one session: a bounded box that any task may fill and the session's task empties.
//!
//! Filling takes a short lock and wakes the owner only when the box was empty, so a fan-out to many sessions costs no
//! task and no channel hop a message. Deliveries are bounded in octets; answers to operations are not counted, for the
//! session itself bounds how many operations are open. What becomes of a delivery that finds no room is the engine's
//! choice: it may wait ([`Mailbox::wait_for_room`]), or leave it to the listener's policy ([`Mailbox::overflow`]).

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};

use stompbroker_config::SlowConsumers;

use crate::{
    engine::{Delivery, Event, SubscriptionKey},
    message::Batch,
};

/// Room made at once when the oldest deliveries are dropped, as a part of the capacity, so that not every further delivery
/// goes through the whole box.
const ROOM_MADE: usize = 8;

/// The mailbox of one session.
pub struct Mailbox {
    events: Mutex<Vec<Event>>,
    octets: AtomicUsize,
    capacity: AtomicUsize,
    owner: AtomicWaker,
    /// Whether [`Event::Closed`] is in the box or has been taken from it.
    ended: AtomicBool,
    /// Octets that somebody waits to put in; 0 when nobody waits.
    wanted: AtomicUsize,
    on_room: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// [`SlowConsumers`] as a number.
    policy: AtomicU8,
    /// Deliveries dropped by the policy and not yet told.
    dropped: AtomicU64,
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
            ended: AtomicBool::new(false),
            wanted: AtomicUsize::new(0),
            on_room: OnceLock::new(),
            policy: AtomicU8::new(SlowConsumers::Close as u8),
            dropped: AtomicU64::new(0),
        }
    }

    /// Changes the bound, as a reload of the configuration does.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::SeqCst);
        self.tell_room(self.octets());
    }

    /// Changes what [`Self::overflow`] does.
    pub fn set_policy(&self, policy: SlowConsumers) {
        self.policy.store(policy as u8, Ordering::Relaxed);
    }

    fn policy(&self) -> SlowConsumers {
        const OLDEST: u8 = SlowConsumers::DropOldest as u8;
        const NEWEST: u8 = SlowConsumers::DropNewest as u8;
        match self.policy.load(Ordering::Relaxed) {
            OLDEST => SlowConsumers::DropOldest,
            NEWEST => SlowConsumers::DropNewest,
            _ => SlowConsumers::Close,
        }
    }

    /// The bound in octets.
    pub fn capacity(&self) -> usize {
        self.capacity.load(Ordering::SeqCst)
    }

    /// Puts a delivery in.
    ///
    /// # Errors
    /// [`Full`] when octets are waiting and this delivery would pass the capacity; one delivery always fits an empty box.
    pub fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.reserve(delivery.message.size())?;
        self.put(Event::Delivery(delivery));
        Ok(())
    }

    /// Puts a delivery in, but only as long as `live` is true; says whether it did. Who makes `live` false and then puts
    /// an answer in with [`Self::notify`] can be sure that no delivery follows that answer.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub fn deliver_while(&self, live: &AtomicBool, delivery: Delivery) -> Result<bool, Full> {
        let size = delivery.message.size();
        let events = self.events.lock();
        // Under the lock: an answer that follows `live = false` takes the same lock later.
        if !live.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.reserve(size)?;
        self.push(events, Event::Delivery(delivery));
        Ok(true)
    }

    /// As [`Self::deliver_while`], for all messages of a batch at once.
    ///
    /// # Errors
    /// [`Full`] when not all of them fit.
    pub fn broadcast_while(
        &self,
        live: &AtomicBool,
        subscription: SubscriptionKey,
        batch: &Arc<Batch>,
    ) -> Result<bool, Full> {
        let events = self.events.lock();
        if !live.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.reserve(batch.size())?;
        self.push(events, Event::Broadcast(subscription, Arc::clone(batch)));
        Ok(true)
    }

    /// Does with a delivery that nobody accounts for, and that found the box full, what the policy says. As with
    /// [`Self::deliver_while`], nothing is put in once `live` is false.
    ///
    /// Where the oldest are dropped, the newest is always kept, by at most one delivery beyond the capacity: what has left
    /// the box for the output, or is accounted for, may fill the capacity and can make no room for it.
    ///
    /// # Errors
    /// [`Full`] where the policy is to close the session.
    pub fn overflow(&self, live: &AtomicBool, delivery: Delivery) -> Result<(), Full> {
        match self.policy() {
            SlowConsumers::Close => Err(Full),
            SlowConsumers::DropNewest => {
                self.count_dropped(1);
                Ok(())
            }
            SlowConsumers::DropOldest => {
                self.replace_oldest(live, delivery);
                Ok(())
            }
        }
    }

    fn replace_oldest(&self, live: &AtomicBool, delivery: Delivery) {
        let (size, capacity) = (delivery.message.size(), self.capacity());
        let mut events = self.events.lock();
        if !live.load(Ordering::Relaxed) {
            return;
        }
        let most = (capacity - capacity / ROOM_MADE).saturating_sub(size);
        let waiting = self.octets();
        let (mut freed, mut dropped) = (0, 0);
        events.retain(|event| match event {
            Event::Delivery(oldest) if oldest.tag.is_none() && waiting - freed > most => {
                freed += oldest.message.size();
                dropped += 1;
                false
            }
            Event::Broadcast(_, batch) if waiting - freed > most => {
                freed += batch.size();
                dropped += batch.messages().len() as u64;
                false
            }
            _ => true,
        });
        self.octets.fetch_sub(freed, Ordering::SeqCst);
        self.octets.fetch_add(size, Ordering::SeqCst);
        self.push(events, Event::Delivery(delivery));
        self.count_dropped(dropped);
    }

    /// The owner is woken for the first of them only, for it may have nothing else to do for long.
    fn count_dropped(&self, deliveries: u64) {
        if deliveries > 0 && self.dropped.fetch_add(deliveries, Ordering::Relaxed) == 0 {
            self.owner.wake();
        }
    }

    /// Whether deliveries have been dropped since [`Self::take_dropped`].
    pub fn has_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) > 0
    }

    /// How many deliveries have been dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether what the client does not take may be dropped, so that it should wait in the box rather than elsewhere.
    pub fn drops_oldest(&self) -> bool {
        self.policy() == SlowConsumers::DropOldest
    }

    /// Puts back, before all that has come since, what was taken and cannot be handled yet.
    pub fn put_back(&self, taken: VecDeque<Event>) {
        let mut events = self.events.lock();
        let later = std::mem::replace(&mut *events, taken.into());
        events.extend(later);
    }

    fn reserve(&self, size: usize) -> Result<(), Full> {
        let add = |waiting| self.fits(waiting, size).then_some(waiting + size);
        self.octets.fetch_update(Ordering::SeqCst, Ordering::Relaxed, add).map(|_| ()).map_err(|_| Full)
    }

    fn fits(&self, waiting: usize, size: usize) -> bool {
        waiting == 0 || waiting + size <= self.capacity()
    }

    /// Names what to call, once each time that there is room again after [`Self::wait_for_room`]. Only the first counts.
    pub fn on_room(&self, call: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_room.set(Box::new(call));
    }

    /// Asks for the call of [`Self::on_room`] as soon as so many octets fit; says whether they fit already.
    pub fn wait_for_room(&self, octets: usize) -> bool {
        self.wanted.fetch_max(octets.max(1), Ordering::SeqCst);
        self.fits(self.octets(), octets)
    }

    /// Whoever lowers `octets` looks at `wanted` after it, whoever raises `wanted` looks at `octets` after it: one of
    /// them sees the other, so no wait for room is forgotten.
    fn tell_room(&self, waiting: usize) {
        let wanted = self.wanted.load(Ordering::SeqCst);
        if wanted > 0
            && self.fits(waiting, wanted)
            && self.wanted.swap(0, Ordering::SeqCst) > 0
            && let Some(call) = self.on_room.get()
        {
            call();
        }
    }

    /// Puts any other event in; deliveries go through [`Self::deliver`].
    pub fn notify(&self, event: Event) {
        debug_assert!(!matches!(event, Event::Delivery(_) | Event::Broadcast(..)), "deliveries are counted");
        let ends = matches!(event, Event::Closed(_));
        self.put(event);
        if ends {
            self.ended.store(true, Ordering::SeqCst);
            self.owner.wake();
        }
    }

    fn put(&self, event: Event) {
        self.push(self.events.lock(), event);
    }

    fn push(&self, mut events: MutexGuard<'_, Vec<Event>>, event: Event) {
        let was_empty = events.is_empty();
        events.push(event);
        drop(events);
        if was_empty {
            self.owner.wake();
        }
    }

    /// Moves everything into `batch`, which must be empty, so that both vectors keep their memory only while it is used.
    pub fn take(&self, batch: &mut Vec<Event>) {
        debug_assert!(batch.is_empty(), "a batch is handled before the next one is taken");
        std::mem::swap(&mut *self.events.lock(), batch);
    }

    /// Says that a delivery has left for the socket, so that its octets count no longer. Not to be called while holding
    /// a lock of the engine, for the engine may go on delivering from here.
    pub fn release(&self, octets: usize) {
        let before = self.octets.fetch_sub(octets, Ordering::SeqCst);
        self.tell_room(before.saturating_sub(octets));
    }

    /// Octets of deliveries that have not left for the socket.
    pub fn octets(&self) -> usize {
        self.octets.load(Ordering::SeqCst)
    }

    /// Ready when there is something to take; only the owning task may call it.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.events.lock().is_empty() {
            return Poll::Ready(());
        }
        self.owner.register(context.waker());
        if self.events.lock().is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ready when the engine has ended the session, whatever stands before that in the box; only the owning task may call
    /// it. For a client that takes nothing, whose end must not wait until it has taken all that came before.
    pub fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.ended.load(Ordering::SeqCst) {
            self.owner.register(context.waker());
        }
        if self.ended.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until there is something to take; only the owning task may call it. Safe to cancel.
    pub async fn ready(&self) {
        std::future::poll_fn(|context| self.poll_ready(context)).await;
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("octets", &self.octets())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Ticket, message::Message};

    fn delivery(octets: usize) -> Delivery {
        let message = Message::new("1".into(), "/topic/a".into(), vec![], vec![0; octets].into(), true);
        Delivery { subscription: SubscriptionKey(0), message: Arc::new(message), tag: None, redelivered: false }
    }

    #[test]
    fn the_capacity_bounds_what_waits_but_one_delivery_always_fits() {
        let mailbox = Mailbox::new(2 * delivery(300).message.size());
        mailbox.deliver(delivery(5000)).unwrap();
        assert_eq!(mailbox.deliver(delivery(1)), Err(Full));
        mailbox.release(mailbox.octets());
        mailbox.deliver(delivery(300)).unwrap();
        mailbox.deliver(delivery(300)).unwrap();
        assert_eq!(mailbox.deliver(delivery(300)), Err(Full));
    }

    #[test]
    fn of_a_batch_all_fits_or_nothing() {
        let (mailbox, live) = (Mailbox::new(3 * delivery(1).message.size()), AtomicBool::new(true));
        let batch = |octets| Arc::new(Batch::new(vec![delivery(octets).message, delivery(octets).message]));
        mailbox.deliver(delivery(1)).unwrap();
        assert_eq!(mailbox.broadcast_while(&live, SubscriptionKey(0), &batch(500)), Err(Full));
        assert_eq!(mailbox.octets(), delivery(1).message.size());
        assert_eq!(mailbox.broadcast_while(&live, SubscriptionKey(0), &batch(1)), Ok(true));
        assert_eq!(mailbox.octets(), 3 * delivery(1).message.size());
        live.store(false, Ordering::Relaxed);
        assert_eq!(mailbox.broadcast_while(&live, SubscriptionKey(0), &batch(1)), Ok(false));
    }

    #[test]
    fn nothing_is_delivered_after_the_answer_that_ends_it() {
        let (mailbox, live) = (Mailbox::new(1000), AtomicBool::new(true));
        assert_eq!(mailbox.deliver_while(&live, delivery(1)), Ok(true));
        live.store(false, Ordering::Relaxed);
        mailbox.notify(Event::Completed(Ticket(1)));
        assert_eq!(mailbox.deliver_while(&live, delivery(1)), Ok(false));
        let mut batch = Vec::new();
        mailbox.take(&mut batch);
        assert!(matches!(batch[..], [Event::Delivery(_), Event::Completed(Ticket(1))]), "{batch:?}");
        assert_eq!(mailbox.octets(), delivery(1).message.size());
    }

    fn bodies(mailbox: &Mailbox) -> Vec<usize> {
        let mut batch = Vec::new();
        mailbox.take(&mut batch);
        let sizes = batch.iter().map(|event| match event {
            Event::Delivery(delivery) => delivery.message.body.len(),
            other => panic!("{other:?}"),
        });
        sizes.collect()
    }

    #[test]
    fn a_policy_drops_the_oldest_or_the_newest_and_counts_them() {
        let size = delivery(100).message.size();
        for (policy, left, dropped) in [
            (SlowConsumers::DropOldest, vec![102, 103, 104], 2),
            (SlowConsumers::DropNewest, vec![100, 101, 102, 103], 1),
        ] {
            let (mailbox, live) = (Mailbox::new(4 * size + 20), AtomicBool::new(true));
            mailbox.set_policy(policy);
            for octets in 100..104 {
                mailbox.deliver(delivery(octets)).unwrap();
            }
            assert_eq!(mailbox.deliver_while(&live, delivery(104)), Err(Full));
            assert_eq!(mailbox.overflow(&live, delivery(104)), Ok(()));
            assert_eq!(bodies(&mailbox), left, "{policy:?}");
            let octets: usize = left.iter().map(|octets| delivery(*octets).message.size()).sum();
            assert_eq!(mailbox.octets(), octets);
            assert_eq!((mailbox.take_dropped(), mailbox.has_dropped()), (dropped, false), "{policy:?}");
        }
        let mailbox = Mailbox::new(1);
        assert_eq!(mailbox.overflow(&AtomicBool::new(true), delivery(1)), Err(Full), "closing is the default");
    }

    #[test]
    fn a_batch_is_dropped_as_a_whole_and_all_of_its_messages_are_counted() {
        let size = delivery(100).message.size();
        let (mailbox, live) = (Mailbox::new(4 * size), AtomicBool::new(true));
        mailbox.set_policy(SlowConsumers::DropOldest);
        let batch = Arc::new(Batch::new(vec![delivery(100).message; 3]));
        assert_eq!(mailbox.broadcast_while(&live, SubscriptionKey(0), &batch), Ok(true));
        mailbox.deliver(delivery(99)).unwrap();
        mailbox.overflow(&live, delivery(98)).unwrap();
        assert_eq!((mailbox.take_dropped(), bodies(&mailbox)), (3, vec![99, 98]));
        assert_eq!(mailbox.octets(), delivery(99).message.size() + delivery(98).message.size());
    }

    #[test]
    fn what_is_accounted_for_is_never_dropped() {
        let (mailbox, live) = (Mailbox::new(1), AtomicBool::new(true));
        mailbox.set_policy(SlowConsumers::DropOldest);
        let kept = Delivery { tag: Some(crate::engine::DeliveryTag(1)), ..delivery(7) };
        mailbox.deliver(kept).unwrap();
        mailbox.overflow(&live, delivery(8)).unwrap();
        mailbox.overflow(&live, delivery(9)).unwrap();
        assert_eq!((bodies(&mailbox), mailbox.take_dropped()), (vec![7, 9], 1));
    }

    #[test]
    fn the_newest_is_kept_where_all_room_is_taken_by_what_has_left_for_the_output() {
        let (mailbox, live) = (Mailbox::new(1), AtomicBool::new(true));
        mailbox.set_policy(SlowConsumers::DropOldest);
        mailbox.deliver(delivery(7)).unwrap();
        assert_eq!(bodies(&mailbox), [7], "taken, and not released");
        for octets in [8, 9] {
            mailbox.overflow(&live, delivery(octets)).unwrap();
            assert_eq!(mailbox.octets(), delivery(7).message.size() + delivery(octets).message.size());
        }
        assert_eq!((bodies(&mailbox), mailbox.take_dropped()), (vec![9], 1));
    }

    #[test]
    fn what_is_put_back_comes_first_again_and_can_be_dropped() {
        let mailbox = Mailbox::new(10_000);
        mailbox.deliver(delivery(1)).unwrap();
        let mut batch = Vec::new();
        mailbox.take(&mut batch);
        mailbox.deliver(delivery(2)).unwrap();
        mailbox.put_back(batch.into());
        assert_eq!(bodies(&mailbox), [1, 2]);
    }

    #[test]
    fn who_waits_for_room_is_called_once_when_there_is_enough() {
        let size = delivery(150).message.size();
        let mailbox = Arc::new(Mailbox::new(3 * size));
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        mailbox.on_room(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        for _ in 0..3 {
            mailbox.deliver(delivery(150)).unwrap();
        }
        assert!(!mailbox.wait_for_room(size * 2));
        mailbox.release(size);
        assert_eq!(calls.load(Ordering::Relaxed), 0, "not enough room yet");
        mailbox.release(size);
        mailbox.release(size);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_wait_for_room_that_is_there_says_so() {
        assert!(Mailbox::new(10).wait_for_room(5000));
    }

    #[test]
    fn a_raised_capacity_is_room() {
        let mailbox = Arc::new(Mailbox::new(100));
        let called = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&called);
        mailbox.on_room(move || flag.store(true, Ordering::Relaxed));
        mailbox.deliver(delivery(500)).unwrap();
        assert!(!mailbox.wait_for_room(500));
        mailbox.set_capacity(10_000);
        assert!(called.load(Ordering::Relaxed));
    }
}

//! Browsers: subscriptions that get copies of what is ready, in the order in which it would go, and then a message that says
//! that this was all. They take nothing away, and are no consumers by any rule of the queue.
//!
//! A browser sees what was ready when it began, less what has been taken before it came to it. It holds no copy: a key says
//! how far it is, and it gets no more at once than its credit and its mailbox allow.

use std::{collections::VecDeque, sync::Arc};

use super::{QueueState, Wishes, consumer::octets, lanes::Key};
use crate::{
    engine::{
        DeliveryTag,
        embedded::outlet::{Attempt, Receiver, ReceiverId},
    },
    message::Message,
};

/// A browser of a queue.
#[derive(Debug)]
pub(super) struct Browser {
    pub(super) receiver: Arc<Receiver>,
    prefetch: usize,
    window: usize,
    /// Octets of the copies that are not settled.
    held: usize,
    /// Tags and sizes of the copies that are not settled.
    unsettled: VecDeque<(DeliveryTag, usize)>,
    /// What comes before has been seen.
    from: Key,
    /// Positions from this one on came later.
    until: u64,
    /// Says that this was all; taken when it has been delivered.
    end: Option<Arc<Message>>,
    /// Its mailbox was full; [`super::Queue::resume`] follows.
    stalled: bool,
}

impl Browser {
    fn has_credit(&self) -> bool {
        self.unsettled.len() < self.prefetch && (self.held < self.window || self.unsettled.is_empty())
    }
}

impl QueueState {
    /// Shows what is ready to a browser, and `end` after it.
    pub(in crate::engine::embedded) fn browse(&mut self, receiver: Arc<Receiver>, wishes: Wishes, end: Arc<Message>) {
        let id = receiver.id;
        self.browsers.push(Browser {
            receiver,
            prefetch: octets(wishes.prefetch),
            window: wishes.window.map_or(usize::MAX, octets),
            held: 0,
            unsettled: VecDeque::new(),
            from: Key::FIRST,
            until: self.next_position,
            end: Some(end),
            stalled: false,
        });
        self.show(id);
    }

    /// Goes on with a browser that has settled some of its copies.
    pub(super) fn settle_copies(&mut self, id: ReceiverId, tags: &[DeliveryTag]) {
        if let Some(browser) = self.browsers.iter_mut().find(|browser| browser.receiver.id == id) {
            browser.unsettled.retain(|(tag, _)| !tags.contains(tag));
            browser.held = browser.unsettled.iter().map(|(_, size)| size).sum();
        }
        self.show(id);
    }

    /// Goes on with a browser whose mailbox has room again.
    pub(super) fn resume_browser(&mut self, id: ReceiverId) {
        if let Some(browser) = self.browsers.iter_mut().find(|browser| browser.receiver.id == id) {
            browser.stalled = false;
        }
        self.show(id);
    }

    /// Shows as much as a browser may have now.
    fn show(&mut self, id: ReceiverId) {
        let Some(browser) = self.browsers.iter_mut().find(|browser| browser.receiver.id == id) else { return };
        while !browser.stalled && browser.has_credit() {
            let Some(end) = &browser.end else { return };
            let next = self.ready.iter_from(browser.from).find(|entry| {
                entry.position < browser.until && !entry.has_expired() && browser.receiver.accepts(&entry.message)
            });
            let (message, redelivered) = match next {
                Some(entry) => (&entry.message, entry.redelivered),
                None => (end, false),
            };
            let (tag, size) = (browser.receiver.next_tag(), message.size());
            match browser.receiver.deliver(message, Some(tag), redelivered) {
                Attempt::Delivered => {
                    browser.held += size;
                    browser.unsettled.push_back((tag, size));
                    match next {
                        Some(entry) => browser.from = entry.key().next(),
                        None => browser.end = None,
                    }
                }
                Attempt::NoRoom => browser.stalled = !browser.receiver.wait_for_room(size),
                Attempt::Gone => browser.end = None,
            }
        }
    }
}

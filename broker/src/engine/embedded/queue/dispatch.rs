//! Who gets which message: the rota of consumers, and the deliveries.

use super::{Queue, QueueState, dead::Reason};
use crate::engine::embedded::outlet::{Attempt, ReceiverId};

impl Queue {
    /// Goes on with a consumer whose mailbox has room again.
    pub(in crate::engine::embedded) fn resume(&self, id: ReceiverId) {
        let mut state = self.state.lock();
        if let Some(consumer) = state.consumers.get_mut(&id) {
            consumer.stalled = false;
            state.invite(id);
            state.dispatch();
        }
    }
}

impl QueueState {
    /// Puts a consumer at the end of the rota if it can take something and does not stand there.
    pub(super) fn invite(&mut self, id: ReceiverId) {
        if let Some(consumer) = self.consumers.get_mut(&id)
            && !consumer.in_rota
            && consumer.has_credit()
        {
            consumer.in_rota = true;
            self.rota.push_back(id);
        }
    }

    /// Delivers as long as there are messages and consumers that can take them.
    pub(in crate::engine::embedded) fn dispatch(&mut self) {
        while let Some(&id) = self.rota.front() {
            let Some(entry) = self.ready.pop() else { return };
            if entry.has_expired() {
                self.die(entry, Reason::Expired);
                continue;
            }
            self.rota.pop_front();
            let Some(consumer) = self.consumers.get_mut(&id) else {
                self.ready.insert(entry);
                continue;
            };
            consumer.in_rota = false;
            let tag = consumer.receiver.next_tag();
            match consumer.receiver.deliver(&entry.message, Some(tag), entry.redelivered) {
                Attempt::Delivered => {
                    consumer.unsettled.push_back((tag, entry));
                    self.invite(id);
                }
                Attempt::NoRoom => {
                    consumer.stalled = true;
                    if consumer.receiver.wait_for_room(entry.size) {
                        consumer.stalled = false;
                    }
                    self.ready.insert(entry);
                    self.invite(id);
                }
                // Its end is on the way: until `detach` it just stands in no rota.
                Attempt::Gone => self.ready.insert(entry),
            }
        }
    }
}

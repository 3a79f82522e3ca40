//! Who gets which message: the rota of consumers, and the deliveries.

use super::{Entry, Queue, QueueState, dead::Reason, wanted::View};
use crate::engine::embedded::outlet::{Attempt, ReceiverId};

impl Queue {
    /// Goes on with a consumer whose mailbox has room again.
    pub(in crate::engine::embedded) fn resume(&self, id: ReceiverId) {
        let mut state = self.state.lock();
        if let Some(consumer) = state.consumers.get_mut(&id) {
            consumer.stalled = false;
            state.invite(id);
            state.dispatch();
            self.appetite.notify_one();
        } else {
            state.resume_browser(id);
        }
    }
}

impl QueueState {
    /// Puts a consumer at the end of the rota if it can take something and does not stand there.
    pub(super) fn invite(&mut self, id: ReceiverId) {
        if let Some(consumer) = self.consumers.get_mut(&id)
            && !consumer.in_rota
            && consumer.has_credit()
            && consumer.wanted.as_ref().is_none_or(|wanted| wanted.is_open())
            && self.only.is_none_or(|only| only == id)
        {
            consumer.in_rota = true;
            self.rota.push_back(id);
        }
    }

    /// Has consumers that do not want everything look at a message that comes to be ready.
    pub(super) fn offer(&mut self, entry: &Entry) {
        let groups = self.groups.as_deref();
        let mut takers: Vec<(u64, ReceiverId)> = self
            .consumers
            .iter_mut()
            .filter_map(|(id, consumer)| {
                let wanted = consumer.wanted.as_mut()?;
                wanted.offer(entry, View { receiver: &consumer.receiver, groups }).then_some((consumer.turn, *id))
            })
            .collect();
        takers.sort_unstable();
        for (_, id) in takers {
            self.invite(id);
        }
    }

    /// Makes the oldest exclusive consumer the only one; without one, all take turns.
    pub(super) fn elect(&mut self) {
        let exclusive = self.consumers.iter().filter(|(_, consumer)| consumer.exclusive);
        let only = exclusive.map(|(id, _)| *id).min();
        if self.only == only {
            return;
        }
        self.only = only;
        if only.is_some() {
            self.free_all_groups();
        }
        for id in self.rota.drain(..) {
            if let Some(consumer) = self.consumers.get_mut(&id) {
                consumer.in_rota = false;
            }
        }
        let mut all: Vec<ReceiverId> = self.consumers.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.invite(id);
        }
    }

    /// Delivers as long as there are messages and consumers that can take them, and drops what is too much.
    pub(in crate::engine::embedded) fn dispatch(&mut self) {
        self.deliver();
        if self.bounds.is_some() {
            self.drop_excess();
        }
    }

    fn deliver(&mut self) {
        while let Some(&id) = self.rota.front() {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                self.rota.pop_front();
                continue;
            };
            let next = match &mut consumer.wanted {
                None => self.ready.pop(),
                Some(wanted) => {
                    let view = View { receiver: &consumer.receiver, groups: self.groups.as_deref() };
                    wanted.take(&mut self.ready, view)
                }
            };
            let Some(entry) = next else {
                if consumer.wanted.is_none() {
                    return;
                }
                // It stands in the rota again when something comes that it wants.
                consumer.in_rota = false;
                self.rota.pop_front();
                continue;
            };
            if entry.has_expired() {
                self.die(entry, Reason::Expired);
                continue;
            }
            self.rota.pop_front();
            consumer.in_rota = false;
            let tag = consumer.receiver.next_tag();
            let marked = self.groups.as_ref().and_then(|groups| groups.mark_first(&entry));
            let message = marked.as_ref().unwrap_or(&entry.message);
            let attempt = consumer.receiver.deliver(message, Some(tag), entry.redelivered);
            if attempt == Attempt::Delivered {
                let group = entry.group();
                consumer.hold(tag, entry);
                self.turns += 1;
                consumer.turn = self.turns;
                if let Some(group) = group {
                    self.bind_group(group, id);
                }
                self.invite(id);
                continue;
            }
            if let Some(wanted) = &mut consumer.wanted {
                wanted.give_back(entry.key());
            }
            if attempt == Attempt::NoRoom {
                consumer.stalled = !consumer.receiver.wait_for_room(message.size());
            }
            self.ready.insert(entry);
            // The end of one that has gone is on the way: until `detach` it just stands in no rota.
            if attempt == Attempt::NoRoom {
                self.invite(id);
            }
        }
    }
}

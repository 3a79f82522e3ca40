//! The operations of one session on their way to its upstream connection: bounded in number and octets.
//!
//! The bounds are where [`OperationQueue::is_ready`] turns false; the session then stops reading from its client, so that at
//! most what the client's last read held comes on top.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::bell::{Bell, SeatId};
use crate::engine::{EngineError, Operation, Subscription, Ticket};

/// Operations that wait before the session is told to stop.
const MAX_OPERATIONS: usize = 256;
/// Octets of them.
const MAX_OCTETS: usize = 1 << 20;

/// What waits in the queue.
#[derive(Debug)]
pub(super) enum Item {
    /// To be carried out.
    Operation(Operation, Option<Ticket>),
    /// Already refused; waits only so that the answers keep their order.
    Refusal(EngineError, Option<Ticket>),
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Operation(operation, _) => operation_size(operation),
            Self::Refusal(..) => size_of::<Self>(),
        }
    }

    /// The ticket, where it has one.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Operation(_, ticket) | Self::Refusal(_, ticket) => *ticket,
        }
    }
}

/// About how much memory an operation takes.
fn operation_size(operation: &Operation) -> usize {
    size_of::<Operation>()
        + match operation {
            Operation::Send(message) => message.size(),
            Operation::Subscribe(Subscription { headers, .. }) | Operation::Unsubscribe { headers, .. } => {
                headers.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
            }
            Operation::Settle { deliveries, .. } => size_of_val(deliveries.as_slice()),
            Operation::Commit(operations) => operations.iter().map(operation_size).sum(),
        }
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each told by another side")]
struct State {
    items: VecDeque<Item>,
    octets: usize,
    full: bool,
    /// The session is gone; what is queued is still carried out.
    closed: bool,
    /// The connection is gone; nothing is taken any more.
    ended: bool,
    /// There is room in the mailbox again.
    room: bool,
    /// Whom to tell of all this, and under which name.
    task: Option<(Arc<Bell>, SeatId)>,
    /// The task has been told and has not looked yet.
    told: bool,
}

impl State {
    fn tell(&mut self) {
        if let Some((bell, seat)) = self.task.as_ref().filter(|_| !self.told) {
            bell.ring(*seat);
            self.told = true;
        }
    }
}

/// The queue between a session and the task of its upstream connection.
#[derive(Debug, Default)]
pub(super) struct OperationQueue {
    state: Mutex<State>,
}

/// What the task finds in the queue.
#[derive(Debug)]
pub(super) enum Next {
    /// The next item, and whether the session is to be told that it may go on.
    Item(Item, bool),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
}

/// What the task is told besides items.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    /// The session is gone.
    pub(super) closed: bool,
    /// There is room in the mailbox again.
    pub(super) room: bool,
}

impl OperationQueue {
    /// From now on `bell` is rung for `seat` when there is something new; once at once.
    pub(super) fn seat(&self, bell: &Arc<Bell>, seat: SeatId) {
        let mut state = self.state.lock();
        (state.task, state.told) = (Some((Arc::clone(bell), seat)), false);
        state.tell();
    }

    /// The task begins to look: what comes after this rings the bell again.
    pub(super) fn look(&self) -> News {
        let mut state = self.state.lock();
        state.told = false;
        News { closed: state.closed, room: std::mem::take(&mut state.room) }
    }

    /// Puts an item in.
    ///
    /// # Errors
    /// The item, when the connection has ended.
    pub(super) fn push(&self, item: Item) -> Result<(), Item> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(item);
        }
        state.octets += item.size();
        state.items.push_back(item);
        state.full = state.full || state.items.len() >= MAX_OPERATIONS || state.octets >= MAX_OCTETS;
        state.tell();
        Ok(())
    }

    /// Takes the next item out. Only the task may call it.
    pub(super) fn pop(&self) -> Next {
        let mut state = self.state.lock();
        let Some(item) = state.items.pop_front() else {
            return if state.closed { Next::Closed } else { Next::Empty };
        };
        state.octets -= item.size();
        let relieved = state.full && state.items.len() <= MAX_OPERATIONS / 2 && state.octets <= MAX_OCTETS / 2;
        if relieved {
            state.full = false;
        }
        Next::Item(item, relieved)
    }

    /// Puts an item that could not be carried out yet back to the front.
    pub(super) fn put_back(&self, item: Item) {
        let mut state = self.state.lock();
        state.octets += item.size();
        state.items.push_front(item);
    }

    /// Whether more operations are welcome.
    pub(super) fn is_ready(&self) -> bool {
        !self.state.lock().full
    }

    /// There is room in the mailbox again.
    pub(super) fn tell_room(&self) {
        let mut state = self.state.lock();
        state.room = true;
        state.tell();
    }

    /// The session is gone.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.tell();
    }

    /// Whether the session is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// The connection is gone: gives back what was not carried out, and takes nothing from now on.
    pub(super) fn end(&self) -> VecDeque<Item> {
        let mut state = self.state.lock();
        (state.ended, state.full, state.octets) = (true, false, 0);
        std::mem::take(&mut state.items)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{engine::SubscriptionKey, message::Message};

    fn item(ticket: u64) -> Item {
        let operation = Operation::Unsubscribe { subscription: SubscriptionKey(0), headers: Vec::new() };
        Item::Operation(operation, Some(Ticket(ticket)))
    }

    #[test]
    fn a_full_queue_says_so_and_is_relieved_once_at_half() {
        let queue = OperationQueue::default();
        for ticket in 0..MAX_OPERATIONS as u64 {
            assert!(queue.is_ready());
            queue.push(item(ticket)).unwrap();
        }
        assert!(!queue.is_ready());
        let relieved = (0..MAX_OPERATIONS).filter(|_| matches!(queue.pop(), Next::Item(_, true))).count();
        assert_eq!(relieved, 1);
        assert!(queue.is_ready());
    }

    #[test]
    fn octets_fill_the_queue_too() {
        let queue = OperationQueue::default();
        let body = vec![0; MAX_OCTETS].into();
        let big = Arc::new(Message::new("m".into(), "/queue/a".into(), Vec::new(), body, true));
        queue.push(Item::Operation(Operation::Commit(vec![Operation::Send(big)]), None)).unwrap();
        assert!(!queue.is_ready());
        assert!(matches!(queue.pop(), Next::Item(_, true)));
    }

    #[test]
    fn what_is_queued_survives_the_session_but_not_the_connection() {
        let queue = OperationQueue::default();
        queue.push(item(1)).unwrap();
        queue.close();
        assert!(matches!(queue.pop(), Next::Item(..)));
        assert!(matches!(queue.pop(), Next::Closed));
        queue.push(item(2)).unwrap();
        assert_eq!(queue.end().len(), 1);
        assert_eq!(queue.push(item(3)).unwrap_err().ticket(), Some(Ticket(3)));
    }
}

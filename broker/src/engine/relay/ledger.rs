//! Which receipts a connection to an upstream still owes. Pure.
//!
//! Upstreams confirm out of order across destinations; the answers to the session keep the order of its operations.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::engine::{SubscriptionKey, Ticket};

#[derive(Debug)]
struct Entry {
    ticket: Option<Ticket>,
    ends: Option<SubscriptionKey>,
    since: Instant,
    done: bool,
}

/// Something that a receipt made certain, in the order of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The operation with this ticket is done.
    Completed(Ticket),
    /// The upstream has ended the subscription.
    Ended(SubscriptionKey),
}

/// The receipts asked for and not yet answered to the session, in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<Entry>,
    first: u64,
}

impl Ledger {
    /// Opens an entry; its number is the `receipt` header.
    pub(super) fn open(&mut self, ticket: Option<Ticket>, ends: Option<SubscriptionKey>, now: Instant) -> u64 {
        self.entries.push_back(Entry { ticket, ends, since: now, done: false });
        self.first + self.entries.len() as u64 - 1
    }

    /// Opens an entry for an operation that needs nothing of the upstream; it is done when all before it are.
    pub(super) fn open_done(&mut self, ticket: Ticket, now: Instant) {
        self.entries.push_back(Entry { ticket: Some(ticket), ends: None, since: now, done: true });
    }

    /// Takes a `receipt-id`; what is no open entry is ignored. [`Self::pop`] tells what became certain.
    pub(super) fn confirm(&mut self, receipt: &str) {
        if let Some(entry) = self.position(receipt).and_then(|position| self.entries.get_mut(position)) {
            entry.done = true;
        }
    }

    /// The next certainty, in the order of the operations.
    pub(super) fn pop(&mut self) -> Option<Certainty> {
        loop {
            let front = self.entries.front_mut().filter(|entry| entry.done)?;
            if let Some(key) = front.ends.take() {
                return Some(Certainty::Ended(key));
            }
            let ticket = front.ticket;
            self.entries.pop_front();
            self.first += 1;
            if let Some(ticket) = ticket {
                return Some(Certainty::Completed(ticket));
            }
        }
    }

    /// The ticket that waits for this `receipt-id`; it leaves the ledger, for its failure is told apart.
    pub(super) fn take(&mut self, receipt: &str) -> Option<Ticket> {
        let position = self.position(receipt)?;
        self.entries.get_mut(position)?.ticket.take()
    }

    /// All tickets that will never be confirmed, in order.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Ticket> {
        self.first += self.entries.len() as u64;
        std::mem::take(&mut self.entries).into_iter().filter_map(|entry| entry.ticket)
    }

    /// The tickets whose answers interest nobody any more, in order; what they stand for is still waited for.
    pub(super) fn forget_tickets(&mut self) -> Vec<Ticket> {
        self.entries.iter_mut().filter_map(|entry| entry.ticket.take()).collect()
    }

    /// Since when the oldest open entry waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.iter().find(|entry| !entry.done).map(|entry| entry.since)
    }

    /// Starts all waiting anew, after a time in which no receipt could be read.
    pub(super) fn restart_waiting(&mut self, now: Instant) {
        for entry in &mut self.entries {
            entry.since = now;
        }
    }

    /// Entries not yet answered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, receipt: &str) -> Option<usize> {
        let number: u64 = receipt.parse().ok()?;
        usize::try_from(number.checked_sub(self.first)?).ok().filter(|position| *position < self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ledger: &mut Ledger) -> Vec<Certainty> {
        std::iter::from_fn(|| ledger.pop()).collect()
    }

    #[test]
    fn receipts_out_of_order_are_answered_in_order() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        let numbers: Vec<_> = (0..3).map(|ticket| ledger.open(Some(Ticket(ticket)), None, now).to_string()).collect();
        ledger.confirm(&numbers[2]);
        ledger.confirm(&numbers[1]);
        assert_eq!(drain(&mut ledger), []);
        ledger.confirm(&numbers[0]);
        assert_eq!(drain(&mut ledger), [0, 1, 2].map(|ticket| Certainty::Completed(Ticket(ticket))));
        assert_eq!(ledger.open(None, None, now), 3, "numbers are never used twice");
    }

    #[test]
    fn an_end_without_a_ticket_is_certain_but_answers_nobody() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        let number = ledger.open(None, Some(SubscriptionKey(7)), now).to_string();
        ledger.open_done(Ticket(1), now);
        assert_eq!(drain(&mut ledger), []);
        ledger.confirm(&number);
        assert_eq!(drain(&mut ledger), [Certainty::Ended(SubscriptionKey(7)), Certainty::Completed(Ticket(1))]);
    }

    #[test]
    fn what_is_lost_is_abandoned_once_and_in_order() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        for ticket in 0..3 {
            ledger.open(Some(Ticket(ticket)), None, now);
        }
        ledger.confirm("0");
        assert_eq!(ledger.take("1"), Some(Ticket(1)));
        assert_eq!(drain(&mut ledger), [Certainty::Completed(Ticket(0))]);
        assert_eq!(ledger.abandon().collect::<Vec<_>>(), [Ticket(2)]);
        assert_eq!((ledger.len(), ledger.oldest()), (0, None));
    }

    #[test]
    fn a_receipt_that_nobody_asked_for_changes_nothing() {
        let mut ledger = Ledger::default();
        ledger.open(Some(Ticket(0)), None, Instant::now());
        for receipt in ["", "x", "-1", "1", "18446744073709551615"] {
            ledger.confirm(receipt);
            assert_eq!(ledger.take(receipt), None);
        }
        assert_eq!(drain(&mut ledger), []);
    }
}

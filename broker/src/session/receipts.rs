//! The answers that a session still owes its client, in the order of the frames that asked for them.

use std::collections::VecDeque;

use smol_str::SmolStr;

use super::CloseReason;
use crate::engine::{SubscriptionKey, Ticket};

/// Answers owed at once before the session takes no further frames.
const MOST_OWED: usize = 1024;

/// The answers owed, oldest first.
#[derive(Debug, Default)]
pub(super) struct Answers {
    owed: VecDeque<Answer>,
    tickets: u64,
}

/// What happens once an operation is done and everything before it has been answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// What is waited for; absent when it is done.
    waits_for: Option<Ticket>,
    /// Receipts to send first: those of the frames of a transaction.
    pub(super) inner: Vec<SmolStr>,
    /// The receipt of the frame itself.
    pub(super) receipt: Option<SmolStr>,
    /// What else the answer means.
    pub(super) outcome: Outcome,
}

/// What an answer means besides its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing else.
    Done,
    /// The subscription has begun.
    Subscribed(SubscriptionKey),
    /// The subscription has ended, and its key may be used again.
    Unsubscribed(SubscriptionKey),
    /// The session is over, for this reason.
    Left(CloseReason),
}

impl Answers {
    /// Owes an answer to an operation that is given the returned ticket.
    pub(super) fn owe(&mut self, receipt: Option<SmolStr>, outcome: Outcome) -> Ticket {
        self.owe_with(Vec::new(), receipt, outcome)
    }

    /// Owes an answer that also carries the receipts of a transaction's frames.
    pub(super) fn owe_with(&mut self, inner: Vec<SmolStr>, receipt: Option<SmolStr>, outcome: Outcome) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.owed.push_back(Answer { waits_for: Some(ticket), inner, receipt, outcome });
        ticket
    }

    /// Owes an answer that waits only for those before it.
    pub(super) fn owe_done(&mut self, inner: Vec<SmolStr>, receipt: Option<SmolStr>, outcome: Outcome) {
        self.owed.push_back(Answer { waits_for: None, inner, receipt, outcome });
    }

    /// Notes that the operation of this ticket is done.
    pub(super) fn complete(&mut self, ticket: Ticket) {
        if let Some(answer) = self.owed.iter_mut().find(|answer| answer.waits_for == Some(ticket)) {
            answer.waits_for = None;
        }
    }

    /// Takes the answer of an operation that failed.
    pub(super) fn fail(&mut self, ticket: Ticket) -> Option<Answer> {
        let at = self.owed.iter().position(|answer| answer.waits_for == Some(ticket))?;
        self.owed.remove(at)
    }

    /// Takes the next answer whose turn has come.
    pub(super) fn next(&mut self) -> Option<Answer> {
        let answer = self.owed.pop_front_if(|answer| answer.waits_for.is_none());
        give_back(&mut self.owed);
        answer
    }

    /// Whether any of them is a receipt.
    pub(super) fn owe_receipts(&self) -> bool {
        self.owed.iter().any(|answer| answer.receipt.is_some() || !answer.inner.is_empty())
    }

    /// Whether so many are owed that the client has to wait.
    pub(super) fn are_too_many(&self) -> bool {
        self.owed.len() >= MOST_OWED
    }
}

/// Gives memory back after a burst, so that an idle session stays small.
pub(super) fn give_back<T>(queue: &mut VecDeque<T>) {
    /// Room that is kept, for clients that do one thing at a time.
    const KEPT: usize = 4;
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut answers = Answers::default();
        let tickets: Vec<_> = (0..100).map(|_| answers.owe(None, Outcome::Done)).collect();
        for ticket in tickets {
            answers.complete(ticket);
        }
        while answers.next().is_some() {}
        assert!(answers.owed.capacity() <= 4, "{}", answers.owed.capacity());
    }
}

//! The answers that a session still waits for: NATS confirms in any order, the session hears in the order of its operations.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::{
    engine::{EngineError, Event, Ticket},
    mailbox::Mailbox,
};

/// Operations that may be open before the session is told to wait.
const MOST_OPEN: usize = 1_000;
/// Octets of them.
const MOST_OCTETS: usize = 1 << 20;

/// The answers of one session.
#[derive(Debug)]
pub(super) struct Answers {
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<Open>,
    /// The number of the first of them.
    first: u64,
    octets: usize,
    /// The session was told to wait.
    waits: bool,
}

#[derive(Debug)]
struct Open {
    ticket: Option<Ticket>,
    octets: usize,
    outcome: Option<Result<(), EngineError>>,
}

/// Names an operation that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u64);

impl Answers {
    /// No answers yet, for the session of this mailbox.
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox, state: Mutex::default() }
    }

    /// Begins an operation that takes so many octets of memory.
    pub(super) fn open(&self, ticket: Option<Ticket>, octets: usize) -> Number {
        let mut state = self.state.lock();
        state.octets += octets;
        state.open.push_back(Open { ticket, octets, outcome: None });
        Number(state.first + state.open.len() as u64 - 1)
    }

    /// Ends an operation.
    pub(super) fn close(&self, number: Number, outcome: Result<(), EngineError>) {
        let mut state = self.state.lock();
        let position = number.0.checked_sub(state.first).and_then(|position| usize::try_from(position).ok());
        if let Some(open) = position.and_then(|position| state.open.get_mut(position)) {
            open.outcome = Some(outcome);
        }
        self.tell(&mut state);
    }

    /// Answers an operation that needs nothing of NATS, after those before it.
    pub(super) fn answer(&self, ticket: Option<Ticket>, outcome: Result<(), EngineError>) {
        if ticket.is_some() || outcome.is_err() {
            let mut state = self.state.lock();
            state.open.push_back(Open { ticket, octets: 0, outcome: Some(outcome) });
            self.tell(&mut state);
        }
    }

    /// Under the lock, so that no later answer overtakes.
    fn tell(&self, state: &mut State) {
        while state.open.front().is_some_and(|open| open.outcome.is_some()) {
            let Some(Open { ticket, octets, outcome: Some(outcome) }) = state.open.pop_front() else { return };
            state.first += 1;
            state.octets -= octets;
            match (outcome, ticket) {
                (Ok(()), Some(ticket)) => self.mailbox.notify(Event::Completed(ticket)),
                (Ok(()), None) => {}
                (Err(error), ticket) => self.mailbox.notify(Event::Failed { ticket, error }),
            }
        }
        if state.waits && state.open.len() <= MOST_OPEN / 2 && state.octets <= MOST_OCTETS / 2 {
            state.waits = false;
            self.mailbox.notify(Event::Ready);
        }
    }

    /// Tells the session that it may go on.
    pub(super) fn ready(&self) {
        self.mailbox.notify(Event::Ready);
    }

    /// Whether the session may go on; if not, it is told when it may.
    pub(super) fn is_ready(&self) -> bool {
        let mut state = self.state.lock();
        state.waits |= state.open.len() >= MOST_OPEN || state.octets >= MOST_OCTETS;
        !state.waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> (Answers, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::new(1000));
        (Answers::new(mailbox.clone()), mailbox)
    }

    fn told(mailbox: &Mailbox) -> Vec<String> {
        let mut events = Vec::new();
        mailbox.take(&mut events);
        let name = |event: &Event| match event {
            Event::Completed(Ticket(ticket)) => ticket.to_string(),
            Event::Failed { ticket, .. } => format!("{:?} failed", ticket.map(|ticket| ticket.0)),
            Event::Ready => "ready".to_owned(),
            other => panic!("unexpected {other:?}"),
        };
        events.iter().map(name).collect()
    }

    #[test]
    fn confirmations_in_any_order_are_told_in_the_order_of_the_operations() {
        let (answers, mailbox) = answers();
        let numbers = [Some(Ticket(1)), None, Some(Ticket(2))].map(|ticket| answers.open(ticket, 10));
        answers.answer(Some(Ticket(3)), Ok(()));
        answers.close(numbers[2], Ok(()));
        answers.close(numbers[0], Ok(()));
        assert_eq!(told(&mailbox), ["1"]);
        answers.close(numbers[1], Ok(()));
        assert_eq!(told(&mailbox), ["2", "3"]);
    }

    #[test]
    fn a_failure_is_told_though_nobody_asked_and_keeps_its_place() {
        let (answers, mailbox) = answers();
        let first = answers.open(None, 1);
        answers.answer(Some(Ticket(1)), Err(EngineError::NotAvailable));
        assert!(told(&mailbox).is_empty());
        answers.close(first, Err(EngineError::NotAvailable));
        assert_eq!(told(&mailbox), ["None failed", "Some(1) failed"]);
    }

    #[test]
    fn a_session_with_much_that_is_open_waits_until_half_of_it_is_done() {
        let (answers, mailbox) = answers();
        let numbers: Vec<_> = (0..MOST_OPEN).map(|_| answers.open(None, 1)).collect();
        assert!(!answers.is_ready());
        let (early, late) = numbers.split_at(MOST_OPEN / 2);
        for number in early {
            answers.close(*number, Ok(()));
        }
        assert_eq!(told(&mailbox), ["ready"]);
        assert!(answers.is_ready());
        for number in late {
            answers.close(*number, Ok(()));
        }
        assert!(told(&mailbox).is_empty(), "nobody waits any more");
    }
}

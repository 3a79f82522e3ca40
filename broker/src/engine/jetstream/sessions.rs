//! The sessions that are to be told when NATS is away.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    engine::{EngineError, Event},
    mailbox::Mailbox,
};

/// All sessions that have used the engine.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    next: u64,
    mailboxes: HashMap<u64, Arc<Mailbox>>,
}

impl Sessions {
    /// Lets sessions in from now on.
    pub(super) fn open(&self) {
        self.0.lock().open = true;
    }

    /// Lets a session in; nothing while NATS is away.
    pub(super) fn enter(&self, mailbox: &Arc<Mailbox>) -> Option<u64> {
        let mut state = self.0.lock();
        state.open.then(|| {
            state.next += 1;
            let place = state.next;
            state.mailboxes.insert(place, mailbox.clone());
            place
        })
    }

    /// Forgets a session.
    pub(super) fn leave(&self, place: u64) {
        self.0.lock().mailboxes.remove(&place);
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().mailboxes.len() as u64
    }

    /// Ends all sessions and lets none in; says how many there were.
    pub(super) fn close(&self) -> usize {
        let mut state = self.0.lock();
        state.open = false;
        let mailboxes = std::mem::take(&mut state.mailboxes);
        drop(state);
        for mailbox in mailboxes.values() {
            mailbox.notify(Event::Closed(EngineError::NotAvailable));
        }
        mailboxes.len()
    }
}

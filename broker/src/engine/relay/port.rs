//! What a connection holds of a session. Dropping it fails all that is open, so that no way out forgets a ticket.

use std::sync::Arc;

use super::{
    queue::{Item, OperationQueue},
    translator::Translator,
    users::Half,
};
use crate::{
    engine::{EngineError, Event, Subscription, Ticket},
    mailbox::Mailbox,
};

/// A session as its connection sees it.
pub(super) struct Port {
    /// Its id, for the log.
    pub(super) session: Arc<str>,
    /// Where answers and deliveries go.
    pub(super) mailbox: Arc<Mailbox>,
    /// Where its operations come from.
    pub(super) queue: Arc<OperationQueue>,
    /// Its subscriptions to destinations of its own.
    pub(super) users: Half,
    /// What it has on its connection; none while it has none.
    pub(super) translator: Option<Translator>,
    /// The subscriptions that it brings from an earlier connection.
    pub(super) again: Vec<Subscription>,
    /// How many deliveries it has had, so that tags are never used twice.
    pub(super) deliveries: u64,
    /// What it is told at the end.
    pub(super) error: EngineError,
}

impl Port {
    /// A session without a connection yet.
    pub(super) fn new(session: Arc<str>, users: Half, mailbox: Arc<Mailbox>, queue: Arc<OperationQueue>) -> Self {
        let told = queue.clone();
        mailbox.on_room(move || told.tell_room());
        Self {
            session,
            mailbox,
            queue,
            users,
            translator: None,
            again: Vec::new(),
            deliveries: 0,
            error: EngineError::NotAvailable,
        }
    }

    /// Tells the session that an operation failed.
    pub(super) fn fail(&self, ticket: Option<Ticket>, error: &EngineError) {
        self.mailbox.notify(Event::Failed { ticket, error: error.clone() });
    }

    /// Leaves its connection, for another one.
    pub(super) fn unseat(&mut self) {
        if let Some(mut translator) = self.translator.take() {
            self.deliveries = translator.deliveries();
            self.again = translator.subscribe_again();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let unconfirmed: Vec<_> =
            self.translator.as_mut().map(|translator| translator.ledger.abandon().collect()).unwrap_or_default();
        let queued = self.queue.end();
        if self.queue.is_closed() {
            return;
        }
        for ticket in unconfirmed.into_iter().chain(queued.iter().filter_map(Item::ticket)) {
            self.fail(Some(ticket), &self.error);
        }
        self.mailbox.notify(Event::Closed(self.error.clone()));
    }
}

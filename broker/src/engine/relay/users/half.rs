//! A session's subscriptions to destinations of its own.

use std::{collections::HashMap, sync::Arc};

use super::Users;
use crate::{
    engine::{EngineError, EngineSession as _, Operation, SessionInfo, SubscriptionKey, embedded::EmbeddedSession},
    mailbox::Mailbox,
};

/// The half of one session; goes with it from one upstream connection to another.
pub(in crate::engine::relay) struct Half {
    users: Arc<Users>,
    session: SessionInfo,
    mailbox: Arc<Mailbox>,
    /// Made with the first subscription.
    local: Option<EmbeddedSession>,
    /// What each subscription is to, behind the prefix.
    own: HashMap<SubscriptionKey, Box<str>>,
}

impl Half {
    /// A session without such subscriptions.
    pub(in crate::engine::relay) fn new(users: Arc<Users>, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Self {
        // What the client calls itself is for durable subscriptions, and the upstream keeps those.
        let session = SessionInfo { client_id: None, ..session.clone() };
        Self { users, session, mailbox, local: None, own: HashMap::new() }
    }

    /// Whether the operation is about such a subscription alone.
    pub(in crate::engine::relay) fn takes(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Subscribe(subscription) => self.users.is_own(&subscription.destination),
            Operation::Unsubscribe { subscription, .. } | Operation::Settle { subscription, .. } => {
                self.own.contains_key(subscription)
            }
            Operation::Send(_) | Operation::Commit(_) => false,
        }
    }

    /// Carries out an operation that it takes.
    ///
    /// # Errors
    /// When the subscription cannot be as it was asked for.
    pub(in crate::engine::relay) fn apply(&mut self, operation: Operation) -> Result<(), EngineError> {
        match operation {
            Operation::Subscribe(subscription) => {
                let Some(own) = self.users.own(&subscription.destination).map(Box::<str>::from) else { return Ok(()) };
                let key = subscription.key;
                let id = subscription.headers.iter().find(|(name, _)| &**name == "id");
                let id = id.map_or_else(|| key.0.to_string().into(), |(_, id)| id.clone());
                let destination = subscription.destination.clone();
                let local = match &mut self.local {
                    Some(local) => local,
                    empty => empty.insert(self.users.local().session(&self.session, self.mailbox.clone())?),
                };
                local.subscribe(subscription)?;
                self.forget(key);
                self.users.want(&self.session.id, &own);
                let mut state = self.users.state.lock();
                state.here.subscribed(&self.session.user, &self.session.id, key, &id, &destination);
                drop(state);
                self.own.insert(key, own);
                Ok(())
            }
            Operation::Unsubscribe { subscription, .. } => {
                if let Some(local) = &mut self.local {
                    local.unsubscribe(subscription, false);
                }
                self.forget(subscription);
                Ok(())
            }
            settle => {
                if let Some(local) = &mut self.local {
                    local.submit(settle, None);
                }
                Ok(())
            }
        }
    }

    /// Carries out what of a transaction it takes, and gives back the rest.
    pub(in crate::engine::relay) fn split(&mut self, operations: Vec<Operation>) -> Vec<Operation> {
        let (mine, rest) = operations.into_iter().partition(|operation| self.takes(operation));
        let mine: Vec<Operation> = mine;
        for operation in mine {
            // Only settlements are both part of a transaction and taken, and these cannot fail.
            let _ = self.apply(operation);
        }
        rest
    }

    fn forget(&mut self, key: SubscriptionKey) {
        if let Some(own) = self.own.remove(&key) {
            self.users.forgo(&self.session.id, &own);
            self.users.state.lock().here.unsubscribed(&self.session.user, &self.session.id, key);
        }
    }

    /// There is room in the mailbox again.
    pub(in crate::engine::relay) fn resume(&self) {
        if let Some(local) = &self.local {
            local.resume();
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.local = None;
        let keys: Vec<_> = self.own.keys().copied().collect();
        for key in keys {
            self.forget(key);
        }
    }
}

//! Where a message goes: aliases and destinations of users become queues and topics here.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Shared,
    names::{self, Kind},
    temporary,
};
use crate::{
    destination::{alias, is_pattern},
    engine::EngineError,
    message::Message,
};

/// Where a message goes, with the destination that its receivers see.
#[derive(Debug)]
pub(super) enum Route {
    /// To the queue of its destination.
    Queue(Arc<Message>),
    /// To the topic of its destination.
    Topic(Arc<Message>),
    /// To sessions by a key of [`user_key`].
    Users(Box<str>, Arc<Message>),
    /// To nobody.
    Nowhere,
}

/// Under what a session is reached at its own destination by the name of its user, or by its id. No two names share one.
pub(super) fn user_key(name: &str, own: &str) -> Box<str> {
    format!("{}:{name}{own}", name.len()).into()
}

/// The name in a key of [`user_key`].
pub(super) fn user_of(key: &str) -> Option<&str> {
    let (length, rest) = key.split_once(':')?;
    rest.get(..length.parse().ok()?)
}

/// The name here of a destination that is subscribed to or sent to, and whether that is another than was written.
pub(super) fn by_own_name(shared: &Shared, destination: &str) -> Result<Option<Box<str>>, EngineError> {
    let name = alias::canonical(destination);
    // With queues of another system nobody here knows all of them.
    if alias::must_exist(destination) && shared.queues.owner().is_none() && !shared.queues.has(&name) {
        return names::refuse(destination, &format!("there is no such queue now; {name} makes one"));
    }
    Ok((*name != *destination).then(|| name.into()))
}

impl Shared {
    /// Decides where a message goes.
    pub(super) fn route(&self, message: Arc<Message>) -> Result<Route, EngineError> {
        // By far the most are neither aliases nor for users.
        if names::PLAIN_PREFIXES.iter().any(|prefix| message.destination.starts_with(prefix)) {
            return Ok(Route::to(names::for_send(&message.destination)?, message));
        }
        if temporary::is_reply_queue(&message.destination) {
            let exists = self.queues.has(&message.destination);
            return Ok(if exists { Route::Queue(message) } else { Route::Nowhere });
        }
        if temporary::is_reply_topic(&message.destination) {
            return Ok(Route::Topic(message));
        }
        let users = self.user_destinations.load();
        if let Some(addressee) = users.addressee(&message.destination) {
            if is_pattern(&message.destination) {
                return names::refuse(&message.destination, "a message goes to one destination of one user");
            }
            let key = user_key(&addressee.name, addressee.own);
            if self.users.has(&key) {
                return Ok(Route::Users(key, users.resolved(&message, addressee.own)));
            }
            self.unresolved.fetch_add(1, Ordering::Relaxed);
            return Ok(users.unresolved(&message).map_or(Route::Nowhere, Route::Topic));
        }
        let message = match by_own_name(self, &message.destination)? {
            Some(name) => Arc::new(message.sent_on(name.into(), None)),
            None => message,
        };
        Ok(Route::to(names::for_send(&message.destination)?, message))
    }
}

impl Route {
    fn to(kind: Kind, message: Arc<Message>) -> Self {
        if kind == Kind::Queue { Self::Queue(message) } else { Self::Topic(message) }
    }
}

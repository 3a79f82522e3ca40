//! Queues whose messages another system keeps: this process borrows them for its own consumers.
//!
//! A borrowed message is in a queue here only while the queue has consumers. What becomes of it is told to its [`Lease`],
//! exactly once: it is done with, or it is given back for another process. A lease that is dropped without either says
//! nothing, so that the owner gives the message to somebody else after a while.

use std::{fmt, sync::Arc};

use crate::{engine::EngineError, message::Message};

/// What is told when something is certain, or why it is not.
pub(in crate::engine) type Then = Box<dyn FnOnce(Result<(), EngineError>) + Send + Sync>;

/// A borrowed message, as its owner knows it.
pub(in crate::engine) trait Lease: fmt::Debug + Send + Sync {
    /// Nobody needs the message any more; `then` is told when the owner knows.
    fn accept(&self, then: Option<Then>);
    /// Nobody here will take the message; another process may.
    fn give_back(&self);
    /// Whether the owner may have given the message to another process already.
    fn is_over(&self) -> bool;
}

/// Who keeps the messages of the queues of this process.
pub(in crate::engine) trait Owner: fmt::Debug + Send + Sync {
    /// Takes a dead letter for the queue that it names, and has the message that died accepted once that is safe.
    fn bury(&self, letter: Arc<Message>, lease: Option<Box<dyn Lease>>);
}

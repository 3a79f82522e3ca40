//! Transactions: all of one or nothing, though JetStream stores each message by itself.
//!
//! One message needs nothing more. Several first go as one into a stream of their own; once they are safe there, the
//! transaction has happened, and they are spread over their queues by their ids, so that doing it twice does it once. Then the
//! one goes. What a process leaves undone by its death, another one does, see [`super::spread`].

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use smol_str::SmolStr;

use super::{
    Shared,
    commands::{Command, Stored},
    envelope,
};
use crate::engine::{
    EngineError, Operation,
    embedded::{Way, lease::Then},
};

/// A message for a stream: its subject, its payload and its id.
pub(super) type Part = (Box<str>, Bytes, SmolStr);

/// What is to be done of a transaction.
#[derive(Default)]
pub(super) struct Plan {
    /// Messages for queues.
    pub(super) stored: Vec<Part>,
    /// Messages to whoever is there.
    pub(super) published: Vec<(Way, Bytes)>,
    /// The same messages as some of those that are stored, to whoever is there.
    pub(super) live: Vec<(Box<str>, Bytes)>,
    /// Settlements, and whatever else may be in a transaction.
    pub(super) others: Vec<Operation>,
}

impl Plan {
    /// Makes the messages for queues safe, then calls `then` with the rest. It is called once, from wherever; not if this
    /// fails.
    ///
    /// # Errors
    /// When the transaction is too large for NATS.
    pub(super) fn begin(
        mut self,
        shared: &Arc<Shared>,
        then: impl FnOnce(Result<(), EngineError>, Self) + Send + Sync + 'static,
    ) -> Result<(), EngineError> {
        let stored = std::mem::take(&mut self.stored);
        let outgoing = shared.outgoing.clone();
        match <[Part; 1]>::try_from(stored) {
            Ok([(subject, payload, id)]) => {
                let then: Stored = Box::new(move |outcome| then(outcome.map(|_| ()), self));
                shared.outgoing.say(Command::Store { subject, payload, id, then });
            }
            Err(none) if none.is_empty() => {
                // Behind what was said before, so that it keeps its place.
                shared.outgoing.say(Command::Mark(Box::new(move |outcome| then(outcome, self))));
            }
            Err(parts) => {
                let (_, subject) = shared.names.commits();
                let payload = pack(&parts, shared.max_payload())?;
                let id = format!("{}-commit", parts.first().map(|(_, _, id)| &**id).unwrap_or_default()).into();
                let shared = shared.clone();
                let then: Stored = Box::new(move |outcome| match outcome {
                    Ok(sequence) => {
                        spread(&shared, &parts, sequence);
                        then(Ok(()), self);
                    }
                    Err(error) => then(Err(error), self),
                });
                outgoing.say(Command::Store { subject, payload, id, then });
            }
        }
        Ok(())
    }
}

/// Several messages as one.
fn pack(parts: &[Part], limit: usize) -> Result<Bytes, EngineError> {
    // The ids are in the messages themselves.
    let payload = envelope::encode_all(parts.iter().map(|(subject, payload, _)| (&**subject, payload)));
    payload.filter(|payload| payload.len() <= limit).ok_or_else(|| EngineError::TooLarge {
        destination: "the transaction".into(),
        limit: format!("max_payload of NATS ({limit} octets, for all its messages to queues)").into(),
    })
}

/// Spreads messages that are safe as one over their queues; the one goes when all are there.
fn spread(shared: &Arc<Shared>, parts: &[Part], sequence: u64) {
    let last = shared.clone();
    let done: Then = Box::new(move |outcome| match outcome {
        Ok(()) => last.forget_commit(sequence),
        Err(error) => tracing::warn!(%error, "a transaction is not spread over its queues yet"),
    });
    for ((subject, payload, id), then) in parts.iter().cloned().zip(all(parts.len(), done)) {
        let then: Stored = Box::new(move |outcome| then(outcome.map(|_| ())));
        shared.outgoing.say(Command::Store { subject, payload, id, then });
    }
}

/// Splits who is told into so many, all of which have to be told before it is.
pub(super) fn all(count: usize, then: Then) -> Vec<Then> {
    let shared = Arc::new(Mutex::new((count, Ok(()), Some(then))));
    let one = || {
        let shared = shared.clone();
        let one: Then = Box::new(move |outcome| {
            let mut shared = shared.lock();
            shared.0 -= 1;
            if outcome.is_err() && shared.1.is_ok() {
                shared.1 = outcome;
            }
            if shared.0 == 0
                && let Some(then) = shared.2.take()
            {
                let outcome = shared.1.clone();
                drop(shared);
                then(outcome);
            }
        });
        one
    };
    (0..count).map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn who_waits_for_several_is_told_once_with_the_first_failure() {
        for failing in [None, Some(1)] {
            let told = Arc::new(AtomicUsize::new(0));
            let counter = told.clone();
            let then: Then = Box::new(move |outcome| {
                assert_eq!(outcome.is_err(), failing.is_some());
                counter.fetch_add(1, Ordering::Relaxed);
            });
            for (number, one) in all(3, then).into_iter().enumerate() {
                assert_eq!(told.load(Ordering::Relaxed), 0);
                one(if failing == Some(number) { Err(EngineError::NotAvailable) } else { Ok(()) });
            }
            assert_eq!(told.load(Ordering::Relaxed), 1);
        }
    }
}

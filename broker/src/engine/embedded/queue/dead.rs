//! Messages that leave a queue without having been accepted, and what becomes of them.

use std::sync::Arc;

use stompbroker_config::DestinationPolicy;

use super::{Entry, QueueState, entry::TIMED_HEADERS};
use crate::{engine::embedded::lease::Lease, message::Message};

/// What a dead letter says of its death; what an earlier death said goes.
const REASON: &str = "dead-letter-reason";
pub(in crate::engine) const DIED_IN: &str = "dead-letter-destination";
const DELIVERIES: &str = "dead-letter-deliveries";

/// Why a message died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::embedded) enum Reason {
    /// A consumer refused it for good.
    Rejected,
    /// It was delivered as often as it may be.
    MaxDeliveries,
    /// Its time was over.
    Expired,
    /// More was in its queue than clients have said there may be.
    MaxLength,
}

/// A message that died and waits to be moved to where dead letters go. It is in the store until then.
#[derive(Debug)]
pub(in crate::engine::embedded) struct Dead {
    entry: Entry,
    reason: Reason,
}

impl Reason {
    const fn text(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::MaxDeliveries => "max-deliveries",
            Self::Expired => "expired",
            Self::MaxLength => "max-length",
        }
    }

    /// Where letters that died of this go; nowhere, if they are dropped. What nobody wanted any more is only kept where
    /// somebody has said so.
    pub(in crate::engine::embedded) fn destination(self, policy: &DestinationPolicy) -> Option<&str> {
        match (policy.dead_letter.as_deref(), self) {
            (Some(DestinationPolicy::DISCARD), _) | (None, Self::Expired | Self::MaxLength) => None,
            (Some(destination), _) => Some(destination),
            (None, Self::Rejected | Self::MaxDeliveries) => Some(DestinationPolicy::DEFAULT_DEAD_LETTER),
        }
    }
}

impl QueueState {
    /// Takes a message out that will not be delivered any more. Whoever unlocks the queue moves it to where it goes; no two
    /// queues are ever locked at once.
    pub(super) fn die(&mut self, entry: Entry, reason: Reason) {
        if self.transient || reason.destination(&self.policy).is_none() {
            return self.leave(entry);
        }
        self.release(entry.size);
        self.dead.push(Dead { entry, reason });
    }

    /// The dead that wait to be moved, and where to.
    pub(in crate::engine::embedded) fn take_dead(&mut self) -> Option<(Vec<Dead>, Arc<DestinationPolicy>)> {
        (!self.dead.is_empty()).then(|| (std::mem::take(&mut self.dead), Arc::clone(&self.policy)))
    }
}

impl Dead {
    /// Why it died.
    pub(in crate::engine::embedded) const fn reason(&self) -> Reason {
        self.reason
    }

    /// Whom to tell that it has been moved, where another system keeps it.
    pub(in crate::engine::embedded) fn take_lease(&mut self) -> Option<Box<dyn Lease>> {
        self.entry.take_lease()
    }

    /// The message as it goes to `destination`, having died in `queue`.
    pub(in crate::engine::embedded) fn letter(&self, queue: &str, destination: &str) -> Message {
        let Self { entry, reason } = self;
        let message = &entry.message;
        let deliveries = entry.returns.saturating_add(u32::from(*reason == Reason::Rejected));
        let replaced = |name: &str| TIMED_HEADERS.contains(&name) || [REASON, DIED_IN, DELIVERIES].contains(&name);
        let mut headers: Vec<_> = message.headers.iter().filter(|(name, _)| !replaced(name)).cloned().collect();
        headers.push((REASON.into(), reason.text().into()));
        headers.push((DIED_IN.into(), queue.into()));
        headers.push((DELIVERIES.into(), deliveries.to_string().into()));
        Message::new(message.id.clone(), destination.into(), headers, message.body.clone(), message.content_length)
    }
}

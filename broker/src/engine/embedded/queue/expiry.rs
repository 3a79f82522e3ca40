//! How long a queue may be without consumers.

use std::{sync::Arc, time::Instant};

use stompbroker_config::DestinationPolicy;

use super::QueueState;

impl QueueState {
    /// Goes by a changed configuration.
    pub(in crate::engine::embedded) fn set_policy(&mut self, policy: Arc<DestinationPolicy>) {
        // An entry that is on the agenda already may be too late by the new policy.
        self.expiry_planned &= self.policy.expires == policy.expires;
        self.policy = policy;
    }

    /// When the queue has to be looked at because it may have expired, if nothing has been planned yet.
    pub(in crate::engine::embedded) fn plan_expiry(&mut self) -> Option<Instant> {
        if self.expiry_planned {
            return None;
        }
        let at = self.expires_at()?;
        self.expiry_planned = true;
        Some(at)
    }

    /// Drops all that is in the queue if it has been without consumers for too long.
    pub(in crate::engine::embedded) fn expire(&mut self, now: Instant) {
        self.expiry_planned = false;
        if self.expires_at().is_some_and(|at| at <= now) {
            self.clear();
        }
    }

    fn expires_at(&self) -> Option<Instant> {
        let expires = self.policy.expires.filter(|_| self.consumers.is_empty())?;
        self.unused_since.checked_add(expires.0)
    }
}

//! What holds for a queue: what the configuration says of it, bounded by what its clients have said.

use std::sync::Arc;

use stompbroker_config::DestinationPolicy;

use super::{QueueState, dead::Reason};
use crate::engine::{EngineError, embedded::declared::Declared};

/// What clients have said of a queue.
#[derive(Debug)]
pub(super) struct Bounds {
    declared: Declared,
    /// What holds without it.
    configured: Arc<DestinationPolicy>,
}

impl QueueState {
    /// Goes by a changed configuration.
    pub(in crate::engine::embedded) fn set_policy(&mut self, policy: Arc<DestinationPolicy>) {
        self.policy = match &mut self.bounds {
            None => policy,
            Some(bounds) => {
                bounds.configured = policy;
                bounds.declared.bound(&bounds.configured)
            }
        };
    }

    /// Goes by what a client says of the queue, for as long as it is there.
    ///
    /// # Errors
    /// When others have said something else.
    pub(in crate::engine::embedded) fn declare(&mut self, declared: &Declared) -> Result<(), EngineError> {
        let make = || Box::new(Bounds { declared: Declared::default(), configured: Arc::clone(&self.policy) });
        let bounds = self.bounds.get_or_insert_with(make);
        bounds.declared.add(declared)?;
        self.policy = bounds.declared.bound(&bounds.configured);
        Ok(())
    }

    /// Drops the oldest of the lowest priority, as long as more is here than clients have said there may be.
    pub(super) fn drop_excess(&mut self) {
        while self.bounds.as_ref().is_some_and(|it| it.declared.is_exceeded(self.ready.len(), self.octets))
            && let Some(oldest) = self.ready.pop_lowest()
        {
            self.die(oldest, Reason::MaxLength);
        }
    }
}

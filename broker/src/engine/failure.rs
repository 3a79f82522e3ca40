//! A server behind an engine that cannot be used: an upstream of the relay, or NATS. Pure.

use stompbroker_config::admin::UpstreamState;

/// A try to connect, or a standing connection, that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// The class, as it is reported.
    pub(super) state: UpstreamState,
    /// Detail for people, without secrets.
    pub(super) message: String,
}

impl Failure {
    /// A failure of the class `state`.
    pub(super) fn new(state: UpstreamState, message: impl Into<String>) -> Self {
        Self { state, message: message.into() }
    }
}

//! Why a session ends with an ERROR, and how it is told to the client.

use stompbroker_config::{Action, GoDuration};

use super::CloseReason;
use crate::{
    engine::EngineError,
    security::LoginRefused,
    stomp::{Command, DecodeProblem, Version},
};

/// Why a session ends with an ERROR. The text is its body; it goes to the client and shows no internals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    #[error("the first frame must be CONNECT or STOMP, not {}", .0.as_str())]
    NotConnected(Command),
    #[error("the session is connected already; CONNECT is only allowed as the first frame")]
    AlreadyConnected,
    #[error("{} is a frame that only servers send", .0.as_str())]
    FromServer(Command),
    #[error("Supported versions are {SUPPORTED_VERSIONS}; send one of them in accept-version")]
    NoCommonVersion,
    #[error("{} must not have a body; only SEND may", .0.as_str())]
    BodyNotAllowed(Command),
    #[error("{} in STOMP {} needs the header {header}{hint}", .command.as_str(), .version.as_str())]
    MissingHeader { command: Command, version: Version, header: &'static str, hint: &'static str },
    #[error("the header {header} of {} must be {expected}, not {value:?}", .command.as_str())]
    InvalidHeader { command: Command, header: &'static str, value: Box<str>, expected: &'static str },
    #[error("a subscription {0:?} exists already in this session; give each its own id")]
    DuplicateSubscription(Box<str>),
    #[error("there is no subscription {0:?} in this session")]
    UnknownSubscription(Box<str>),
    #[error("{} names {value:?}, which is no message of this session that waits for it; {hint}", .command.as_str())]
    UnknownDelivery { command: Command, value: Box<str>, hint: &'static str },
    #[error("transaction {0:?} is open already; COMMIT or ABORT it first")]
    TransactionOpen(Box<str>),
    #[error("{} names transaction {id:?}, which is not open; BEGIN it first", .command.as_str())]
    UnknownTransaction { command: Command, id: Box<str> },
    #[error("the destination rules do not let {user} {} {destination:?}", verb(*.action))]
    Denied { user: Box<str>, action: Action, destination: Box<str> },
    #[error("{what} would pass limits.{key}, which is {limit}")]
    Limit { what: &'static str, key: &'static str, limit: Box<str> },
    #[error(transparent)]
    LoginRefused(LoginRefused),
    #[error("no login within limits.loginTimeout, which is {0}")]
    LoginTimeout(GoDuration),
    #[error("the token or certificate that the session logged in with has expired; connect again with a new one")]
    LoginExpired,
    #[error("nothing received for {0}, though the client agreed to send heart-beats")]
    Silent(GoDuration),
    #[error("the client took none of its messages for limits.sendTimeout, which is {0}")]
    SlowConsumer(GoDuration),
    #[error(
        "a message has a body that is not UTF-8, which {0} cannot carry; connect over WebSocket, or have text sent"
    )]
    Unsendable(&'static str),
    #[error("the broker lets its sessions go; connect again")]
    Drained,
    #[error("an operator of the broker has closed this session")]
    ClosedByOperator,
    #[error(transparent)]
    Engine(EngineError),
    #[error(transparent)]
    Decode(DecodeProblem),
}

/// As it stands in the `version` header of an ERROR.
pub(super) const SUPPORTED_VERSIONS: &str = "1.0,1.1,1.2";

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Send => "send to",
        Action::Subscribe => "subscribe to",
    }
}

impl SessionError {
    /// A header whose value cannot be used; a long one is cut.
    pub(super) fn invalid(command: Command, header: &'static str, value: &str, expected: &'static str) -> Self {
        Self::InvalidHeader { command, header, value: value.chars().take(64).collect(), expected }
    }

    /// Something that would pass the limit of this configuration key.
    pub(super) fn limit(what: &'static str, key: &'static str, limit: impl std::fmt::Display) -> Self {
        Self::Limit { what, key, limit: limit.to_string().into() }
    }

    /// The `message` header: short, the same for all errors of a kind, and free of what would need escapes.
    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::NotConnected(_) => "Not connected",
            Self::AlreadyConnected => "Already connected",
            Self::NoCommonVersion => "Version mismatch",
            Self::FromServer(_) | Self::Decode(DecodeProblem::UnknownCommand(_)) => "Bad command",
            Self::BodyNotAllowed(_) => "Body not allowed",
            Self::MissingHeader { header: "destination", .. } => "Missing destination",
            Self::MissingHeader { .. } | Self::Engine(EngineError::IncompleteDurable { .. }) => "Missing header",
            Self::InvalidHeader { .. }
            | Self::Engine(
                EngineError::InvalidHeader { .. } | EngineError::Declared { .. } | EngineError::Selector { .. },
            ) => "Invalid header",
            Self::DuplicateSubscription(_) => "Duplicated subscription identifier",
            Self::UnknownSubscription(_) => "Subscription not found",
            Self::UnknownDelivery { .. } => "Message not found",
            Self::TransactionOpen(_) => "Transaction already open",
            Self::UnknownTransaction { .. } => "Transaction not found",
            Self::Denied { .. } => "Access refused",
            Self::Limit { .. } => "Limit exceeded",
            Self::LoginExpired | Self::LoginRefused(LoginRefused::TokenExpired) => "Token expired",
            Self::LoginRefused(_) => "Bad CONNECT",
            Self::LoginTimeout(_) => "Login timeout",
            Self::Silent(_) => "Heart-beat timeout",
            Self::SlowConsumer(_) | Self::Engine(EngineError::SlowConsumer(_)) => "Slow consumer",
            Self::Unsendable(_) => "Binary body over SockJS",
            Self::Drained => "Broker is draining",
            Self::ClosedByOperator => "Closed by an operator",
            Self::Engine(EngineError::UnknownDestination { .. }) => "Unknown destination",
            Self::Engine(EngineError::Full { .. }) => "Queue is full",
            Self::Engine(EngineError::TooManyDurable(_)) => "Too many durable subscriptions",
            Self::Engine(EngineError::ClientIdTaken(_)) => "Client id in use",
            Self::Engine(EngineError::NotStored(_)) => "Message cannot be stored",
            Self::Engine(EngineError::NotAvailable) => "Broker not available.",
            Self::Engine(EngineError::Upstream(_)) => "Upstream error",
            Self::Decode(DecodeProblem::BodyTooLarge { .. } | DecodeProblem::InflatedTooLarge { .. })
            | Self::Engine(EngineError::TooLarge { .. }) => "Message too large",
            Self::Decode(problem) if problem.is_limit() => "Limit exceeded",
            Self::Decode(_) => "Malformed frame",
        }
    }

    /// The destination that was denied or refused, where that is the error.
    pub(super) fn destination(&self) -> Option<&str> {
        match self {
            Self::Denied { destination, .. }
            | Self::Engine(
                EngineError::UnknownDestination { destination, .. } | EngineError::Full { destination, .. },
            ) => Some(destination),
            _ => None,
        }
    }

    /// What the session is said to have ended of.
    pub(super) const fn reason(&self) -> CloseReason {
        match self {
            Self::Denied { .. } => CloseReason::AccessDenied,
            Self::Limit { .. } | Self::Engine(EngineError::TooManyDurable(_)) => CloseReason::LimitExceeded,
            Self::LoginRefused(_) | Self::Engine(EngineError::ClientIdTaken(_)) => CloseReason::LoginRefused,
            Self::LoginTimeout(_) => CloseReason::LoginTimeout,
            Self::LoginExpired => CloseReason::LoginExpired,
            Self::Silent(_) => CloseReason::HeartbeatTimeout,
            Self::SlowConsumer(_) | Self::Engine(EngineError::SlowConsumer(_)) => CloseReason::SlowConsumer,
            Self::Unsendable(_) => CloseReason::Unsendable,
            Self::Drained => CloseReason::Drained,
            Self::ClosedByOperator => CloseReason::ClosedByOperator,
            Self::Engine(
                EngineError::InvalidHeader { .. }
                | EngineError::Declared { .. }
                | EngineError::Selector { .. }
                | EngineError::IncompleteDurable { .. },
            ) => CloseReason::ProtocolError,
            Self::Engine(_) => CloseReason::EngineFailure,
            Self::Decode(problem) if problem.is_limit() => CloseReason::LimitExceeded,
            _ => CloseReason::ProtocolError,
        }
    }
}

//! What a session wants done.

use std::sync::Arc;

use crate::{
    applications::Call,
    engine::{DeliveryTag, Operation, Settlement, SubscriptionKey, Ticket},
    message::Message,
    trace::Step,
};

/// Where a session writes frames for its client. A transport adds its own framing here, one call a STOMP frame.
pub trait FrameSink {
    /// One whole STOMP frame: `head` followed by `tail`. Two parts, because many receivers share the same tail.
    fn frame(&mut self, head: &[u8], tail: &[u8]);

    /// A heart-beat: one end-of-line.
    fn heartbeat(&mut self);
}

/// What a session wants done besides frames for its client; the connection carries it out in this order, at the latest when
/// it has handed in all that it has read.
#[derive(Debug, Default)]
pub struct Effects {
    /// Operations for the engine, in order.
    pub operations: Vec<(Operation, Option<Ticket>)>,
    /// Calls of applications, in order.
    pub(crate) calls: Vec<(Call, Option<Ticket>)>,
    /// Steps of messages that may be traced. None where `Settings::traced` is false.
    pub(crate) steps: Vec<(Step, Arc<Message>)>,
    /// A login to decide; the answer goes to `Session::on_login`, and no further frame is handed in before.
    pub login: Option<Login>,
    /// The connection is to be closed after everything written so far has been sent.
    pub close: Option<Close>,
}

/// Accepted deliveries are gathered over this many subscriptions at a time.
const GATHERED: usize = 16;

impl Effects {
    /// Accepts deliveries of a subscription, together with the others that have just been accepted.
    pub(super) fn accept(&mut self, key: SubscriptionKey, tags: impl IntoIterator<Item = DeliveryTag>) {
        for operation in self.operations.iter_mut().rev().take(GATHERED) {
            match operation {
                (Operation::Settle { subscription, deliveries, settlement: Settlement::Accept }, None) => {
                    if *subscription == key {
                        return deliveries.extend(tags);
                    }
                }
                _ => break,
            }
        }
        let (deliveries, settlement) = (tags.into_iter().collect(), Settlement::Accept);
        self.operations.push((Operation::Settle { subscription: key, deliveries, settlement }, None));
    }
}

/// What a client logs in with. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The `login` header.
    pub login: Option<Box<str>>,
    /// The `passcode` header.
    pub passcode: Option<Box<str>>,
    /// The `Authorization` header.
    pub authorization: Option<Box<str>>,
    /// The header of `authentication.tokenHeader`.
    pub token: Option<Box<str>>,
}

impl Login {
    /// Whether the client has brought nothing to log in with.
    pub fn is_empty(&self) -> bool {
        let is_empty = |header: &Option<Box<str>>| header.as_deref().unwrap_or_default().is_empty();
        is_empty(&self.login) && is_empty(&self.passcode) && self.authorization.is_none() && self.token.is_none()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("login", &self.login).finish_non_exhaustive()
    }
}

/// How the connection is to be closed: always lingering, so that the client really receives the last frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why, for metrics, logs and the WebSocket close code.
    pub reason: CloseReason,
    /// The text of the ERROR that was sent, where one was.
    pub error: Option<String>,
    /// The destination that was denied or refused, where that is why.
    pub destination: Option<Box<str>>,
}

impl Close {
    /// An end that no destination has to do with.
    pub const fn new(reason: CloseReason, error: Option<String>) -> Self {
        Self { reason, error, destination: None }
    }
}

/// Why a session ended; the label `reason` of the metric of closed sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client sent DISCONNECT.
    Disconnect,
    /// The client closed the connection without DISCONNECT.
    ClientClosed,
    /// The connection broke.
    ConnectionLost,
    /// The client broke a rule of the protocol.
    ProtocolError,
    /// A limit was passed.
    LimitExceeded,
    /// The login was refused.
    LoginRefused,
    /// No CONNECT in time.
    LoginTimeout,
    /// What the user logged in with has expired.
    LoginExpired,
    /// A destination rule denied an action.
    AccessDenied,
    /// The client was silent longer than it had agreed.
    HeartbeatTimeout,
    /// The client took its messages too slowly.
    SlowConsumer,
    /// A message cannot be carried by the client's transport.
    Unsendable,
    /// The engine could not do what was asked, or is away.
    EngineFailure,
    /// The broker is shutting down or draining.
    Drained,
    /// An operator closed the session by the admin port.
    ClosedByOperator,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Disconnect,
        Self::ClientClosed,
        Self::ConnectionLost,
        Self::ProtocolError,
        Self::LimitExceeded,
        Self::LoginRefused,
        Self::LoginTimeout,
        Self::LoginExpired,
        Self::AccessDenied,
        Self::HeartbeatTimeout,
        Self::SlowConsumer,
        Self::EngineFailure,
        Self::Drained,
        Self::ClosedByOperator,
    ];

    /// The value of the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::ClientClosed => "client_closed",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol_error",
            Self::LimitExceeded => "limit_exceeded",
            Self::LoginRefused => "login_refused",
            Self::LoginTimeout => "login_timeout",
            Self::LoginExpired => "login_expired",
            Self::AccessDenied => "access_denied",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Unsendable => "unsendable",
            Self::EngineFailure => "engine_failure",
            Self::Drained => "drained",
            Self::ClosedByOperator => "closed_by_operator",
        }
    }

    /// Whether a session that ends so counts as closed abnormally.
    pub const fn is_abnormal(self) -> bool {
        !matches!(self, Self::Disconnect | Self::ClientClosed | Self::Drained | Self::ClosedByOperator)
    }
}

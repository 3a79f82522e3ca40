//! What sessions go by.

use std::{sync::Arc, time::Duration};

use stompbroker_config::{ByteSize, Config, Engine, Limits};

use crate::{applications::Routes, security::Policy, stomp::DecodeLimits};

/// What sessions go by; replaced as a whole when the configuration is reloaded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds on what one session may hold and send.
    pub limits: Limits,
    /// The heart-beat period offered and wanted, both ways; zero: no heart-beats.
    pub heartbeat: Duration,
    /// How long a client that agreed on heart-beats may be silent, unless its own period asks for more.
    pub session_timeout: Duration,
    /// A further header of CONNECT that may bring a token.
    pub token_header: Option<Box<str>>,
    /// Whether a `reply-to:/temp-queue/...` subscribes to that queue; an upstream does that by itself.
    pub reply_queues: bool,
    /// Whether messages are traced.
    pub traced: bool,
    /// Which destinations are of applications.
    pub(crate) applications: Arc<Routes>,
    /// Who may send to what and subscribe to what.
    pub policy: Arc<Policy>,
}

impl Settings {
    /// The settings that a configuration gives.
    pub fn new(config: &Config, policy: Arc<Policy>) -> Self {
        Self {
            limits: config.limits.clone(),
            heartbeat: config.heartbeat.0,
            session_timeout: config.session_timeout.0,
            token_header: config.authentication.token_header.as_deref().map(Into::into),
            reply_queues: !matches!(config.engine, Engine::Relay(_)),
            traced: config.tracing.is_some(),
            applications: Arc::new(Routes::new(config)),
            policy,
        }
    }

    /// The decoder's limits before the login and after it.
    pub(super) fn decode_limits(&self, logged_in: bool) -> DecodeLimits {
        let limits = &self.limits;
        let unauthenticated = octets(limits.unauthenticated_frame_size);
        DecodeLimits {
            headers: usize::try_from(limits.headers).unwrap_or(usize::MAX),
            header_size: octets(limits.header_size),
            body_size: if logged_in { octets(limits.message_size) } else { usize::MAX },
            frame_size: if logged_in { usize::MAX } else { unauthenticated },
        }
    }
}

/// A configured size as this machine counts memory.
pub(super) fn octets(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

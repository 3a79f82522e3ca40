//! The session as its connection drives it.

use std::{sync::Arc, time::Instant};

use stompbroker_config::ByteSize;

use super::{
    Close, CloseReason, Effects, FrameSink, Settings,
    error::SessionError,
    handshake::{Handshake, read_connect},
    live::{Context, Failure, Live},
    output::{About, Output},
};
use crate::{
    engine::{EngineError, Event},
    security::{LoginRefused, Principal},
    stomp::{Command, DecodeError, DecodeLimits, Frame, Version},
};

/// What CONNECTED says of the broker.
const SERVER: &str = concat!("Stompbroker/", env!("CARGO_PKG_VERSION"));

/// One client's session.
///
/// The connection calls it in the order in which things happen and never while a login is being decided with another
/// frame: [`Self::accepts_frames`] says when frames are welcome. Time comes in with the calls; no clock is read here.
#[derive(Debug)]
pub struct Session {
    id: Arc<str>,
    settings: Arc<Settings>,
    state: State,
    version: Option<Version>,
    principal: Option<Principal>,
}

#[derive(Debug)]
enum State {
    Expecting { deadline: Instant },
    LoggingIn { deadline: Instant, handshake: Box<Handshake> },
    Live(Box<Live>),
    Closed,
}

impl Session {
    /// A session whose client has just connected. `id` is unique in the cluster and made of `[A-Za-z0-9@._-]`.
    pub fn new(id: Arc<str>, settings: Arc<Settings>, now: Instant) -> Self {
        let deadline = now + settings.limits.login_timeout.0;
        Self { id, settings, state: State::Expecting { deadline }, version: None, principal: None }
    }

    /// Takes a frame of the client.
    pub fn on_frame(&mut self, frame: Frame, now: Instant, sink: &mut dyn FrameSink, effects: &mut Effects) {
        match &self.state {
            State::Expecting { deadline } => {
                let deadline = *deadline;
                self.connect(&frame, deadline, sink, effects);
            }
            State::LoggingIn { .. } => self.fail(&SessionError::AlreadyConnected, &About::default(), sink, effects),
            State::Live(_) => self.with_live(sink, effects, |live, cx| live.frame(frame, now, cx)),
            State::Closed => {}
        }
    }

    /// The client's octets are not STOMP, or pass a limit.
    pub fn on_decode_error(&mut self, error: &DecodeError, sink: &mut dyn FrameSink, effects: &mut Effects) {
        // What comes after DISCONNECT is ignored, whatever it is.
        if !matches!(&self.state, State::Live(live) if live.leaving.is_some()) {
            let about = About { receipt: error.receipt.clone(), subscription: None };
            self.fail(&SessionError::Decode(error.problem.clone()), &about, sink, effects);
        }
    }

    /// Takes the outcome of the login that [`Effects::login`] asked for.
    pub fn on_login(
        &mut self,
        outcome: Result<Principal, LoginRefused>,
        now: Instant,
        sink: &mut dyn FrameSink,
        effects: &mut Effects,
    ) {
        match (std::mem::replace(&mut self.state, State::Closed), outcome) {
            (State::LoggingIn { handshake, .. }, Ok(principal)) => {
                self.greet(handshake.version, &principal, sink);
                self.principal = Some(principal);
                self.state = State::Live(Box::new(Live::new(&self.id, *handshake, &self.settings, now)));
            }
            (state @ State::LoggingIn { .. }, Err(refused)) => {
                self.state = state;
                self.fail(&SessionError::LoginRefused(refused), &About::default(), sink, effects);
            }
            (state, _) => self.state = state,
        }
    }

    /// The engine does not take the session whose login was right.
    pub fn on_engine_refusal(&mut self, error: EngineError, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.fail(&SessionError::Engine(error), &About::default(), sink, effects);
    }

    /// The client has closed its side of the connection, and all that it sent before has been handed in. A session that owes
    /// receipts stays until they are written, for as long as after DISCONNECT; any other ends at once.
    pub fn on_client_closed(&mut self, now: Instant, sink: &mut dyn FrameSink, effects: &mut Effects) {
        if let State::Live(_) = &self.state {
            self.with_live(sink, effects, |live, cx| {
                live.client_closed(now, cx);
                Ok(())
            });
        } else {
            effects.close = Some(Close::new(CloseReason::ClientClosed, None));
            self.end();
        }
    }

    /// Takes an event of the engine.
    pub fn on_event(&mut self, event: Event, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.with_live(sink, effects, |live, cx| live.event(event, cx));
    }

    /// Octets of whatever kind came from the client: it lives.
    pub fn on_received(&mut self, now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.heartbeat.received(now);
        }
    }

    /// Does what is due by time.
    pub fn on_tick(&mut self, now: Instant, sink: &mut dyn FrameSink, effects: &mut Effects) {
        match &self.state {
            State::Expecting { deadline } | State::LoggingIn { deadline, .. } if now >= *deadline => {
                let timeout = self.settings.limits.login_timeout;
                self.fail(&SessionError::LoginTimeout(timeout), &About::default(), sink, effects);
            }
            State::Live(_) if self.expires_at().is_some_and(|at| now >= at) => {
                self.fail(&SessionError::LoginExpired, &About::default(), sink, effects);
            }
            State::Live(_) => self.with_live(sink, effects, |live, cx| live.tick(now, cx)),
            State::Expecting { .. } | State::LoggingIn { .. } | State::Closed => {}
        }
    }

    /// When [`Self::on_tick`] has something to do at the earliest.
    pub fn next_tick(&self) -> Option<Instant> {
        match &self.state {
            State::Expecting { deadline } | State::LoggingIn { deadline, .. } => Some(*deadline),
            State::Live(live) => [live.next_tick(), self.expires_at()].into_iter().flatten().min(),
            State::Closed => None,
        }
    }

    /// Whether heart-beats to the client were agreed on.
    pub fn sends_heartbeats(&self) -> bool {
        matches!(&self.state, State::Live(live) if live.heartbeat.sends())
    }

    fn expires_at(&self) -> Option<Instant> {
        self.principal.as_ref().and_then(|principal| principal.expires_at)
    }

    /// Goes by new settings from now on. A subscription that the new rules deny ends the session.
    pub fn on_settings(&mut self, settings: Arc<Settings>, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.settings = settings;
        self.with_live(sink, effects, |live, cx| live.recheck(cx));
    }

    /// The client took nothing for `limits.sendTimeout`.
    pub fn on_slow_consumer(&mut self, sink: &mut dyn FrameSink, effects: &mut Effects) {
        let timeout = self.settings.limits.send_timeout;
        self.fail(&SessionError::SlowConsumer(timeout), &About::default(), sink, effects);
    }

    /// A SEND came that the process has no memory for.
    pub fn on_memory_full(&mut self, frame: &Frame, bound: ByteSize, sink: &mut dyn FrameSink, effects: &mut Effects) {
        let is_to_be_ignored = matches!(&self.state, State::Live(live) if live.leaving.is_some());
        if !is_to_be_ignored {
            let about = About { receipt: frame.header("receipt").map(Into::into), subscription: None };
            self.fail(&SessionError::limit("one more message", "memory", bound), &about, sink, effects);
        }
    }

    /// A message cannot be carried by the transport of this name.
    pub fn on_unsendable(&mut self, transport: &'static str, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.fail(&SessionError::Unsendable(transport), &About::default(), sink, effects);
    }

    /// The broker lets its sessions go.
    pub fn on_drain(&mut self, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.fail(&SessionError::Drained, &About::default(), sink, effects);
    }

    /// An operator closes this session.
    pub fn on_operator_close(&mut self, sink: &mut dyn FrameSink, effects: &mut Effects) {
        self.fail(&SessionError::ClosedByOperator, &About::default(), sink, effects);
    }

    /// The version agreed on, once there is one; for the decoder, and kept after the end.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Who logged in, once somebody has; kept after the end.
    pub const fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Whether the client has logged in and the session has not ended.
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Whether the session has ended.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether frames of the client are welcome: not while a login is decided, nor while too many answers are owed. While
    /// not, the connection decodes nothing; octets may still be read.
    pub fn accepts_frames(&self) -> bool {
        match &self.state {
            State::Expecting { .. } => true,
            State::LoggingIn { .. } | State::Closed => false,
            State::Live(live) => !live.answers.are_too_many(),
        }
    }

    /// How many subscriptions the session has.
    pub fn subscriptions(&self) -> usize {
        match &self.state {
            State::Live(live) => live.subscriptions.len(),
            _ => 0,
        }
    }

    /// The limits for the decoder; they change with the login and with the settings.
    pub fn decode_limits(&self) -> DecodeLimits {
        self.settings.decode_limits(self.is_live())
    }

    /// The `host` that the client named in CONNECT, until the session ends.
    pub fn virtual_host(&self) -> Option<&str> {
        match &self.state {
            State::LoggingIn { handshake, .. } => handshake.virtual_host.as_deref(),
            State::Live(live) => live.virtual_host.as_deref(),
            State::Expecting { .. } | State::Closed => None,
        }
    }

    /// The `client-id` that the client named in CONNECT, until the login is decided.
    pub fn client_id(&self) -> Option<&str> {
        match &self.state {
            State::LoggingIn { handshake, .. } => handshake.client_id.as_deref(),
            State::Expecting { .. } | State::Live(_) | State::Closed => None,
        }
    }

    fn connect(&mut self, frame: &Frame, deadline: Instant, sink: &mut dyn FrameSink, effects: &mut Effects) {
        if frame.command != Command::Connect {
            let receipt = frame.header("receipt").map(Into::into);
            let error = if frame.command.is_from_server() {
                SessionError::FromServer(frame.command)
            } else {
                SessionError::NotConnected(frame.command)
            };
            return self.fail(&error, &About { receipt, subscription: None }, sink, effects);
        }
        match read_connect(frame, self.settings.token_header.as_deref()) {
            Ok((handshake, login)) => {
                self.version = Some(handshake.version);
                self.state = State::LoggingIn { deadline, handshake: Box::new(handshake) };
                effects.login = Some(login);
            }
            Err((error, version)) => {
                self.version = version;
                self.fail(&error, &About::default(), sink, effects);
            }
        }
    }

    /// Writes CONNECTED.
    fn greet(&mut self, version: Version, principal: &Principal, sink: &mut dyn FrameSink) {
        let period = if version > Version::V1_0 { self.settings.heartbeat.as_millis() } else { 0 };
        let heartbeat = format!("{period},{period}");
        let user = principal.is_authenticated().then_some(("user-name", &*principal.user));
        let headers: Vec<_> = [
            ("version", version.as_str()),
            ("session", &*self.id),
            ("server", SERVER),
            ("heart-beat", heartbeat.as_str()),
        ]
        .into_iter()
        .chain(user)
        .collect();
        let mut output = Output { sink };
        output.frame(Some(version), Command::Connected, &headers);
    }

    /// Lets a live session work and ends it when it fails or is done.
    fn with_live(
        &mut self,
        sink: &mut dyn FrameSink,
        effects: &mut Effects,
        work: impl FnOnce(&mut Live, &mut Context<'_>) -> Result<(), Failure>,
    ) {
        let (State::Live(live), Some(principal)) = (&mut self.state, &self.principal) else { return };
        let output = Output { sink: &mut *sink };
        let mut cx = Context { id: &self.id, principal, settings: &self.settings, output, effects: &mut *effects };
        match work(live, &mut cx) {
            Ok(()) if effects.close.is_some() => self.end(),
            Ok(()) => {}
            Err(Failure { error, about }) => self.fail(&error, &about, sink, effects),
        }
    }

    /// Ends the session with an ERROR, unless it has ended already.
    fn fail(&mut self, error: &SessionError, about: &About, sink: &mut dyn FrameSink, effects: &mut Effects) {
        if self.is_closed() {
            return;
        }
        let mut output = Output { sink };
        let text = output.error(self.version, error, about);
        effects.close =
            Some(Close { reason: error.reason(), error: Some(text), destination: error.destination().map(Into::into) });
        self.end();
    }

    /// Gives back all that a live session held.
    fn end(&mut self) {
        self.state = State::Closed;
    }
}

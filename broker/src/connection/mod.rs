//! One connection: a single small future that moves octets between a socket, a session and an engine.
//!
//! ```text
//! Open ── session, client or drain ends it ──► Closing ── all is sent ──► Lingering ── FIN or one second ──► Closed
//!   └───────────────────── the socket broke, or abort ─────────────────────────────────────────────────────►┘
//! ```
//!
//! A turn of the future does everything that can be done without waiting: commands from outside, timers, events from the
//! engine, octets from the client; then it writes all that came of it with one call. Between turns an idle connection
//! holds no buffers. Lingering means: FIN is sent, and what the client still sends is read and dropped, for a socket that
//! is closed with unread input makes the kernel send RST, and the client would lose the ERROR that explains the end.
//!
//! Back-pressure: nothing is read from the client while the engine or applications take no operations, while the client does not take
//! what waits for it, while a login is being decided, while the pod's message rate is used up, and for a while after each
//! message when the process has little memory left.

mod dialogue;
mod input;
mod output;
mod record;
mod registry;
mod scratch;
mod throttle;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use stompbroker_config::Config;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep_until},
};

use self::{
    output::{Output, WireSink},
    record::Moved,
};
pub(crate) use self::{
    record::{SessionRecord, place},
    registry::{ConnectionRegistry, Member, Registration},
    throttle::Throttle,
};
use crate::{
    applications::ApplicationSession,
    broker::Broker,
    engine::{EngineSession, Event},
    mailbox::Mailbox,
    metrics::FrameTally,
    security::{LoginRefused, PendingLogin, Principal},
    session::{Close, CloseReason, Effects, Session},
    stomp::Decoder,
    transport::{ConnectionPermit, Transport, Wire},
};

/// How long the last octets may take to leave.
const CLOSING_TIME: Duration = Duration::from_secs(5);
/// How long to wait for the client's FIN after ours.
const LINGERING_TIME: Duration = Duration::from_secs(1);
/// How often one session's dropped messages are counted and logged at most.
const DROPS_PERIOD: Duration = Duration::from_secs(5);
/// Rounds of work in one turn before other connections of the thread get theirs.
const MOST_ROUNDS: usize = 16;

/// What a connection reads from and writes to: a socket, TLS over one, or what stands for a socket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Who the client is by the certificate that it has shown, where such a one is a login.
    fn certificate_owner(&self) -> Option<&Principal> {
        None
    }
}

impl Stream for TcpStream {}
impl Stream for DuplexStream {}

/// Begins to serve a connection in a task of its own; `read_ahead` are octets that came before.
pub(crate) fn spawn<S: Stream, W: Wire>(
    permit: ConnectionPermit,
    stream: S,
    peer: SocketAddr,
    wire: W,
    read_ahead: &[u8],
) {
    let tasks = permit.broker().tasks.clone();
    tasks.spawn(Connection::new(permit, stream, peer, wire, read_ahead));
}

/// One connection; see the module's documentation.
struct Connection<S: Stream, W: Wire> {
    permit: ConnectionPermit,
    registration: Registration,
    stream: S,
    wire: W,
    decoder: Decoder,
    session: Session,
    id: Arc<str>,
    /// The user's name, once logged in.
    user: Option<Arc<str>>,
    mailbox: Arc<Mailbox>,
    engine: Option<Box<dyn EngineSession>>,
    /// There once the client has sent to an application.
    applications: Option<Box<ApplicationSession>>,
    /// STOMP octets that are not decoded yet.
    input: BytesMut,
    /// Whether `input` may hold a whole frame.
    undecoded: bool,
    /// Whether the client has closed its side.
    eof: bool,
    /// Events that were taken from the mailbox when the output was full.
    backlog: VecDeque<Event>,
    output: Output,
    /// Octets of deliveries that are encoded and have not all left.
    unreleased: usize,
    /// Since when the client takes nothing of what waits for it.
    stalled_since: Option<Instant>,
    /// Until when nothing more is taken from the client, which has sent while memory was tight.
    paused_until: Option<Instant>,
    /// Octets of the buffers, as they count for `limits.memory`.
    held: usize,
    /// When dropped messages were told last.
    drops_told: Option<Instant>,
    /// A login whose decision takes time; nothing is read from the client meanwhile.
    pending_login: Option<PendingLogin>,
    /// When the refusal of a login is told; it waits a little, so that guessing is slow.
    refused_login: Option<(Instant, LoginRefused)>,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The last octets are leaving.
    Closing {
        deadline: Instant,
    },
    /// FIN is sent.
    Lingering {
        deadline: Instant,
    },
    Closed,
}

/// What one turn collects.
struct Turn {
    now: Instant,
    effects: Effects,
    received: FrameTally,
    sent: FrameTally,
    octets_received: u64,
    octets_sent: u64,
}

impl<S: Stream, W: Wire> Connection<S, W> {
    fn new(permit: ConnectionPermit, stream: S, peer: SocketAddr, wire: W, read_ahead: &[u8]) -> Self {
        let now = Instant::now();
        let broker = permit.broker();
        let id = broker.next_session_id();
        let mailbox = Arc::new(Mailbox::new(0));
        let record = SessionRecord::new(Arc::clone(&id), peer, W::TRANSPORT, Arc::clone(&mailbox));
        // Before the settings are read, so that no change of them is missed.
        let registration = broker.registry.enter(record);
        let current = broker.current();
        bound_mailbox(&mailbox, &current.config, W::TRANSPORT);
        let session = Session::new(Arc::clone(&id), Arc::clone(&current.settings), now);
        let mut connection = Self {
            registration,
            stream,
            wire,
            decoder: Decoder::new(session.decode_limits()),
            session,
            id,
            user: None,
            mailbox,
            engine: None,
            applications: None,
            input: BytesMut::new(),
            undecoded: false,
            eof: false,
            backlog: VecDeque::new(),
            output: Output::default(),
            unreleased: 0,
            stalled_since: None,
            paused_until: None,
            held: 0,
            drops_told: None,
            pending_login: None,
            refused_login: None,
            phase: Phase::Open,
            timer: Box::pin(sleep_until(now.into())),
            permit,
        };
        connection.set_decode_limits();
        let mut opening = Vec::new();
        connection.wire.open(&mut opening);
        if !opening.is_empty() {
            connection.output.buffer().extend_from_slice(&opening);
        }
        if !read_ahead.is_empty() {
            let mut turn = Turn::new(now);
            connection.receive(&mut read_ahead.to_vec(), &mut turn);
            connection.count(&turn);
        }
        connection
    }

    fn broker(&self) -> &Broker {
        self.permit.broker()
    }

    /// Does all that can be done without waiting; ready when the connection is closed.
    fn advance(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> Poll<()> {
        self.obey_commands(turn, context);
        for _ in 0..MOST_ROUNDS {
            self.run_timers(turn);
            let mut progress = match self.phase {
                Phase::Open => {
                    self.await_login(turn, context) | self.take_events(turn, context) | self.take_input(turn, context)
                }
                Phase::Closing { .. } | Phase::Lingering { .. } => self.drop_input(turn, context),
                Phase::Closed => false,
            };
            progress |= self.flush(turn, context);
            if self.phase == Phase::Closed {
                return Poll::Ready(());
            }
            if !progress && !self.end_after_eof(turn) && self.arm_timer(context).is_pending() {
                return Poll::Pending;
            }
            turn.now = Instant::now();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Once the client has closed its side and all it sent before has been handled, there is nothing to stay for but what it
    /// still waits for. Only over plain TCP and TLS: a closing handshake says that nothing more is wanted. Says whether the
    /// connection ends.
    fn end_after_eof(&mut self, turn: &mut Turn) -> bool {
        let is_deciding = self.pending_login.is_some() || self.refused_login.is_some();
        if !self.eof || self.undecoded || self.phase != Phase::Open || is_deciding {
            return false;
        }
        if W::TRANSPORT == Transport::Tcp {
            let now = turn.now;
            let (session, mut sink, effects) = self.sink(turn);
            session.on_client_closed(now, &mut sink, effects);
            self.carry_out(turn);
        } else {
            self.begin_close(&Close::new(CloseReason::ClientClosed, None), turn.now);
        }
        self.phase != Phase::Open
    }

    /// Begins the orderly end; what is in the output, and goodbye, are still sent.
    fn begin_close(&mut self, close: &Close, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing { deadline: now + CLOSING_TIME };
        self.wire.close(close, self.output.buffer());
        self.report_end(close);
        self.engine = None;
        self.applications = None;
        self.pending_login = None;
        self.backlog = VecDeque::new();
        self.input = BytesMut::new();
        self.undecoded = false;
    }

    /// Ends at once.
    fn abort(&mut self, reason: CloseReason) {
        if self.phase == Phase::Open {
            self.report_end(&Close::new(reason, None));
        }
        self.phase = Phase::Closed;
    }

    /// Writes what waits; when all of it has left and nothing more is to come, sends FIN.
    fn flush(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, self.output.pending()) {
                Poll::Ready(Ok(octets)) if octets > 0 => {
                    self.output.advance(octets);
                    turn.octets_sent += octets as u64;
                    self.stalled_since = None;
                    progress = true;
                }
                Poll::Pending => {
                    self.stalled_since.get_or_insert(turn.now);
                    return progress;
                }
                Poll::Ready(_) => {
                    self.abort(CloseReason::ConnectionLost);
                    return true;
                }
            }
        }
        // TLS may hold octets that it has taken; over plain TCP this does nothing.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                self.stalled_since.get_or_insert(turn.now);
                return progress;
            }
            Poll::Ready(Err(_)) => {
                self.abort(CloseReason::ConnectionLost);
                return true;
            }
        }
        self.stalled_since = None;
        if self.unreleased > 0 {
            self.mailbox.release(std::mem::take(&mut self.unreleased));
        }
        if let Phase::Closing { .. } = self.phase {
            self.phase = match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) if !self.eof => Phase::Lingering { deadline: turn.now + LINGERING_TIME },
                Poll::Ready(_) => Phase::Closed,
                Poll::Pending => return progress,
            };
            progress = true;
        }
        progress
    }

    /// Reads once into a buffer of the thread, hands on what came, and says how much that was.
    fn read(&mut self, context: &mut Context<'_>, take: impl FnOnce(&mut Self, &mut [u8])) -> Poll<io::Result<usize>> {
        scratch::with_read(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            take(self, buffer.filled_mut());
            read.map_ok(|()| buffer.filled().len())
        })
    }

    /// When something is due even if nothing comes.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Closing { deadline } | Phase::Lingering { deadline } => Some(deadline),
            Phase::Closed => None,
            Phase::Open => {
                let stalled = self.stalled_since.map(|since| since + self.send_timeout());
                let throttled = self.broker().throttle.wait(now);
                let refusal = self.refused_login.map(|(at, _)| at);
                let paused = self.paused_until.filter(|until| *until > now);
                let drops = self.drops_told.filter(|_| self.mailbox.has_dropped()).map(|at| at + DROPS_PERIOD);
                let session = [self.session.next_tick(), self.wire.next_tick(), refusal];
                session.into_iter().chain([stalled, throttled, paused, drops]).flatten().min()
            }
        }
    }

    /// Does what is due.
    fn run_timers(&mut self, turn: &mut Turn) {
        let now = turn.now;
        match self.phase {
            Phase::Closing { deadline } | Phase::Lingering { deadline } if now >= deadline => {
                self.abort(CloseReason::ConnectionLost);
            }
            Phase::Open => {
                if let Some((at, refused)) = self.refused_login
                    && now >= at
                {
                    self.refuse_login(refused, turn);
                }
                if self.stalled_since.is_some_and(|since| now >= since + self.send_timeout()) {
                    self.stalled_since = None;
                    self.give_up_slow_consumer(turn);
                }
                if self.mailbox.has_dropped() && self.drops_told.is_none_or(|at| now >= at + DROPS_PERIOD) {
                    self.drops_told = Some(now);
                    self.tell_drops();
                }
                if self.session.next_tick().is_some_and(|at| now >= at) {
                    self.tick(turn);
                }
                if self.wire.next_tick().is_some_and(|at| now >= at) {
                    self.tick_wire(turn);
                }
            }
            _ => {}
        }
    }

    /// Sets the timer to the next deadline. It is only ever set earlier: one that fires too soon costs a turn, but setting
    /// it takes a lock that all connections share. Ready when the deadline has passed already.
    fn arm_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let Some(deadline) = self.deadline(now) else { return Poll::Pending };
        let set_to = self.timer.deadline().into_std();
        if deadline < set_to || set_to <= now {
            self.timer.as_mut().reset(deadline.into());
        }
        self.timer.as_mut().poll(context)
    }

    fn sink<'a>(&'a mut self, turn: &'a mut Turn) -> (&'a mut Session, WireSink<'a, W>, &'a mut Effects) {
        let sink = WireSink { wire: &mut self.wire, output: &mut self.output, sent: &mut turn.sent };
        (&mut self.session, sink, &mut turn.effects)
    }

    /// Says how many octets the buffers take now.
    fn hold(&mut self, octets: usize) {
        if self.held != octets {
            self.broker().memory.resized(self.held, octets);
            self.held = octets;
        }
    }

    /// Adds what a turn brought to the metrics.
    fn count(&self, turn: &Turn) {
        let metrics = &self.broker().metrics;
        metrics.frames_received(&turn.received);
        metrics.frames_sent(&turn.sent);
        let transport = metrics.transport(W::TRANSPORT);
        if turn.octets_received > 0 {
            transport.octets_received.inc_by(turn.octets_received);
        }
        if turn.octets_sent > 0 {
            transport.octets_sent.inc_by(turn.octets_sent);
        }
        self.registration.record().count(&Moved {
            received: &turn.received,
            sent: &turn.sent,
            octets_received: turn.octets_received,
            octets_sent: turn.octets_sent,
            subscriptions: self.session.subscriptions(),
        });
    }
}

impl Turn {
    fn new(now: Instant) -> Self {
        Self {
            now,
            effects: Effects::default(),
            received: FrameTally::default(),
            sent: FrameTally::default(),
            octets_received: 0,
            octets_sent: 0,
        }
    }
}

impl<S: Stream, W: Wire> Future for Connection<S, W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut turn = Turn::new(Instant::now());
        let done = this.advance(&mut turn, context);
        this.output.settle();
        this.settle_input();
        this.hold(this.output.capacity() + this.input.capacity());
        this.count(&turn);
        done
    }
}

impl<S: Stream, W: Wire> Drop for Connection<S, W> {
    fn drop(&mut self) {
        // Only a task that was dropped or panicked leaves it open.
        self.abort(CloseReason::ConnectionLost);
        self.hold(0);
    }
}

/// Sets how much may wait for a client, and what happens beyond it.
fn bound_mailbox(mailbox: &Mailbox, config: &Config, transport: Transport) {
    mailbox.set_capacity(usize::try_from(config.limits.send_buffer_size.0).unwrap_or(usize::MAX));
    let listeners = &config.listeners;
    let policy = if transport == Transport::Tcp {
        listeners.stomp.as_ref().map(|stomp| stomp.slow_consumers)
    } else {
        listeners.websocket.as_ref().map(|websocket| websocket.slow_consumers)
    };
    mailbox.set_policy(policy.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{SockJsWebSocketWire, tcp::TcpWire, websocket::WebSocketWire};

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection<TcpStream, TcpWire>>() <= 768, "{}", size_of::<Connection<TcpStream, TcpWire>>());
        assert!(
            size_of::<Connection<TcpStream, WebSocketWire>>() <= 832,
            "{}",
            size_of::<Connection<TcpStream, WebSocketWire>>()
        );
        assert!(
            size_of::<Connection<TcpStream, SockJsWebSocketWire>>() <= 896,
            "{}",
            size_of::<Connection<TcpStream, SockJsWebSocketWire>>()
        );
    }
}

//! One connection to an upstream after CONNECTED: frames in and out, heart-beats both ways, and their deadlines.
//!
//! Heart-beats are the relay's own; those of a client never reach an upstream. The owner calls [`Link::progress`] in a loop
//! and may drop that future at any point: all state lives in the link.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use stompbroker_config::admin::UpstreamState;
use tokio::{
    io::AsyncWrite as _,
    time::{Instant, sleep_until},
};
use tokio_util::io::poll_read_buf;

use super::{failure::Failure, stream::Stream};
use crate::stomp::{Decoder, Frame, Item, Version};

/// Octets read at once.
const READ_CHUNK: usize = 16 << 10;
/// How long an upstream may take none of what waits for it. Generous, for `RabbitMQ` stops reading under a memory alarm.
const STALL: Duration = Duration::from_mins(1);
/// An upstream may be silent for this many of its heart-beat periods.
const READ_GRACE: u32 = 3;

/// The broker at the other end, by its `server` header; some behave differently where STOMP leaves room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `RabbitMQ/…`
    RabbitMq,
    /// `ActiveMQ/…`, Classic.
    ActiveMq,
    /// Artemis or any other broker.
    Other,
}

impl Dialect {
    /// Reads the `server` header of CONNECTED.
    pub(super) fn of(server: Option<&str>) -> Self {
        match server {
            Some(server) if server.starts_with("RabbitMQ") => Self::RabbitMq,
            Some(server) if server.starts_with("ActiveMQ/") => Self::ActiveMq,
            _ => Self::Other,
        }
    }
}

/// What CONNECTED agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The protocol version.
    pub(super) version: Version,
    /// The broker at the other end.
    pub(super) dialect: Dialect,
    /// How often the upstream wants to hear something; absent: never.
    pub(super) send: Option<Duration>,
    /// How often the upstream says something; absent: it made no promise.
    pub(super) receive: Option<Duration>,
}

/// The connection.
pub(super) struct Link {
    stream: Stream,
    decoder: Decoder,
    input: BytesMut,
    output: Vec<u8>,
    /// Octets at the front of `output` that the upstream has taken.
    taken: usize,
    /// Whether TLS may still hold some of what it has taken.
    unflushed: bool,
    agreement: Agreement,
    next_beat: Option<Instant>,
    heard: Instant,
    stalled: Option<Instant>,
}

impl Link {
    /// A connection on which CONNECTED has just been read; `input` is what came after it.
    pub(super) fn new(stream: Stream, mut decoder: Decoder, input: BytesMut, agreement: Agreement) -> Self {
        decoder.set_version(agreement.version);
        let now = Instant::now();
        Self {
            stream,
            decoder,
            input,
            output: Vec::new(),
            taken: 0,
            unflushed: false,
            agreement,
            next_beat: agreement.send.map(|period| now + beat(period)),
            heard: now,
            stalled: None,
        }
    }

    /// What CONNECTED agreed on.
    pub(super) fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// Where frames for the upstream are written; [`Self::progress`] sends them.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Octets that wait for the upstream to take them.
    pub(super) fn waiting(&self) -> usize {
        self.output.len() - self.taken
    }

    /// The next frame of what has been read.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Failure> {
        let frame = loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(Item::Heartbeat)) => {}
                Ok(Some(Item::Frame(frame))) => break Some(frame),
                Ok(None) => break None,
                Err(error) => {
                    let text = format!("the upstream sent something that is not STOMP: {error}");
                    return Err(Failure::new(UpstreamState::ProtocolError, text));
                }
            }
        };
        self.release_input();
        Ok(frame)
    }

    /// Starts the measure of silence anew, after a time in which nothing was read on purpose.
    pub(super) fn listen_again(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits for the next thing to happen and does it: octets read, octets written, a heart-beat sent. Without `read`
    /// nothing is read and silence is no fault, so that TCP slows the upstream down. Safe to cancel.
    pub(super) async fn progress(&mut self, read: bool) -> Result<(), Failure> {
        if self.output.is_empty() && !self.unflushed {
            self.stalled = None;
        } else if self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
        let silence = self.agreement.receive.filter(|_| read).map(|period| self.heard + period * READ_GRACE);
        let stall = self.stalled.map(|since| since + STALL);
        let deadline = [self.next_beat, silence, stall].into_iter().flatten().min();
        tokio::select! {
            moved = std::future::poll_fn(|context| self.poll_move(context, read)) => moved,
            () = at(deadline) => self.on_time(silence, stall),
        }
    }

    fn on_time(&mut self, silence: Option<Instant>, stall: Option<Instant>) -> Result<(), Failure> {
        let now = Instant::now();
        if let Some(period) = self.agreement.receive.filter(|_| silence.is_some_and(|deadline| deadline <= now)) {
            let text = format!("the upstream was silent for {:?} though it agreed to heart-beats", period * READ_GRACE);
            return Err(Failure::new(UpstreamState::Unreachable, text));
        }
        if stall.is_some_and(|deadline| deadline <= now) {
            let text = format!("the upstream took nothing for {STALL:?}");
            return Err(Failure::new(UpstreamState::Unreachable, text));
        }
        if let Some(period) = self.agreement.send.filter(|_| self.next_beat.is_some_and(|beat| beat <= now)) {
            self.next_beat = Some(now + beat(period));
            if self.output.is_empty() {
                self.output.push(b'\n');
            }
        }
        Ok(())
    }

    /// Ready when octets have moved, in either direction.
    fn poll_move(&mut self, context: &mut Context<'_>, read: bool) -> Poll<Result<(), Failure>> {
        let mut moved = self.poll_flush(context)?;
        if read {
            moved |= self.poll_fill(context)?;
        }
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Result<bool, Failure> {
        self.input.reserve(READ_CHUNK);
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input) {
            Poll::Ready(Ok(0)) => Err(Failure::new(UpstreamState::Unreachable, "the upstream closed the connection")),
            Poll::Ready(Ok(_)) => {
                self.heard = Instant::now();
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(broke(&error)),
            Poll::Pending => {
                self.release_input();
                Ok(false)
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        while let Some(rest) = self.output.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(written)) => {
                    self.taken += written;
                    self.stalled = Some(Instant::now());
                    (self.unflushed, moved) = (true, true);
                }
                Poll::Ready(Err(error)) => return Err(broke(&error)),
                Poll::Pending => return Ok(moved),
            }
        }
        (self.output, self.taken) = (Vec::new(), 0);
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(broke(&error)),
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    /// An idle connection holds no buffer.
    fn release_input(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}

/// Heart-beats go out well before the period is over: peers count differently.
fn beat(period: Duration) -> Duration {
    period * 2 / 3
}

fn broke(error: &io::Error) -> Failure {
    Failure::unreachable("the connection to the upstream broke", error)
}

/// Waits until `deadline`; for ever without one.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_told_apart_by_their_server_header() {
        for (server, dialect) in [
            (Some("RabbitMQ/3.10.8"), Dialect::RabbitMq),
            (Some("ActiveMQ/5.17.2"), Dialect::ActiveMq),
            (Some("ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine"), Dialect::Other),
            (None, Dialect::Other),
        ] {
            assert_eq!(Dialect::of(server), dialect, "{server:?}");
        }
    }
}

//! What all that is spoken over a WebSocket has in common, without I/O: frames, compression, pings, the closing handshake.

use std::time::{Duration, Instant};

use super::{
    frames::{
        CloseCode, FrameReader, MessageKind, Part, Violation, write_close, write_deflated, write_message_as,
        write_ping, write_pong,
    },
    wire::code_of,
};
use crate::{
    session::Close,
    transport::{Received, WireError},
};

/// Octets of a compressing client unframed at a time. They may become a thousand times as many.
const SLICE: usize = 1 << 10;
/// With so many octets of STOMP at hand, further compressed ones wait as they came.
const MOST_INFLATED: usize = 256 << 10;

/// What was agreed on and configured when a connection was upgraded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebSocketOptions {
    /// Where permessage-deflate was agreed on: frames from this many octets on are sent compressed.
    pub(crate) compress_from: Option<usize>,
    /// How often to ping.
    pub(crate) ping_interval: Option<Duration>,
}

/// What takes the messages of a link.
pub(crate) trait Content {
    /// A piece of a message, as it came.
    fn piece(&mut self, payload: &[u8]);

    /// The message that the pieces before made up is whole.
    fn end(&mut self) {}

    /// Octets of STOMP that wait to be decoded.
    fn at_hand(&self) -> usize;
}

/// One WebSocket connection after its upgrade. Small, for one lives in every idle session.
#[derive(Debug, Default)]
pub(crate) struct WebSocketLink {
    reader: FrameReader,
    /// What the client broke, which the Close frame then says.
    violation: Option<Violation>,
    /// The status code of the client's Close frame, where it came first.
    closed_by_client: Option<u16>,
    close_sent: bool,
    compression: Option<Box<Compression>>,
    pings: Option<Box<Pings>>,
}

#[derive(Debug)]
struct Compression {
    compress_from: usize,
    /// What came after there was enough to decode.
    deferred: Vec<u8>,
}

#[derive(Debug)]
struct Pings {
    interval: Duration,
    next: Instant,
    /// Nothing has come since the last one.
    unanswered: bool,
}

impl WebSocketLink {
    /// A connection that is upgraded `now`.
    pub(crate) fn new(options: WebSocketOptions, now: Instant) -> Self {
        let WebSocketOptions { compress_from, ping_interval } = options;
        Self {
            reader: if compress_from.is_some() { FrameReader::inflating(0) } else { FrameReader::default() },
            compression: compress_from
                .map(|compress_from| Box::new(Compression { compress_from, deferred: Vec::new() })),
            pings: ping_interval.map(|interval| Box::new(Pings { interval, next: now + interval, unanswered: false })),
            ..Self::default()
        }
    }

    /// Takes octets until enough STOMP is at hand; the others are [`Self::take_deferred`]. What has to be answered at once
    /// goes to `out`.
    ///
    /// # Errors
    /// The rule that the client broke; nothing is read after.
    pub(crate) fn receive(
        &mut self,
        octets: &mut [u8],
        content: &mut impl Content,
        out: &mut Vec<u8>,
    ) -> Result<Received, WireError> {
        if let Some(pings) = &mut self.pings {
            pings.unanswered = false;
        }
        let (taken, result) = self.unframe(octets, content, out);
        if let Some(compression) = &mut self.compression {
            compression.deferred = octets[taken..].to_vec();
        }
        match result {
            Ok(received) => Ok(received),
            Err(Violation::Inflated) => Ok(Received::TooLarge),
            Err(violation) => {
                self.violation = Some(violation);
                Err(WireError(violation.to_string()))
            }
        }
    }

    fn unframe(
        &mut self,
        octets: &mut [u8],
        content: &mut impl Content,
        out: &mut Vec<u8>,
    ) -> (usize, Result<Received, Violation>) {
        let (mut received, mut taken) = (Received::Open, 0);
        let slice = if self.compression.is_some() { SLICE } else { octets.len().max(1) };
        for octets in octets.chunks_mut(slice) {
            taken += octets.len();
            let (close_sent, closed_by_client) = (self.close_sent, &mut self.closed_by_client);
            let result = self.reader.read(octets, |part| match part {
                Part::Payload(payload) => content.piece(payload),
                Part::End(_) => content.end(),
                Part::Ping(payload) if !close_sent => write_pong(payload, out),
                Part::Ping(_) => {}
                Part::Close(code) => {
                    received = Received::Closed;
                    *closed_by_client = Some(code.unwrap_or(CloseCode::Normal.number()));
                }
            });
            match result {
                Ok(()) if self.compression.is_some() && content.at_hand() >= MOST_INFLATED => break,
                Ok(()) => {}
                Err(violation) => return (taken, Err(violation)),
            }
        }
        (taken, Ok(received))
    }

    /// Appends one message, compressed where that was agreed on and is worth it.
    pub(crate) fn message(&self, kind: MessageKind, parts: [&[u8]; 2], out: &mut Vec<u8>) {
        match &self.compression {
            Some(compression) if parts.iter().map(|part| part.len()).sum::<usize>() >= compression.compress_from => {
                write_deflated(kind, parts, out);
            }
            _ => write_message_as(kind, parts, out),
        }
    }

    /// Gives back octets that [`Self::receive`] left for later.
    pub(crate) fn take_deferred(&mut self) -> Vec<u8> {
        self.compression.as_mut().map(|compression| std::mem::take(&mut compression.deferred)).unwrap_or_default()
    }

    /// Learns how many octets a compressed message may have.
    pub(crate) fn bound_messages(&mut self, octets: usize) {
        self.reader.bound_inflated(octets);
    }

    /// When the next Ping is due.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.pings.as_ref().map(|pings| pings.next)
    }

    /// Appends a Ping where one is due. `is_heard`: the client's octets are being read.
    ///
    /// # Errors
    /// When the client has not answered the last one.
    pub(crate) fn tick(&mut self, now: Instant, is_heard: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if now < pings.next {
            return Ok(());
        }
        if pings.unanswered && is_heard {
            return Err(WireError(
                "the client answered no WebSocket Ping within listeners.websocket.pingInterval".to_owned(),
            ));
        }
        (pings.unanswered, pings.next) = (true, now + pings.interval);
        write_ping(out);
        Ok(())
    }

    /// Appends the Close frame, once. `fault` is what the client broke above WebSocket; `farewell` appends what comes before
    /// the frame where the client has neither broken anything nor closed.
    pub(crate) fn close(
        &mut self,
        close: &Close,
        fault: Option<CloseCode>,
        out: &mut Vec<u8>,
        farewell: impl FnOnce(&Self, &mut Vec<u8>),
    ) {
        if self.close_sent {
            return;
        }
        self.close_sent = true;
        let code = match (self.closed_by_client, fault.or_else(|| self.violation.map(Violation::code))) {
            (Some(code), _) => code,
            (None, Some(fault)) => fault.number(),
            (None, None) => {
                farewell(self, out);
                code_of(close.reason).number()
            }
        };
        write_close(code, close.error.as_deref().unwrap_or_default(), out);
    }
}

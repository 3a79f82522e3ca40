//! STOMP in WebSocket messages, for the connection driver.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::frames::{
    CloseCode, FrameReader, Part, Violation, write_close, write_deflated, write_message, write_ping, write_pong,
};
use crate::{
    session::{Close, CloseReason},
    transport::{Received, Transport, Wire, WireError},
};

/// One WebSocket connection after its upgrade.
#[derive(Debug, Default)]
pub(crate) struct WebSocketWire {
    reader: FrameReader,
    /// What the client broke, which the Close frame then says.
    violation: Option<Violation>,
    /// The status code of the client's Close frame, where it came first.
    closed_by_client: Option<u16>,
    close_sent: bool,
    compression: Option<Box<Compression>>,
    pings: Option<Box<Pings>>,
}

/// What was agreed on and configured when a connection was upgraded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebSocketOptions {
    /// Where permessage-deflate was agreed on: frames from this many octets on are sent compressed.
    pub(crate) compress_from: Option<usize>,
    /// How often to ping.
    pub(crate) ping_interval: Option<Duration>,
}

/// Octets of a compressing client unframed at a time. They may become a thousand times as many.
const SLICE: usize = 1 << 10;
/// With so many octets of STOMP at hand, further compressed ones wait as they came.
const MOST_INFLATED: usize = 256 << 10;

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

impl WebSocketWire {
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

    /// Takes octets until enough STOMP is at hand; returns how many of them it took.
    fn unframe(
        &mut self,
        octets: &mut [u8],
        stomp: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> (usize, Result<Received, Violation>) {
        let (mut received, mut taken) = (Received::Open, 0);
        let slice = if self.compression.is_some() { SLICE } else { octets.len().max(1) };
        for octets in octets.chunks_mut(slice) {
            taken += octets.len();
            let (close_sent, closed_by_client) = (self.close_sent, &mut self.closed_by_client);
            let result = self.reader.read(octets, |part| match part {
                Part::Payload(payload) => stomp.extend_from_slice(payload),
                Part::Ping(payload) if !close_sent => write_pong(payload, out),
                Part::End(_) | Part::Ping(_) => {}
                Part::Close(code) => {
                    received = Received::Closed;
                    *closed_by_client = Some(code.unwrap_or(CloseCode::Normal.number()));
                }
            });
            match result {
                Ok(()) if self.compression.is_some() && stomp.len() >= MOST_INFLATED => break,
                Ok(()) => {}
                Err(violation) => return (taken, Err(violation)),
            }
        }
        (taken, Ok(received))
    }
}

impl Wire for WebSocketWire {
    const TRANSPORT: Transport = Transport::WebSocket;

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, out: &mut Vec<u8>) -> Result<Received, WireError> {
        if let Some(pings) = &mut self.pings {
            pings.unanswered = false;
        }
        let (taken, result) = self.unframe(octets, stomp, out);
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

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        match &self.compression {
            Some(compression) if head.len() + tail.len() >= compression.compress_from => {
                write_deflated([head, tail], out);
            }
            _ => write_message([head, tail], out),
        }
    }

    fn take_deferred(&mut self) -> Vec<u8> {
        self.compression.as_mut().map(|compression| std::mem::take(&mut compression.deferred)).unwrap_or_default()
    }

    fn bound_messages(&mut self, octets: usize) {
        self.reader.bound_inflated(octets);
    }

    fn next_tick(&self) -> Option<Instant> {
        self.pings.as_ref().map(|pings| pings.next)
    }

    fn tick(&mut self, now: Instant, is_heard: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
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

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        write_message([b"\n", b""], out);
    }

    fn close(&mut self, close: &Close, out: &mut Vec<u8>) {
        if self.close_sent {
            return;
        }
        self.close_sent = true;
        let code = match (self.closed_by_client, self.violation) {
            (Some(code), _) => code,
            (None, Some(violation)) => violation.code().number(),
            (None, None) => code_of(close.reason).number(),
        };
        write_close(code, close.error.as_deref().unwrap_or_default(), out);
    }
}

/// The status code for the end of a session.
pub(crate) const fn code_of(reason: CloseReason) -> CloseCode {
    match reason {
        CloseReason::Disconnect | CloseReason::ClientClosed | CloseReason::ConnectionLost => CloseCode::Normal,
        CloseReason::ProtocolError => CloseCode::Protocol,
        CloseReason::Unsendable => CloseCode::Unsupported,
        CloseReason::LimitExceeded => CloseCode::TooBig,
        CloseReason::LoginRefused
        | CloseReason::LoginTimeout
        | CloseReason::LoginExpired
        | CloseReason::AccessDenied
        | CloseReason::HeartbeatTimeout
        | CloseReason::SlowConsumer
        | CloseReason::ClosedByOperator => CloseCode::Policy,
        CloseReason::EngineFailure => CloseCode::InternalError,
        CloseReason::Drained => CloseCode::ServiceRestart,
    }
}

//! STOMP in WebSocket messages, for the connection driver.

use std::time::Instant;

use bytes::BytesMut;

use super::{
    frames::{CloseCode, kind_of},
    link::{Content, WebSocketLink, WebSocketOptions},
};
use crate::{
    session::{Close, CloseReason},
    transport::{Received, Transport, Wire, WireError},
};

/// STOMP over a WebSocket: the messages together are the stream, and their borders mean nothing further on.
#[derive(Debug, Default)]
pub(crate) struct WebSocketWire(WebSocketLink);

impl WebSocketWire {
    /// A connection that is upgraded `now`.
    pub(crate) fn new(options: WebSocketOptions, now: Instant) -> Self {
        Self(WebSocketLink::new(options, now))
    }
}

impl Content for BytesMut {
    fn piece(&mut self, payload: &[u8]) {
        self.extend_from_slice(payload);
    }

    fn at_hand(&self) -> usize {
        self.len()
    }
}

impl Wire for WebSocketWire {
    const TRANSPORT: Transport = Transport::WebSocket;

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, out: &mut Vec<u8>) -> Result<Received, WireError> {
        self.0.receive(octets, stomp, out)
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        self.0.message(kind_of([head, tail]), [head, tail], out);
    }

    fn take_deferred(&mut self) -> Vec<u8> {
        self.0.take_deferred()
    }

    fn bound_messages(&mut self, octets: usize) {
        self.0.bound_messages(octets);
    }

    fn next_tick(&self) -> Option<Instant> {
        self.0.next_tick()
    }

    fn tick(&mut self, now: Instant, is_heard: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.0.tick(now, is_heard, out)
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        self.frame(b"\n", b"", out);
    }

    fn close(&mut self, close: &Close, out: &mut Vec<u8>) {
        self.0.close(close, None, out, |_, _| {});
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

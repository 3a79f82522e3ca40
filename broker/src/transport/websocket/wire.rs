//! STOMP in WebSocket messages, for the connection driver.

use bytes::BytesMut;

use super::frames::{CloseCode, FrameReader, Part, Violation, write_close, write_message, write_pong};
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
}

impl Wire for WebSocketWire {
    const TRANSPORT: Transport = Transport::WebSocket;

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, out: &mut Vec<u8>) -> Result<Received, WireError> {
        let (mut received, mut closed_by_client) = (Received::Open, None);
        let close_sent = self.close_sent;
        let result = self.reader.read(octets, |part| match part {
            Part::Payload(payload) => stomp.extend_from_slice(payload),
            Part::Ping(payload) if !close_sent => write_pong(payload, out),
            Part::End(_) | Part::Ping(_) => {}
            Part::Close(code) => {
                received = Received::Closed;
                closed_by_client = Some(code.unwrap_or(CloseCode::Normal.number()));
            }
        });
        self.closed_by_client = closed_by_client;
        match result {
            Ok(()) => Ok(received),
            Err(violation) => {
                self.violation = Some(violation);
                Err(WireError(violation.to_string()))
            }
        }
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        write_message([head, tail], out);
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

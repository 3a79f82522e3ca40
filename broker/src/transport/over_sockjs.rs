//! STOMP in the messages of SockJS, for the connection driver: one message a frame, and `"\n"` for a heart-beat.
//!
//! A message is text, so a frame that is not UTF-8 cannot be sent; the session is told and ends. That a session is over is
//! told by the close frame of SockJS, with the code that a WebSocket would be closed with.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{
    Received, Transport, Wire, WireError,
    sockjs::{
        CloseFrame, END, HEARTBEAT, MessageFrame, OPEN, ReadError, SockJsReader, put_close, put_message, put_quiet,
    },
    websocket::{CloseCode, MessageKind, Part, code_of, write_close, write_message_as, write_pong},
};
use crate::session::Close;

/// A SockJS session over a WebSocket of its own.
#[derive(Debug)]
pub(crate) struct SockJsWebSocketWire {
    reader: SockJsReader,
    /// What the client broke; it is then not told by a frame of SockJS.
    fault: Option<ReadError>,
    /// The status code of the client's Close frame, where it came first.
    closed_by_client: Option<u16>,
    close_sent: bool,
    refused: bool,
    /// The period of `h`, and when the next one is due; none once STOMP has heart-beats.
    beat: Option<(Duration, Instant)>,
}

impl SockJsWebSocketWire {
    pub(crate) fn new(heartbeat: Duration) -> Self {
        Self {
            reader: SockJsReader::default(),
            fault: None,
            closed_by_client: None,
            close_sent: false,
            refused: false,
            beat: Some((heartbeat, Instant::now() + heartbeat)),
        }
    }
}

impl Wire for SockJsWebSocketWire {
    const TRANSPORT: Transport = Transport::SockJsWebSocket;

    fn open(&mut self, out: &mut Vec<u8>) {
        write_text(OPEN, out);
    }

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
            Err(fault) => {
                self.fault = Some(fault);
                Err(WireError(fault.to_string()))
            }
        }
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        let Some(text) = text_of(head, tail) else {
            self.refused = true;
            return;
        };
        let mut frame = MessageFrame::new();
        frame.push(&text);
        write_text(&frame.finish(), out);
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        self.frame(b"\n", b"", out);
    }

    fn heartbeats_agreed(&mut self, _: &mut Vec<u8>) {
        self.beat = None;
    }

    fn next_tick(&self) -> Option<Instant> {
        self.beat.map(|(_, next)| next)
    }

    fn tick(&mut self, now: Instant, _: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
        if let Some((period, next)) = &mut self.beat
            && now >= *next
        {
            *next = now + *period;
            write_text(HEARTBEAT, out);
        }
        Ok(())
    }

    fn has_refused(&self) -> bool {
        self.refused
    }

    fn close(&mut self, close: &Close, out: &mut Vec<u8>) {
        if self.close_sent {
            return;
        }
        self.close_sent = true;
        let frame = close_frame(close);
        let (code, reason) = match (self.closed_by_client, self.fault) {
            (Some(code), _) => (code, String::new()),
            (None, Some(fault)) => (fault.code().number(), fault.to_string()),
            (None, None) => {
                write_text(&frame.encode(), out);
                (frame.code, frame.reason)
            }
        };
        write_close(code, &reason, out);
    }
}

/// The application's end of a session whose client comes by HTTP requests.
#[derive(Debug, Default)]
pub(crate) struct SockJsPipeWire<const STREAMING: bool> {
    refused: bool,
}

impl<const STREAMING: bool> Wire for SockJsPipeWire<STREAMING> {
    const TRANSPORT: Transport = if STREAMING { Transport::SockJsStreaming } else { Transport::SockJsPolling };

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, _: &mut Vec<u8>) -> Result<Received, WireError> {
        // STOMP is a stream of octets over messages, so their borders mean nothing further on.
        for piece in octets.split(|octet| *octet == END) {
            stomp.extend_from_slice(piece);
        }
        Ok(Received::Open)
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        if text_of(head, tail).is_some() {
            put_message([head, tail], out);
        } else {
            self.refused = true;
        }
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        put_message([b"\n", b""], out);
    }

    fn heartbeats_agreed(&mut self, out: &mut Vec<u8>) {
        put_quiet(out);
    }

    fn has_refused(&self) -> bool {
        self.refused
    }

    fn close(&mut self, close: &Close, out: &mut Vec<u8>) {
        put_close(&close_frame(close), out);
    }
}

fn close_frame(close: &Close) -> CloseFrame {
    CloseFrame::new(code_of(close.reason).number(), close.error.clone().unwrap_or_default())
}

/// A STOMP frame as text, if it is UTF-8.
fn text_of(head: &[u8], tail: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(head.len() + tail.len());
    text.push_str(std::str::from_utf8(head).ok()?);
    text.push_str(std::str::from_utf8(tail).ok()?);
    Some(text)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_message_as(MessageKind::Text, [text.as_bytes(), &[]], out);
}

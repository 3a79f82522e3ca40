//! STOMP in the messages of SockJS, for the connection driver: one message a frame, and `"\n"` for a heart-beat.
//!
//! A message is text, so a frame that is not UTF-8 cannot be sent; the session is told and ends. That a session is over is
//! told by the close frame of SockJS, with the code that a WebSocket would be closed with.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{
    Received, Transport, Wire, WireError,
    sockjs::{
        BrokenFraming, CloseFrame, END, HEARTBEAT, MessageFrame, OPEN, SockJsMessages, put_close, put_message,
        put_quiet,
    },
    websocket::{Content, MessageKind, WebSocketLink, WebSocketOptions, code_of},
};
use crate::session::Close;

/// A message in JSON may be so many times longer than its text, and some room for others with it.
const JSON_GROWTH: usize = 8;

/// A SockJS session over a WebSocket of its own.
#[derive(Debug)]
pub(crate) struct SockJsWebSocketWire {
    link: WebSocketLink,
    messages: SockJsMessages,
    refused: bool,
    /// The period of `h`, and when the next one is due; none once STOMP has heart-beats.
    beat: Option<(Duration, Instant)>,
}

impl SockJsWebSocketWire {
    /// A connection that is upgraded `now`.
    pub(crate) fn new(options: WebSocketOptions, heartbeat: Duration, now: Instant) -> Self {
        Self {
            link: WebSocketLink::new(options, now),
            messages: SockJsMessages::default(),
            refused: false,
            beat: Some((heartbeat, now + heartbeat)),
        }
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        write_text(&self.link, text, out);
    }
}

/// What is in the strings is the stream.
struct Strings<'a> {
    messages: &'a mut SockJsMessages,
    stomp: &'a mut BytesMut,
}

impl Content for Strings<'_> {
    fn piece(&mut self, payload: &[u8]) {
        self.messages.piece(payload, |text| self.stomp.extend_from_slice(text.unwrap_or_default()));
    }

    fn end(&mut self) {
        self.messages.end();
    }

    fn at_hand(&self) -> usize {
        self.stomp.len()
    }
}

impl Wire for SockJsWebSocketWire {
    const TRANSPORT: Transport = Transport::SockJsWebSocket;

    fn open(&mut self, out: &mut Vec<u8>) {
        self.text(OPEN, out);
    }

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, out: &mut Vec<u8>) -> Result<Received, WireError> {
        let received = self.link.receive(octets, &mut Strings { messages: &mut self.messages, stomp }, out);
        self.messages.check().map_err(|broken| WireError(broken.to_string()))?;
        received
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        let Some(text) = text_of(head, tail) else {
            self.refused = true;
            return;
        };
        let mut frame = MessageFrame::new();
        frame.push(&text);
        self.text(&frame.finish(), out);
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        self.frame(b"\n", b"", out);
    }

    fn heartbeats_agreed(&mut self, _: &mut Vec<u8>) {
        self.beat = None;
    }

    fn next_tick(&self) -> Option<Instant> {
        self.beat.map(|(_, next)| next).into_iter().chain(self.link.next_tick()).min()
    }

    fn tick(&mut self, now: Instant, is_heard: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
        if let Some((period, next)) = &mut self.beat
            && now >= *next
        {
            *next = now + *period;
            self.text(HEARTBEAT, out);
        }
        self.link.tick(now, is_heard, out)
    }

    fn take_deferred(&mut self) -> Vec<u8> {
        self.link.take_deferred()
    }

    fn bound_messages(&mut self, octets: usize) {
        self.link.bound_messages(octets.saturating_mul(JSON_GROWTH));
    }

    fn has_refused(&self) -> bool {
        self.refused
    }

    fn close(&mut self, close: &Close, out: &mut Vec<u8>) {
        let frame = close_frame(close);
        let broken = self.messages.check().err().map(|_| BrokenFraming::CODE);
        self.link.close(close, broken, out, |link, out| write_text(link, &frame.encode(), out));
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

fn write_text(link: &WebSocketLink, text: &str, out: &mut Vec<u8>) {
    link.message(MessageKind::Text, [text.as_bytes(), &[]], out);
}

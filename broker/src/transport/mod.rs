//! How octets of a client become STOMP octets and back: TCP as they are, WebSocket and SockJS in messages.
//!
//! A transport accepts connections and gives the driver of `connection` a stream and a `Wire`; all else, from reading to
//! lingering close, is the same for all of them. TLS is another stream below the same wire.

mod accept;
mod door;
mod forwarded;
pub mod http;
mod limit;
mod over_sockjs;
mod proxy_header;
pub mod sockjs;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod websocket;

use std::time::Instant;

pub(crate) use accept::{Listener, accept_loop};
use bytes::BytesMut;
pub(crate) use limit::{Admission, ConnectionLimit, ConnectionPermit};
pub(crate) use over_sockjs::{SockJsPipeWire, SockJsWebSocketWire};
pub(crate) use tls::Port;
pub use tls::{TlsError, TlsServer, TlsServers};

use crate::session::Close;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// STOMP over plain TCP.
    Tcp,
    /// STOMP over WebSocket.
    WebSocket,
    /// STOMP over SockJS, which has found that WebSocket works.
    SockJsWebSocket,
    /// STOMP over SockJS, by HTTP responses that go on: `xhr_streaming`, `eventsource`, `htmlfile`.
    SockJsStreaming,
    /// STOMP over SockJS, by an HTTP response a frame: `xhr`, `jsonp`.
    SockJsPolling,
}

impl Transport {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 5] =
        [Self::Tcp, Self::WebSocket, Self::SockJsWebSocket, Self::SockJsStreaming, Self::SockJsPolling];

    /// The value of the metric label and the log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::SockJsWebSocket => "sockjs_websocket",
            Self::SockJsStreaming => "sockjs_streaming",
            Self::SockJsPolling => "sockjs_polling",
        }
    }
}

/// The client broke the rules of the transport.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WireError(pub(crate) String);

/// Whether more octets may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The client may send more.
    Open,
    /// The client has closed its side in an orderly way.
    Closed,
    /// A message is larger than [`Wire::bound_messages`] said; nothing is read after.
    TooLarge,
}

/// The framing of one connection, without I/O. Small, for one lives in every idle session.
pub(crate) trait Wire: Send + Unpin + 'static {
    /// Which transport this is, for metrics and logs.
    const TRANSPORT: Transport;

    /// Appends what comes before anything else.
    fn open(&mut self, _: &mut Vec<u8>) {}

    /// Takes octets as they came; appends STOMP octets to `stomp` and what has to be answered at once to `out`.
    ///
    /// # Errors
    /// The rule that the client broke. What was appended before stands; nothing is read after.
    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, out: &mut Vec<u8>) -> Result<Received, WireError>;

    /// Appends one STOMP frame.
    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>);

    /// Appends a heart-beat.
    fn heartbeat(&mut self, out: &mut Vec<u8>);

    /// Learns that the session sends heart-beats, so that the transport needs none of its own.
    fn heartbeats_agreed(&mut self, _: &mut Vec<u8>) {}

    /// When [`Self::tick`] has something to do at the earliest.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Appends what the transport itself has to send by time. `is_heard`: the client's octets are being read.
    ///
    /// # Errors
    /// When the client has shown no life for too long.
    fn tick(&mut self, _now: Instant, _is_heard: bool, _out: &mut Vec<u8>) -> Result<(), WireError> {
        Ok(())
    }

    /// Gives back octets that [`Self::receive`] left for later, for what came before them is much already.
    fn take_deferred(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Learns how many octets of STOMP a message may hold, where messages can be larger than they look.
    fn bound_messages(&mut self, _octets: usize) {}

    /// Whether a frame came that this transport cannot carry; it was left out.
    fn has_refused(&self) -> bool {
        false
    }

    /// Appends what says goodbye after the last STOMP frame.
    fn close(&mut self, close: &Close, out: &mut Vec<u8>);
}

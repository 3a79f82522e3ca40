//! WebSocket below a service: the upgrade, and how messages are framed after it.

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE},
};

use super::{
    Options, body,
    json::{Accept, Piece, StringsReader},
    service::{Response101, not_allowed, plain},
};
use crate::transport::{
    http::Answer,
    websocket::{CloseCode, FrameReader, MessageKind, Part, Refusal, Violation, handshake},
};

/// How messages are framed on an upgraded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A message is a WebSocket message.
    Raw,
    /// Messages are in the frames of SockJS, each of which is a WebSocket message.
    SockJs,
}

/// What differs between these is not on the wire.
const VERSIONS: [&str; 3] = ["13", "8", "7"];

/// Answers a request for a WebSocket.
pub(super) fn answer(options: &Options, request: &Request<Incoming>, framing: Framing) -> Response101 {
    if !options.websocket {
        return plain(body::text(StatusCode::NOT_FOUND, "WebSocket is not offered here.\n"));
    }
    if request.method() != Method::GET {
        return plain(not_allowed(HeaderValue::from_static("GET")));
    }
    let headers = request.headers();
    match handshake::accept(request, &VERSIONS) {
        Ok(accept) => {
            let protocols = if framing == Framing::Raw { options.subprotocols } else { &[] };
            let protocol = handshake::choose_protocol(headers, protocols);
            let mut response = body::empty(StatusCode::SWITCHING_PROTOCOLS);
            handshake::switch(accept, protocol, response.headers_mut());
            Answer { response, upgrade: Some(framing) }
        }
        Err(refusal) => {
            let mut response = body::text(StatusCode::BAD_REQUEST, format!("{}\n", words(&refusal, headers)));
            if refusal == Refusal::Version {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            plain(response)
        }
    }
}

/// The customary words, where there are some.
fn words(refusal: &Refusal, headers: &HeaderMap) -> String {
    match refusal {
        Refusal::UpgradeRequired if handshake::has_token(headers, &UPGRADE, "websocket") => {
            debug_assert!(!handshake::has_token(headers, &CONNECTION, "upgrade"));
            "\"Connection\" must be \"Upgrade\".".to_owned()
        }
        Refusal::UpgradeRequired => "Can \"Upgrade\" only to \"WebSocket\".".to_owned(),
        other => other.to_string(),
    }
}

/// What the client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    WebSocket(Violation),
    #[error(transparent)]
    Json(#[from] BrokenFraming),
}

/// The client sent something else than its messages in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Broken framing.")]
pub(crate) struct BrokenFraming;

impl BrokenFraming {
    /// What the Close frame says.
    pub(crate) const CODE: CloseCode = CloseCode::Protocol;
}

impl ReadError {
    /// What the Close frame says.
    pub(crate) const fn code(self) -> CloseCode {
        match self {
            Self::WebSocket(violation) => violation.code(),
            Self::Json(_) => BrokenFraming::CODE,
        }
    }
}

/// Reads the messages that a SockJS client sends in a WebSocket message: an array of strings, or one string.
///
/// What is in a string is handed on as it arrives, so its length costs no memory here. After an error nothing more is.
#[derive(Debug)]
pub(crate) struct SockJsMessages {
    strings: StringsReader,
    broken: bool,
}

impl Default for SockJsMessages {
    fn default() -> Self {
        Self { strings: StringsReader::new(Accept::ArrayOrString), broken: false }
    }
}

impl SockJsMessages {
    /// Takes a piece of a WebSocket message; hands on pieces of text, and nothing for the end of each.
    pub(crate) fn piece(&mut self, payload: &[u8], mut hand_on: impl FnMut(Option<&[u8]>)) {
        if self.broken {
            return;
        }
        let read = self.strings.read(payload, |piece| match piece {
            Piece::Text(text) => hand_on(Some(text)),
            Piece::End => hand_on(None),
        });
        self.broken = read.is_err();
    }

    /// The WebSocket message is whole.
    pub(crate) fn end(&mut self) {
        self.broken = self.broken || self.strings.finish().is_err();
    }

    /// Whether the client has kept to the framing so far.
    ///
    /// # Errors
    /// [`BrokenFraming`] where it has not.
    pub(crate) const fn check(&self) -> Result<(), BrokenFraming> {
        if self.broken { Err(BrokenFraming) } else { Ok(()) }
    }
}

/// Reads what a SockJS client sends over a WebSocket.
#[derive(Debug, Default)]
pub(crate) struct SockJsReader {
    frames: FrameReader,
    messages: SockJsMessages,
}

impl SockJsReader {
    /// Takes all of `octets` (unmasking them in place) and hands on what they hold; every message is text.
    ///
    /// # Errors
    /// What the client broke; nothing more is read after that.
    pub(crate) fn read(&mut self, octets: &mut [u8], mut hand_on: impl FnMut(Part<'_>)) -> Result<(), ReadError> {
        let Self { frames, messages } = self;
        let read = frames.read(octets, |part| match part {
            Part::Payload(payload) => messages.piece(payload, |piece| {
                hand_on(piece.map_or(Part::End(MessageKind::Text), Part::Payload));
            }),
            Part::End(_) => messages.end(),
            control => hand_on(control),
        });
        messages.check()?;
        read.map_err(ReadError::WebSocket)
    }
}

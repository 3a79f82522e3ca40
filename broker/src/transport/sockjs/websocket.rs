//! WebSocket below a service: the upgrade, and how messages are framed after it.

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE},
};

use super::{
    Options, body,
    json::{Accept, Broken, Piece, StringsReader},
    service::{Response101, not_allowed, plain},
};
use crate::transport::{
    http::Answer,
    websocket::{CloseCode, FrameReader, Part, Refusal, Violation, handshake},
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
    #[error("Broken framing.")]
    Json,
}

impl ReadError {
    /// What the Close frame says.
    pub(crate) const fn code(self) -> CloseCode {
        match self {
            Self::WebSocket(violation) => violation.code(),
            Self::Json => CloseCode::Protocol,
        }
    }
}

/// Reads the messages that a SockJS client sends in WebSocket messages: an array of strings, or one string.
///
/// What is in a string is handed on as it arrives, so its length costs no memory here.
#[derive(Debug)]
pub(crate) struct SockJsReader {
    frames: FrameReader,
    strings: StringsReader,
}

impl Default for SockJsReader {
    fn default() -> Self {
        Self { frames: FrameReader::default(), strings: StringsReader::new(Accept::ArrayOrString) }
    }
}

impl SockJsReader {
    /// Takes all of `octets` (unmasking them in place) and hands on what they hold; every message is text.
    ///
    /// # Errors
    /// What the client broke; nothing more is read after that.
    pub(crate) fn read(&mut self, octets: &mut [u8], mut hand_on: impl FnMut(Part<'_>)) -> Result<(), ReadError> {
        let Self { frames, strings } = self;
        let mut json = Ok(());
        let read = frames.read(octets, |part| match part {
            Part::Payload(payload) if json.is_ok() => {
                json = strings.read(payload, |piece| match piece {
                    Piece::Text(text) => hand_on(Part::Payload(text)),
                    Piece::End => hand_on(Part::End(crate::transport::websocket::MessageKind::Text)),
                });
            }
            Part::End(_) if json.is_ok() => json = strings.finish().map(drop),
            Part::Payload(_) | Part::End(_) => {}
            control => hand_on(control),
        });
        match (json, read) {
            (Err(Broken), _) => Err(ReadError::Json),
            (Ok(()), Err(violation)) => Err(ReadError::WebSocket(violation)),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}

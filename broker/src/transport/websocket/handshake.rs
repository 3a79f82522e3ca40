//! What a request must be to become a WebSocket, and how it is answered. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method, Request, Version,
    header::{
        CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use sha1::{Digest as _, Sha1};
use stompbroker_config::AllowedOrigin;

use super::origin;

/// Why a request does not become a WebSocket; the text goes to the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("There is nothing here; the WebSocket endpoint is {0}.")]
    NotFound(String),
    #[error("Use GET to open a WebSocket.")]
    Method,
    #[error("This is a STOMP endpoint over WebSocket; connect with a STOMP client that upgrades the connection.")]
    UpgradeRequired,
    #[error("This server speaks version 13 of WebSocket only.")]
    Version,
    #[error("The WebSocket request is malformed: {0}.")]
    BadRequest(&'static str),
    #[error("The origin {0:?} is not allowed; add it to listeners.websocket.allowedOrigins.")]
    Origin(String),
}

impl Refusal {
    /// The HTTP status, and a header that it must come with.
    pub(crate) const fn status(&self) -> (u16, Option<(HeaderName, HeaderValue)>) {
        match self {
            Self::NotFound(_) => (404, None),
            Self::Method => (405, Some((hyper::header::ALLOW, HeaderValue::from_static("GET")))),
            Self::UpgradeRequired => (426, Some((UPGRADE, HeaderValue::from_static("websocket")))),
            Self::Version => (426, Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")))),
            Self::BadRequest(_) => (400, None),
            Self::Origin(_) => (403, None),
        }
    }
}

/// What the answer to a good request says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Value of `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    /// The subprotocol agreed on, where the client offered one that is known.
    pub(crate) protocol: Option<&'static str>,
}

/// The subprotocols of STOMP, the best first.
pub(crate) const PROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// What RFC 6455 section 1.3 appends to the client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Judges a request.
///
/// # Errors
/// The first thing that is in the way.
pub(crate) fn judge<B>(request: &Request<B>, path: &str, allowed: &[AllowedOrigin]) -> Result<Accepted, Refusal> {
    let headers = request.headers();
    if request.uri().path() != path {
        return Err(Refusal::NotFound(path.to_owned()));
    }
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    let accept = accept(request, &["13"])?;
    let page = match headers.get(ORIGIN) {
        Some(value) => Some(value.to_str().map_err(|_| Refusal::BadRequest("Origin is not ASCII"))?),
        None => None,
    };
    if !origin::is_allowed(page, header(headers, &HOST), allowed) {
        return Err(Refusal::Origin(page.unwrap_or_default().to_owned()));
    }
    Ok(Accepted { accept, protocol: choose_protocol(headers, &PROTOCOLS) })
}

/// The value of `Sec-WebSocket-Accept`, if the request asks for an upgrade to one of these versions of WebSocket.
///
/// # Errors
/// The first thing that is in the way.
pub(crate) fn accept<B>(request: &Request<B>, versions: &[&str]) -> Result<String, Refusal> {
    let headers = request.headers();
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::UpgradeRequired);
    }
    if request.version() < Version::HTTP_11 {
        return Err(Refusal::BadRequest("it must be HTTP/1.1"));
    }
    if !header(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| versions.contains(&version)) {
        return Err(Refusal::Version);
    }
    let key = header(headers, &SEC_WEBSOCKET_KEY).ok_or(Refusal::BadRequest("Sec-WebSocket-Key is missing"))?;
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err(Refusal::BadRequest("Sec-WebSocket-Key is not 16 octets in base64"));
    }
    Ok(accept_key(key))
}

/// What answers a key and shows that the request was understood.
pub(crate) fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// The first of the subprotocols that is offered, whatever the order of the offer.
pub(crate) fn choose_protocol(headers: &HeaderMap, protocols: &[&'static str]) -> Option<&'static str> {
    let is_offered = |protocol: &str| tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|token| token == protocol);
    protocols.iter().copied().find(|protocol| is_offered(protocol))
}

/// Adds what the response with status 101 has to say.
pub(crate) fn switch(accept: String, protocol: Option<&'static str>, headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::get("/chat?x=1").body(()).unwrap();
        let headers = request.headers_mut();
        for (name, value) in [
            ("host", "broker.example.com"),
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .iter()
        .chain(changes)
        {
            headers.remove(*name);
            if !value.is_empty() {
                headers.insert(*name, value.parse().unwrap());
            }
        }
        request
    }

    fn judged(changes: &[(&'static str, &str)]) -> Result<Accepted, Refusal> {
        judge(&request(changes), "/chat", &["https://app.example.com".to_owned()])
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted_as_there() {
        let accepted = judged(&[]).unwrap();
        assert_eq!(accepted, Accepted { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(), protocol: None });
    }

    #[test]
    fn the_highest_subprotocol_offered_is_agreed_on_and_unknown_ones_are_not_echoed() {
        for (offer, chosen) in [
            ("v10.stomp, v11.stomp, v12.stomp", Some("v12.stomp")),
            ("v10.stomp,mqtt,v11.stomp", Some("v11.stomp")),
            ("mqtt", None),
        ] {
            assert_eq!(judged(&[("sec-websocket-protocol", offer)]).unwrap().protocol, chosen, "{offer}");
        }
    }

    #[test]
    fn what_is_no_upgrade_is_told_what_would_be() {
        for (changes, status) in [
            (&[("upgrade", "")][..], 426),
            (&[("connection", "close")], 426),
            (&[("sec-websocket-version", "8")], 426),
            (&[("sec-websocket-key", "")], 400),
            (&[("sec-websocket-key", "c2hvcnQ=")], 400),
            (&[("origin", "https://evil.example.com")], 403),
        ] {
            assert_eq!(judged(changes).unwrap_err().status().0, status, "{changes:?}");
        }
        assert_eq!(judge(&request(&[]), "/ws", &[]).unwrap_err(), Refusal::NotFound("/ws".to_owned()));
        let post = Request::post("/chat").body(()).unwrap();
        assert_eq!(judge(&post, "/chat", &[]).unwrap_err(), Refusal::Method);
    }
}

//! The console: a page in the binary that shows what the admin port tells, and speaks STOMP with this broker as a browser does.
//!
//! The files hold no secrets and need no token; the page asks for it and brings it with each request. Its WebSocket is the
//! ordinary one with the ordinary login, on the admin port so that one forwarded port is enough; only the console's own
//! origin may open it.

use bytes::Bytes;
use hyper::{
    Response,
    header::{
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};

use super::routes::{Answer, Asked, nothing_here};
use crate::broker::Broker;

/// Where the page opens its WebSocket.
pub(super) const WEBSOCKET_PATH: &str = "/console/ws";

/// The page loads nothing from elsewhere, and nobody else may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const PAGE: File =
    File { name: "", content_type: "text/html; charset=utf-8", content: include_str!("console/index.html") };
const FILES: [File; 3] = [
    File { name: "app.js", content_type: "text/javascript; charset=utf-8", content: include_str!("console/app.js") },
    File {
        name: "stomp.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("console/stomp.js"),
    },
    File { name: "style.css", content_type: "text/css; charset=utf-8", content: include_str!("console/style.css") },
];

/// The page itself.
pub(super) fn page(_: &Broker, _: &Asked<'_>) -> Answer {
    answer(&PAGE)
}

/// One of the files that the page loads.
pub(super) fn file(_: &Broker, asked: &Asked<'_>) -> Answer {
    FILES.iter().find(|file| file.name == asked.name).map_or_else(nothing_here, answer)
}

fn answer(file: &File) -> Answer {
    let mut answer = Response::new(Bytes::from_static(file.content.as_bytes()).into());
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, file.content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    answer.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

//! SockJS 0.3.3: sessions of messages for browsers that have WebSocket, and for those whose proxies take it away.
//!
//! This layer knows nothing of STOMP. It answers the requests below the path of a service, keeps the sessions whose clients
//! come by HTTP requests, and gives the application the other end of each as a [`Pipe`]; a WebSocket is handed over with
//! its [`Framing`], since its session lives as long as its socket and needs nothing of what is kept here.
//!
//! ```text
//! request ──► path ──► info, iframe, greeting
//!                 ├──► receive (xhr, xhr_streaming, eventsource, htmlfile, jsonp) ──► Session ◄──► Pipe ──► application
//!                 ├──► send (xhr_send, jsonp_send) ──────────────────────────────────────┘
//!                 │         └── the session is elsewhere: locate, hand on ──► its server ──► answer_handed ──► receive, send
//!                 └──► websocket, raw websocket ── upgraded stream ──────────────────────────────────────► application
//! ```

mod body;
mod format;
mod frame;
mod headers;
mod json;
mod messages;
mod pages;
mod path;
mod pipe;
mod receive;
mod send;
mod service;
mod session;
mod stream;
mod websocket;

use std::time::Duration;

pub use self::{
    body::{BrokenBody, ResponseBody},
    frame::CloseFrame,
    messages::{Message, Messages},
    pipe::Pipe,
    service::{Application, HANDED_HEADERS, Handed, Service, Visitor},
    stream::FrameStream,
    websocket::Framing,
};
pub(crate) use self::{
    frame::{HEARTBEAT, MessageFrame, OPEN},
    pipe::{END, put_close, put_message, put_quiet},
    websocket::{BrokenFraming, SockJsMessages, SockJsReader},
};

/// What a service is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is, without a slash at the end.
    pub path: String,
    /// Whether WebSocket is offered.
    pub websocket: bool,
    /// Whether to set the cookie by which load balancers find the pod of a session again.
    pub session_cookie: bool,
    /// Origins that may come, as in `listeners.websocket.allowedOrigins`.
    pub allowed_origins: Vec<String>,
    /// Where the page in the iframe gets `sockjs-client` from.
    pub client_url: String,
    /// How long nothing may be sent before `h` is.
    pub heartbeat: Duration,
    /// How long a session lives without a request that receives.
    pub disconnect_delay: Duration,
    /// Octets of frames after which a streaming response ends, for browsers keep all of it.
    pub response_limit: usize,
    /// Octets of a request that sends.
    pub request_limit: usize,
    /// How long such a request may take to arrive.
    pub request_timeout: Duration,
    /// Subprotocols of a raw WebSocket, the best first.
    pub subprotocols: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: String::new(),
            websocket: true,
            session_cookie: false,
            allowed_origins: vec!["*".to_owned()],
            client_url: "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js".to_owned(),
            heartbeat: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            response_limit: 128 << 10,
            request_limit: 1 << 20,
            request_timeout: Duration::from_secs(10),
            subprotocols: &[],
        }
    }
}

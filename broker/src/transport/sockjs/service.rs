//! Which request gets which answer.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Framing, Options, Pipe, body, headers, pages,
    path::{self, SessionTransport, Target},
    receive, send,
    session::{Fate, Session},
    websocket,
};
use crate::{
    memory::Share,
    transport::{http::Answer, websocket::origin},
};

/// Octets of requests that send, all together; beyond it they arrive more slowly.
const BUDGET: usize = 64 << 20;
/// Tells a page's request from one of a program, also where it carries no origin.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const GET: HeaderValue = HeaderValue::from_static("GET");
const POST: HeaderValue = HeaderValue::from_static("POST");

/// Who comes with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Where the first request came from.
    pub peer: SocketAddr,
    /// Whether one response carries many frames.
    pub streaming: bool,
}

/// Headers of a request that count where it is handed on to; all others are the business of the server that it came to.
pub const HANDED_HEADERS: [HeaderName; 3] = [ORIGIN, REFERER, CONTENT_TYPE];

/// A request for a session that another server has.
#[derive(Clone, Debug)]
pub struct Handed<'a> {
    /// The session's id, as it stands in the path.
    pub id: &'a str,
    /// How the client sends or receives, as it stands in the path.
    pub transport: &'static str,
    /// Whether it waits for frames.
    pub receives: bool,
    /// The query, with what some ways to receive need.
    pub query: Option<&'a str>,
    /// Headers, of which [`HANDED_HEADERS`] count.
    pub headers: &'a HeaderMap,
    /// All of the body.
    pub body: Bytes,
}

/// What a service is for.
pub trait Application: Send + Sync {
    /// Begins to serve a session in a task of its own.
    ///
    /// # Errors
    /// Words for a client that cannot be served now.
    fn open(&self, pipe: Pipe, visitor: Visitor) -> Result<(), String>;

    /// The server that has a session which is not here; none where there is no such server.
    fn locate(&self, _id: &str) -> impl Future<Output = Option<SocketAddr>> + Send {
        std::future::ready(None)
    }

    /// What the server answers that has the session; none where it has it no longer.
    fn hand_on(
        &self,
        _to: SocketAddr,
        _request: Handed<'_>,
    ) -> impl Future<Output = Option<Response<super::ResponseBody>>> + Send {
        std::future::ready(None)
    }
}

/// An application that begins nothing: for requests that were handed on here for the sake of a session that has just ended.
struct NothingNew;

impl Application for NothingNew {
    fn open(&self, _: Pipe, _: Visitor) -> Result<(), String> {
        Err("The session has ended.".to_owned())
    }
}

/// The sessions of one service, as far as their clients come by HTTP requests.
#[derive(Debug)]
pub struct Service {
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    pub(super) budget: Arc<Semaphore>,
    /// What the sessions take their shares of.
    memory: Share,
}

impl Default for Service {
    fn default() -> Self {
        Self::counted_in(Share::default())
    }
}

/// What the parts that answer work with.
pub(super) struct Context<'a, A> {
    pub(super) service: &'a Service,
    pub(super) options: &'a Options,
    pub(super) application: &'a A,
    pub(super) peer: SocketAddr,
}

pub(super) type Response101 = Answer<super::ResponseBody, Framing>;

impl Service {
    /// A service whose sessions count their buffers in the same memory as this share.
    pub(crate) fn counted_in(memory: Share) -> Self {
        Self { sessions: Mutex::default(), budget: Arc::new(Semaphore::new(BUDGET)), memory }
    }

    /// Answers a request.
    pub async fn answer<A: Application>(
        &self,
        options: &Options,
        application: &A,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Answer<super::ResponseBody, Framing> {
        let context = Context { service: self, options, application, peer };
        let path = request.uri().path().to_owned();
        let Some(target) = path::parse(&options.path, &path) else {
            return plain(body::text(StatusCode::NOT_FOUND, "There is nothing here.\n"));
        };
        let is_page = matches!(target, Target::Greeting | Target::Iframe);
        if !is_page && let Err(origin) = check_origin(request.headers(), &options.allowed_origins) {
            tracing::warn!(client.addr = %peer, origin, "SockJS refused: the origin is not allowed");
            let words = format!("The origin {origin:?} is not allowed.\n");
            return plain(body::text(StatusCode::FORBIDDEN, words));
        }
        let head = request.headers().clone();
        let mut answer = context.answer(target, request).await;
        if !is_page {
            headers::allow_reading(&head, &mut answer.response);
        }
        if options.session_cookie && matches!(target, Target::Session { .. }) {
            headers::set_cookie(&head, &mut answer.response);
        }
        answer
    }

    /// Answers a request that was handed on by the server it came to, which has looked at its origin and its method, and sees
    /// to the headers for browsers. None where there is no such session.
    pub(crate) async fn answer_handed(
        &self,
        options: &Options,
        id: &str,
        transport: &str,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Option<Response<super::ResponseBody>> {
        let transport =
            SessionTransport::named(transport).filter(|transport| *transport != SessionTransport::WebSocket)?;
        if !self.has(id) {
            return None;
        }
        let context = Context { service: self, options, application: &NothingNew, peer };
        Some(context.talk(id, transport, request).await)
    }

    /// Whether there is such a session.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.sessions.lock().contains_key(id)
    }

    /// Ends the response that waits for frames of a session, in order, so that the client comes again by another way.
    pub(crate) fn release(&self, id: &str) {
        let session = self.sessions.lock().get(id).cloned();
        if let Some(session) = session {
            session.release();
        }
    }

    /// Ends and forgets sessions that no client attends to; for ever, as long as the service is used.
    pub async fn tend(&self, delay: impl Fn() -> Duration) {
        loop {
            let delay = delay();
            // So often that no session lives much longer than it should.
            tokio::time::sleep(delay / 10 + Duration::from_millis(10)).await;
            let now = Instant::now();
            self.sessions.lock().retain(|_, session| session.fate(delay, now) == Fate::Alive);
        }
    }

    /// A session that this request may speak for.
    pub(super) fn find(&self, id: &str, origin: Option<&str>) -> Result<Arc<Session>, Missing> {
        let session = self.sessions.lock().get(id).cloned().ok_or(Missing::Unknown)?;
        match (&session.origin, origin) {
            (Some(theirs), Some(origin)) if **theirs != *origin => Err(Missing::OfAnotherOrigin),
            _ => Ok(session),
        }
    }

    /// Enters a new session, unless another request has just done so.
    pub(super) fn enter(&self, id: &str, origin: Option<&str>) -> Option<Arc<Session>> {
        match self.sessions.lock().entry(id.into()) {
            std::collections::hash_map::Entry::Occupied(_) => None,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let session = Arc::new(Session::new(origin.map(Into::into), Instant::now(), self.memory.another()));
                Some(Arc::clone(vacant.insert(session)))
            }
        }
    }

    /// Takes a session back that could not be opened.
    pub(super) fn forget(&self, id: &str) {
        self.sessions.lock().remove(id);
    }
}

/// Why there is no session to speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Unknown,
    OfAnotherOrigin,
}

impl<A: Application> Context<'_, A> {
    async fn answer(&self, target: Target<'_>, request: Request<Incoming>) -> Response101 {
        let (id, transport) = match target {
            Target::Greeting => return plain(page(&request, pages::greeting)),
            Target::Iframe => return plain(page(&request, || pages::iframe(self.options, request.headers()))),
            Target::Info => {
                return plain(match *request.method() {
                    Method::GET => pages::info(self.options),
                    Method::OPTIONS => preflight(&HeaderValue::from_static("OPTIONS, GET"), request.headers()),
                    _ => not_allowed(HeaderValue::from_static("OPTIONS, GET")),
                });
            }
            Target::RawWebSocket => return websocket::answer(self.options, &request, Framing::Raw),
            Target::Session { transport: SessionTransport::WebSocket, .. } => {
                return websocket::answer(self.options, &request, Framing::SockJs);
            }
            Target::Session { id, transport } => (id, transport),
        };
        let method = method_of(transport);
        if request.method() == Method::OPTIONS && method == Method::POST {
            return plain(preflight(&HeaderValue::from_static("OPTIONS, POST"), request.headers()));
        }
        if request.method() != method {
            return plain(not_allowed(if method == Method::POST { POST } else { GET }));
        }
        plain(self.talk(id, transport, request).await)
    }

    /// Sends to a session or receives from it.
    async fn talk(
        &self,
        id: &str,
        transport: SessionTransport,
        request: Request<Incoming>,
    ) -> Response<super::ResponseBody> {
        match transport {
            SessionTransport::XhrSend => send::answer(self, id, send::Form::Xhr, request).await,
            SessionTransport::JsonpSend => send::answer(self, id, send::Form::Jsonp, request).await,
            receiving => receive::answer(self, id, receiving, request).await,
        }
    }
}

const fn method_of(transport: SessionTransport) -> Method {
    match transport {
        SessionTransport::Xhr
        | SessionTransport::XhrStreaming
        | SessionTransport::XhrSend
        | SessionTransport::JsonpSend => Method::POST,
        SessionTransport::WebSocket
        | SessionTransport::EventSource
        | SessionTransport::HtmlFile
        | SessionTransport::Jsonp => Method::GET,
    }
}

pub(super) const fn plain(response: Response<super::ResponseBody>) -> Response101 {
    Answer { response, upgrade: None }
}

fn page(
    request: &Request<Incoming>,
    page: impl FnOnce() -> Response<super::ResponseBody>,
) -> Response<super::ResponseBody> {
    if matches!(*request.method(), Method::GET | Method::HEAD) { page() } else { not_allowed(GET) }
}

/// What a browser asks before it lets a page do something.
fn preflight(methods: &HeaderValue, request: &HeaderMap) -> Response<super::ResponseBody> {
    let mut response = body::empty(StatusCode::NO_CONTENT);
    headers::allow_keeping(&mut response);
    headers::allow_methods(methods.clone(), request, &mut response);
    response
}

pub(super) fn not_allowed(methods: HeaderValue) -> Response<super::ResponseBody> {
    let mut response = body::empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// The page that a request comes from: its `Origin`, or that of its `Referer`, since scripts and frames bring only this.
pub(super) fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers::text(headers, &ORIGIN).or_else(|| {
        let referer = headers::text(headers, &REFERER)?;
        let authority = referer.find("://")? + 3;
        let end = referer[authority..].find(['/', '?', '#']).map_or(referer.len(), |end| authority + end);
        Some(&referer[..end])
    })
}

/// Refuses pages of other origins; returns the origin refused.
fn check_origin<'a>(headers: &'a HeaderMap, allowed: &[String]) -> Result<(), &'a str> {
    let host = headers::text(headers, &HOST);
    let Some(origin) = origin_of(headers) else {
        let is_foreign = headers::text(headers, &FETCH_SITE).is_some_and(|site| site == "cross-site");
        let all = allowed.iter().any(|origin| origin == "*");
        // A page that hides where it comes from, which a request for a script can.
        return if is_foreign && !all { Err("null") } else { Ok(()) };
    };
    if headers.contains_key(ORIGIN) || !origin::is_same(origin, host) {
        return if origin::is_allowed(Some(origin), host, allowed) { Ok(()) } else { Err(origin) };
    }
    Ok(())
}

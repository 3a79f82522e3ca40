//! Which request gets which answer. No I/O but for what the other pods are asked: all else is at hand.

use std::borrow::Cow;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{cluster, console, lists};
use crate::{broker::Broker, metrics};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

pub(super) type Answer = Response<Full<Bytes>>;

/// What a request asks for besides its path.
pub(super) struct Asked<'a> {
    /// The segment of the path that stands for `{...}` in the route's.
    pub(super) name: Cow<'a, str>,
    /// The query, without its question mark.
    pub(super) query: &'a str,
}

/// A path, what may be done with it, and whether it needs the token.
struct Route {
    /// One segment may be `{...}`, which stands for any.
    path: &'static str,
    method: Method,
    needs_token: bool,
    answer: Handler,
}

/// Who knows the answer.
enum Handler {
    /// This pod.
    Here(fn(&Broker, &Asked<'_>) -> Answer),
    /// The other pods, too.
    Cluster(for<'a> fn(&'a Broker, &'a Asked<'a>) -> BoxFuture<'a, Answer>),
}

/// A route for everybody.
const fn open(path: &'static str, answer: fn(&Broker, &Asked<'_>) -> Answer) -> Route {
    Route { path, method: Method::GET, needs_token: false, answer: Handler::Here(answer) }
}

/// A route for those who bring the token.
const fn guarded(method: Method, path: &'static str, answer: fn(&Broker, &Asked<'_>) -> Answer) -> Route {
    Route { path, method, needs_token: true, answer: Handler::Here(answer) }
}

/// A route for those who bring the token, to what may be in another pod.
const fn everywhere(
    method: Method,
    path: &'static str,
    answer: for<'a> fn(&'a Broker, &'a Asked<'a>) -> BoxFuture<'a, Answer>,
) -> Route {
    Route { path, method, needs_token: true, answer: Handler::Cluster(answer) }
}

static ROUTES: [Route; 15] = [
    open("/livez", live),
    open("/readyz", ready),
    open("/metrics", show_metrics),
    open("/console", console::page),
    open("/console/{file}", console::file),
    guarded(Method::GET, "/status", |broker, _| json(&broker.status())),
    guarded(Method::GET, "/config-hash", |broker, _| json(&broker.config_status())),
    guarded(Method::GET, "/websocket-stats", |broker, _| json(&broker.websocket_stats())),
    everywhere(Method::GET, "/sessions", |broker, asked| Box::pin(cluster::sessions(broker, asked))),
    everywhere(Method::GET, "/sessions/{id}", |broker, asked| Box::pin(cluster::session(broker, asked, Method::GET))),
    everywhere(Method::DELETE, "/sessions/{id}", |broker, asked| {
        Box::pin(cluster::session(broker, asked, Method::DELETE))
    }),
    everywhere(Method::GET, "/users/{name}/sessions", |broker, asked| {
        Box::pin(cluster::sessions_of_user(broker, asked))
    }),
    guarded(Method::GET, "/destinations", lists::destinations),
    guarded(Method::POST, "/drain", drain),
    guarded(Method::DELETE, "/drain", call_drain_off),
];

impl Route {
    /// The segment that stands for `{...}`, empty where there is none; nothing when the path is another one.
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some((before, after)) = self.path.split_once('{') else { return (path == self.path).then_some("") };
        let after = after.split_once('}').map_or("", |(_, after)| after);
        let name = path.strip_prefix(before)?.strip_suffix(after)?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    fn takes(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }
}

/// Answers a request.
pub(super) async fn answer<B: Sync>(broker: &Broker, request: &Request<B>) -> Answer {
    let path = request.uri().path();
    let here: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, route.matches(path)?))).collect();
    let mut answer = match here.iter().find(|(route, _)| route.takes(request.method())) {
        Some((route, name)) => match authorize(broker, request, route) {
            Ok(()) => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                let asked = Asked { name, query: request.uri().query().unwrap_or_default() };
                match &route.answer {
                    Handler::Here(answer) => answer(broker, &asked),
                    Handler::Cluster(answer) => answer(broker, &asked).await,
                }
            }
            Err(refusal) => refusal.answer(),
        },
        None if here.is_empty() => nothing_here(),
        None => wrong_method(path, &here.iter().map(|(route, _)| route.method.as_str()).collect::<Vec<_>>()),
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// There is no such path.
pub(super) fn nothing_here() -> Answer {
    let mut paths: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
    paths.dedup();
    text(StatusCode::NOT_FOUND, format!("There is nothing here; there is {}.\n", paths.join(", ")))
}

fn wrong_method(path: &str, methods: &[&str]) -> Answer {
    let methods = methods.join(", ");
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("Use {methods} for {path}.\n"));
    if let Ok(methods) = HeaderValue::try_from(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// Why a request is not let through.
enum Unauthorized {
    /// There is no token that could be brought.
    Closed,
    /// It brought none or another one.
    NoToken,
}

/// Lets a request through that brings the token, where the path asks for it.
fn authorize<B>(broker: &Broker, request: &Request<B>, route: &Route) -> Result<(), Unauthorized> {
    if !route.needs_token {
        return Ok(());
    }
    let current = broker.current();
    let token = current.admin_token.as_ref().ok_or(Unauthorized::Closed)?;
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.split_once(' ')) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) => Ok(()),
        _ => Err(Unauthorized::NoToken),
    }
}

impl Unauthorized {
    fn answer(&self) -> Answer {
        match self {
            Self::Closed => {
                let why = "This path is closed: the configuration has no admin.tokenFile.\n";
                text(StatusCode::FORBIDDEN, why.to_owned())
            }
            Self::NoToken => {
                let why = "Bring the token of admin.tokenFile as Authorization: Bearer TOKEN.\n";
                let mut answer = text(StatusCode::UNAUTHORIZED, why.to_owned());
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                answer
            }
        }
    }
}

fn live(_: &Broker, _: &Asked<'_>) -> Answer {
    text(StatusCode::OK, "ok\n".to_owned())
}

fn ready(broker: &Broker, _: &Asked<'_>) -> Answer {
    let reasons = broker.reasons_against_readiness();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut lines = if reasons.is_empty() { vec!["ok".to_owned()] } else { reasons };
    lines.extend(broker.warnings().into_iter().map(|warning| format!("warning: {warning}")));
    text(status, lines.into_iter().map(|line| line.replace('\n', " ") + "\n").collect())
}

fn show_metrics(broker: &Broker, _: &Asked<'_>) -> Answer {
    match broker.encode_metrics() {
        Ok(metrics) => body(StatusCode::OK, metrics::CONTENT_TYPE, metrics),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("The metrics cannot be written: {error}\n")),
    }
}

fn drain(broker: &Broker, _: &Asked<'_>) -> Answer {
    tracing::info!("told to drain by the admin port");
    broker.drain.begin();
    text(StatusCode::ACCEPTED, "draining\n".to_owned())
}

fn call_drain_off(broker: &Broker, _: &Asked<'_>) -> Answer {
    match broker.drain.cancel() {
        Ok(()) => {
            tracing::info!("told to call the drain off by the admin port");
            text(StatusCode::ACCEPTED, "serving\n".to_owned())
        }
        Err(ending) => text(StatusCode::CONFLICT, format!("{ending}.\n")),
    }
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(value) => body(StatusCode::OK, JSON, value),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("The answer cannot be written: {error}\n")),
    }
}

/// JSON that another pod has written.
pub(super) fn json_text(json: Bytes) -> Answer {
    body(StatusCode::OK, JSON, json)
}

pub(super) fn text(status: StatusCode, content: String) -> Answer {
    body(status, TEXT, content)
}

fn body(status: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(content.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

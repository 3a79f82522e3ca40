//! Which request gets which answer. No I/O: everything answered is at hand.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::{broker::Broker, metrics};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

type Answer = Response<Full<Bytes>>;

/// A path, what may be done with it, and whether it needs the token.
struct Route {
    path: &'static str,
    method: Method,
    needs_token: bool,
    answer: fn(&Broker) -> Answer,
}

const ROUTES: [Route; 7] = [
    Route { path: "/livez", method: Method::GET, needs_token: false, answer: live },
    Route { path: "/readyz", method: Method::GET, needs_token: false, answer: ready },
    Route { path: "/metrics", method: Method::GET, needs_token: false, answer: show_metrics },
    Route { path: "/status", method: Method::GET, needs_token: true, answer: |broker| json(&broker.status()) },
    Route {
        path: "/config-hash",
        method: Method::GET,
        needs_token: true,
        answer: |broker| json(&broker.config_status()),
    },
    Route {
        path: "/websocket-stats",
        method: Method::GET,
        needs_token: true,
        answer: |broker| json(&broker.websocket_stats()),
    },
    Route { path: "/drain", method: Method::POST, needs_token: true, answer: drain },
];

/// Answers a request.
pub(super) fn answer<B>(broker: &Broker, request: &Request<B>) -> Answer {
    let Some(route) = ROUTES.iter().find(|route| route.path == request.uri().path()) else {
        let paths: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
        return text(StatusCode::NOT_FOUND, format!("There is nothing here; there is {}.\n", paths.join(", ")));
    };
    let is_head = request.method() == Method::HEAD && route.method == Method::GET;
    if request.method() != route.method && !is_head {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("Use {} for {}.\n", route.method, route.path));
        if let Ok(method) = HeaderValue::from_str(route.method.as_str()) {
            answer.headers_mut().insert(ALLOW, method);
        }
        return answer;
    }
    let mut answer = match authorize(broker, request, route) {
        Ok(()) => (route.answer)(broker),
        Err(refusal) => refusal.answer(),
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
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

fn live(_: &Broker) -> Answer {
    text(StatusCode::OK, "ok\n".to_owned())
}

fn ready(broker: &Broker) -> Answer {
    let reasons = broker.reasons_against_readiness();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut lines = if reasons.is_empty() { vec!["ok".to_owned()] } else { reasons };
    if let Some(rejected) = broker.config_status().rejected {
        lines.push(format!("warning: configuration rejected, the one before is in force: {rejected}"));
    }
    if let Some(trouble) = broker.engine.store_status().and_then(|store| store.trouble) {
        lines.push(format!("warning: {trouble}"));
    }
    text(status, lines.into_iter().map(|line| line.replace('\n', " ") + "\n").collect())
}

fn show_metrics(broker: &Broker) -> Answer {
    match broker.metrics.encode() {
        Ok(metrics) => body(StatusCode::OK, metrics::CONTENT_TYPE, metrics),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("The metrics cannot be written: {error}\n")),
    }
}

fn drain(broker: &Broker) -> Answer {
    tracing::info!("told to drain by the admin port");
    broker.drain.begin();
    text(StatusCode::ACCEPTED, "draining\n".to_owned())
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(value) => body(StatusCode::OK, JSON, value),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("The answer cannot be written: {error}\n")),
    }
}

fn text(status: StatusCode, content: String) -> Answer {
    body(status, TEXT, content)
}

fn body(status: StatusCode, content_type: &'static str, content: String) -> Answer {
    let mut answer = Response::new(Full::new(content.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

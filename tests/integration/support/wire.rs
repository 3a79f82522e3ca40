//! The wire between operator and API server: what goes over it is remembered, and what does not belong there is invented.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Bytes};
use kube::{Client, Config, client::Body, client::ClientBuilder};
use serde_json::json;
use stompbroker_operator::rbac::RIGHTS;
use tokio::sync::Semaphore;
use tower::{BoxError, Layer, Service};

/// An invented answer.
#[derive(Clone, Debug)]
pub struct Answer {
    method: Method,
    path_end: String,
    code: u16,
    reason: &'static str,
    times: usize,
}

#[derive(Default)]
struct State {
    requests: Vec<(Method, String)>,
    answers: Vec<Answer>,
    violations: BTreeSet<String>,
    gates: Vec<(Method, String, Arc<Semaphore>)>,
}

/// The wire of one operator.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<State>>);

impl Wire {
    /// A client whose requests go over this wire.
    pub fn client(&self, config: &Config) -> Client {
        let mut config = config.clone();
        config.default_retry = false;
        ClientBuilder::try_from(config).unwrap().with_layer(self).build()
    }

    /// Answers the next `times` requests of this method whose path ends so with an error.
    pub fn answer(&self, method: Method, path_end: &str, code: u16, reason: &'static str, times: usize) {
        let answer = Answer { method, path_end: path_end.to_owned(), code, reason, times };
        self.0.lock().unwrap().answers.push(answer);
    }

    /// Holds the requests of this method whose path ends so back until a permit is added.
    pub fn hold(&self, method: Method, path_end: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().unwrap().gates.push((method, path_end.to_owned(), gate.clone()));
        gate
    }

    fn gate(&self, request: &Request<Body>) -> Option<Arc<Semaphore>> {
        let state = self.0.lock().unwrap();
        let path = request.uri().path();
        let found = state.gates.iter().find(|(method, end, _)| method == request.method() && path.ends_with(end));
        found.map(|(_, _, gate)| gate.clone())
    }

    /// From now on nothing is invented.
    pub fn clear(&self) {
        self.0.lock().unwrap().answers.clear();
    }

    /// Number of requests so far that are no GETs, with leases left out, which are renewed for ever.
    pub fn writes(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let writes = state.requests.iter().filter(|(method, path)| method != Method::GET && !path.contains("/leases"));
        writes.map(|(method, path)| format!("{method} {path}")).collect()
    }

    /// Number of requests so far of this method whose path ends so.
    pub fn count(&self, method: &Method, path_end: &str) -> usize {
        let state = self.0.lock().unwrap();
        state.requests.iter().filter(|(of, path)| of == method && path.ends_with(path_end)).count()
    }

    /// What was done without a right in the table.
    pub fn violations(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().violations.clone()
    }

    fn see(&self, request: &Request<Body>) -> Option<Answer> {
        let path = request.uri().path().to_owned();
        let mut state = self.0.lock().unwrap();
        if let Some(need) = need(request.method(), &path, request.uri().query().unwrap_or_default())
            && !allowed(&need)
        {
            state.violations.insert(format!("{need:?}"));
        }
        state.requests.push((request.method().clone(), path.clone()));
        let answer = state
            .answers
            .iter_mut()
            .find(|answer| answer.times > 0 && answer.method == request.method() && path.ends_with(&answer.path_end))?;
        answer.times -= 1;
        Some(answer.clone())
    }
}

/// Group, resource and verb of a request.
type Need = (String, String, &'static str);

/// What right a request needs; absent for discovery.
fn need(method: &Method, path: &str, query: &str) -> Option<Need> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if *parts.first()? == "api" { "" } else { *parts.get(1)? };
    parts.drain(..parts.len().min(if group.is_empty() { 2 } else { 3 }));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    let resource = match *parts.as_slice() {
        [] => return None,
        [kind] | [kind, _] => kind.to_owned(),
        [kind, _, subresource, ..] => format!("{kind}/{subresource}"),
    };
    let verb = match *method {
        Method::GET if query.contains("watch=true") => "watch",
        Method::GET if parts.len() == 1 => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        _ => "delete",
    };
    Some((group.to_owned(), resource, verb))
}

fn allowed((group, resource, verb): &Need) -> bool {
    RIGHTS.iter().any(|right| {
        // Where, the API server sees to: it has the chart's roles.
        right.group == group && right.resource == resource && right.verbs.contains(verb)
    })
}

impl<S> Layer<S> for Wire {
    type Service = Tapped<S>;

    fn layer(&self, inner: S) -> Tapped<S> {
        Tapped { inner, wire: self.clone() }
    }
}

pub struct Tapped<S> {
    inner: S,
    wire: Wire,
}

impl<S, B> Service<Request<Body>> for Tapped<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(Answer { code, reason, .. }) = self.wire.see(&request) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                                "reason": reason, "message": format!("invented: {reason}"), "metadata": {}});
            let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
            let response = Response::builder().status(code).header("content-type", "application/json").body(body);
            return Box::pin(async move { Ok(response?) });
        }
        let gate = self.wire.gate(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            if let Some(gate) = gate {
                let _permit = gate.acquire().await?;
            }
            Ok(answer.await?.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

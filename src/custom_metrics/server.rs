//! The port: TLS with the front proxy, and an answer to each of its questions.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    answer::{self, Known, Loads},
    front_proxy::FrontProxy,
    question::{self, Metric, Question, QuestionError, Which},
    review::Reviews,
    upkeep::Upkeep,
};
use crate::{
    controller::polls::asked::Asked,
    error::chain,
    http::accept,
    metrics::{Metrics, ResultLabel},
};

/// Deadline of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for the head of the next request on a connection.
const HEAD: Duration = Duration::from_secs(90);
/// After this much time a connection ends with the answer that is under way.
const LIFETIME: Duration = Duration::from_mins(5);
/// Deadline of that answer.
const LAST_ANSWER: Duration = Duration::from_secs(20);
/// Longest wait for pods that were not asked before.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// How often it is looked whether they have said something.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What answers are made from.
pub(super) struct Server {
    pub(super) loads: Loads,
    pub(super) asked: Arc<Asked>,
    pub(super) reviews: Reviews,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) metrics: Metrics,
}

/// An answer that is not the one that was wished for.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str, String);

impl Server {
    /// Serves on `listener` until `stop`.
    pub(super) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let this = Arc::new(self);
        let connection = |stream| this.clone().connection(stream);
        accept(listener, "of kube-apiserver", stop, connection).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // Until everything is there that a connection needs, kube-apiserver sees the API as unavailable.
        let Some(doorway) = self.upkeep.doorway() else { return };
        let stream = match timeout(HANDSHAKE, doorway.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%error, "a TLS handshake failed"),
            Err(_) => return debug!("a TLS handshake took too long"),
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if !certificate.is_some_and(|certificate| doorway.front_proxy.is(certificate)) {
            return warn!("refused a connection with a certificate of the front proxy's authority but another name");
        }
        let service = service_fn(|request: Request<Incoming>| {
            let (this, proxy) = (self.clone(), doorway.front_proxy.clone());
            async move {
                let (parts, _) = request.into_parts();
                Ok::<_, Infallible>(this.respond(&parts.method, &parts.uri, &parts.headers, &proxy).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = sleep(LIFETIME) => {
                connection.as_mut().graceful_shutdown();
                timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            debug!(%error, "a connection of kube-apiserver broke");
        }
    }

    async fn respond(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        proxy: &FrontProxy,
    ) -> Response<Full<Bytes>> {
        let (status, body) = match self.answer(method, uri, headers, proxy).await {
            Ok(body) => (StatusCode::OK, body),
            Err(Refusal(status, reason, message)) => (status, answer::failure(status.as_u16(), reason, &message)),
        };
        let result = match status.as_u16() {
            200 => "answered",
            401 | 403 => "forbidden",
            500.. => "failed",
            _ => "refused",
        };
        self.metrics.custom_metrics_requests.get_or_create(&ResultLabel { result }).inc();
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }

    async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        proxy: &FrontProxy,
    ) -> Result<Value, Refusal> {
        let Some(user) = proxy.user(headers) else {
            let message = "the request names no user".to_owned();
            return Err(Refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message));
        };
        let question = question::parse(method, uri).map_err(|error| {
            let (status, reason) = match &error {
                QuestionError::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
                QuestionError::Path(_) => (StatusCode::NOT_FOUND, "NotFound"),
                QuestionError::Selector(_) | QuestionError::MetricSelector(_) | QuestionError::TooLong => {
                    (StatusCode::BAD_REQUEST, "BadRequest")
                }
            };
            Refusal(status, reason, chain(&error))
        })?;
        match question {
            // Which metrics there are is no secret.
            Question::Group => Ok(answer::group()),
            Question::Resources => Ok(answer::resources()),
            Question::Pods { namespace, which, metric } => {
                let allowed = self.reviews.allows(&user, &namespace, metric).await.map_err(|error| {
                    warn!(error = chain(&error), "failed to ask whether a user may get a metric");
                    let message = "it could not be found out whether you may get this metric; try again".to_owned();
                    Refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
                })?;
                if !allowed {
                    let name = metric.name();
                    let message = format!(
                        "user {} may not get pods/{name} of custom.metrics.k8s.io in namespace {namespace}",
                        user.name
                    );
                    return Err(Refusal(StatusCode::FORBIDDEN, "Forbidden", message));
                }
                let known = self.known(&namespace, &which, metric).await;
                if let Which::Named(name) = &which
                    && known.values.is_empty()
                {
                    let message = format!("pod {name} has not said what it has to do, or is no pod of a StompBroker");
                    return Err(Refusal(StatusCode::NOT_FOUND, "NotFound", message));
                }
                Ok(answer::list(&known.values))
            }
        }
    }

    /// What is known of the pods; those that were not asked before get a moment to say something.
    async fn known(&self, namespace: &str, which: &Which, metric: Metric) -> Known {
        let look = || self.loads.of(namespace, which, metric, Timestamp::now());
        let mut known = look();
        let mut first = false;
        for broker in &known.brokers {
            first |= self.asked.note(broker.clone());
        }
        let deadline = Instant::now() + FIRST_WORD;
        while first && known.missing > 0 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
            known = look();
        }
        known
    }
}

//! Clients of the API server: every request has a deadline and is counted, and nothing is tried again in silence.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{Builder, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config, Error,
    client::{Body, ClientBuilder, ConfigExt as _},
};
use tokio::time::timeout;
use tower::{BoxError, Layer, Service, ServiceBuilder};

use crate::metrics::{Metrics, RequestLabels};

/// Deadline of a request up to the head of its answer.
const REQUEST: Duration = Duration::from_secs(15);
/// Deadline of a request of the lease; several fit into the time that a lease holds.
const LEASE_REQUEST: Duration = Duration::from_secs(4);
/// Longest silence within an answer; a watch gets a bookmark every minute and is renewed before that.
const SILENCE: Duration = Duration::from_mins(5);
/// Deadline of a TCP and TLS connection.
const CONNECT: Duration = Duration::from_secs(5);
/// What a connection reads at once, in octets. It keeps the room, and by default takes more than 400 KiB for each watch.
const READ: usize = 16 * 1024;

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// For everything but the lease.
    pub api: Client,
    /// For the lease alone, so that no other traffic delays it.
    pub lease: Client,
}

impl Clients {
    /// Clients for the API server of `config`.
    ///
    /// # Errors
    /// When certificates or the address in `config` cannot be used.
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, Error> {
        Ok(Self {
            api: build(config, metrics, REQUEST, SILENCE)?,
            lease: build(config, metrics, LEASE_REQUEST, LEASE_REQUEST)?,
        })
    }
}

/// A client as kube makes them, but that it does not try again up to 15 times in silence (every caller here has a backoff of its
/// own that shows), needs less room and makes no spans.
fn build(config: &Config, metrics: &Metrics, request: Duration, silence: Duration) -> Result<Client, Error> {
    if let Some(proxy_url) = &config.proxy_url {
        let proxy_url = Box::new(proxy_url.clone());
        return Err(Error::ProxyProtocolUnsupported { proxy_url });
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(silence));
    connector.set_write_timeout(Some(REQUEST));
    connector.set_reset_reader_on_write(true); // else the time that a pooled connection was idle counts as silence
    let client = Builder::new(TokioExecutor::new()).http1_max_buf_size(READ).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(RequestLayer { metrics: metrics.clone(), deadline: request })
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// Adds a deadline and a count to every request.
#[derive(Clone, Debug)]
pub struct RequestLayer {
    metrics: Metrics,
    deadline: Duration,
}

/// See [`RequestLayer`].
#[derive(Clone, Debug)]
pub struct RequestService<S> {
    inner: S,
    metrics: Metrics,
    deadline: Duration,
}

/// The API server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs())]
struct NoAnswer(Duration);

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService { inner, metrics: self.metrics.clone(), deadline: self.deadline }
    }
}

impl<S, B> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;
    type Response = Response<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().to_string();
        let resource = resource(request.uri().path());
        let metrics = self.metrics.clone();
        let deadline = self.deadline;
        let answer = self.inner.call(request);
        Box::pin(async move {
            let result = match timeout(deadline, answer).await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(NoAnswer(deadline).into()),
            };
            let code = match &result {
                Ok(response) => response.status().as_u16().to_string(),
                Err(error) if error.is::<NoAnswer>() => "timeout".to_owned(),
                Err(_) => "error".to_owned(),
            };
            metrics.kube_requests.get_or_create(&RequestLabels { method, resource, code }).inc();
            result
        })
    }
}

/// The plural of the kind, with the subresource, of a path such as `/apis/apps/v1/namespaces/a/deployments/b/status`.
pub fn resource(path: &str) -> String {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let version = match parts.next() {
        Some("api") => parts.next(),
        Some("apis") => parts.next().and_then(|_group| parts.next()),
        _ => None,
    };
    let rest: Vec<&str> = parts.collect();
    let rest = match rest.as_slice() {
        ["namespaces", _namespace, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    match (version, rest) {
        (Some(_), [kind, _name, subresource, ..]) => format!("{kind}/{subresource}"),
        (Some(_), [kind, ..]) => (*kind).to_owned(),
        _ => "discovery".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::ServiceExt;

    use super::*;

    #[test]
    fn the_resource_of_a_path_is_the_plural_and_the_subresource() {
        for (path, expected) in [
            ("/api/v1/namespaces/markets/secrets/trading-admin", "secrets"),
            ("/api/v1/pods", "pods"),
            ("/apis/apps/v1/namespaces/markets/deployments", "deployments"),
            ("/apis/stompbroker.dev/v1alpha1/namespaces/markets/stompbrokers/trading/status", "stompbrokers/status"),
            ("/api/v1/namespaces/markets", "namespaces"),
            ("/apis/stompbroker.dev/v1alpha1", "discovery"),
            ("/version", "discovery"),
        ] {
            assert_eq!(resource(path), expected, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_fails_at_its_deadline_and_is_counted() {
        let metrics = Metrics::new();
        let layer = RequestLayer { metrics: metrics.clone(), deadline: REQUEST };
        let never = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<()>, Infallible>>());
        let request = Request::get("/api/v1/namespaces/markets/services/trading").body(Body::empty()).unwrap();
        let error = layer.layer(never).oneshot(request).await.unwrap_err();
        assert_eq!(error.to_string(), "the API server did not answer within 15 s");
        assert!(metrics.encode().unwrap().contains(r#"resource="services",code="timeout"} 1"#));
    }
}

//! `/livez`, `/readyz` and `/metrics`; and how connections are accepted.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{health::Health, metrics::Metrics};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// Longest life of a connection; probes and scrapes take milliseconds.
const LIFETIME: Duration = Duration::from_secs(30);
/// Longest wait for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Pause after an accept that failed, for example because there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers probes and scrapes until `stop`.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Metrics, stop: CancellationToken) {
    let connection = |stream| {
        let (health, metrics) = (health.clone(), metrics.clone());
        async move {
            let service = service_fn(|request| {
                let response = answer(&request, &health, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(LIFETIME, connection).await {
                debug!(%error, "a connection of a probe broke");
            }
        }
    };
    accept(listener, "of a probe", stop, connection).await;
}

/// Accepts connections until `stop`; `whose` says in the log whose they are.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    whose: &'static str,
    stop: CancellationToken,
    connection: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            Some((place, accepted)) = accepted => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(error) => {
                    warn!(%error, "failed to accept a connection {whose}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = connection(stream);
        connections.spawn(async move {
            let _place = place;
            connection.await;
        });
    }
    connections.shutdown().await;
}

fn answer(request: &Request<Incoming>, health: &Health, metrics: &Metrics) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => probe(health.dead()),
        "/readyz" => probe(health.not_ready()),
        "/metrics" => match metrics.encode() {
            Ok(body) => {
                let mut response = text(StatusCode::OK, body);
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        path => text(StatusCode::NOT_FOUND, format!("no {path}; there are /livez, /readyz and /metrics\n")),
    }
}

fn probe(trouble: Option<String>) -> Response<Full<Bytes>> {
    trouble.map_or_else(
        || text(StatusCode::OK, "ok\n".to_owned()),
        |trouble| text(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    )
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(request: &str, health: &Arc<Health>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, health.clone(), Metrics::new(), stop.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        stop.cancel();
        timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn readyz_says_what_is_missing_until_nothing_is() {
        let health = Arc::new(Health::new());
        health.wait_for("CRD", "not installed");
        let answer = ask(&get("/readyz"), &health).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("waiting for CRD: not installed"), "{answer}");
        health.there("CRD");
        health.there(Health::STARTED);
        assert!(ask(&get("/readyz"), &health).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn livez_does_not_depend_on_readiness() {
        assert!(ask(&get("/livez"), &Arc::new(Health::new())).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let answer = ask(&get("/metrics"), &Arc::new(Health::new())).await;
        assert!(answer.contains("application/openmetrics-text"), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let health = Arc::new(Health::new());
        assert!(ask(&get("/"), &health).await.starts_with("HTTP/1.1 404"));
        let post = get("/livez").replacen("GET", "POST", 1);
        assert!(ask(&post, &health).await.starts_with("HTTP/1.1 405"));
    }
}

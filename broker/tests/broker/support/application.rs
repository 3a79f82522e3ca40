//! An application behind the broker: answers HTTP requests as a test says, and keeps them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::eventually;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: Some("text/plain"), body: body.into() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, content_type: None, body: Bytes::new() }
    }
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    received: Mutex<Vec<Received>>,
    /// What a request takes before it is answered.
    permits: Semaphore,
}

/// A running application; stopped when dropped.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Application {
    /// One that answers at once.
    pub(crate) async fn start(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(handler, None, Semaphore::MAX_PERMITS).await
    }

    /// One that answers only as many requests as [`Self::answer`] lets it.
    pub(crate) async fn held(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(handler, None, 0).await
    }

    /// One that speaks TLS.
    pub(crate) async fn over_tls(
        acceptor: TlsAcceptor,
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with(handler, Some(acceptor), Semaphore::MAX_PERMITS).await
    }

    async fn with(
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        acceptor: Option<TlsAcceptor>,
        permits: usize,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Shared { handler: Box::new(handler), received: Mutex::default(), permits: Semaphore::new(permits) };
        let shared = Arc::new(shared);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, acceptor, Arc::clone(&shared)));
        Self { address, shared, _serving: serving }
    }

    /// Where it is, for `url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets it answer so many more requests.
    pub(crate) fn answer(&self, requests: usize) {
        self.shared.permits.add_permits(requests);
    }

    /// All requests so far, answered or not.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so many requests have come; returns them.
    pub(crate) async fn requests(&self, count: usize) -> Vec<Received> {
        let ask = async || Some(self.received()).filter(|received| received.len() >= count);
        eventually(&format!("{count} requests"), ask).await
    }
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        connections.spawn(async move {
            match acceptor {
                None => talk(stream, shared).await,
                // A client that is refused is the test's business.
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        talk(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let received = Received { method: parts.method.to_string(), path, headers: parts.headers, body };
    shared.received.lock().unwrap().push(received.clone());
    shared.permits.acquire().await.unwrap().forget();
    let Reply { status, content_type, body } = (shared.handler)(&received);
    let mut response = Response::builder().status(status);
    if let Some(content_type) = content_type {
        response = response.header("content-type", content_type);
    }
    if (300..400).contains(&status) {
        response = response.header("location", "/elsewhere");
    }
    Ok(response.body(Full::new(body)).unwrap())
}

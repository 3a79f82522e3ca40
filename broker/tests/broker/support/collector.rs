//! A collector of spans: takes OTLP over gRPC or HTTP on a port of its own, and keeps what it was sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{HeaderMap, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

use super::eventually;

/// What the collector speaks; the names are those of `tracing.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otlp {
    Grpc,
    Http,
}

impl Otlp {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// A running collector; stopped when dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<ResourceSpans>>>,
    cut: Arc<Notify>,
    _serving: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start(otlp: Otlp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (mut serving, cut) = (JoinSet::new(), Arc::new(Notify::new()));
        serving.spawn(serve(listener, otlp, Arc::clone(&received), Arc::clone(&cut)));
        Self { address, received, cut, _serving: serving }
    }

    /// Closes the connections that there are, as a collector that is restarted does.
    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// All that it was sent.
    pub(crate) fn received(&self) -> Vec<ResourceSpans> {
        self.received.lock().unwrap().clone()
    }

    /// The spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let scopes = self.received().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for a span of this name.
    pub(crate) async fn span(&self, name: &str) -> Span {
        eventually(&format!("a span {name:?}"), async || self.spans().into_iter().find(|span| span.name == name)).await
    }
}

/// The text of an attribute, or its number.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

async fn serve(listener: TcpListener, otlp: Otlp, received: Arc<Mutex<Vec<ResourceSpans>>>, cut: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (received, cut) = (Arc::clone(&received), Arc::clone(&cut));
        let service = service_fn(move |request| answer(request, otlp, Arc::clone(&received)));
        connections.spawn(async move {
            let stream = TokioIo::new(stream);
            // How a connection ends is the broker's business.
            let serving = async {
                let _ = match otlp {
                    Otlp::Grpc => http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
                    Otlp::Http => http1::Builder::new().serve_connection(stream, service).await,
                };
            };
            tokio::select! {
                () = serving => {}
                () = cut.notified() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    otlp: Otlp,
    received: Arc<Mutex<Vec<ResourceSpans>>>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut body = body.collect().await.unwrap().to_bytes();
    let content_type = parts.headers["content-type"].to_str().unwrap();
    match otlp {
        Otlp::Grpc => {
            assert_eq!(parts.uri.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            assert_eq!(
                (content_type, &parts.headers["te"]),
                ("application/grpc", &HeaderValue::from_static("trailers"))
            );
            let prefix = body.split_to(5);
            assert_eq!((prefix[0], &prefix[1..]), (0, &u32::try_from(body.len()).unwrap().to_be_bytes()[..]));
        }
        Otlp::Http => {
            assert_eq!((parts.uri.path(), content_type), ("/v1/traces", "application/x-protobuf"));
        }
    }
    received.lock().unwrap().extend(ExportTraceServiceRequest::decode(body).unwrap().resource_spans);
    let (body, trailers) = match otlp {
        Otlp::Grpc => {
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            (Bytes::from_static(&[0; 5]), Some(Ok(trailers)))
        }
        Otlp::Http => (Bytes::new(), None),
    };
    Ok(Response::new(Full::new(body).with_trailers(std::future::ready(trailers))))
}

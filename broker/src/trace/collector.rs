//! The collector: takes spans by OTLP, over gRPC or as protocol buffers over HTTP/1.1.
//!
//! One connection is kept between exports. It may have been closed meanwhile, so what fails on it is tried once more on a
//! new one; a span is better sent twice than lost, and collectors know spans by their ids.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http2, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::{DecodeError, Message as _};
use stompbroker_config::{OtlpProtocol, Tracing};
use tokio::{task::JoinSet, time::timeout};

use crate::endpoint::{ConnectError, Endpoint, Http1, USER_AGENT};

/// For one export, from looking up the name to the last octet of the answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Octets of the longest answer that is read.
const MOST_ANSWER: usize = 64 << 10;
/// Characters of what a collector says of an error that are told.
const MOST_WORDS: usize = 200;
/// What is called over gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What is posted to over HTTP, below the path of the address.
const HTTP_PATH: &str = "/v1/traces";
/// Octets before a message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the answer is {0}, not 200 OK")]
    Status(StatusCode),
    #[error("gRPC status {code} {words:?}; 4317 is customarily the port for grpc, 4318 for http/protobuf")]
    Grpc { code: String, words: String },
    #[error("the answer cannot be read, or has more than {MOST_ANSWER} octets: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is no OTLP: {0}")]
    Answer(#[from] DecodeError),
    #[error("no answer within {DEADLINE:?}")]
    Deadline,
}

impl ExportError {
    /// Whether it is worth trying again soon, by the rules of OTLP.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Http(_) | Self::Deadline => true,
            // Too many requests, bad gateway, service unavailable, gateway timeout.
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss.
            Self::Grpc { code, .. } => matches!(code.as_str(), "1" | "4" | "10" | "11" | "14" | "15"),
            Self::Request(_) | Self::Body(_) | Self::Answer(_) => false,
        }
    }
}

/// Spans that the collector did not want, and what it says of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) spans: u64,
    pub(super) words: String,
}

/// A collector and the connection to it.
pub(super) struct Collector {
    endpoint: Endpoint,
    protocol: OtlpProtocol,
    path: String,
    connection: Option<Connection>,
}

/// A connection, and the task that moves its octets, which ends with it.
enum Connection {
    Http1(Http1),
    Http2 { sender: http2::SendRequest<Full<Bytes>>, _driver: JoinSet<()> },
}

impl Collector {
    /// The collector that the configuration names; nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with its address.
    pub(super) fn new(tracing: &Tracing) -> Result<Self, String> {
        let protocol = tracing.protocol();
        let alpn = match protocol {
            OtlpProtocol::Grpc => b"h2".as_slice(),
            OtlpProtocol::HttpProtobuf => b"http/1.1",
        };
        let endpoint = Endpoint::new(&tracing.otlp_endpoint, None, Some(alpn))?;
        let base = endpoint.uri().path().trim_end_matches('/');
        let path = match protocol {
            OtlpProtocol::Grpc => GRPC_PATH.to_owned(),
            OtlpProtocol::HttpProtobuf => format!("{}{HTTP_PATH}", base.trim_end_matches(HTTP_PATH)),
        };
        Ok(Self { endpoint, protocol, path, connection: None })
    }

    /// Where it is, for people.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends spans and waits for the answer.
    ///
    /// # Errors
    /// When the collector did not take them; the connection is given up.
    pub(super) async fn export(&mut self, spans: &ExportTraceServiceRequest) -> Result<Rejected, ExportError> {
        let body = self.body(spans);
        // Taken out: whatever ends this early, also a deadline, gives the connection up.
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let exported = timeout(DEADLINE, async {
            if let Some(mut connection) = kept {
                match self.exchange(&mut connection, body.clone()).await {
                    Err(ExportError::Http(_)) => {}
                    answer => return answer.map(|rejected| (rejected, connection)),
                }
            }
            let mut connection = self.connect().await?;
            let rejected = self.exchange(&mut connection, body).await?;
            Ok((rejected, connection))
        });
        let (rejected, connection) = exported.await.map_err(|_| ExportError::Deadline)??;
        self.connection = Some(connection);
        Ok(rejected)
    }

    /// The body of the request: over gRPC with a prefix.
    fn body(&self, spans: &ExportTraceServiceRequest) -> Bytes {
        let length = spans.encoded_len();
        let mut body = BytesMut::with_capacity(GRPC_PREFIX + length);
        if self.protocol == OtlpProtocol::Grpc {
            body.put_u8(0);
            body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        }
        body.put(spans.encode_to_vec().as_slice());
        body.freeze()
    }

    async fn connect(&self) -> Result<Connection, ExportError> {
        match self.protocol {
            OtlpProtocol::Grpc => {
                let stream = TokioIo::new(self.endpoint.connect().await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let mut driver = JoinSet::new();
                // How a connection ends shows in what is sent over it.
                driver.spawn(async move { drop(connection.await) });
                Ok(Connection::Http2 { sender, _driver: driver })
            }
            OtlpProtocol::HttpProtobuf => Ok(Connection::Http1(self.endpoint.connect_http1().await?)),
        }
    }

    async fn exchange(&self, connection: &mut Connection, body: Bytes) -> Result<Rejected, ExportError> {
        let response = connection.send(self.request(body)?).await?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(ExportError::Status(parts.status));
        }
        let answer = Limited::new(body, MOST_ANSWER).collect().await.map_err(ExportError::Body)?;
        let answer = match self.protocol {
            OtlpProtocol::HttpProtobuf => answer.to_bytes(),
            OtlpProtocol::Grpc => of_grpc(&parts.headers, answer)?,
        };
        let partial = ExportTraceServiceResponse::decode(answer)?.partial_success.unwrap_or_default();
        Ok(Rejected {
            spans: u64::try_from(partial.rejected_spans).unwrap_or(0),
            words: partial.error_message.chars().take(MOST_WORDS).collect(),
        })
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let request = Request::builder().method(Method::POST).header(header::USER_AGENT, USER_AGENT);
        let request = match self.protocol {
            OtlpProtocol::Grpc => {
                let scheme = self.endpoint.uri().scheme_str().unwrap_or("http");
                request
                    .uri(format!("{scheme}://{}{}", self.endpoint.authority(), self.path))
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::TE, "trailers")
            }
            OtlpProtocol::HttpProtobuf => request
                .uri(&self.path)
                .header(header::HOST, self.endpoint.authority())
                .header(header::CONTENT_TYPE, "application/x-protobuf"),
        };
        request.body(Full::new(body))
    }
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        match self {
            Self::Http1(connection) => connection.send(request).await,
            Self::Http2 { sender, .. } => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_closed(),
            Self::Http2 { sender, .. } => sender.is_closed(),
        }
    }
}

/// The message of an answer by gRPC. Its status is in the trailers, or in the headers where there is no message.
fn of_grpc(headers: &header::HeaderMap, answer: Collected<Bytes>) -> Result<Bytes, ExportError> {
    let said = |name: &str| {
        let value = answer.trailers().and_then(|trailers| trailers.get(name)).or_else(|| headers.get(name));
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(MOST_WORDS).collect::<String>())
    };
    match said(GRPC_STATUS) {
        Some(code) if code == "0" => {}
        code => {
            let (code, words) = (code.unwrap_or_else(|| "missing".to_owned()), said(GRPC_MESSAGE).unwrap_or_default());
            return Err(ExportError::Grpc { code, words });
        }
    }
    let mut message = answer.to_bytes();
    Ok(if message.len() > GRPC_PREFIX { message.split_off(GRPC_PREFIX) } else { Bytes::new() })
}

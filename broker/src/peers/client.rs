//! Requests to peers, over connections that are kept for a while.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
    rt::Executor,
};
use hyper_util::{
    client::legacy::{Client as Pool, Error as PoolError, connect::HttpConnector},
    rt::TokioTimer,
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where whoever asks listens for peers.
pub(super) const PEER_PORT: HeaderName = HeaderName::from_static("stompbroker-peer-port");

/// How long a peer may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// How long a connection that is not used is kept; less than the server keeps it, so that none is used while it is closed.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Connections to one peer that are kept although they are not used.
const MOST_IDLE: usize = 64;
/// A peer, whoever of both has connected, that acknowledges neither octets nor the questions of the kernel for so long is gone; so no response, however long
/// it goes on, is waited for in vain.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_PROBES: u32 = 2;
/// Octets of the longest answer that is read as a whole: a page of the most sessions, many times.
const MOST_ANSWER: usize = 8 << 20;

/// What a request shows that it comes from a pod of the same broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    /// The token; none: the peer refuses it.
    pub(super) authorization: Option<HeaderValue>,
    /// Where this pod listens for its peers.
    pub(super) port: Option<u16>,
}

/// Why a peer gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("HTTP: {}", with_cause(.0))]
    Http(#[from] PoolError),
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("it is lost, or this pod lets its clients go")]
    Lost,
    #[error("the answer broke off, or has more than {MOST_ANSWER} octets: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("it takes this pod for a stranger: do both have the same admin.tokenFile?")]
    Stranger,
}

impl AskError {
    /// Whether nothing has reached the peer.
    pub(super) fn is_unsent(&self) -> bool {
        match self {
            Self::Http(error) => error.is_connect(),
            Self::Request(_) | Self::Stranger => true,
            Self::Deadline(_) | Self::Body(_) | Self::Lost => false,
        }
    }

    /// Whether the peer is there and has answered, only not what was asked.
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Stranger | Self::Lost)
    }
}

/// The pool's own words say only in which step it failed.
fn with_cause(error: &PoolError) -> String {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Runs the tasks of connections until it is told to stop.
#[derive(Clone, Debug)]
struct Owner {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Owner {
    fn execute(&self, connection: F) {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(connection));
    }
}

/// The connections to all peers.
#[derive(Debug)]
pub(super) struct Client(Pool<HttpConnector, Full<Bytes>>);

impl Client {
    /// No connections yet; their tasks will be these, until `stop`.
    pub(super) fn new(tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        connector.set_tcp_user_timeout(Some(SILENCE));
        let pool = Pool::builder(Owner { tasks: tasks.clone(), stop: stop.clone() })
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(MOST_IDLE)
            .build(connector);
        Self(pool)
    }

    /// Sends a request, of which the URI is only a path, and gives the response as soon as it begins.
    ///
    /// # Errors
    /// When there is none, or the peer does not know the pass.
    pub(super) async fn send(
        &self,
        pass: &Pass,
        to: SocketAddr,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, AskError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://{to}{path}").parse().map_err(hyper::http::Error::from)?;
        let port = pass.port.map(HeaderValue::from).map(|port| (PEER_PORT, port));
        let authorization = pass.authorization.clone().map(|pass| (AUTHORIZATION, pass));
        request.headers_mut().extend(port.into_iter().chain(authorization));
        let response = self.0.request(request).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(AskError::Stranger),
            _ => Ok(response),
        }
    }

    /// Asks something, and reads the answer to its end.
    ///
    /// # Errors
    /// When there is no answer in time, or the peer does not know the pass.
    pub(super) async fn ask(
        &self,
        pass: &Pass,
        to: SocketAddr,
        method: &Method,
        path: &str,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let asked = async {
            let request = Request::builder().method(method).uri(path).body(Full::default())?;
            let response = self.send(pass, to, request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await.map_err(AskError::Body)?;
            Ok((status, body.to_bytes()))
        };
        timeout(deadline, asked).await.unwrap_or(Err(AskError::Deadline(deadline)))
    }
}

//! The admin port of a pod, reached through the API server as by `kubectl port-forward`.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use stompbroker_config::admin::{DrainStatus, SessionList, SessionStatus, Status};
use stompbroker_operator::api::ADMIN_PORT;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::cluster::{Cluster, ClusterError, request};

/// Deadline of one question.
const DEADLINE: Duration = Duration::from_secs(15);
/// Most octets of an answer.
const ANSWER: usize = 4 << 20;
/// Sessions of one page.
const PAGE: usize = 500;

/// Why a pod's admin port gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The API server made no way to the pod.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The way to the pod broke.
    #[error("the port {port} of pod {pod} cannot be reached through the API server")]
    Forward {
        /// Which pod.
        pod: String,
        /// Which port.
        port: u16,
    },
    /// No answer in time.
    #[error("pod {0} did not answer within {seconds} s", seconds = DEADLINE.as_secs())]
    Late(String),
    /// The exchange failed.
    #[error("failed to ask pod {pod}")]
    Exchange {
        /// Which pod.
        pod: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It refused.
    #[error("pod {pod} answered {status}: {text}")]
    Refused {
        /// Which pod.
        pod: String,
        /// The status code.
        status: StatusCode,
        /// What it said.
        text: String,
    },
}

/// The admin port of one pod.
pub(crate) struct Admin<'a> {
    cluster: &'a Cluster,
    pod: String,
    token: String,
}

impl<'a> Admin<'a> {
    /// The admin port of `pod`, which knows `token`.
    pub(crate) fn new(cluster: &'a Cluster, pod: &str, token: &str) -> Self {
        Self { cluster, pod: pod.to_owned(), token: token.to_owned() }
    }

    /// All its sessions, of one user or of all.
    pub(crate) async fn sessions(&self, user: Option<&str>) -> Result<Vec<SessionStatus>, AdminError> {
        let mut all = Vec::new();
        let mut after = None::<String>;
        loop {
            let mut path = format!("/sessions?limit={PAGE}");
            for (key, value) in [("user", user), ("after", after.as_deref())] {
                if let Some(value) = value {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "&{key}={}", encoded(value));
                }
            }
            let page: SessionList = self.get(&path).await?;
            all.extend(page.sessions);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Ends a session; false when the pod has none of this id.
    pub(crate) async fn end_session(&self, id: &str) -> Result<bool, AdminError> {
        match self.ask(Method::DELETE, &format!("/sessions/{}?scope=pod", encoded(id))).await {
            Ok(_) => Ok(true),
            Err(AdminError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins to drain the pod, or calls that off.
    pub(crate) async fn drain(&self, begin: bool) -> Result<Option<DrainStatus>, AdminError> {
        self.ask(if begin { Method::POST } else { Method::DELETE }, "/drain").await?;
        Ok(self.get::<Status>("/status").await?.drain)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let body = self.ask(Method::GET, path).await?;
        serde_json::from_slice(&body).map_err(|error| self.failed(error))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, AdminError> {
        timeout(DEADLINE, self.exchange(method, path)).await.unwrap_or_else(|_| Err(AdminError::Late(self.pod.clone())))
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Bytes, AdminError> {
        let stream = forward(self.cluster, &self.pod, ADMIN_PORT).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.failed(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.failed(error))?;
        // It owns the sender, so that the connection ends with it.
        let answer = async move {
            let answer = sender.send_request(request).await.map_err(|error| self.failed(error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body.map_err(|source| AdminError::Exchange { pod: self.pod.clone(), source })?.to_bytes();
            if status.is_success() {
                return Ok(body);
            }
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            Err(AdminError::Refused { pod: self.pod.clone(), status, text })
        };
        // When the connection breaks, the answer has the error.
        tokio::join!(answer, connection).0
    }

    fn failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> AdminError {
        AdminError::Exchange { pod: self.pod.clone(), source: Box::new(source) }
    }
}

/// A connection to a port of a pod.
pub(crate) async fn forward(
    cluster: &Cluster,
    pod: &str,
    port: u16,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, AdminError> {
    let api = cluster.api::<Pod>();
    let mut forwarder = request(&format!("reach the pod {pod}"), api.portforward(pod, &[port])).await?;
    forwarder.take_stream(port).ok_or_else(|| AdminError::Forward { pod: pod.to_owned(), port })
}

/// A value in a query or a segment of a path.
fn encoded(value: &str) -> impl Display {
    utf8_percent_encode(value, NON_ALPHANUMERIC)
}

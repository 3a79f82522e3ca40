//! Client of the pods' admin port.

use std::{fmt, net::IpAddr, time::Duration};

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use stompbroker_config::{Admin, admin::Status};
use tokio::time::timeout;

/// Deadline of one question.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a connection that is not used is kept; longer than the time between two questions.
const KEPT: Duration = Duration::from_secs(30);
/// Most octets of an answer.
const ANSWER: usize = 256 << 10;

/// The bearer token of one broker's admin ports.
#[derive(Clone)]
pub(super) struct Token(header::HeaderValue);

impl Token {
    /// The token in the octets of a Secret; absent when they cannot be one.
    pub(super) fn new(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?.trim();
        let mut value = header::HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        (!text.is_empty()).then_some(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why a pod said nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The pod does not know the token.
    #[error("the pod does not accept the admin token")]
    Unauthorized,
    /// Anything else, for people.
    #[error("{0}")]
    Failed(String),
}

/// Asks pods for their state.
#[derive(Clone, Debug)]
pub(super) struct AdminClient(Client<HttpConnector, Empty<Bytes>>);

impl AdminClient {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(DEADLINE));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(1)
            .build(connector);
        Self(client)
    }

    /// Asks the pod at `address` for its state.
    pub(super) async fn status(&self, address: &str, token: &Token) -> Result<Status, AskError> {
        timeout(DEADLINE, self.ask(address, token)).await.unwrap_or_else(|_| Err(AskError::late()))
    }

    async fn ask(&self, address: &str, token: &Token) -> Result<Status, AskError> {
        let (status, body) = self.request(address, Admin::default().port, "/status", Some(token)).await?;
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(AskError::Unauthorized),
            status => return Err(AskError::Failed(format!("the pod answered {status}"))),
        }
        serde_json::from_slice(&body).map_err(|error| failed(&error))
    }

    /// Asks the pod at `address` for anything.
    pub(super) async fn get(&self, address: &str, port: u16, path: &str) -> Result<(StatusCode, Bytes), AskError> {
        timeout(DEADLINE, self.request(address, port, path, None)).await.unwrap_or_else(|_| Err(AskError::late()))
    }

    async fn request(
        &self,
        address: &str,
        port: u16,
        path: &str,
        token: Option<&Token>,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let host = match address.parse() {
            Ok(IpAddr::V4(address)) => address.to_string(),
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Err(error) => return Err(failed(&error)),
        };
        let mut request = Request::get(format!("http://{host}:{port}{path}"));
        if let Some(Token(token)) = token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        let request = request.body(Empty::new()).map_err(|error| failed(&error))?;
        let response = self.0.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        Ok((status, body.map_err(|error| AskError::Failed(error.to_string()))?.to_bytes()))
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> AskError {
    AskError::Failed(crate::error::chain(error))
}

impl AskError {
    fn late() -> Self {
        Self::Failed(format!("the pod did not answer within {} s", DEADLINE.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let token = Token::new(b"s3cret-token\n").unwrap();
        assert_eq!(format!("{token:?} {:?}", token.0), "Token Sensitive");
        assert!(Token::new(b"").is_none());
        assert!(Token::new(b"a\nb").is_none());
    }
}

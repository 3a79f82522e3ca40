//! One GET of a small document, over TLS or not. Follows no redirects: a key set is where it is said to be.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, header};

use super::keys::KeySetError;
use crate::endpoint::{self, ConnectError, USER_AGENT};

/// Octets of the largest key set that is read.
const MAX_BODY: usize = 512 << 10;

/// An address that documents are fetched from.
pub(super) struct Endpoint(endpoint::Endpoint);

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the answer is {0}, not 200 OK; redirects are not followed")]
    Status(StatusCode),
    #[error("the answer cannot be read, or has more than {MAX_BODY} octets: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("the answer is unusable: {0}")]
    Keys(KeySetError),
}

impl Endpoint {
    /// The endpoint at an `https://` or `http://` address, trusted by these authorities (PEM) or by the public ones.
    ///
    /// # Errors
    /// What is wrong with the address or the authorities.
    pub(super) fn new(url: &str, authorities: Option<&[u8]>) -> Result<Self, String> {
        endpoint::Endpoint::new(url, authorities, None).map(Self)
    }

    /// Fetches the document. Has no deadline of its own.
    pub(super) async fn get(&self) -> Result<Bytes, FetchError> {
        let mut connection = self.0.connect_http1().await?;
        let target = self.0.uri().path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(target)
            .header(header::HOST, self.0.authority())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::default())?;
        let response = connection.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(FetchError::Body)?;
        Ok(body.to_bytes())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

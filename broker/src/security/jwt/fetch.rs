//! One GET of a small document, over TLS or not. Follows no redirects: a key set is where it is said to be.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::keys::KeySetError;
use crate::security::certificates;

/// Octets of the largest key set that is read.
const MAX_BODY: usize = 512 << 10;

/// An address that documents are fetched from.
pub(super) struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    /// Absent: without TLS.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
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
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
        let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone()).map_err(|error: InvalidDnsNameError| error.to_string())?;
            let roots = authorities.map(certificates::authorities).transpose()?;
            Some((TlsConnector::from(Arc::new(certificates::client(roots, None)?)), name))
        } else {
            None
        };
        Ok(Self { uri, host, port, tls })
    }

    /// Fetches the document. Has no deadline of its own.
    pub(super) async fn get(&self) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(FetchError::Connect)?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(FetchError::Tls)?;
                self.exchange(stream).await
            }
            None => self.exchange(stream).await,
        }
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Bytes, FetchError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async move {
            let target = self.uri.path_and_query().map_or("/", |path| path.as_str());
            let authority = self.uri.authority().map_or("", |authority| authority.as_str());
            let request = Request::get(target)
                .header(header::HOST, authority)
                .header(header::ACCEPT, "application/jwk-set+json, application/json")
                .header(header::USER_AGENT, concat!("stompbroker/", env!("CARGO_PKG_VERSION")))
                .body(Empty::<Bytes>::new())?;
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(FetchError::Body)?;
            Ok(body.to_bytes())
        };
        // The connection does its work only while it is polled; it ends when the answer is there and the sender gone.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its query, which may hold a key.
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.uri.path())
    }
}

//! An HTTP server that we are the client of: its address, and connections to it, with TLS or without.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use crate::security::certificates;

/// How requests of ours name their client.
pub(crate) const USER_AGENT: &str = concat!("stompbroker/", env!("CARGO_PKG_VERSION"));

/// What is called a connection here, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An address to connect to.
pub(crate) struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    /// Absent: without TLS.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("HTTP: {0}")]
    Http(hyper::Error),
}

/// A connection that speaks HTTP/1.1, and the task that moves its octets, which ends with it.
pub(crate) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Http1 {
    /// Sends a request and waits for the head of its answer. Has no deadline of its own.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Whether the server has closed it, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Endpoint {
    /// The endpoint at an `https://` or `http://` address, trusted by these authorities (PEM) or by the public ones.
    /// `alpn` is the protocol that is agreed on over TLS, where it must be.
    ///
    /// # Errors
    /// What is wrong with the address or the authorities.
    pub(crate) fn new(url: &str, authorities: Option<&[u8]>, alpn: Option<&[u8]>) -> Result<Self, String> {
        let client = || {
            let roots = authorities.map(certificates::authorities).transpose()?;
            let mut config = certificates::client(roots, None)?;
            config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
            Ok(config)
        };
        Self::with_tls(url, client, None)
    }

    /// The endpoint at an `https://` or `http://` address, with this side of TLS where the address wants it. Its certificate
    /// must be for `server_name`, or for the host of the address.
    ///
    /// # Errors
    /// What is wrong with the address or with TLS.
    pub(crate) fn with_tls(
        url: &str,
        client: impl FnOnce() -> Result<ClientConfig, String>,
        server_name: Option<&str>,
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
        let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls {
            let name = ServerName::try_from(server_name.unwrap_or(&host).to_owned())
                .map_err(|error: InvalidDnsNameError| error.to_string())?;
            Some((TlsConnector::from(Arc::new(client()?)), name))
        } else {
            None
        };
        Ok(Self { uri, host, port, tls })
    }

    /// The address.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host and port as they stand in the address.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Connects. Has no deadline of its own.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Duplex>, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(ConnectError::Tcp)?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(ConnectError::Tls)?;
                Ok(Box::new(stream))
            }
            None => Ok(Box::new(stream)),
        }
    }

    /// Connects to speak HTTP/1.1. Has no deadline of its own.
    pub(crate) async fn connect_http1(&self) -> Result<Http1, ConnectError> {
        let stream = TokioIo::new(self.connect().await?);
        let (sender, connection) = http1::handshake(stream).await.map_err(ConnectError::Http)?;
        let mut driver = JoinSet::new();
        // How a connection ends shows in what is sent over it.
        driver.spawn(async move { drop(connection.await) });
        Ok(Http1 { sender, _driver: driver })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its query, which may hold a key.
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.uri.path())
    }
}

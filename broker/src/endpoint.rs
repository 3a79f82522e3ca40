//! An HTTP server that we are the client of: its address, and connections to it, with TLS or without.

use std::{fmt, io, sync::Arc};

use hyper::Uri;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::security::certificates;

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
}

impl Endpoint {
    /// The endpoint at an `https://` or `http://` address, trusted by these authorities (PEM) or by the public ones.
    /// `alpn` is the protocol that is agreed on over TLS, where it must be.
    ///
    /// # Errors
    /// What is wrong with the address or the authorities.
    pub(crate) fn new(url: &str, authorities: Option<&[u8]>, alpn: Option<&[u8]>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
        let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone()).map_err(|error: InvalidDnsNameError| error.to_string())?;
            let roots = authorities.map(certificates::authorities).transpose()?;
            let mut config = certificates::client(roots, None)?;
            config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
            Some((TlsConnector::from(Arc::new(config)), name))
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
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its query, which may hold a key.
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.uri.path())
    }
}

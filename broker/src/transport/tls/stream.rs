//! A connection over TLS, as the connection driver wants it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use prometheus_client::metrics::gauge::Gauge;
use stompbroker_config::CertificateName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server;

use crate::{
    connection::Stream,
    security::{Principal, certificates},
};

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct TlsStream {
    inner: server::TlsStream<TcpStream>,
    /// Who the client is by its certificate.
    owner: Option<Box<Principal>>,
    /// Where it is counted.
    open: Gauge,
}

impl TlsStream {
    /// A connection after its handshake; `login` says what of the client's certificate is its user's name.
    pub(super) fn new(inner: server::TlsStream<TcpStream>, login: Option<CertificateName>) -> Self {
        let (_, session) = inner.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let owner = login.zip(certificate).and_then(|(name, certificate)| certificates::owner(certificate, name));
        Self { inner, owner: owner.map(Box::new), open: Gauge::default() }
    }

    /// Counts the connection for as long as it is there.
    pub(super) fn counted_in(mut self, gauge: &Gauge) -> Self {
        gauge.inc();
        self.open = gauge.clone();
        self
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Stream for TlsStream {
    fn certificate_owner(&self) -> Option<&Principal> {
        self.owner.as_deref()
    }
}

impl AsyncRead for TlsStream {
    /// Many clients close the socket without saying so by TLS first. Frames say themselves where they end, so nothing could
    /// be cut off unnoticed, and such an end is as good as an orderly one.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

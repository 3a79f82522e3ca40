//! TLS between a socket and what a listener speaks. The certificates come from files that are watched like all others: a
//! changed one counts from the next connection on, and one that cannot be used is rejected with the whole configuration.

mod server;
mod stream;

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpStream, time::timeout};

pub use self::server::{TlsError, TlsServer, TlsServers};
pub(crate) use self::stream::TlsStream;
use super::Transport;
use crate::broker::Broker;

/// Which of a listener's ports a client has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Its own one.
    Main,
    /// That of its TLS.
    Tls,
}

/// What is spoken on a port by the configuration in force.
pub(crate) enum Security {
    /// No TLS.
    Plain,
    /// TLS.
    Tls(Arc<TlsServer>),
    /// Nothing: the port was one of TLS, which the listener does not have any more.
    Closed,
}

impl Port {
    /// What is spoken on this port of a listener with this TLS.
    pub(crate) fn security(self, tls: Option<&Arc<TlsServer>>) -> Security {
        match (self, tls) {
            (Self::Main, None) => Security::Plain,
            (Self::Main, Some(tls)) if tls.has_own_port() => Security::Plain,
            (Self::Main | Self::Tls, Some(tls)) => Security::Tls(Arc::clone(tls)),
            (Self::Tls, None) => Security::Closed,
        }
    }
}

/// Makes the handshake within the time for a login; none when the client does not manage.
pub(crate) async fn handshake(
    broker: &Broker,
    server: &TlsServer,
    transport: Transport,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<TlsStream> {
    let metrics = broker.metrics.transport(transport);
    let time = broker.current().config.limits.login_timeout;
    let problem = match timeout(time.0, server.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream.counted_in(&metrics.tls_connections)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not over within limits.loginTimeout, which is {time}"),
    };
    metrics.tls_handshakes_failed.inc();
    tracing::debug!(client.addr = %peer, transport = transport.as_str(), problem, "the TLS handshake failed");
    None
}

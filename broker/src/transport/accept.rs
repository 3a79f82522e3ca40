//! Listening and accepting: errors of one connection never reach the loop, and lack of descriptors only slows it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections that the kernel holds for the loop; a burst of reconnecting browsers must fit.
const BACKLOG: i32 = 4096;
/// How long the loop rests when the process or the system has no descriptors left.
const REST: Duration = Duration::from_millis(100);
/// After this much silence the kernel asks whether the client is still there, thrice.
const KEEPALIVE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// A bound TCP port.
#[derive(Debug)]
pub(crate) struct Listener {
    inner: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds a port on all addresses, IPv6 and IPv4; on IPv4 alone where the system has no IPv6.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let inner = match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if is_without_ipv6(&error) => listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?,
            result => result?,
        };
        Ok(Self { address: inner.local_addr()?, inner })
    }

    /// Where it is bound; the port is the real one, also when 0 was asked for.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the system knows no IPv6 at all: `EAFNOSUPPORT` or `EADDRNOTAVAIL`.
fn is_without_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Accepts until `stop`, then closes the port. `serve` must not block.
pub(crate) async fn accept_loop(
    listener: Listener,
    stop: CancellationToken,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.inner.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                match prepare(&stream) {
                    Ok(()) => serve(stream, peer),
                    Err(error) => tracing::debug!(client.addr = %peer, %error, "the connection broke while accepted"),
                }
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection broke before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, listener = %listener.address, "cannot accept; trying again in {REST:?}");
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

//! From an accepted connection to a client with an address: a proxy that is trusted says first whom it stands for.

use std::{net::SocketAddr, sync::Arc};

use stompbroker_config::{Config, TrustedProxies};
use tokio::{net::TcpStream, time::timeout};

use super::{Admission, Transport, proxy_header};
use crate::broker::Broker;

/// Decides about an accepted connection and hands it to `serve`, with the client's address: at once where the client itself
/// has connected, else in a task that ends with the PROXY header.
pub(super) fn enter(
    broker: &Arc<Broker>,
    transport: Transport,
    mut stream: TcpStream,
    peer: SocketAddr,
    serve: impl FnOnce(Arc<Broker>, Admission, TcpStream, SocketAddr) + Send + 'static,
) {
    let is_proxy = Proxies::of(&broker.current().config, transport).send_header(peer);
    let address = (!is_proxy && !is_forwarder(broker, transport, peer)).then(|| peer.ip());
    let Some(admission) = Admission::decide(broker, transport, address) else { return };
    if !is_proxy {
        return serve(Arc::clone(broker), admission, stream, peer);
    }
    let (stop, tasks, broker) = (broker.drain.gate(), broker.tasks.clone(), Arc::clone(broker));
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        let Some(client) = client_of_proxy(&broker, transport, &mut stream, peer).await else { return };
        let admission = if is_forwarder(&broker, transport, client) {
            Some(admission)
        } else {
            admission.belongs_to(&broker, client.ip())
        };
        if let Some(admission) = admission {
            serve(broker, admission, stream, client);
        }
    }));
}

/// Whether the requests of this peer say themselves where they come from.
fn is_forwarder(broker: &Broker, transport: Transport, peer: SocketAddr) -> bool {
    Proxies::of(&broker.current().config, transport).forward(peer)
}

/// The client's address by the PROXY header; none where the connection is to be closed.
async fn client_of_proxy(
    broker: &Broker,
    transport: Transport,
    stream: &mut TcpStream,
    proxy: SocketAddr,
) -> Option<SocketAddr> {
    let time = broker.current().config.limits.login_timeout;
    let problem = match timeout(time.0, proxy_header::take(stream)).await {
        Ok(Ok(client)) => {
            let client = client.unwrap_or(proxy);
            tracing::debug!(client.addr = %client, proxy.addr = %proxy, transport = transport.as_str(), "came by a proxy");
            return Some(client);
        }
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
            tracing::debug!(proxy.addr = %proxy, %error, "the proxy closed before a PROXY header, as health checks do");
            return None;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not there within limits.loginTimeout, which is {time}"),
    };
    broker.metrics.transport(transport).proxy_headers_refused.inc();
    tracing::warn!(
        proxy.addr = %proxy, transport = transport.as_str(), problem,
        "refused for its PROXY header; let the proxy send one, or take its address out of proxyProtocol.trustedAddresses"
    );
    None
}

/// The proxies that the listener of a transport trusts.
#[derive(Clone, Copy)]
struct Proxies<'a> {
    protocol: Option<&'a TrustedProxies>,
    headers: Option<&'a TrustedProxies>,
}

impl<'a> Proxies<'a> {
    fn of(config: &'a Config, transport: Transport) -> Self {
        if transport == Transport::Tcp {
            let stomp = config.listeners.stomp.as_ref();
            return Self { protocol: stomp.and_then(|stomp| stomp.proxy_protocol.as_ref()), headers: None };
        }
        let websocket = config.listeners.websocket.as_ref();
        Self {
            protocol: websocket.and_then(|websocket| websocket.proxy_protocol.as_ref()),
            headers: websocket.and_then(|websocket| websocket.forwarded_headers.as_ref()),
        }
    }

    fn send_header(self, peer: SocketAddr) -> bool {
        self.protocol.is_some_and(|proxies| proxies.contains(peer.ip()))
    }

    fn forward(self, peer: SocketAddr) -> bool {
        self.headers.is_some_and(|proxies| proxies.contains(peer.ip()))
    }
}

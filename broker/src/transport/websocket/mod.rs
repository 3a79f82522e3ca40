//! The port for browsers: HTTP/1.1 until the upgrade, then the same connection driver as for TCP.
//!
//! The HTTP part lives in a task of its own that ends with the upgrade, so that nothing of it stays in an idle session. With
//! SockJS the same port also serves what is below the path of the WebSocket.

mod answer;
mod deflate;
pub(crate) mod frames;
pub(crate) mod handshake;
mod link;
pub(crate) mod origin;
mod sockjs;
mod utf8;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use hyper::{Request, StatusCode, body::Incoming};
use tokio::net::TcpStream;

use self::answer::Upgrade;
pub(crate) use self::{
    frames::{CloseCode, FrameReader, MessageKind, Part, Violation, write_close, write_message_as, write_pong},
    handshake::{Refusal, accept_key},
    link::{Content, WebSocketLink, WebSocketOptions},
    sockjs::answer_handed,
    utf8::Utf8,
    wire::{WebSocketWire, code_of},
};
use super::{
    Admission, ConnectionPermit, Port, SockJsWebSocketWire, Transport, door, forwarded,
    http::{self, Answer, HttpTimeouts, Upgraded},
    sockjs::ResponseBody,
    tls::{self, Security},
};
use crate::{
    broker::Broker,
    connection::{self, Stream},
};

/// Serves one accepted connection: TLS, HTTP and the upgrade here, the session in a task of its own.
pub(crate) fn serve(broker: &Arc<Broker>, stream: TcpStream, peer: SocketAddr, port: Port) {
    door::enter(broker, Transport::WebSocket, stream, peer, move |broker, admission, stream, client| {
        secure(broker, admission, stream, client, port);
    });
}

fn secure(broker: Arc<Broker>, admission: Admission, stream: TcpStream, peer: SocketAddr, port: Port) {
    let security = port.security(broker.current().tls.websocket.as_ref());
    broker.tasks.clone().spawn(async move {
        match security {
            Security::Plain => talk(broker, admission, stream, peer).await,
            Security::Tls(server) => {
                let handshake = tls::handshake(&broker, &server, Transport::WebSocket, stream, peer);
                if let Some(Some(stream)) = broker.drain.gate().run_until_cancelled(handshake).await {
                    talk(broker, admission, stream, peer).await;
                }
            }
            Security::Closed => {
                tracing::debug!(client.addr = %peer, "closed: listeners.websocket has no TLS any more");
            }
        }
    });
}

/// Answers HTTP requests until one is upgraded or the client goes away. `peer` may be a proxy that says by a header for whom
/// each request is.
async fn talk<S: Stream>(broker: Arc<Broker>, admission: Admission, stream: S, peer: SocketAddr) {
    let limits = broker.current().config.limits.clone();
    let timeouts = HttpTimeouts { head: limits.login_timeout.0, write: limits.send_timeout.0 };
    let answer = |request: Request<Incoming>| answer_for_client(&broker, &admission, request, peer);
    let upgraded = http::serve(stream, timeouts, &broker.drain.gate(), answer).await;
    let (Admission::Admitted(permit), Some(upgraded)) = (admission, upgraded) else { return };
    let Upgraded { stream, read_ahead, upgrade: (upgrade, client) } = upgraded;
    match upgrade {
        Upgrade::Stomp(options) => {
            let wire = WebSocketWire::new(options, Instant::now());
            connection::spawn(permit, stream, client, wire, &read_ahead);
        }
        Upgrade::SockJs(options, heartbeat) => {
            let permit = permit.for_transport(Transport::SockJsWebSocket);
            let wire = SockJsWebSocketWire::new(options, heartbeat, Instant::now());
            connection::spawn(permit, stream, client, wire, &read_ahead);
        }
    }
}

/// Answers one request; an upgrade comes with the address of the client, who from then on has the connection for itself.
async fn answer_for_client(
    broker: &Arc<Broker>,
    admission: &Admission,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer<ResponseBody, (Upgrade, SocketAddr)> {
    let client = {
        let current = broker.current();
        let websocket = current.config.listeners.websocket.as_ref();
        let trusted = websocket.and_then(|websocket| websocket.forwarded_headers.as_ref());
        forwarded::client(request.headers(), peer, trusted)
    };
    let answer = match admission {
        Admission::Refused(refusal) => answer::refuse(StatusCode::SERVICE_UNAVAILABLE, refusal.reason.clone()),
        Admission::Admitted(permit) => {
            let answer = answer::answer(broker, request, client).await;
            match answer.upgrade.map_or(Ok(()), |_| permit.belongs_to(client.ip())) {
                Ok(()) => answer,
                Err(reason) => answer::refuse(StatusCode::SERVICE_UNAVAILABLE, reason),
            }
        }
    };
    Answer { response: answer.response, upgrade: answer.upgrade.map(|upgrade| (upgrade, client)) }
}

/// Answers a request for a WebSocket on another port than the one for browsers: only a page of the same origin may open it.
/// What comes of it goes to [`begin_elsewhere`].
pub(crate) fn open_elsewhere<B>(
    broker: &Arc<Broker>,
    request: &Request<B>,
    peer: SocketAddr,
    path: &str,
) -> Answer<ResponseBody, ConnectionPermit> {
    let Answer { response, upgrade } = answer::upgrade(broker, request, peer, path, &[]);
    if upgrade.is_none() {
        return Answer { response, upgrade: None };
    }
    match ConnectionPermit::take(broker, Transport::WebSocket, Some(peer.ip())) {
        Ok(permit) => Answer { response, upgrade: Some(permit) },
        Err(reason) => {
            let refused = answer::refuse(StatusCode::SERVICE_UNAVAILABLE, reason);
            Answer { response: refused.response, upgrade: None }
        }
    }
}

/// Begins the session of a WebSocket that was opened by [`open_elsewhere`].
pub(crate) fn begin_elsewhere<S: Stream>(upgraded: Upgraded<S, ConnectionPermit>, peer: SocketAddr) {
    let Upgraded { stream, read_ahead, upgrade: permit } = upgraded;
    connection::spawn(permit, stream, peer, WebSocketWire::default(), &read_ahead);
}

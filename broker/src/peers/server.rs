//! What peers ask this pod, on the port for them. Everything is answered by this pod alone.
//!
//! | path | answer |
//! |---|---|
//! | `GET /alive` | 204 |
//! | `GET /sessions` | the sessions of this pod, as on the admin port |
//! | `GET /sockjs/{id}` | 204 when this pod has that session of SockJS, else 410 |
//! | `/sockjs/{id}/{transport}` | the answer to a request that came to another pod; 410 when this one does not have the session |
//! | `POST /sockjs/{id}/release` | 204; the response that waits for frames of the session ends |
//! | `GET /sessions/{id}`, `DELETE /sessions/{id}` | one of them; 404 when this pod does not have it |

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderMap},
};
use percent_encoding::percent_decode_str;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    client::{KEEPALIVE, KEEPALIVE_PROBES, PEER_PORT, SILENCE},
    sockjs::RELEASE,
};
use crate::{
    admin,
    broker::Broker,
    transport::{
        Listener, accept_loop,
        http::{self, Answer, HttpTimeouts},
        sockjs::ResponseBody,
        websocket,
    },
};

/// The path that asks for a sign of life.
pub(super) const ALIVE: &str = "/alive";
/// How long a connection is kept that nothing is asked over.
const IDLE_TIME: Duration = Duration::from_mins(1);

/// Serves peers for ever, also during and after a drain, for sessions can be reached until they end.
pub(crate) async fn serve(broker: Arc<Broker>, listener: Listener) {
    tracing::info!(listener = %listener.address(), "serving the other pods of this broker");
    accept_loop(listener, CancellationToken::new(), |stream, peer| {
        let tasks = &broker.peers.served;
        let most = broker.current().config.limits.connections_per_pod;
        if tasks.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            tracing::warn!(peer.addr = %peer, "a peer's connection is refused: limits.connectionsPerPod is {most}");
            return;
        }
        match notice_silence(&stream) {
            Ok(()) => drop(tasks.spawn(converse(Arc::clone(&broker), stream, peer))),
            Err(error) => tracing::debug!(peer.addr = %peer, %error, "the connection broke while accepted"),
        }
    })
    .await;
}

/// Has the connection break when the peer's machine has gone, so that the sessions of its clients learn that they have, too.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))
}

/// Answers the requests of one connection.
async fn converse(broker: Arc<Broker>, stream: TcpStream, peer: SocketAddr) {
    let timeouts = HttpTimeouts { head: IDLE_TIME, write: broker.current().config.limits.send_timeout.0 };
    let answer =
        async |request: Request<Incoming>| Answer { response: answer(&broker, request, peer).await, upgrade: None };
    // Peers never upgrade.
    let _: Option<http::Upgraded<TcpStream, ()>> = http::serve(stream, timeouts, &broker.peers.stop, answer).await;
}

async fn answer(broker: &Arc<Broker>, request: Request<Incoming>, peer: SocketAddr) -> Response<ResponseBody> {
    if !is_peer(broker, request.headers()) {
        tracing::warn!(peer.addr = %peer, "refused: it is no pod of this broker, or has another admin.tokenFile");
        return ResponseBody::text(StatusCode::UNAUTHORIZED, "Bring the token of the pods of this broker.\n");
    }
    broker.peers.met(broker, peer, request.headers());
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    let segments = [segments.next(), segments.next(), segments.next(), segments.next()];
    match (request.method(), segments) {
        (&Method::GET, [Some("alive"), None, ..]) => status(StatusCode::NO_CONTENT),
        (&Method::GET, [Some("sessions"), None, ..]) => {
            admin::sessions_here(broker, request.uri().query().unwrap_or_default()).map(ResponseBody::Whole)
        }
        (method @ (&Method::GET | &Method::DELETE), [Some("sessions"), Some(id), None, _]) => {
            let id = percent_decode_str(id).decode_utf8_lossy();
            admin::session_here(broker, method, &id).map(ResponseBody::Whole)
        }
        (&Method::GET, [Some("sockjs"), Some(id), None, _]) => {
            status(if broker.sockjs.has(id) { StatusCode::NO_CONTENT } else { StatusCode::GONE })
        }
        (&Method::POST, [Some("sockjs"), Some(id), Some(RELEASE), None]) => {
            broker.sockjs.release(id);
            status(StatusCode::NO_CONTENT)
        }
        (_, [Some("sockjs"), Some(id), Some(transport), None]) => {
            let answer = websocket::answer_handed(broker, id, transport, peer, request).await;
            answer.unwrap_or_else(|| status(StatusCode::GONE))
        }
        _ => ResponseBody::text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}

/// Whether a request brings the token of the peers.
fn is_peer(broker: &Broker, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer "));
    let current = broker.current();
    current.peer_token.as_ref().zip(token).is_some_and(|(ours, token)| ours.is(token))
}

impl super::Peers {
    /// Learns of a pod that has asked something, where pods are found by DNS, which may not tell of it yet.
    fn met(&self, broker: &Broker, peer: SocketAddr, headers: &HeaderMap) {
        let by_dns = broker.current().config.peers.as_ref().is_some_and(|peers| peers.dns_name.is_some());
        let port = headers.get(PEER_PORT).and_then(|port| port.to_str().ok()?.parse().ok());
        // From loopback it is the proxy of a mesh, behind which pods look alike.
        if let (true, false, Some(port)) = (by_dns, peer.ip().is_loopback(), port) {
            self.members.lock().introduce(SocketAddr::new(peer.ip(), port), Instant::now());
        }
    }
}

//! STOMP as an application of SockJS, as the configuration of the listener wants it.

use std::{net::SocketAddr, sync::Arc};

use hyper::{Request, Response, StatusCode, body::Incoming};
use stompbroker_config::{ByteSize, Limits, WebSocketListener};

use super::handshake;
use crate::{
    broker::Broker,
    connection, peers,
    transport::{
        ConnectionPermit, SockJsPipeWire, Transport,
        http::Answer,
        sockjs::{Application, Framing, Handed, Options, Pipe, ResponseBody, Visitor},
    },
};

/// Octets of a request that sends; more where that would not hold a few messages of the size allowed.
const REQUEST: u64 = 1 << 20;
/// How many times longer than itself a message may be in JSON, and some room for others with it.
const JSON_GROWTH: u64 = 8;

/// What the service is like; none where SockJS is off.
pub(super) fn options(listener: &WebSocketListener, limits: &Limits) -> Option<Options> {
    let sock_js = listener.sock_js.as_ref().filter(|sock_js| sock_js.enabled)?;
    let size = |ByteSize(size)| usize::try_from(size).unwrap_or(usize::MAX);
    Some(Options {
        path: listener.path.clone(),
        websocket: true,
        session_cookie: sock_js.session_cookie,
        allowed_origins: listener.allowed_origins.clone(),
        client_url: sock_js.client_url.clone(),
        heartbeat: sock_js.heartbeat.0,
        disconnect_delay: sock_js.disconnect_delay.0,
        response_limit: size(sock_js.response_limit),
        request_limit: size(ByteSize(REQUEST.max(limits.message_size.0.saturating_mul(JSON_GROWTH)))),
        request_timeout: limits.login_timeout.0,
        subprotocols: &handshake::PROTOCOLS,
    })
}

/// Answers a request that is not for a plain WebSocket.
pub(super) async fn answer(
    broker: &Arc<Broker>,
    options: &Options,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Answer<ResponseBody, Framing> {
    let answer = broker.sockjs.answer(options, &Stomp(broker), peer, request).await;
    if answer.response.status() == StatusCode::FORBIDDEN {
        broker.metrics.origins_refused.inc();
    }
    answer
}

/// Answers a request that another pod took and has handed on; none where the session is not here.
pub(crate) async fn answer_handed(
    broker: &Broker,
    id: &str,
    transport: &str,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Option<Response<ResponseBody>> {
    let options = {
        let current = broker.current();
        options(current.config.listeners.websocket.as_ref()?, &current.config.limits)?
    };
    broker.sockjs.answer_handed(&options, id, transport, peer, request).await
}

/// Serves every session with the connection driver.
struct Stomp<'a>(&'a Arc<Broker>);

impl Application for Stomp<'_> {
    fn open(&self, pipe: Pipe, visitor: Visitor) -> Result<(), String> {
        let Self(broker) = self;
        if broker.drain.gate().is_cancelled() {
            return Err("The broker lets its sessions go; connect again.".to_owned());
        }
        let transport = if visitor.streaming { Transport::SockJsStreaming } else { Transport::SockJsPolling };
        let permit = ConnectionPermit::take(broker, transport, Some(visitor.peer.ip()))?;
        if visitor.streaming {
            connection::spawn(permit, pipe, visitor.peer, SockJsPipeWire::<true>::default(), &[]);
        } else {
            connection::spawn(permit, pipe, visitor.peer, SockJsPipeWire::<false>::default(), &[]);
        }
        Ok(())
    }

    async fn locate(&self, id: &str) -> Option<SocketAddr> {
        peers::locate(self.0, id).await
    }

    async fn hand_on(&self, to: SocketAddr, request: Handed<'_>) -> Option<Response<ResponseBody>> {
        // Rare, so that other requests need not have room for it.
        Box::pin(peers::hand_on(self.0, to, request)).await
    }
}

/// Its requests come over connections of their own, so no client certificate vouches for all of it.
impl connection::Stream for Pipe {}

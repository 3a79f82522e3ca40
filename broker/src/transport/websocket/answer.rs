//! What the port for browsers answers, before the upgrade.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, UPGRADE},
};
use stompbroker_config::{AllowedOrigin, WebSocketListener};

use super::{
    WebSocketOptions, deflate,
    handshake::{self, Refusal, has_token},
    sockjs,
};
use crate::{
    broker::Broker,
    transport::{
        http::Answer,
        sockjs::{Framing, ResponseBody},
    },
};

/// What a connection becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// STOMP in WebSocket messages.
    Stomp(WebSocketOptions),
    /// STOMP in the frames of SockJS, with the period of `h`.
    SockJs { heartbeat: Duration },
}

/// Answers one request.
pub(super) async fn answer(
    broker: &Arc<Broker>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Answer<ResponseBody, Upgrade> {
    let current = broker.current();
    let Some(listener) = &current.config.listeners.websocket else {
        return refuse(StatusCode::NOT_FOUND, "There is no WebSocket endpoint any more.".to_owned());
    };
    let asks_for_websocket =
        request.uri().path() == listener.path && has_token(request.headers(), &UPGRADE, "websocket");
    if !asks_for_websocket && let Some(options) = sockjs::options(listener, &current.config.limits) {
        let raw = self::options(listener);
        drop(current);
        let answer = sockjs::answer(broker, &options, peer, request).await;
        let upgrade = answer.upgrade.map(|framing| match framing {
            Framing::Raw => Upgrade::Stomp(raw),
            Framing::SockJs => Upgrade::SockJs { heartbeat: options.heartbeat },
        });
        return Answer { response: answer.response, upgrade };
    }
    let mut answer = upgrade(broker, &request, peer, &listener.path, &listener.allowed_origins);
    if let Some(Upgrade::Stomp(agreed)) = &mut answer.upgrade {
        *agreed = options(listener);
        if listener.compression.enabled
            && let Some(extension) = deflate::negotiate(request.headers())
        {
            agreed.compress_from = Some(usize::try_from(listener.compression.minimum_size.0).unwrap_or(usize::MAX));
            answer.response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension));
        }
    }
    answer
}

/// Answers a request for the WebSocket at `path`, which only pages of these origins may open.
pub(super) fn upgrade<B>(
    broker: &Broker,
    request: &Request<B>,
    peer: SocketAddr,
    path: &str,
    allowed_origins: &[AllowedOrigin],
) -> Answer<ResponseBody, Upgrade> {
    match handshake::judge(request, path, allowed_origins) {
        Ok(accepted) => {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            handshake::switch(accepted.accept, accepted.protocol, response.headers_mut());
            Answer { response, upgrade: Some(Upgrade::Stomp(WebSocketOptions::default())) }
        }
        Err(refusal) => {
            if let Refusal::Origin(origin) = &refusal {
                broker.metrics.origins_refused.inc();
                tracing::warn!(client.addr = %peer, origin, "WebSocket refused: the origin is not allowed");
            }
            let (status, header) = refusal.status();
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut answer = refuse(status, refusal.to_string());
            answer.response.headers_mut().extend(header);
            answer
        }
    }
}

/// What every WebSocket of this listener goes by.
fn options(listener: &WebSocketListener) -> WebSocketOptions {
    WebSocketOptions { compress_from: None, ping_interval: listener.ping_interval.map(|interval| interval.0) }
}

/// An answer of words that ends the connection.
pub(super) fn refuse(status: StatusCode, words: String) -> Answer<ResponseBody, Upgrade> {
    let mut response = ResponseBody::text(status, words + "\n");
    // Not by `keep_alive(false)`: hyper would then write `Upgrade, close` into a 101, which strict clients refuse.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Answer { response, upgrade: None }
}

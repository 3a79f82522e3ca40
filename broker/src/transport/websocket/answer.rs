//! What the port for browsers answers, before the upgrade.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, UPGRADE},
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
    SockJs(WebSocketOptions, Duration),
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
    let (agreed, extension) = agree(listener, request.headers());
    let asks_for_websocket =
        request.uri().path() == listener.path && has_token(request.headers(), &UPGRADE, "websocket");
    let mut answer = match sockjs::options(listener, &current.config.limits) {
        Some(options) if !asks_for_websocket => {
            drop(current);
            let answer = sockjs::answer(broker, &options, peer, request).await;
            let upgrade = answer.upgrade.map(|framing| match framing {
                Framing::Raw => Upgrade::Stomp(agreed),
                Framing::SockJs => Upgrade::SockJs(agreed, options.heartbeat),
            });
            Answer { response: answer.response, upgrade }
        }
        _ => {
            let answer = upgrade(broker, &request, peer, &listener.path, &listener.allowed_origins);
            Answer { response: answer.response, upgrade: answer.upgrade.map(|_| Upgrade::Stomp(agreed)) }
        }
    };
    if let (Some(_), Some(extension)) = (answer.upgrade, extension) {
        answer.response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension));
    }
    answer
}

/// What a WebSocket of this listener goes by, and the extension that is agreed to, if it is opened.
fn agree(listener: &WebSocketListener, headers: &HeaderMap) -> (WebSocketOptions, Option<&'static str>) {
    let extension = if listener.compression.enabled { deflate::negotiate(headers) } else { None };
    let smallest = usize::try_from(listener.compression.minimum_size.0).unwrap_or(usize::MAX);
    let options = WebSocketOptions {
        compress_from: extension.map(|_| smallest),
        ping_interval: listener.ping_interval.map(|interval| interval.0),
    };
    (options, extension)
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

/// An answer of words that ends the connection.
pub(super) fn refuse(status: StatusCode, words: String) -> Answer<ResponseBody, Upgrade> {
    let mut response = ResponseBody::text(status, words + "\n");
    // Not by `keep_alive(false)`: hyper would then write `Upgrade, close` into a 101, which strict clients refuse.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Answer { response, upgrade: None }
}

//! STOMP over WebSocket: HTTP/1.1 until the upgrade, then the same connection driver as for TCP.
//!
//! The HTTP part lives in a task of its own that ends with the upgrade, so that nothing of it stays in an idle session.

pub(crate) mod frames;
mod handshake;
mod origin;
mod utf8;
mod wire;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    server::conn::http1,
    service::service_fn,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::timeout};

use self::handshake::Refusal;
pub(crate) use self::handshake::accept_key;
pub(crate) use self::wire::WebSocketWire;
use super::{
    Admission, Port, Transport,
    tls::{self, Security},
};
use crate::{
    broker::Broker,
    connection::{self, Stream},
};

/// Octets of the head of a request; cookies and tokens of browsers must fit.
const MOST_HEAD: usize = 32 << 10;

/// Serves one accepted connection: TLS and the upgrade here, the session in a task of its own.
pub(crate) fn serve(broker: &Arc<Broker>, stream: TcpStream, peer: SocketAddr, port: Port) {
    let Some(admission) = Admission::decide(broker, Transport::WebSocket, peer) else { return };
    let security = port.security(broker.current().tls.websocket.as_ref());
    let (stop, tasks, broker) = (broker.stop.clone(), broker.tasks.clone(), Arc::clone(broker));
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        match security {
            Security::Plain => upgrade(broker, admission, stream, peer).await,
            Security::Tls(server) => {
                if let Some(stream) = tls::handshake(&broker, &server, Transport::WebSocket, stream, peer).await {
                    upgrade(broker, admission, stream, peer).await;
                }
            }
            Security::Closed => {
                tracing::debug!(client.addr = %peer, "closed: listeners.websocket has no TLS any more");
            }
        }
    }));
}

/// Answers HTTP requests until one is upgraded, the client goes away, or the time for a login is over.
async fn upgrade<S: Stream>(broker: Arc<Broker>, admission: Admission, stream: S, peer: SocketAddr) {
    let time = broker.current().config.limits.login_timeout.0;
    let upgraded = Mutex::new(None);
    let answer = service_fn(|mut request: Request<Incoming>| {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let response = match &admission {
            Admission::Refused(refusal) => text(StatusCode::SERVICE_UNAVAILABLE, refusal.reason.clone()),
            Admission::Admitted(_) => respond(&broker, &request, peer, on_upgrade, &upgraded),
        };
        std::future::ready::<Result<_, Infallible>>(Ok(response))
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(time)
        .max_buf_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    match timeout(time, http).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(client.addr = %peer, %error, "the HTTP connection ended"),
        Err(_) => tracing::debug!(client.addr = %peer, "no WebSocket request within limits.loginTimeout"),
    }
    let Some(on_upgrade) = upgraded.into_inner() else { return };
    let (Admission::Admitted(permit), Ok(Ok(upgraded))) = (admission, timeout(time, on_upgrade).await) else { return };
    if let Ok((stream, read_ahead)) = upgraded_parts::<S>(upgraded) {
        connection::spawn(permit, stream, peer, WebSocketWire::default(), &read_ahead);
    } else {
        tracing::warn!(client.addr = %peer, "the upgraded connection is not the one that was accepted");
    }
}

/// The stream below an upgraded connection, and what was read of it beyond the request.
fn upgraded_parts<S: Stream>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<S>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// The answer to one request; puts the upgrade aside where there is one.
fn respond(
    broker: &Broker,
    request: &Request<Incoming>,
    peer: SocketAddr,
    on_upgrade: OnUpgrade,
    upgrade: &Mutex<Option<OnUpgrade>>,
) -> Response<Full<Bytes>> {
    let current = broker.current();
    let Some(listener) = &current.config.listeners.websocket else {
        return text(StatusCode::NOT_FOUND, "There is no WebSocket endpoint any more.".to_owned());
    };
    match handshake::judge(request, &listener.path, &listener.allowed_origins) {
        Ok(accepted) => {
            *upgrade.lock() = Some(on_upgrade);
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            if let Ok(accept) = HeaderValue::try_from(accepted.accept) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
            if let Some(protocol) = accepted.protocol {
                headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            }
            response
        }
        Err(refusal) => {
            if let Refusal::Origin(origin) = &refusal {
                broker.metrics.origins_refused.inc();
                tracing::warn!(client.addr = %peer, origin, "WebSocket refused: the origin is not allowed");
            }
            let (status, header) = refusal.status();
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = text(status, refusal.to_string());
            response.headers_mut().extend(header);
            response
        }
    }
}

fn text(status: StatusCode, mut body: String) -> Response<Full<Bytes>> {
    body.push('\n');
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Not by `keep_alive(false)`: hyper would then write `Upgrade, close` into a 101, which strict clients refuse.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

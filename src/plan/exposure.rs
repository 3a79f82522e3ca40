//! What leads into the cluster leads to: the ports and paths that Ingress and routes share.

use crate::{api::ListenerPort, validate::ValidatedBroker};

/// A path that requests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestPath<'a> {
    /// The path.
    pub(super) value: &'a str,
    /// Whether all paths below it count as well, as SockJS needs.
    pub(super) is_prefix: bool,
}

/// The port for what comes over HTTP: the unencrypted one, where there is one, for TLS ends at the edge of the cluster.
pub(super) fn websocket_port(broker: &ValidatedBroker) -> Option<ListenerPort> {
    broker.listeners.ports().find(|port| port.is_websocket)
}

/// The path for what comes over HTTP.
pub(super) fn websocket_path(broker: &ValidatedBroker) -> Option<RequestPath<'_>> {
    let websocket = broker.listeners.websocket.as_ref()?;
    Some(RequestPath { value: &websocket.path, is_prefix: websocket.serves_sock_js() })
}

/// The port for STOMP over TLS.
pub(super) fn stomp_tls_port(broker: &ValidatedBroker) -> Option<ListenerPort> {
    broker.listeners.ports().find(|port| !port.is_websocket && port.is_tls)
}

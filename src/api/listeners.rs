//! Where clients connect.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use stompbroker_config::{AddressRange, ByteSize, GoDuration, Peers};

use super::{ListenerTls, rules, scalars};

/// Port of the admin endpoints of each pod; no listener may have it.
pub const ADMIN_PORT: u16 = 15020;
/// Port where the pods of a broker reach each other; no listener may have it.
pub const PEERS_PORT: u16 = Peers::PORT;

/// Where clients connect; at least one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::one_listener(),
    validation = rules::listener_ports_differ(),
    validation = rules::listener_ports_are_free(),
    validation = rules::tls_ports_are_free()
)]
pub struct Listeners {
    /// STOMP over TCP, for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<StompListener>,
    /// STOMP over WebSocket, for browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketListener>,
}

/// STOMP over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StompListener {
    /// Port of the pods and of the Service. Ports below 1024 need privileges that the pods do not have.
    #[serde(default = "stomp_port")]
    #[schemars(with = "i32", range(min = 1024, max = 65535))]
    pub port: u16,
    /// What happens when more messages of topics wait for a client than it takes.
    #[serde(default)]
    pub slow_consumers: SlowConsumers,
    /// Load balancers that begin each connection with a PROXY header (version 1 or 2), which says where the client connects
    /// from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<TrustedProxies>,
    /// TLS. Absent: the connections are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// STOMP over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::websocket_path_is_a_path(), validation = rules::allowed_origins_are_origins())]
#[x_kube(validation = rules::ping_interval_is_positive())]
pub struct WebSocketListener {
    /// Port of the pods and of the Service. Ports below 1024 need privileges that the pods do not have.
    #[serde(default = "websocket_port")]
    #[schemars(with = "i32", range(min = 1024, max = 65535))]
    pub port: u16,
    /// Path of the WebSocket endpoint.
    #[serde(default = "websocket_path")]
    #[schemars(length(min = 1, max = 255))]
    pub path: String,
    /// Origins that browsers may come from: an origin such as `https://app.example.com`, a pattern such as
    /// `https://*.example.com`, or `*` for all. Empty: only the origin that the request was sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_origins: Vec<String>,
    /// How often the pods ping their clients, for proxies that close connections on which nothing moves; a client that answers
    /// none is closed. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub ping_interval: Option<GoDuration>,
    /// Compression of messages (permessage-deflate), for clients that offer it. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// What happens when more messages of topics wait for a client than it takes.
    #[serde(default)]
    pub slow_consumers: SlowConsumers,
    /// SockJS below the same path, for browsers whose proxies take WebSocket away. Absent: WebSocket alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sock_js: Option<SockJs>,
    /// Load balancers that begin each connection with a PROXY header (version 1 or 2), which says where the client connects
    /// from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<TrustedProxies>,
    /// Proxies and ingress controllers whose header `X-Forwarded-For` says where the client connects from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_headers: Option<TrustedProxies>,
    /// TLS. Absent: the connections are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// Proxies that are believed about a client's address, which limits, log and the list of sessions then go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedProxies {
    /// Where they connect from, as seen by the pods: addresses such as `192.0.2.7`, or ranges such as `10.0.0.0/16`. Name
    /// nothing that clients can connect from, for they could claim any address.
    #[schemars(schema_with = "scalars::address_ranges")]
    pub trusted_addresses: Vec<AddressRange>,
}

/// Compression of WebSocket messages, each by itself: a session keeps no memory for it from one message to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// Whether it is agreed to.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Octets of a message from which on it is compressed.
    #[serde(default = "compression_minimum_size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub minimum_size: ByteSize,
}

/// What happens when more messages of topics wait for a client than it takes. Messages of queues, and those that the client
/// acknowledges, are never dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SlowConsumers {
    /// The session ends with an ERROR.
    #[default]
    Close,
    /// The messages that have waited longest are dropped: the client gets the newest state.
    DropOldest,
    /// The message that finds no room is dropped.
    DropNewest,
}

/// STOMP over SockJS. Any pod takes any request of a client and hands it on to the pod of its session, so that load
/// balancers need not be sticky.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::sock_js_times_are_not_zero(), validation = rules::sock_js_client_is_a_url())]
pub struct SockJs {
    /// Whether it is served.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long nothing may be sent to a client, that did not agree on STOMP heart-beats, before a heart-beat of SockJS is.
    #[serde(default = "sock_js_heartbeat")]
    #[schemars(schema_with = "scalars::duration")]
    pub heartbeat: GoDuration,
    /// How long a session lives without a request that waits for its messages.
    #[serde(default = "disconnect_delay")]
    #[schemars(schema_with = "scalars::duration")]
    pub disconnect_delay: GoDuration,
    /// Octets after which a streaming response ends and the client asks for the next one, for browsers keep all of it.
    #[serde(default = "response_limit")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub response_limit: ByteSize,
    /// Whether to set the cookie JSESSIONID, by which load balancers can find the pod of a session again, to save a hop.
    #[serde(default)]
    pub session_cookie: bool,
    /// Where the page for old browsers, which is shown in an iframe, gets sockjs-client from. Such browsers also need the
    /// broker's own origin in `allowedOrigins`.
    #[serde(default = "client_url")]
    #[schemars(length(min = 1, max = 1024))]
    pub client_url: String,
}

/// A port of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerPort {
    /// Its name in Services and pods.
    pub name: &'static str,
    /// Path of the field that it comes from.
    pub field: &'static str,
    /// Its number.
    pub number: u16,
    /// Whether WebSocket is spoken on it, not STOMP over TCP.
    pub is_websocket: bool,
    /// Whether TLS is spoken on it.
    pub is_tls: bool,
}

impl WebSocketListener {
    /// Whether SockJS is spoken below its path.
    pub fn serves_sock_js(&self) -> bool {
        self.sock_js.as_ref().is_some_and(|sock_js| sock_js.enabled)
    }
}

impl Listeners {
    /// The listeners that speak TLS, by name.
    pub fn tls(&self) -> impl Iterator<Item = (&'static str, &ListenerTls)> {
        let stomp = self.stomp.as_ref().and_then(|stomp| stomp.tls.as_ref());
        let websocket = self.websocket.as_ref().and_then(|websocket| websocket.tls.as_ref());
        [("stomp", stomp), ("websocket", websocket)].into_iter().filter_map(|(name, tls)| Some((name, tls?)))
    }

    /// Every port, the unencrypted ones of a listener before that of its TLS.
    pub fn ports(&self) -> impl Iterator<Item = ListenerPort> {
        let stomp = self.stomp.as_ref().map(|stomp| (stomp.port, stomp.tls.as_ref(), false));
        let websocket = self.websocket.as_ref().map(|websocket| (websocket.port, websocket.tls.as_ref(), true));
        stomp.into_iter().chain(websocket).flat_map(|(number, tls, is_websocket)| {
            let own = tls.and_then(|tls| tls.port);
            let main = ListenerPort {
                name: if is_websocket { "websocket" } else { "stomp" },
                field: if is_websocket { "spec.listeners.websocket.port" } else { "spec.listeners.stomp.port" },
                number,
                is_websocket,
                is_tls: tls.is_some() && own.is_none(),
            };
            let beside = own.map(|number| ListenerPort {
                name: if is_websocket { "websocket-tls" } else { "stomp-tls" },
                field: if is_websocket { "spec.listeners.websocket.tls.port" } else { "spec.listeners.stomp.tls.port" },
                number,
                is_tls: true,
                ..main
            });
            std::iter::once(main).chain(beside)
        })
    }
}

impl Default for Listeners {
    fn default() -> Self {
        Self { stomp: Some(StompListener::default()), websocket: Some(WebSocketListener::default()) }
    }
}

impl Default for StompListener {
    fn default() -> Self {
        Self { port: stomp_port(), slow_consumers: SlowConsumers::Close, proxy_protocol: None, tls: None }
    }
}

impl Default for WebSocketListener {
    fn default() -> Self {
        Self {
            port: websocket_port(),
            path: websocket_path(),
            allowed_origins: Vec::new(),
            ping_interval: None,
            compression: None,
            slow_consumers: SlowConsumers::Close,
            sock_js: None,
            proxy_protocol: None,
            forwarded_headers: None,
            tls: None,
        }
    }
}

fn stomp_port() -> u16 {
    61613
}

fn websocket_port() -> u16 {
    8080
}

fn websocket_path() -> String {
    "/ws".to_owned()
}

fn yes() -> bool {
    true
}

fn compression_minimum_size() -> ByteSize {
    stompbroker_config::Compression::default().minimum_size
}

fn sock_js_heartbeat() -> GoDuration {
    stompbroker_config::SockJs::default().heartbeat
}

fn disconnect_delay() -> GoDuration {
    stompbroker_config::SockJs::default().disconnect_delay
}

fn response_limit() -> ByteSize {
    stompbroker_config::SockJs::default().response_limit
}

fn client_url() -> String {
    stompbroker_config::SockJs::default().client_url
}

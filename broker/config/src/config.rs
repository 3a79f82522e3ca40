//! The shape of `broker.yaml`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    Application, Authorization, ByteSize, DestinationPolicy, GoDuration, JetStreamEngine, JwtIssuer, ListenerTls,
    Logging, Peers, Tracing, TrustedProxies, UpstreamTls, UserDestinations,
};

/// The whole of one broker pod's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The zone this pod runs in (`topology.kubernetes.io/zone`); upstreams of the same zone are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where clients connect; at least one.
    pub listeners: Listeners,
    /// Where operators, probes and Prometheus connect.
    #[serde(default)]
    pub admin: Admin,
    /// The other pods of the same broker. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// What services and client connections log in with.
    #[serde(default)]
    pub credentials: Credentials,
    /// Further ways to log in.
    #[serde(default)]
    pub authentication: Authentication,
    /// Destination rules. Absent: every session that could log in may send and subscribe everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Where messages go.
    #[serde(default)]
    pub engine: Engine,
    /// What destinations keep and for how long, by pattern; the first that matches counts. Not with the
    /// relay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<DestinationPolicy>,
    /// Destinations of users. Not with the relay.
    #[serde(default, skip_serializing_if = "UserDestinations::is_default")]
    pub user_destinations: UserDestinations,
    /// HTTP services that handle what clients send below their prefixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<Application>,
    /// Bounds that protect the pod.
    #[serde(default)]
    pub limits: Limits,
    /// The heart-beat period that the broker offers and wants, both ways.
    #[serde(default = "defaults::heartbeat")]
    pub heartbeat: GoDuration,
    /// How long a client that agreed on heart-beats may be silent before its session ends.
    #[serde(default = "defaults::session_timeout")]
    pub session_timeout: GoDuration,
    /// How the pod lets its sessions go when it stops.
    #[serde(default)]
    pub drain: Drain,
    /// What is logged, and how.
    #[serde(default, skip_serializing_if = "Logging::is_default")]
    pub logging: Logging,
    /// Traces of messages. Absent: none, and `traceparent` is a header as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Where clients connect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listeners {
    /// STOMP over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<StompListener>,
    /// STOMP over WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketListener>,
}

impl Listeners {
    /// The listeners that have TLS, by their names.
    pub fn tls(&self) -> impl Iterator<Item = (&'static str, u16, &ListenerTls)> {
        let stomp = self.stomp.as_ref().and_then(|stomp| Some(("stomp", stomp.port, stomp.tls.as_ref()?)));
        let websocket = self.websocket.as_ref();
        let websocket = websocket.and_then(|websocket| Some(("websocket", websocket.port, websocket.tls.as_ref()?)));
        stomp.into_iter().chain(websocket)
    }

    /// The proxies that any listener trusts, by the keys that name them.
    pub fn proxies(&self) -> impl Iterator<Item = (&'static str, &TrustedProxies)> {
        let stomp = self.stomp.as_ref().and_then(|stomp| stomp.proxy_protocol.as_ref());
        let websocket = self.websocket.as_ref();
        let named = [
            ("stomp.proxyProtocol", stomp),
            ("websocket.proxyProtocol", websocket.and_then(|websocket| websocket.proxy_protocol.as_ref())),
            ("websocket.forwardedHeaders", websocket.and_then(|websocket| websocket.forwarded_headers.as_ref())),
        ];
        named.into_iter().filter_map(|(key, proxies)| Some((key, proxies?)))
    }
}

/// STOMP over TCP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StompListener {
    /// TCP port, customarily 61613; 0 lets the system choose one.
    pub port: u16,
    /// What happens when more messages of topics wait for a client than `limits.sendBufferSize`.
    #[serde(default, skip_serializing_if = "SlowConsumers::is_close")]
    pub slow_consumers: SlowConsumers,
    /// Proxies whose connections begin with a PROXY header, which says where their client connects from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<TrustedProxies>,
    /// TLS. Absent: the connections are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// STOMP over WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketListener {
    /// TCP port; 0 lets the system choose one.
    pub port: u16,
    /// Path of the WebSocket endpoint.
    #[serde(default = "defaults::websocket_path")]
    pub path: String,
    /// Origins that browsers may come from. Empty: only the origin that the request was sent to (same origin).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<AllowedOrigin>,
    /// How often the broker pings its clients, for proxies that close connections on which nothing moves; a client that
    /// answers none is closed. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_interval: Option<GoDuration>,
    /// Compression of messages.
    #[serde(default, skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
    /// What happens when more messages of topics wait for a client than `limits.sendBufferSize`.
    #[serde(default, skip_serializing_if = "SlowConsumers::is_close")]
    pub slow_consumers: SlowConsumers,
    /// Proxies whose connections begin with a PROXY header, which says where their client connects from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<TrustedProxies>,
    /// Proxies whose `X-Forwarded-For` says where their client connects from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_headers: Option<TrustedProxies>,
    /// TLS. Absent: the connections are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// SockJS below the same path. Absent: WebSocket alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sock_js: Option<SockJs>,
}

/// STOMP over SockJS, for browsers whose proxies take WebSocket away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SockJs {
    /// Whether it is served.
    pub enabled: bool,
    /// How long nothing may be sent to a client, that did not agree on STOMP heart-beats, before a heart-beat of SockJS is.
    pub heartbeat: GoDuration,
    /// How long a session lives without a request that waits for its messages.
    pub disconnect_delay: GoDuration,
    /// Octets after which a streaming response ends and the client asks for the next one, for browsers keep all of it.
    pub response_limit: ByteSize,
    /// Whether to set the cookie `JSESSIONID`, by which load balancers find the pod of a session again.
    pub session_cookie: bool,
    /// Where the page for old browsers, which is shown in an iframe, gets `sockjs-client` from.
    pub client_url: String,
}

/// Compression of messages (permessage-deflate, RFC 7692) with clients that offer it. No window is kept from one message to
/// the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compression {
    /// Whether it is agreed to.
    pub enabled: bool,
    /// Octets of a frame from which on the broker compresses it.
    pub minimum_size: ByteSize,
}

/// What happens when more messages of topics wait for a client than `limits.sendBufferSize`. Messages that the client
/// acknowledges, and those of queues, are never dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlowConsumers {
    /// The session ends with an ERROR.
    #[default]
    Close,
    /// The messages that have waited longest are dropped: the client gets the newest state.
    DropOldest,
    /// The message that finds no room is dropped.
    DropNewest,
}

impl SlowConsumers {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    fn is_close(&self) -> bool {
        *self == Self::Close
    }
}

/// An origin such as `https://app.example.com`, a pattern such as `https://*.example.com`, or `*` for all.
pub type AllowedOrigin = String;

/// Where operators, probes and Prometheus connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// TCP port; 0 lets the system choose one.
    #[serde(default = "defaults::admin_port")]
    pub port: u16,
    /// File with the bearer token for everything but the probes and `/metrics`. Absent: those endpoints answer 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// What services and client connections log in with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// What services and Spring's system connection log in with; such a session carries the role `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<CredentialDirectory>,
    /// What client connections log in with; such a session carries the role `client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<CredentialDirectory>,
}

/// Further ways to log in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// Whether a CONNECT without a login is accepted.
    #[serde(default)]
    pub anonymous: bool,
    /// Issuers whose tokens are accepted, in `Authorization: Bearer` or as the passcode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtIssuer>,
    /// A further header of CONNECT that may bring a token, with or without `Bearer` before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_header: Option<String>,
    /// Users with passwords of their own. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserFile>,
}

/// Users with passwords of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserFile {
    /// YAML or JSON file: `users`, each with `name`, `passwordHash` (argon2id) and `roles`.
    pub file: PathBuf,
}

/// A folder with the files `username` and `password`, as Kubernetes mounts a Secret. What clients log in with may have two
/// further values, accepted alike, so that a rotation leaves nobody without a valid one: `next.username` and
/// `next.password`, `previous.username` and `previous.password`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialDirectory {
    /// Path of the folder.
    pub directory: PathBuf,
}

/// Where messages go: one of the engines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Engine {
    /// In the memory of this one pod.
    Embedded(EmbeddedEngine),
    /// To a STOMP broker upstream.
    Relay(RelayEngine),
    /// Over NATS, with queues in JetStream.
    JetStream(JetStreamEngine),
}

/// Topics and queues in the memory of this one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EmbeddedEngine {
    /// Most octets of messages that one queue holds, delivered but unacknowledged ones included; a SEND beyond it is
    /// refused with an ERROR. All queues together hold at most four times as much.
    pub queue_size: ByteSize,
    /// Unacknowledged messages that a subscription may hold when it does not say `prefetch-count` itself.
    pub prefetch: u32,
    /// Where `persistent:true` messages of queues are kept over a restart. Absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// A store on a volume that no other broker uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Persistence {
    /// Folder of the store; made if it is not there.
    pub directory: PathBuf,
    /// Most octets of the store's file. The volume should have a quarter more, for the log of changes.
    #[serde(default = "defaults::store_size")]
    pub size: ByteSize,
}

impl Persistence {
    /// The smallest [`Self::size`] that leaves room for messages.
    pub const MIN_SIZE: ByteSize = ByteSize(64 << 20);
}

/// The upstream brokers that this pod relays to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RelayEngine {
    /// Destinations that go upstream, by prefix (`/topic` covers `/topic/a` but not `/topics`); all others are refused.
    pub destination_prefixes: Vec<String>,
    /// The upstream brokers; those of the pod's own zone are tried first, then the others in order.
    pub upstreams: Vec<Upstream>,
    /// TLS of all connections to upstreams. Absent: they are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Value of the `host` header upstream; absent: no such header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<String>,
    /// Sessions share a few connections to the upstream. Absent: each has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiplex: Option<Multiplex>,
    /// The topic by which messages for users reach the sessions of all pods, and of Spring applications that name the same
    /// topic in `setUserDestinationBroadcast`. Absent: destinations of users are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_destination_broadcast: Option<String>,
    /// The topic by which pods tell which users have sessions, and Spring applications that name the same topic in
    /// `setUserRegistryBroadcast` do. Absent: nobody is told, and a user with sessions at both is reached only where the
    /// sender is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_registry_broadcast: Option<String>,
    /// What the pod's one system connection logs in with.
    pub system_credentials: CredentialDirectory,
    /// What the connections of client sessions log in with.
    pub client_credentials: CredentialDirectory,
    /// Heart-beats of all connections to the upstream.
    #[serde(default)]
    pub heartbeat: HeartbeatPair,
    /// How long an upstream may take from TCP connect to CONNECTED.
    #[serde(default = "defaults::connect_timeout")]
    pub connect_timeout: GoDuration,
}

/// Connections to the upstream that sessions share. A session that names a `client-id` in its CONNECT has one of its own, for
/// its durable subscriptions belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Multiplex {
    /// Most of them, from this pod to one upstream.
    pub connections: u16,
}

/// One upstream STOMP broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// Host name or address.
    pub host: String,
    /// TCP port of its STOMP listener.
    pub port: u16,
    /// The zone it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Heart-beat periods of a connection that the broker opens itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HeartbeatPair {
    /// How often the broker can send.
    pub send: GoDuration,
    /// How often it wants to receive.
    pub receive: GoDuration,
}

/// Bounds that protect the pod. What exceeds one gets an ERROR that names the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Sessions at once; further connections are refused.
    pub connections_per_pod: u32,
    /// Connections at once from one address, or from one /64 of IPv6. Absent: no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address: Option<u32>,
    /// Octets that messages and buffers of the whole process may hold. Near it senders are read more slowly, at it SEND and
    /// connections are refused. Absent: 60 percent of what the control group of the process may use, or no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// SEND frames accepted in a second over all sessions; beyond it the broker reads more slowly. Absent: no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second_per_pod: Option<u32>,
    /// Subscriptions of one session.
    pub subscriptions_per_session: u32,
    /// Octets of one message's body.
    pub message_size: ByteSize,
    /// Octets of a frame that comes before the session has logged in.
    pub unauthenticated_frame_size: ByteSize,
    /// Header lines of one frame.
    pub headers: u32,
    /// Octets of one header line.
    pub header_size: ByteSize,
    /// Open transactions of one session.
    pub transactions_per_session: u32,
    /// Frames of one transaction.
    pub frames_per_transaction: u32,
    /// Octets of the messages that one session's open transactions hold together.
    pub transaction_size: ByteSize,
    /// Octets that wait for one slow client before its session is closed.
    pub send_buffer_size: ByteSize,
    /// How long a client may take none of what waits for it.
    pub send_timeout: GoDuration,
    /// How long a connection may take to log in.
    pub login_timeout: GoDuration,
}

/// How a pod lets its sessions go when it is told to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// How long to go on accepting after readiness turned false, so that load balancers notice.
    pub delay: GoDuration,
    /// Sessions closed in a second.
    pub connections_per_second: u32,
    /// After this much time in all, the sessions that are left are closed at once.
    pub deadline: GoDuration,
}

impl Default for Admin {
    fn default() -> Self {
        Self { port: defaults::admin_port(), token_file: None }
    }
}

impl Compression {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self { enabled: false, minimum_size: ByteSize(512) }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::Embedded(EmbeddedEngine::default())
    }
}

impl Default for EmbeddedEngine {
    fn default() -> Self {
        Self { queue_size: ByteSize(64 << 20), prefetch: 100, persistence: None }
    }
}

impl Default for HeartbeatPair {
    fn default() -> Self {
        Self { send: defaults::heartbeat(), receive: defaults::heartbeat() }
    }
}

impl Default for SockJs {
    fn default() -> Self {
        Self {
            enabled: true,
            heartbeat: GoDuration::from_secs(25),
            disconnect_delay: GoDuration::from_secs(5),
            response_limit: ByteSize(128 << 10),
            session_cookie: false,
            client_url: "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js".to_owned(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_pod: 10_000,
            connections_per_address: None,
            memory: None,
            messages_per_second_per_pod: None,
            subscriptions_per_session: 100,
            message_size: ByteSize(64 << 10),
            unauthenticated_frame_size: ByteSize(16 << 10),
            headers: 100,
            header_size: ByteSize(10 << 10),
            transactions_per_session: 16,
            frames_per_transaction: 1024,
            transaction_size: ByteSize(4 << 20),
            send_buffer_size: ByteSize(512 << 10),
            send_timeout: GoDuration::from_secs(10),
            login_timeout: GoDuration::from_secs(10),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: GoDuration::from_secs(5), connections_per_second: 200, deadline: GoDuration::from_secs(300) }
    }
}

/// Defaults that stand alone; the structs above hold the others.
mod defaults {
    use crate::{ByteSize, GoDuration};

    pub(super) const fn heartbeat() -> GoDuration {
        GoDuration::from_secs(10)
    }
    pub(super) const fn session_timeout() -> GoDuration {
        GoDuration::from_secs(30)
    }
    pub(super) const fn connect_timeout() -> GoDuration {
        GoDuration::from_secs(10)
    }
    pub(super) const fn admin_port() -> u16 {
        15020
    }
    pub(super) const fn store_size() -> ByteSize {
        ByteSize(1 << 30)
    }
    pub(super) fn websocket_path() -> String {
        "/ws".to_owned()
    }
}

//! The JSON that the broker's admin port answers.
//!
//! | path | answer | token |
//! |---|---|---|
//! | `/livez`, `/readyz` | text; 200 or 503 with the reasons, one a line | no |
//! | `/metrics` | Prometheus text | no |
//! | `/console` | a page for people that shows the rest and speaks STOMP; it asks for the token itself | no |
//! | `/status` | [`Status`], all that the operator polls in one answer | yes |
//! | `/config-hash` | [`ConfigStatus`] | yes |
//! | `/websocket-stats` | [`WebSocketStats`] | yes |
//! | `/sessions`, `/users/{name}/sessions` | [`SessionList`] of this pod, of all pods; `?scope=`, `?limit=`, `?after=`, the former also `?user=` | yes |
//! | `/sessions/{id}` | [`SessionStatus`], in whatever pod it is; 404 when there is none | yes |
//! | `DELETE /sessions/{id}` | 202, the session ends with an ERROR | yes |
//! | `/destinations` | [`DestinationList`]; `?limit=`, `?after=` | yes |
//! | `POST /drain` | 202, the pod begins to drain as on SIGTERM but stays alive | yes |
//! | `DELETE /drain` | 202, the pod serves again; 409 when the process is ending | yes |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that the operator polls of one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the broker binary.
    pub version: String,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The logins in force.
    #[serde(default, skip_serializing_if = "LoginDigests::is_empty")]
    pub logins: LoginDigests,
    /// Live sessions and rates.
    pub sessions: Sessions,
    /// The upstream, with the relay engine, or NATS, with the engine jetStream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// Whether the pod is letting its sessions go.
    pub draining: bool,
    /// How far that is; absent while the pod serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
}

/// How far a drain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// What it is doing.
    pub phase: DrainPhase,
    /// When it began (RFC 3339).
    pub since: String,
    /// When what is left is closed at once (RFC 3339).
    pub deadline: String,
    /// Open connections when it began.
    pub connections_at_start: u64,
    /// Open connections now.
    pub connections_left: u64,
    /// Whether `DELETE /drain` makes the pod serve again: not when the process is ending.
    pub can_be_called_off: bool,
}

/// What a drain is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainPhase {
    /// Not ready, but accepting, so that load balancers notice.
    Waiting,
    /// The ports are closed; sessions are asked to end at the configured pace.
    Closing,
    /// No session is left.
    Drained,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// [`crate::config_hash`] of the file that is in force.
    pub hash: String,
    /// Why the file now on disk is not in force; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// Changed keys of the file in force that only a restart brings into effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
}

/// The logins in force, as [`crate::login_digest`]; one is absent when the configuration has none, or no admin token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginDigests {
    /// What services log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What client connections log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl LoginDigests {
    /// Whether there is nothing to say.
    pub const fn is_empty(&self) -> bool {
        self.system.is_none() && self.client.is_none()
    }
}

/// Live sessions and rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// Sessions over TCP that have logged in.
    pub stomp: u64,
    /// Sessions over WebSocket that have logged in.
    pub websocket: u64,
    /// Sessions over SockJS by WebSocket.
    #[serde(default)]
    pub sock_js_websocket: u64,
    /// Sessions over SockJS by HTTP responses that go on.
    #[serde(default)]
    pub sock_js_streaming: u64,
    /// Sessions over SockJS by an HTTP response a frame.
    #[serde(default)]
    pub sock_js_polling: u64,
    /// All sessions since the start.
    pub total: u64,
    /// Sessions since the start that did not end by DISCONNECT or an orderly close.
    pub closed_abnormally: u64,
    /// SEND frames in a second, over the last ten seconds.
    pub inbound_per_second: f64,
    /// MESSAGE frames in a second, over the last ten seconds.
    pub outbound_per_second: f64,
}

impl Sessions {
    /// Live sessions over all transports.
    pub const fn live(&self) -> u64 {
        self.stomp + self.websocket + self.sock_js_websocket + self.sock_js_streaming + self.sock_js_polling
    }
}

/// Sessions, and what the engine knows of each destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebSocketStats {
    /// Live sessions and rates, on the same level as `destinations`.
    #[serde(flatten)]
    pub sessions: Sessions,
    /// Connections since the start that ended without DISCONNECT or an orderly close, by the reason of the metric
    /// `stompbroker_sessions_closed_total`; reasons that have not occurred are left out.
    #[serde(default)]
    pub closed_abnormally_by_reason: BTreeMap<String, u64>,
    /// By destination; empty with the relay engine, where only the upstream knows.
    pub destinations: BTreeMap<String, DestinationStats>,
}

/// One page of sessions: pod by pod, each pod's oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    /// How many there are on all pages.
    pub total: u64,
    /// Those of this page.
    pub sessions: Vec<SessionStatus>,
    /// What to ask for as `after` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Pods by address and port that did not answer, so that their sessions are missing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// One session that has logged in. Frames and octets are since it connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// As in the header `session` of CONNECTED and in log lines.
    pub id: String,
    /// Host name of the pod that has it, which in Kubernetes is the pod's name.
    #[serde(default)]
    pub pod: String,
    /// The user's name; absent for an anonymous session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Address and port that the client connects from.
    pub address: String,
    /// As in the label `transport` of metrics.
    pub transport: String,
    /// Version of STOMP.
    pub version: String,
    /// When it logged in (RFC 3339).
    pub connected_since: String,
    /// How many subscriptions it has.
    pub subscriptions: u32,
    /// Frames from the client.
    pub frames_received: u64,
    /// Frames to the client.
    pub frames_sent: u64,
    /// Octets from the client, with the framing of the transport.
    pub octets_received: u64,
    /// Octets to the client, with the framing of the transport.
    pub octets_sent: u64,
    /// Octets of messages that wait to leave for the client, bounded by `limits.sendBufferSize`.
    pub octets_waiting: u64,
}

/// One page of destinations, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationList {
    /// How many there are on all pages.
    pub total: u64,
    /// Those of this page.
    pub destinations: Vec<NamedDestination>,
    /// What to ask for as `after` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A destination and what the engine knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedDestination {
    /// As clients write it.
    pub name: String,
    /// What the engine knows of it.
    #[serde(flatten)]
    pub stats: DestinationStats,
}

/// What the engine knows of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStats {
    /// Messages that wait for a consumer.
    pub depth: u64,
    /// Messages delivered and not settled.
    pub unsettled: u64,
    /// Subscriptions.
    pub consumers: u64,
}

/// The relay's view of its upstreams, or that of the engine jetStream of its servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStatus {
    /// Whether the system connection stands, so that messages flow.
    pub connected: bool,
    /// Connections of client sessions to the upstream.
    pub client_connections: u64,
    /// Every configured upstream in the order of preference.
    pub upstreams: Vec<UpstreamStatus>,
}

/// What the relay knows of one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// Host as configured.
    pub host: String,
    /// Port as configured.
    pub port: u16,
    /// What the last try, or the standing connection, showed.
    pub state: UpstreamState,
    /// Detail for people, without secrets; absent when connected or untried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the relay last saw of an upstream; the names are reasons of the condition `RelayConnected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UpstreamState {
    /// Not tried yet, or not needed because another one serves.
    Idle,
    /// The system connection stands here.
    Connected,
    /// The host name does not resolve.
    DnsFailed,
    /// No TCP connection, or it broke, or no answer in time.
    Unreachable,
    /// No agreement on TLS: whose certificate is trusted, whether one is shown, or whether there is TLS at all.
    TlsFailed,
    /// The upstream refused the login.
    AuthFailed,
    /// The upstream does not know the virtual host.
    VhostMissing,
    /// The upstream answered something that is not STOMP, or an ERROR of another kind.
    ProtocolError,
}

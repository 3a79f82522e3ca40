//! Where messages go.

#![allow(clippy::struct_field_names, reason = "the fields of UpstreamTls are names of different things")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::{ByteSize, GoDuration};

use super::{JetStreamEngine, rules, scalars};

/// Where messages go: exactly one of the engines.
///
/// Two optional fields instead of an enum: the API server's own message for a failed `oneOf` names no remedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_engine())]
pub struct Engine {
    /// In the memory of the one pod that there is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedEngine>,
    /// To an upstream STOMP broker such as RabbitMQ, Artemis or ActiveMQ; any number of pods in any zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayEngine>,
    /// Over NATS, with queues in JetStream; any number of pods in any zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jet_stream: Option<JetStreamEngine>,
}

/// Topics and queues in the memory of one pod. A restart loses them, except for what `persistence` keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedEngine {
    /// Most octets of messages that one queue holds, undelivered or unacknowledged; a SEND beyond it is refused with an
    /// ERROR. All queues together hold at most four times as much.
    #[serde(default = "queue_size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub queue_size: ByteSize,
    /// Unacknowledged messages that a subscription may hold when it does not say `prefetch-count` itself.
    #[serde(default = "prefetch")]
    #[schemars(with = "i32", range(min = 1, max = 100_000))]
    pub prefetch: u32,
    /// Keeps `persistent:true` messages of queues on a volume, over restarts. Absent: they are lost with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// The volume of the one pod, as a PersistentVolumeClaim with the Deployment's name. It is never deleted with the
/// StompBroker or by it: a StompBroker of the same name goes on with it; `kubectl delete pvc` ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::volume_is_large_enough(Persistence::FIELD, "128Mi"),
    validation = rules::volume_only_grows(Persistence::FIELD, Persistence::ANEW),
    validation = rules::storage_class_is_kept(Persistence::FIELD, Persistence::ANEW)
)]
pub struct Persistence {
    /// Size of the volume; three quarters of it are for messages. It can grow later if the storage class allows that, never
    /// shrink. All that is stored is in the pod's memory too, so more than six times `queueSize` helps nobody.
    #[serde(default = "volume_size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub size: ByteSize,
    /// Storage class of the volume. Absent: the cluster's default. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,
}

impl Persistence {
    /// Where it is in the spec.
    const FIELD: &str = "spec.engine.embedded.persistence";
    /// What to do about a volume that cannot be changed.
    const ANEW: &str = "leave it, or remove persistence, delete the PersistentVolumeClaim and set it again";
    /// The smallest volume that leaves room for messages.
    pub const MIN_SIZE: ByteSize = ByteSize(128 << 20);

    /// What of the volume the store's file may have; the rest is for its log and the file system.
    pub const fn store_size(&self) -> ByteSize {
        ByteSize(self.size.0 / 4 * 3)
    }
}

/// The upstream brokers that every pod relays to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::prefixes_begin_with_a_slash(),
    validation = rules::connect_timeout_is_positive(),
    validation = rules::upstreams_named_once(),
    validation = rules::broadcasts_are_topics(),
    validation = rules::broadcasts_differ(),
    validation = rules::upstream_credentials_named()
)]
pub struct RelayEngine {
    /// Destinations that go upstream, by prefix: `/topic` covers `/topic/a` but not `/topics`. All others are refused.
    #[serde(default = "destination_prefixes")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub destination_prefixes: Vec<String>,
    /// The upstream brokers. A pod tries those of its own zone first, then the others in this order. Either these or
    /// `rabbitmqClusterRef`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["host".into(), "port".into()]))]
    pub upstreams: Vec<Upstream>,
    /// A RabbitMQ that its own operator runs, instead of `upstreams`: host, port and logins are those of that cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq_cluster_ref: Option<RabbitmqClusterReference>,
    /// TLS of all connections to the upstreams. Absent: they are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Value of the `host` header upstream, which RabbitMQ takes as the virtual host. Absent: no such header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub virtual_host: Option<String>,
    /// Sessions of a pod share a few connections to the upstream. Absent: each session has one of its own, as with Spring's
    /// relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiplex: Option<Multiplex>,
    /// The topic by which messages for users (`/user/ann/queue/a`) reach the sessions of all pods, and of Spring applications
    /// that name the same topic in `setUserDestinationBroadcast`. Absent: such destinations are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub user_destination_broadcast: Option<String>,
    /// The topic by which pods tell which users have sessions, and Spring applications that name the same topic in
    /// `setUserRegistryBroadcast` do. Absent: nobody is told, and a user with sessions at pods and at Spring applications is
    /// reached by the latter only at their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub user_registry_broadcast: Option<String>,
    /// What the one system connection of each pod logs in with upstream. Absent: the default user of `rabbitmqClusterRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_credentials: Option<SecretReference>,
    /// What the upstream connections of client sessions log in with. Absent: the default user of `rabbitmqClusterRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<SecretReference>,
    /// Heart-beats of all connections to the upstream.
    #[serde(default)]
    pub heartbeat: HeartbeatPair,
    /// How long an upstream may take from the TCP connect to CONNECTED.
    #[serde(default = "connect_timeout")]
    #[schemars(schema_with = "scalars::duration")]
    pub connect_timeout: GoDuration,
}

/// A RabbitmqCluster, which RabbitMQ's own operator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RabbitmqClusterReference {
    /// Name of the RabbitmqCluster in the same namespace. Its plugin `rabbitmq_stomp` must be enabled.
    #[schemars(length(min = 1, max = 240), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

impl RabbitmqClusterReference {
    /// Keys of [`Self::secret_name`]; the last is there as long as the plugin for STOMP is enabled.
    pub const KEYS: [&str; 4] = ["username", "password", "host", "stomp-port"];

    /// The Secret by which the cluster is bound to (Service Binding Specification): its default user, host and ports.
    pub fn secret_name(&self) -> String {
        format!("{}-default-user", self.name)
    }

    /// Host and port as that Secret has them: RabbitMQ's operator derives both from the cluster's name and from whether it
    /// has TLS.
    fn upstream(&self, namespace: &str, tls: bool) -> Upstream {
        let port = if tls { 61614 } else { upstream_port() };
        Upstream { host: format!("{}.{namespace}.svc", self.name), port, zone: None }
    }
}

impl RelayEngine {
    /// Where pods in `namespace` find the upstreams.
    pub fn resolved_upstreams(&self, namespace: &str) -> Vec<Upstream> {
        let cluster = self.rabbitmq_cluster_ref.as_ref();
        let cluster = cluster.map(|cluster| cluster.upstream(namespace, self.tls.is_some()));
        self.upstreams.iter().cloned().chain(cluster).collect()
    }

    /// The Secret of the system connection.
    pub fn system_secret(&self) -> Option<String> {
        self.login(self.system_credentials.as_ref())
    }

    /// The Secret of the connections of client sessions.
    pub fn client_secret(&self) -> Option<String> {
        self.login(self.client_credentials.as_ref())
    }

    fn login(&self, named: Option<&SecretReference>) -> Option<String> {
        let named = named.map(|reference| reference.secret_name.clone());
        named.or_else(|| self.rabbitmq_cluster_ref.as_ref().map(RabbitmqClusterReference::secret_name))
    }
}

/// Connections to the upstream that sessions share. A session that names a `client-id` in its CONNECT has one of its own, for
/// its durable subscriptions belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Multiplex {
    /// Most of them from one pod to one upstream.
    #[serde(default = "connections")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub connections: u16,
}

/// One upstream STOMP broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// Host name or address as the pods resolve it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\s/]+$"))]
    pub host: String,
    /// Port of its STOMP listener. The NetworkPolicy lets pods out to this port.
    #[serde(default = "upstream_port")]
    #[schemars(with = "i32", range(min = 1, max = 65535))]
    pub port: u16,
    /// The zone it runs in, one of `spec.zones[].name`; pods of that zone prefer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,
}

/// TLS of the connections to upstreams; new certificates in the Secrets are in force at the next connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// Name of a Secret in the same namespace with the key `ca.crt`: the authorities that the upstreams' certificates are
    /// trusted by. Absent: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub ca_secret_name: Option<String>,
    /// The name that the upstreams' certificates must be for. Absent: the host of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\s/]+$"))]
    pub server_name: Option<String>,
    /// Name of a Secret in the same namespace with the keys `tls.crt` and `tls.key`: the certificate that the pods show to
    /// upstreams that ask for one. Absent: they show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub certificate_secret_name: Option<String>,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of a Secret in the same namespace with the keys `username` and `password`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// Heart-beat periods of a connection that the broker opens itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatPair {
    /// How often the broker can send; 0s for never.
    #[serde(default = "heartbeat")]
    #[schemars(schema_with = "scalars::duration")]
    pub send: GoDuration,
    /// How often it wants to receive; 0s for never.
    #[serde(default = "heartbeat")]
    #[schemars(schema_with = "scalars::duration")]
    pub receive: GoDuration,
}

impl Default for Engine {
    fn default() -> Self {
        Self { embedded: Some(EmbeddedEngine::default()), relay: None, jet_stream: None }
    }
}

impl Default for EmbeddedEngine {
    fn default() -> Self {
        Self { queue_size: queue_size(), prefetch: prefetch(), persistence: None }
    }
}

impl Default for HeartbeatPair {
    fn default() -> Self {
        Self { send: heartbeat(), receive: heartbeat() }
    }
}

fn queue_size() -> ByteSize {
    stompbroker_config::EmbeddedEngine::default().queue_size
}

fn volume_size() -> ByteSize {
    ByteSize(1 << 30)
}

fn prefetch() -> u32 {
    stompbroker_config::EmbeddedEngine::default().prefetch
}

fn destination_prefixes() -> Vec<String> {
    vec!["/topic".to_owned(), "/queue".to_owned()]
}

fn upstream_port() -> u16 {
    61613
}

fn heartbeat() -> GoDuration {
    stompbroker_config::HeartbeatPair::default().send
}

fn connections() -> u16 {
    8
}

fn connect_timeout() -> GoDuration {
    GoDuration::from_secs(10)
}

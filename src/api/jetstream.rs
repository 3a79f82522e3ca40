//! The engine over NATS.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::{ByteSize, GoDuration};

use super::{ManagedNats, rules, scalars};

/// Topics over NATS, queues in JetStream; any number of pods in any zones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::one_nats(),
    validation = rules::copies_have_a_majority(),
    validation = rules::copies_have_servers(),
    validation = rules::ack_wait_is_long_enough()
)]
pub struct JetStreamEngine {
    /// A NATS that somebody else runs, of version 2.10 or newer and with JetStream. Either this or `managed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalNats>,
    /// A NATS that the operator runs for this StompBroker alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedNats>,
    /// Copies that JetStream keeps of each queue, on as many servers: 1, 3 or 5.
    #[serde(default = "replicas")]
    #[schemars(with = "i32", range(min = 1, max = 5))]
    pub replicas: u8,
    /// Topics that JetStream keeps for durable subscriptions. Absent: durable subscriptions are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable_topics: Option<DurableTopics>,
    /// Unacknowledged messages that a subscription may hold when it does not say `prefetch-count` itself.
    #[serde(default = "prefetch")]
    #[schemars(with = "i32", range(min = 1, max = 100_000))]
    pub prefetch: u32,
    /// How long after the death of a pod another one gets the messages that the dead one held; at least 2s.
    #[serde(default = "ack_wait")]
    #[schemars(schema_with = "scalars::duration")]
    pub ack_wait: GoDuration,
}

/// Topics to which there may be durable subscriptions. Each message to them is stored, and goes when every durable
/// subscription has it behind itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::durable_topics_are_topics(), validation = rules::durable_topics_have_room())]
#[x_kube(validation = rules::durable_subscriptions_last())]
pub struct DurableTopics {
    /// Topics, or patterns such as `/topic/orders/**`: `*` is any one segment, `**` any number of segments.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub r#match: Vec<String>,
    /// Octets that may wait for durable subscriptions, all together, at least 1Mi; the oldest messages are dropped when it is
    /// more.
    #[serde(default = "durable_size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub size: ByteSize,
    /// How long a durable subscription may be without consumers before it goes; at least 1m. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub expires: Option<GoDuration>,
}

impl From<&DurableTopics> for stompbroker_config::DurableTopics {
    /// As the broker reads it.
    fn from(topics: &DurableTopics) -> Self {
        let DurableTopics { r#match, size, expires } = topics;
        Self { r#match: r#match.clone(), size: *size, expires: *expires }
    }
}

/// A NATS that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::servers_are_urls())]
pub struct ExternalNats {
    /// URLs of its servers, `nats://host:4222` or `tls://host:4222`; one is enough to find the others of a cluster. The
    /// NetworkPolicy lets pods out to these ports.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 300)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub servers: Vec<String>,
    /// What the pods log in with. Absent: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<NatsCredentials>,
    /// TLS. Absent: as the URLs say, with the authorities that browsers trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<NatsTls>,
}

/// What the pods log in to NATS with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsCredentials {
    /// Name of a Secret in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// What it holds.
    #[serde(default)]
    pub kind: NatsLogin,
}

/// What a Secret for NATS holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum NatsLogin {
    /// Keys `username` and `password`.
    #[default]
    Password,
    /// Key `token`.
    Token,
    /// Key `nkey`, a seed.
    NKey,
    /// Key `creds`, a file as NATS's own tools make it.
    Creds,
}

/// TLS to NATS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsTls {
    /// Name of a Secret with the key `ca.crt`: the authorities to trust. Absent: those that browsers trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub ca_secret_name: Option<String>,
    /// Name of a Secret with the keys `tls.crt` and `tls.key`: the certificate that pods show. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub certificate_secret_name: Option<String>,
}

impl JetStreamEngine {
    /// The numbers of copies of which there can be a majority.
    pub const REPLICAS: [u8; 3] = [1, 3, 5];
}

impl ExternalNats {
    /// Whether the text can be the URL of a server, without a login in it.
    pub fn is_url(server: &str) -> bool {
        ["nats://", "tls://"].iter().any(|scheme| server.starts_with(scheme)) && !server.contains('@')
    }
}

fn durable_size() -> ByteSize {
    stompbroker_config::DurableTopics::DEFAULT_SIZE
}

fn replicas() -> u8 {
    3
}

fn prefetch() -> u32 {
    100
}

fn ack_wait() -> GoDuration {
    GoDuration::from_secs(30)
}

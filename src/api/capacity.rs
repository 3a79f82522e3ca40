//! How many pods, where, how large, and how they go.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::{ByteSize, GoDuration};

use super::{rules, scalars};

/// One zone that pods run in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::zone_name_is_a_label())]
pub struct Zone {
    /// Value of the nodes' label `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Pods in this zone. Absent: an even share of `spec.replicas`, or 1 when that is absent too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub replicas: Option<i32>,
}

/// What becomes of the pods of a zone that is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ZoneOutagePolicy {
    /// They are missing until the zone is back.
    #[default]
    Stay,
    /// The zones that live get pods for them, and give them back when the zone has all its own again.
    Respread,
}

impl ZoneOutagePolicy {
    /// Whether it is the one that need not be said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn is_stay(&self) -> bool {
        *self == Self::Stay
    }
}

/// A Secret with the login of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson` in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// CPU and memory of one broker container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Bounds that protect a pod. What exceeds one gets an ERROR that names the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Sessions of one pod at once; further connections are refused.
    #[serde(default = "connections_per_pod")]
    #[schemars(with = "i32", range(min = 1, max = 1_000_000))]
    pub connections_per_pod: u32,
    /// Connections of one pod at once from one address, or from one /64 of IPv6. Absent: no such bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1_000_000))]
    pub connections_per_address: Option<u32>,
    /// Octets that messages and buffers of one pod may hold. Near it senders are read more slowly, at it SEND and
    /// connections are refused. Absent: 60 percent of the memory limit of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub memory: Option<ByteSize>,
    /// SEND frames that one pod accepts in a second over all sessions; beyond it the pod reads more slowly. Absent: no
    /// such bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 10_000_000))]
    pub messages_per_second_per_pod: Option<u32>,
    /// Subscriptions of one session.
    #[serde(default = "subscriptions_per_session")]
    #[schemars(with = "i32", range(min = 1, max = 100_000))]
    pub subscriptions_per_session: u32,
    /// Octets of one message's body.
    #[serde(default = "message_size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub message_size: ByteSize,
}

/// How a pod lets its sessions go when it stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::drain_deadline_after_delay())]
pub struct Drain {
    /// How long it goes on accepting after its readiness turned false, so that load balancers notice.
    #[serde(default = "drain_delay")]
    #[schemars(schema_with = "scalars::duration")]
    pub delay: GoDuration,
    /// After this much time in all, the sessions that are left are closed at once.
    #[serde(default = "drain_deadline")]
    #[schemars(schema_with = "scalars::duration")]
    pub deadline: GoDuration,
    /// Sessions closed in a second.
    #[serde(default = "drain_rate")]
    #[schemars(with = "i32", range(min = 1, max = 100_000))]
    pub connections_per_second: u32,
}

impl Default for Resources {
    fn default() -> Self {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).collect()
        };
        Self { requests: map(&[("cpu", "100m"), ("memory", "128Mi")]), limits: map(&[("memory", "512Mi")]) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_pod: connections_per_pod(),
            connections_per_address: None,
            memory: None,
            messages_per_second_per_pod: None,
            subscriptions_per_session: subscriptions_per_session(),
            message_size: message_size(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: drain_delay(), deadline: drain_deadline(), connections_per_second: drain_rate() }
    }
}

fn connections_per_pod() -> u32 {
    stompbroker_config::Limits::default().connections_per_pod
}

fn subscriptions_per_session() -> u32 {
    stompbroker_config::Limits::default().subscriptions_per_session
}

fn message_size() -> ByteSize {
    stompbroker_config::Limits::default().message_size
}

fn drain_delay() -> GoDuration {
    stompbroker_config::Drain::default().delay
}

fn drain_deadline() -> GoDuration {
    stompbroker_config::Drain::default().deadline
}

fn drain_rate() -> u32 {
    stompbroker_config::Drain::default().connections_per_second
}

//! NATS servers that the operator runs, and what is reported of them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::ByteSize;

use super::{Resources, rules, scalars};

/// NATS servers that the operator runs, with TLS, a login of their own and JetStream on a volume each. With zones they are
/// in the first of `spec.zones`, one after the other; those zones cannot be exchanged for others later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::servers_have_a_majority(), validation = rules::servers_stay())]
pub struct ManagedNats {
    /// Servers: 3, or 5, or a single one that nothing stands in for. It cannot be changed later.
    #[serde(default = "replicas")]
    #[schemars(with = "i32", range(min = 1, max = 5))]
    pub replicas: u8,
    /// Image of nats-server, best by digest. Absent: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub image: Option<String>,
    /// The volume of each server. Volumes are never deleted with the StompBroker or by it: a StompBroker of the same name
    /// goes on with them; `kubectl delete pvc` ends them.
    #[serde(default)]
    pub storage: NatsStorage,
    /// CPU and memory of each server. Absent: neither is reserved nor limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// The volume of a NATS server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::volume_is_large_enough(NatsStorage::FIELD, "256Mi"),
    validation = rules::volume_only_grows(NatsStorage::FIELD, "leave it"),
    validation = rules::storage_class_is_kept(NatsStorage::FIELD, "leave it")
)]
pub struct NatsStorage {
    /// Size of the volume; three quarters of it are for messages. It can grow later if the storage class allows that, never
    /// shrink.
    #[serde(default = "size")]
    #[schemars(schema_with = "scalars::byte_size")]
    pub size: ByteSize,
    /// Storage class of the volume. Absent: the cluster's default. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,
}

impl NatsStorage {
    /// Where it is in the spec.
    pub(crate) const FIELD: &str = "spec.engine.jetStream.managed.storage";
    /// The smallest volume that leaves room for messages.
    pub const MIN_SIZE: ByteSize = ByteSize(256 << 20);

    /// What of the volume messages may have; the rest is for logs, snapshots and the file system.
    pub const fn store_size(&self) -> ByteSize {
        ByteSize(self.size.0 / 4 * 3)
    }
}

impl Default for NatsStorage {
    fn default() -> Self {
        Self { size: size(), storage_class_name: None }
    }
}

/// The NATS servers that the operator runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsStatus {
    /// Servers that are ready and have caught up, of all servers, for example `3/3`.
    pub ready: String,
    /// The servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub servers: Vec<NatsServerStatus>,
}

/// One NATS server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NatsServerStatus {
    /// Name of the server and its pod.
    pub name: String,
    /// Its zone; absent without zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether it is ready, and what it has of JetStream is as new as what the others have.
    #[serde(default)]
    pub ready: bool,
    /// Its version, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn replicas() -> u8 {
    3
}

fn size() -> ByteSize {
    ByteSize(10 << 30)
}

//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    AutoscalingStatus, ExposureStatus, NatsStatus, OverrideStatus, PlannedChange, RolloutStatus, RotationStatus,
};

/// What the operator reports of a broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StompBrokerStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not; `Ready` sums up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The zones in the order of the spec; empty without zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub zones: Vec<ZoneStatus>,
    /// Pods that exist, over all zones.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready, over all zones.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the pods, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Sessions logged in, over all pods that answer.
    #[serde(default)]
    pub sessions: i64,
    /// How far the pods are that let their sessions go, over all zones; absent when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainProgress>,
    /// The NATS servers that the operator runs; absent where it runs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsStatus>,
    /// The engine in force: embedded, relay or jetStream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Zones that have all their pods ready, of all zones, for example `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_zones: Option<String>,
    /// The zone that is being drained: all its pods may be evicted, and none of other zones until it has its pods again.
    /// Absent at rest, when one pod of any zone may be evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_zone: Option<String>,
    /// Where clients connect from inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Where clients connect from outside the cluster; empty without spec.exposure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    pub exposure: Vec<ExposureStatus>,
    /// The certificates that the spec refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["secretName".into()]))]
    pub certificates: Vec<CertificateStatus>,
    /// The Secrets that clients log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsStatus>,
    /// The Secret that applications are bound to, as a Provisioned Service of the Service Binding specification: what
    /// services log in with, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The ConfigMap with what a Spring application needs to relay to this broker: properties and a class. Absent without the
    /// listener `stomp`, which is what Spring's relay connects to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spring_config_map: Option<String>,
    /// The image that the pods are to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The last time that pods were replaced by the operator; absent while all are as they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rollout: Option<RolloutStatus>,
    /// With managementPolicy Observe: what the operator would do, the first 32 objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub planned_changes: Vec<PlannedChange>,
    /// What `spec.overrides` changes, object by object; of pods when they are given this spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub overrides: Vec<OverrideStatus>,
    /// Who decides the numbers of pods, and the last decisions; absent without autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,
}

/// The state of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// Name as in the spec.
    pub name: String,
    /// Pods wanted.
    #[serde(default)]
    pub desired: i32,
    /// Pods ready.
    #[serde(default)]
    pub ready: i32,
    /// Pods that run the newest revision.
    #[serde(default)]
    pub updated: i32,
    /// Sessions logged in.
    #[serde(default)]
    pub sessions: i64,
    /// How far the pods are that let their sessions go; absent when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainProgress>,
    /// Pods among those wanted that stand in for those of lost zones; with autoscaling, by how many its fewest are raised.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub standing_in: i32,
    /// That the zone is lost, or was not long ago; absent while it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<ZoneOutage>,
    /// Revision that the zone's pods have or are being given; the same in all zones once a rollout is through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The outage of a zone: no pod was ready, and all were on nodes that stopped reporting, or found no node. It ends when the
/// zone has all its pods again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneOutage {
    /// When it began.
    pub since: Time,
    /// Since when other zones have pods for it; with zoneOutagePolicy Respread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respread_since: Option<Time>,
    /// Since when the zone has all its pods again while others still have some for it, which go after zoneOutageWait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_since: Option<Time>,
}

/// How far pods are that let their sessions go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainProgress {
    /// Pods that let their sessions go, because they end or because they were told to.
    #[serde(default)]
    pub pods: i32,
    /// Those of them that do not say how far they are; Kubernetes ends them when their time is over.
    #[serde(default)]
    pub silent: i32,
    /// Connections that the others had when they began.
    #[serde(default)]
    pub connections_at_start: i64,
    /// Connections that they still have.
    #[serde(default)]
    pub connections_left: i64,
    /// When the last of them closes what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

/// Where clients connect from inside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Host and port of STOMP over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<String>,
    /// Host and port of STOMP over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp_tls: Option<String>,
    /// URL of STOMP over WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<String>,
    /// URL of STOMP over WebSocket and TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_tls: Option<String>,
}

/// A certificate that the spec refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Name of the Secret that it is in.
    pub secret_name: String,
    /// Kind and name of who issues it; absent when cert-manager was not asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// From when on it is good; absent while there is none that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// Why cert-manager has not issued the newest, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The Secrets that clients log in with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsStatus {
    /// For services and Spring's system connection.
    pub system: CredentialStatus,
    /// For client connections.
    pub client: CredentialStatus,
}

/// One Secret that clients log in with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// Name of the Secret, in the same namespace.
    pub secret_name: String,
    /// Where its rotation stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
}

/// The Secret that applications are bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Its name.
    pub name: String,
}

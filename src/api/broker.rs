//! The kind itself.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{
    Application, Authentication, Authorization, Autoscaling, AutoscalingMode, Credentials, DestinationPolicy, Drain,
    Engine, Exposure, ImagePullSecret, Limits, Listeners, Logging, MaintenanceWindow, ManagementPolicy, Monitoring,
    Override, Resources, Rollout, StompBrokerStatus, UpgradePolicy, UserDestinations, Zone, ZoneOutagePolicy, rules,
    scalars,
};

/// What the broker is to be.
///
/// `resources`, `engine` and `listeners` have no default in the schema: the API server would store it, and a later
/// `kubectl apply` of, say, another engine would be merged with it.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "stompbroker.dev",
    version = "v1alpha1",
    kind = "StompBroker",
    plural = "stompbrokers",
    singular = "stompbroker",
    shortname = "sb",
    category = "stompbroker",
    namespaced,
    doc = "A STOMP messaging tier: broker pods over the zones of a cluster, what clients reach them by and log in with.",
    status = "StompBrokerStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Zones", type_ = "string", json_path = ".status.readyZones"),
    printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.sessions"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.engine"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.exposure[0].urls[0]", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    validation = rules::name_is_short(),
    validation = rules::name_is_a_service_name(),
    validation = rules::names_of_servers_are_short()
)]
#[x_kube(
    validation = rules::one_pod_when_embedded(),
    validation = rules::replicas_said_once(),
    validation = rules::replicas_not_fixed_when_autoscaled(),
    validation = rules::distributed_when_autoscaled(),
    validation = rules::distributed_when_respread(),
    validation = rules::cpu_requested_when_autoscaled(),
    validation = rules::session_outlives_heartbeat(),
    validation = rules::policies_differ(),
    validation = rules::destinations_are_ours(),
    validation = rules::queues_in_nats_stay(),
    validation = rules::zones_of_servers_stay(),
    validation = rules::exposed_websocket_is_there(),
    validation = rules::exposed_stomp_has_tls()
)]
pub struct StompBrokerSpec {
    /// Broker image. Absent: the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// CPU and memory of one broker container. Absent: 100m CPU and 128Mi memory requested, memory limited to 512Mi. What
    /// is written here replaces all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Pods over all zones, spread evenly; the first zones of the list get the odd ones. Written by `kubectl scale`.
    /// Excludes `zones[].replicas` and `autoscaling`. Absent: one pod, or one in each zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub replicas: Option<i32>,
    /// The zones that pods run in. Absent: the pods run anywhere, for clusters without zones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub zones: Vec<Zone>,
    /// What becomes of the pods of a zone that is lost: none of its pods is ready, and all are on nodes that stopped reporting,
    /// or find no node. Respread needs several zones, and the engine relay or jetStream.
    #[serde(default, skip_serializing_if = "ZoneOutagePolicy::is_stay")]
    pub zone_outage_policy: ZoneOutagePolicy,
    /// With zoneOutagePolicy Respread: how long a zone has to be lost before others get pods for it, and how long it has to have
    /// all its own again before they go.
    #[serde(default = "zone_outage_wait", skip_serializing_if = "is_zone_outage_wait")]
    #[schemars(schema_with = "scalars::duration")]
    pub zone_outage_wait: GoDuration,
    /// Where messages go: exactly one of the engines. Absent: embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Where clients connect; at least one listener. Absent: both, stomp on port 61613 and websocket on port 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Listeners>,
    /// What clients outside the cluster reach the broker by. Absent: nothing but what others make for its Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// What services and client connections log in with.
    #[serde(default)]
    pub credentials: Credentials,
    /// Further ways to log in.
    #[serde(default)]
    pub authentication: Authentication,
    /// Destination rules: the first that matches decides, and what matches none is denied. Absent: every session that
    /// could log in may send and subscribe everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// What destinations keep and for how long, by pattern; of several entries that match, the first counts, alone. Not
    /// for the relay engine, whose upstream has policies of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub destinations: Vec<DestinationPolicy>,
    /// Destinations of users. Not for the relay engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_destinations: Option<UserDestinations>,
    /// HTTP services that handle what clients send below their prefixes. Of several prefixes that a destination has, the
    /// longest counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub applications: Vec<Application>,
    /// Bounds that protect a pod. What exceeds one gets an ERROR that names the limit.
    #[serde(default)]
    pub limits: Limits,
    /// The heart-beat period that the broker offers and wants, both ways; 0s for none.
    #[serde(default = "heartbeat")]
    #[schemars(schema_with = "scalars::duration")]
    pub heartbeat: GoDuration,
    /// How long a client that agreed on heart-beats may be silent before its session ends; at least twice `heartbeat`.
    #[serde(default = "session_timeout")]
    #[schemars(schema_with = "scalars::duration")]
    pub session_timeout: GoDuration,
    /// A number of pods that follows the load, in each zone by itself. Excludes `replicas` and `zones[].replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How a pod lets its sessions go when it stops.
    #[serde(default)]
    pub drain: Drain,
    /// What the pods log, and how. Absent: JSON from level info on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// How the pods are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// How pods are replaced when something changes that only a restart brings into effect: one zone after the other in
    /// the order of `zones`.
    #[serde(default)]
    pub rollout: Rollout,
    /// When pods are restarted only because a newer operator would make them otherwise; the condition `UpdateAvailable`
    /// tells that it would.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// When pods may also be restarted for a newer operator. Absent: at no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<MaintenanceWindow>,
    /// Patches of the objects that the operator makes, for what the spec has no field for; done in this order. One that
    /// cannot be done, or that changes what is protected, refuses the whole spec, and what runs stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub overrides: Vec<Override>,
    /// Leaves every object of this broker as it is until this is false again, whatever else the spec says; `status` goes on
    /// telling how it is. Autoscalers and Deployments do by themselves what they were last told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// How far the operator goes by itself.
    #[serde(default, skip_serializing_if = "ManagementPolicy::is_manage")]
    pub management_policy: ManagementPolicy,
}

impl Default for StompBrokerSpec {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_secrets: Vec::new(),
            resources: None,
            replicas: None,
            zones: Vec::new(),
            zone_outage_policy: ZoneOutagePolicy::default(),
            zone_outage_wait: zone_outage_wait(),
            engine: None,
            listeners: None,
            exposure: None,
            credentials: Credentials::default(),
            authentication: Authentication::default(),
            authorization: None,
            destinations: Vec::new(),
            user_destinations: None,
            applications: Vec::new(),
            limits: Limits::default(),
            heartbeat: heartbeat(),
            session_timeout: session_timeout(),
            autoscaling: None,
            drain: Drain::default(),
            logging: None,
            monitoring: None,
            rollout: Rollout::default(),
            upgrade_policy: UpgradePolicy::default(),
            maintenance_window: None,
            overrides: Vec::new(),
            suspend: false,
            management_policy: ManagementPolicy::default(),
        }
    }
}

impl StompBrokerSpec {
    /// Whether nothing but the status may be written.
    pub fn is_hands_off(&self) -> bool {
        self.suspend || self.management_policy == ManagementPolicy::Observe
    }

    /// Whether the operator runs NATS.
    pub fn manages_nats(&self) -> bool {
        let engine = self.engine.as_ref().and_then(|engine| engine.jet_stream.as_ref());
        engine.is_some_and(|engine| engine.managed.is_some())
    }

    /// Whether cert-manager issues certificates.
    pub fn wants_cert_manager(&self) -> bool {
        self.listeners.as_ref().is_some_and(|listeners| listeners.tls().any(|(_, tls)| tls.issuer_ref.is_some()))
    }

    /// Whether the numbers of pods are left to KEDA.
    pub fn wants_keda(&self) -> bool {
        self.autoscaling.as_ref().is_some_and(|autoscaling| autoscaling.mode == AutoscalingMode::Keda)
    }
}

fn zone_outage_wait() -> GoDuration {
    GoDuration::from_secs(120)
}

fn is_zone_outage_wait(wait: &GoDuration) -> bool {
    *wait == zone_outage_wait()
}

fn heartbeat() -> GoDuration {
    GoDuration::from_secs(10)
}

fn session_timeout() -> GoDuration {
    GoDuration::from_secs(30)
}

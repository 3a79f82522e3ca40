//! What clients outside the cluster reach the broker by.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, scalars};

/// What clients outside the cluster reach the broker by; each part by itself, and any number of them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The Service that has the broker's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceExposure>,
    /// An Ingress for WebSocket and SockJS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,
    /// An HTTPRoute of Gateway API for WebSocket and SockJS, without a limit of time for requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<RouteExposure>,
    /// A TLSRoute of Gateway API for STOMP over TCP: the gateway finds the broker by the server name that clients ask for,
    /// and TLS ends in the pods. Needs a listener of the gateway with the protocol TLS and the mode Passthrough, and
    /// spec.listeners.stomp.tls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_route: Option<RouteExposure>,
}

/// The Service that has the broker's name. It has every port of the listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::load_balancer_fields_have_one(),
    validation = rules::external_traffic_comes_from_outside(),
    validation = rules::source_ranges_are_ranges()
)]
pub struct ServiceExposure {
    /// Whether it is reached from outside, and how.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Annotations, by which load balancers of clouds are configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::texts")]
    pub annotations: BTreeMap<String, String>,
    /// Who makes the load balancer. Absent: the cluster's default. Cannot be changed while type stays LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Where clients may connect from through the load balancer, as ranges such as 192.0.2.0/24. Empty: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether connections from outside may go to pods of other nodes. Absent: Kubernetes' own default, Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// Which pods connections from within the cluster go to.
    #[serde(default)]
    pub traffic_distribution: TrafficDistribution,
}

/// Whether a Service is reached from outside, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From within the cluster only.
    #[default]
    ClusterIP,
    /// On a port of every node.
    NodePort,
    /// By a load balancer that the cluster's cloud makes.
    LoadBalancer,
}

/// Whether connections from outside may go to pods of other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// To every pod; the client's address is lost on the way.
    Cluster,
    /// Only to pods of the node that they reach; the client's address is kept.
    Local,
}

/// Which pods connections from within the cluster go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficDistribution {
    /// Those of the zone that they come from, while it has ready ones.
    #[default]
    PreferClose,
    /// The same by its newer name, from Kubernetes 1.34 on.
    PreferSameZone,
    /// Those of the node that they come from, then those of its zone; from Kubernetes 1.34 on.
    PreferSameNode,
    /// Any.
    Any,
}

/// An Ingress for WebSocket and SockJS. Ingress controllers end connections that are silent for some time, often a minute,
/// which heart-beats prevent; what else they need is said by annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// Name of the IngressClass. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Host name that browsers connect to, or `*.example.com` for all below.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub host: String,
    /// Annotations, by which Ingress controllers are configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::texts")]
    pub annotations: BTreeMap<String, String>,
    /// TLS between browsers and the Ingress controller. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
}

/// TLS between browsers and an Ingress controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// Name of a Secret of type `kubernetes.io/tls` in the same namespace, which the Ingress controller reads. Absent: its
    /// own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
}

/// A route of Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteExposure {
    /// The gateways.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub parent_refs: Vec<ParentReference>,
    /// Host names that clients connect to, or `*.example.com` for all below.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hostnames: Vec<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "scalars::texts")]
    pub annotations: BTreeMap<String, String>,
}

/// A gateway, as Gateway API refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Group of its kind. Absent: gateway.networking.k8s.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Its kind. Absent: Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Its namespace. Absent: the broker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The one of its listeners. Absent: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The port of its listeners. Absent: all that fit. In the URLs of status, 80 stands for a connection without TLS, and
    /// absent for 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// One way by which clients outside the cluster reach the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposureStatus {
    /// Kind of the object: Service, Ingress, HTTPRoute or TLSRoute.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it has all that it needs, as far as it tells.
    #[serde(default)]
    pub ready: bool,
    /// What clients connect to; SockJS has the URL that begins with http.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub urls: Vec<String>,
    /// What it lacks, or what else there is to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ServiceType {
    /// The value in a Service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

impl ExternalTrafficPolicy {
    /// The value in a Service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

impl TrafficDistribution {
    /// The value in a Service; absent for no preference.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::PreferClose => Some("PreferClose"),
            Self::PreferSameZone => Some("PreferSameZone"),
            Self::PreferSameNode => Some("PreferSameNode"),
            Self::Any => None,
        }
    }
}

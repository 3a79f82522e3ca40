//! Routes of Gateway API: of its kinds those that we write, and of their fields those that we write or read.

mod http_route;
mod tls_route;

pub(super) use http_route::http_route;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};
pub(super) use tls_route::tls_route;

use super::{
    custom::{CustomKind, CustomObject},
    metadata,
};
use crate::{
    api::{ParentReference, RouteExposure},
    validate::ValidatedBroker,
};

/// Group of Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// A route.
pub type Route<K> = CustomObject<K>;

/// HTTPRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http;

/// TLSRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls;

/// TLSRoute as it was before Gateway API 1.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsAlpha;

impl CustomKind for Http {
    type Status = RouteStatus;

    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "HTTPRoute";
    const PLURAL: &'static str = "httproutes";
    const VERSION: &'static str = "v1";
}

impl CustomKind for Tls {
    type Status = RouteStatus;

    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "TLSRoute";
    const PLURAL: &'static str = "tlsroutes";
    const VERSION: &'static str = "v1";
}

impl CustomKind for TlsAlpha {
    type Status = RouteStatus;

    const GROUP: &'static str = GROUP;
    const KIND: &'static str = Tls::KIND;
    const PLURAL: &'static str = Tls::PLURAL;
    const VERSION: &'static str = "v1alpha2";
}

/// Where what comes from, and goes to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteSpec<'a> {
    /// The gateways.
    parent_refs: &'a [ParentReference],
    /// Names of hosts.
    hostnames: &'a [String],
    /// What goes where.
    rules: [RouteRule; 1],
}

/// What goes where.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteRule {
    /// Which requests; of HTTPRoutes only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matches: Vec<RouteMatch>,
    /// How long they may take; of HTTPRoutes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeouts: Option<Timeouts>,
    /// The Services.
    backend_refs: Vec<BackendReference>,
}

/// Which requests.
#[derive(Serialize)]
struct RouteMatch {
    /// Those with this path.
    path: PathMatch,
}

/// A path.
#[derive(Serialize)]
struct PathMatch {
    /// `Exact` or `PathPrefix`.
    #[serde(rename = "type")]
    type_: String,
    /// The path.
    value: String,
}

/// How long requests may take; 0s for ever.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timeouts {
    /// From the client's request to the end of the answer.
    request: String,
    /// The same of one request to the Service.
    backend_request: String,
}

/// A port of a Service.
#[derive(Serialize)]
struct BackendReference {
    /// Its name.
    name: String,
    /// The port.
    port: i32,
}

/// What the gateways say of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// One for each gateway that has seen it.
    #[serde(default)]
    pub parents: Vec<RouteParentStatus>,
}

/// What a gateway says of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The gateway.
    pub parent_ref: ParentReference,
    /// What holds.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The route that `exposure` asks for, with what its gateways are to do.
fn route<K: CustomKind>(broker: &ValidatedBroker, exposure: &RouteExposure, rule: RouteRule) -> Route<K> {
    let RouteExposure { parent_refs, hostnames, annotations } = exposure;
    Route::new(metadata::annotated(broker, annotations), &RouteSpec { parent_refs, hostnames, rules: [rule] })
}

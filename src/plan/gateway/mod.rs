//! Routes of Gateway API: of its kinds those that we write, and of their fields those that we write or read.

mod http_route;
mod tls_route;

use std::{borrow::Cow, fmt, marker::PhantomData};

pub(super) use http_route::http_route;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{Resource, core::NamespaceResourceScope};
use serde::{Deserialize, Serialize};
pub(super) use tls_route::tls_route;

use super::metadata;
use crate::{
    api::{ParentReference, RouteExposure},
    validate::ValidatedBroker,
};

/// Group of Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// A kind of routes, in one version.
pub trait RouteKind: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Name of the kind.
    const KIND: &'static str;
    /// Its plural.
    const PLURAL: &'static str;
    /// Version of the API.
    const VERSION: &'static str;
}

/// HTTPRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http;

/// TLSRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls;

/// TLSRoute as it was before Gateway API 1.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsAlpha;

impl RouteKind for Http {
    const KIND: &'static str = "HTTPRoute";
    const PLURAL: &'static str = "httproutes";
    const VERSION: &'static str = "v1";
}

impl RouteKind for Tls {
    const KIND: &'static str = "TLSRoute";
    const PLURAL: &'static str = "tlsroutes";
    const VERSION: &'static str = "v1";
}

impl RouteKind for TlsAlpha {
    const KIND: &'static str = Tls::KIND;
    const PLURAL: &'static str = Tls::PLURAL;
    const VERSION: &'static str = "v1alpha2";
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub struct Route<K> {
    api_version: String,
    kind: String,
    /// Name, namespace, labels and owner.
    pub metadata: ObjectMeta,
    /// Where what comes from.
    pub spec: RouteSpec,
    /// What the gateways say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RouteStatus>,
    #[serde(skip)]
    version: PhantomData<K>,
}

/// Where what comes from, and goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// The gateways.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// Names of hosts.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// What goes where.
    #[serde(default)]
    pub rules: Vec<RouteRule>,
}

/// What goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Which requests; of HTTPRoutes only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RouteMatch>,
    /// How long they may take; of HTTPRoutes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// The Services.
    #[serde(default)]
    pub backend_refs: Vec<BackendReference>,
}

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// Those with this path.
    pub path: PathMatch,
}

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// `Exact` or `PathPrefix`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The path.
    pub value: String,
}

/// How long requests may take; 0s for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From the client's request to the end of the answer.
    pub request: String,
    /// The same of one request to the Service.
    pub backend_request: String,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReference {
    /// Its name.
    pub name: String,
    /// The port.
    pub port: i32,
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

impl<K: RouteKind> Route<K> {
    /// The group and version in which it is written.
    pub fn group_version() -> String {
        format!("{GROUP}/{}", K::VERSION)
    }

    /// The route that `exposure` asks for, with what its gateways are to do.
    fn new(broker: &ValidatedBroker, exposure: &RouteExposure, rule: RouteRule) -> Self {
        let RouteExposure { parent_refs, hostnames, annotations } = exposure;
        Self {
            api_version: Self::group_version(),
            kind: K::KIND.to_owned(),
            metadata: metadata::annotated(broker, annotations),
            spec: RouteSpec { parent_refs: parent_refs.clone(), hostnames: hostnames.clone(), rules: vec![rule] },
            status: None,
            version: PhantomData,
        }
    }
}

impl<K: RouteKind> Resource for Route<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

//! The custom resource `StompBroker`, version `v1alpha1`: its types, their schema and the rules in it.
//!
//! | module | holds |
//! |---|---|
//! | `broker` | the kind and its spec |
//! | `autoscaling` | a number of pods that follows the load, and what is reported of it |
//! | `capacity` | zones, resources, limits, drain |
//! | `exposure` | what clients outside the cluster reach the broker by |
//! | `destinations` | what destinations keep, and whose they are |
//! | `engine` | embedded and relay |
//! | `jetstream` | the engine over NATS |
//! | `nats` | NATS servers that the operator runs |
//! | `listeners` | where clients connect |
//! | `applications` | HTTP services that handle what clients send |
//! | `access` | credentials, authentication, authorization |
//! | `management` | how far the operator goes by itself, and what it would do |
//! | `monitoring` | what pods tell of themselves |
//! | `overrides` | patches of the objects that the operator makes |
//! | `rollout` | how and when pods are replaced, and what is reported of it |
//! | `status` | what the operator reports |
//! | `rules` | the CEL rules with their messages |
//! | `scalars` | schemas of durations, sizes and quantities |
//!
//! Unions are structs of optional fields with a rule "exactly one", and `null` means absent everywhere.

#![allow(unreachable_pub, reason = "KubeSchema derives a pub copy of each struct inside a function")]

mod access;
mod applications;
mod autoscaling;
mod broker;
mod capacity;
mod destinations;
mod engine;
mod exposure;
mod jetstream;
mod jwt;
mod listeners;
mod management;
mod monitoring;
mod nats;
mod overrides;
mod rollout;
mod rotation;
mod rules;
mod scalars;
mod status;
mod tls;

pub use access::{
    Action, Allow, Authentication, Authorization, AuthorizationRule, Credential, Credentials, Empty, Users,
};
pub use applications::{Application, ApplicationService, Reply, Retry, Signature};
pub use autoscaling::{
    AutoscaledPool, Autoscaling, AutoscalingMode, AutoscalingStatus, AutoscalingTargets, KedaAutoscaling, KedaTrigger,
    ScalingDecision,
};
pub use broker::{StompBroker, StompBrokerSpec};
pub use capacity::{Drain, ImagePullSecret, Limits, Resources, Zone, ZoneOutagePolicy};
pub use destinations::{DestinationPolicy, Nack, UserDestinations};
pub use engine::{
    EmbeddedEngine, Engine, HeartbeatPair, Multiplex, Persistence, RabbitmqClusterReference, RelayEngine,
    SecretReference, Upstream, UpstreamTls,
};
pub use exposure::{
    Exposure, ExposureStatus, ExternalTrafficPolicy, IngressExposure, IngressTls, ParentReference, RouteExposure,
    ServiceExposure, ServiceType, TrafficDistribution,
};
pub use jetstream::{DurableTopics, ExternalNats, JetStreamEngine, NatsCredentials, NatsLogin, NatsTls};
pub use jwt::JwtIssuer;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
pub use listeners::{
    ADMIN_PORT, Compression, ListenerPort, Listeners, PEERS_PORT, SlowConsumers, SockJs, StompListener, TrustedProxies,
    WebSocketListener,
};
pub use management::{ManagementPolicy, PlannedAction, PlannedChange};
pub use monitoring::{Logging, Monitoring, Tracing};
pub use nats::{ManagedNats, NatsServerStatus, NatsStatus, NatsStorage};
pub use overrides::{Override, OverrideKind, OverrideStatus, OverrideTarget, PatchOperation, PatchVerb};
pub use rollout::{
    MaintenanceWindow, OnFailure, RestartReason, Rollout, RolloutPhase, RolloutStatus, UpgradePolicy, Weekday,
};
pub use rotation::{CredentialRotation, REVERT_CREDENTIALS, ROTATE_CREDENTIALS, RotationPhase, RotationStatus};
pub use status::{
    Binding, CertificateStatus, CredentialStatus, CredentialsStatus, DrainProgress, Endpoints, StompBrokerStatus,
    ZoneOutage, ZoneStatus,
};
pub use tls::{CertificateName, ClientCertificates, IssuerReference, ListenerTls};

/// The definition of the kind as it is installed.
///
/// No field is nullable: the API server then takes an explicit `null` for an absent field and applies the default,
/// and `has()` in a rule is true of values only. The spec may be left out, for all of it has defaults.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = StompBroker::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut()) {
            forbid_null(schema);
            schema.required = None;
            if let Some(spec) = schema.properties.as_mut().and_then(|fields| fields.get_mut("spec")) {
                // The API server checks the rules against this default without filling it up first.
                spec.default = serde_json::to_value(StompBrokerSpec::default()).ok().map(JSON);
            }
        }
    }
    crd
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| forbid_null(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}

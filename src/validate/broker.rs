//! A spec that can be put into effect.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use stompbroker_config::{Application, Authorization, DestinationPolicy, GoDuration, UserDestinations};

use super::Override;
use crate::api::{
    Authentication, Drain, EmbeddedEngine, JetStreamEngine, Limits, Listeners, Logging, ManagedNats, RelayEngine,
    Resources, StompBrokerSpec, Tracing,
};

/// A spec that can be put into effect, with everything decided that the spec leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedBroker {
    /// `metadata.name`, also the name of the shared children.
    pub name: String,
    /// The spec as the user wrote it, for what takes effect over several passes.
    pub spec: StompBrokerSpec,
    /// `metadata.namespace`.
    pub namespace: String,
    /// What makes children belong to the broker; absent when it was never stored, as in `render`.
    pub owner: Option<OwnerReference>,
    /// The image, when the spec names one.
    pub image: Option<String>,
    /// Names of the Secrets to pull it with.
    pub image_pull_secrets: Vec<String>,
    /// CPU and memory of the container.
    pub resources: Resources,
    /// The pools of pods, one for each zone in the order of the spec, or one without a zone; never empty.
    pub pools: Vec<Pool>,
    /// The engine.
    pub engine: Engine,
    /// The listeners; at least one.
    pub listeners: Listeners,
    /// What services log in with.
    pub system_credential: Credential,
    /// What client connections log in with.
    pub client_credential: Credential,
    /// What is wished for the two.
    pub wishes: Wishes,
    /// Further ways to log in.
    pub authentication: Authentication,
    /// Destination rules.
    pub authorization: Option<Authorization>,
    /// What destinations keep.
    pub destinations: Vec<DestinationPolicy>,
    /// Destinations of users.
    pub user_destinations: UserDestinations,
    /// HTTP services that handle what clients send.
    pub applications: Vec<Application>,
    /// Bounds that protect a pod.
    pub limits: Limits,
    /// Heart-beat period.
    pub heartbeat: GoDuration,
    /// Silence after which a session ends.
    pub session_timeout: GoDuration,
    /// How pods let their sessions go.
    pub drain: Drain,
    /// What pods log.
    pub logging: Logging,
    /// Where spans of messages go, when anywhere.
    pub tracing: Option<Tracing>,
    /// Patches of objects.
    pub overrides: Vec<Override>,
    /// What works but is probably not meant, for the message of the condition `Accepted`.
    pub warnings: Vec<String>,
}

/// Pods that are all alike: those of one zone, or all of them without zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name of the pool's children: `<broker>-<zone>`, or `<broker>` without zones.
    pub name: String,
    /// The zone.
    pub zone: Option<String>,
    /// How many pods.
    pub size: PoolSize,
}

/// How many pods a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolSize {
    /// This many.
    Fixed(i32),
    /// As many as an autoscaler of ours decides.
    Autoscaled {
        /// Fewest pods.
        min: i32,
        /// Most pods.
        max: i32,
    },
    /// As many as somebody else decides.
    External {
        /// Pods to begin with.
        first: i32,
    },
}

/// The engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// In the memory of one pod.
    Embedded(EmbeddedEngine),
    /// To an upstream broker.
    Relay(Box<RelayEngine>),
    /// Over NATS.
    JetStream(Box<JetStreamEngine>),
}

/// A Secret that clients log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Ours, which pods and consumers read.
    pub secret_name: String,
    /// The user's, whose content it follows; absent when the operator generates the values.
    pub source: Option<String>,
}

/// What is wished for by annotations; any text that is new is a wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// New values for the generated logins.
    pub rotate: Option<String>,
    /// The rotation that is under way is to be taken back.
    pub revert: Option<String>,
}

impl ValidatedBroker {
    /// The NATS that the operator runs, when it does.
    pub fn managed_nats(&self) -> Option<&ManagedNats> {
        match &self.engine {
            Engine::JetStream(engine) => engine.managed.as_ref(),
            Engine::Embedded(_) | Engine::Relay(_) => None,
        }
    }
}

impl Engine {
    /// The field's name in the spec.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Relay(_) => "relay",
            Self::JetStream(_) => "jetStream",
        }
    }

    /// Whether there may be several pods, which then have to find each other.
    pub const fn has_peers(&self) -> bool {
        match self {
            Self::Embedded(_) => false,
            Self::Relay(_) | Self::JetStream(_) => true,
        }
    }
}

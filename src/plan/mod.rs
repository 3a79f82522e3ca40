//! Step `plan` (pure): from a validated broker to the objects that are to exist.
//!
//! Invariants: the same input gives the same octets; nothing is derived from the time; nothing that a running pod can
//! take up by itself is in the pod template, so that only changes that need a restart restart pods.

pub mod labels;
pub mod names;
mod objects;

use std::collections::BTreeMap;

pub use objects::{GeneratedSecret, Objects};

use crate::{observed::Observed, validate::ValidatedBroker};

/// What the operator's own settings decide about children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Broker image of specs that name none.
    pub image: String,
    /// Namespace that the operator runs in and polls the pods from.
    pub operator_namespace: String,
    /// DNS domain of the cluster, customarily `cluster.local`.
    pub cluster_domain: String,
}

/// What is to exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The objects.
    pub objects: Objects,
    /// The image that the pods are to run.
    pub image: String,
    /// [`stompbroker_config::config_hash`] of each pool's `broker.yaml`, by the pool's name.
    pub config_hashes: BTreeMap<String, String>,
}

/// Why there is no plan; no user error, those end in `validate`.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The configuration that was made of the spec is none that a broker would load.
    #[error("failed to render broker.yaml of {pool}")]
    RenderConfig {
        /// Name of the pool.
        pool: String,
        /// What the broker would say.
        #[source]
        source: stompbroker_config::LoadError,
    },
}

/// The objects that `broker` is to have.
///
/// # Errors
/// When no configuration can be rendered, which is a fault of this program.
pub fn plan(broker: &ValidatedBroker, observed: &Observed, settings: &Settings) -> Result<Plan, PlanError> {
    let _ = observed;
    let image = broker.image.clone().unwrap_or_else(|| settings.image.clone());
    Ok(Plan { objects: Objects::default(), image, config_hashes: BTreeMap::new() })
}

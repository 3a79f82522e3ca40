//! Step `plan` (pure): from a validated broker to the objects that are to exist in this step of a rollout.
//!
//! | module | decides |
//! |---|---|
//! | `revision` | what pods are made from, and why they would be restarted |
//! | `gate` | which zones may be given another revision now |
//! | `rollout` | both together, from what was observed |
//! | `rotation` | what is done with a login now |
//! | `disruption_budget` | which pods may be evicted now |
//! | `respread` | which zones are lost, and which pods stand in for theirs |
//! | `silence` | how long a pod that says nothing is waited for |
//! | `overrides` | what `spec.overrides` changes of objects, and what it may not change |
//! | `nats` | NATS servers that the operator runs |
//! | all others | one kind of objects, or a part of one |
//!
//! Invariants: the same input gives the same octets; nothing is derived from the time; nothing that a running pod can
//! take up by itself is in the pod template, so that only changes that need a restart restart pods;
//! a Deployment whose zone has to wait keeps the template that it has.

mod autoscaler;
mod broker_config;
pub mod certificate;
mod config_map;
mod container;
pub mod custom;
mod deletion_costs;
mod deployment;
pub mod disruption_budget;
mod exposure;
pub mod gate;
pub mod gateway;
mod ingress;
pub mod labels;
mod logins;
mod metadata;
pub mod names;
pub mod nats;
mod network_policy;
mod objects;
pub(crate) mod overrides;
mod persistent_volume_claim;
mod placement;
pub mod respread;
mod revision;
mod rollout;
pub mod rotation;
mod scaled_object;
mod secrets;
mod service;
mod service_account;
pub(crate) mod silence;
mod spring;
#[cfg(test)]
mod tests;
mod volume;
mod window;

use std::collections::BTreeMap;

pub use autoscaler::{MESSAGES_PER_SECOND, SESSIONS};
pub use deletion_costs::{DELETION_COST, DeletionCost};
pub use disruption_budget::{Budget, DRAINED_ZONE};
pub(crate) use logins::whole_seconds;
pub use logins::{Address, Login, LoginSecret, LoginStep, Origin};
pub use objects::{GeneratedSecret, Objects, RenderError};
pub use respread::Respread;
pub(crate) use revision::reasons_of;
pub use revision::{FAILED, PREVIOUS, REVISION, Revision};
pub use rollout::{RolloutStep, ZoneStep};
pub(crate) use rollout::{shown, staying_sessions};
pub use scaled_object::{ScaledObject, ScaledObjectKind};

use crate::{
    api::{Endpoints, OverrideStatus},
    observed::{Observed, TlsRoutes},
    validate::{Pool, SpecError, ValidatedBroker},
};

/// What the operator's own settings decide about children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Broker image of specs that name none.
    pub image: String,
    /// NATS image of specs that name none.
    pub nats_image: String,
    /// Namespace that the operator runs in and polls the pods from.
    pub operator_namespace: String,
    /// DNS domain of the cluster, customarily `cluster.local`.
    pub cluster_domain: String,
    /// Whether the operator serves what pods have to do as `custom.metrics.k8s.io`.
    pub custom_metrics: bool,
}

/// What is to exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The objects.
    pub objects: Objects,
    /// What `spec.overrides` changes.
    pub overrides: Vec<OverrideStatus>,
    /// The image that the pods are to run.
    pub image: String,
    /// Whether autoscalers can look at sessions and message rates.
    pub custom_metrics: bool,
    /// Where clients connect from inside the cluster.
    pub endpoints: Endpoints,
    /// The ConfigMap for Spring applications; absent where their relay cannot connect.
    pub spring_config_map: Option<String>,
    /// [`stompbroker_config::config_hash`] of each pool's `broker.yaml`, by the pool's name.
    pub config_hashes: BTreeMap<String, String>,
    /// The pools as large as they are to be now, in the order of the spec.
    pub pools: Vec<Pool>,
    /// Zones that are lost, and what is done about it.
    pub respread: Respread,
    /// Which pods may be evicted.
    pub budget: Budget,
    /// What pods are to be annotated with before the Deployments are written.
    pub deletion_costs: Vec<DeletionCost>,
    /// Where a rollout stands, and what is done about it in this pass; its zones are in the order of the pools.
    pub rollout: RolloutStep,
    /// What is done with the logins in this pass, in the order of [`Login::ALL`].
    pub logins: Vec<LoginStep>,
    /// Where NATS servers stand, and what is done about it in this pass; absent where the operator runs none.
    pub nats: Option<nats::NatsStep>,
}

/// Why there is no plan; but for overrides no user error, those end in `validate`.
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
    /// The configuration has no hash.
    #[error("failed to hash broker.yaml of {pool}")]
    HashConfig {
        /// Name of the pool.
        pool: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The properties for Spring applications have no YAML form.
    #[error("failed to render the properties for Spring applications")]
    RenderSpring(#[source] RenderError),
    /// A patch cannot be done, or may not be; the user has to change it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Overrides(Vec<SpecError>),
    /// A revision has no JSON form.
    #[error("failed to write a revision as JSON")]
    Revision(#[source] serde_json::Error),
}

/// The objects that `broker` is to have in the world as `observed`.
///
/// # Errors
/// When a patch of the spec cannot be done, or when no configuration can be rendered, which is a fault of this program.
pub fn plan(broker: &ValidatedBroker, observed: &Observed, settings: &Settings) -> Result<Plan, PlanError> {
    let (respread, pools) = respread::step(broker, observed);
    let larger = (pools != broker.pools).then(|| ValidatedBroker { pools, ..broker.clone() });
    let broker = larger.as_ref().unwrap_or(broker);
    let (login_secrets, logins) = logins::logins(broker, observed, settings);
    let budget = disruption_budget::step(broker, observed);
    let mut objects = Objects {
        service_accounts: vec![service_account::service_account(broker)],
        logins: login_secrets,
        secrets: secrets::secrets(broker),
        certificates: Vec::new(),
        nats_secrets: Vec::new(),
        persistent_volume_claims: Vec::new(),
        config_maps: Vec::new(),
        services: [service::service(broker)].into_iter().chain(service::peers(broker)).collect(),
        ingresses: ingress::ingress(broker).into_iter().collect(),
        http_routes: Vec::new(),
        tls_routes: Vec::new(),
        tls_alpha_routes: Vec::new(),
        network_policies: vec![network_policy::network_policy(broker, settings)],
        pod_disruption_budgets: vec![disruption_budget::disruption_budget(broker, &budget)],
        stateful_sets: Vec::new(),
        deployments: Vec::new(),
        horizontal_pod_autoscalers: Vec::new(),
        scaled_objects: Vec::new(),
    };
    if observed.cert_manager {
        objects.certificates = certificate::certificates(broker, settings);
    }
    // Without its kind, writing a route would fail the whole pass; a condition says what is missing.
    if observed.gateway_api.http_routes {
        objects.http_routes.extend(gateway::http_route(broker));
    }
    match observed.gateway_api.tls_routes {
        Some(TlsRoutes::V1) => objects.tls_routes.extend(gateway::tls_route(broker)),
        Some(TlsRoutes::V1Alpha2) => objects.tls_alpha_routes.extend(gateway::tls_route(broker)),
        None => {}
    }
    let mut config_hashes = BTreeMap::new();
    for pool in &broker.pools {
        let config = broker_config::config(broker, pool, settings);
        let rendered = config.check().and_then(|()| config.to_yaml());
        let yaml = rendered.map_err(|source| PlanError::RenderConfig { pool: pool.name.clone(), source })?;
        config_hashes.insert(pool.name.clone(), stompbroker_config::config_hash(&yaml));
        objects.persistent_volume_claims.extend(persistent_volume_claim::persistent_volume_claim(broker, pool));
        objects.config_maps.push(config_map::config_map(broker, pool, yaml));
        objects.horizontal_pod_autoscalers.extend(autoscaler::autoscaler(broker, pool, settings));
        // Without the kind, writing one would fail the whole pass; a condition says what is missing.
        objects.scaled_objects.extend(scaled_object::scaled_object(broker, pool).filter(|_| observed.keda));
    }
    objects.config_maps.extend(spring::spring(broker, settings).map_err(PlanError::RenderSpring)?);
    let config_hash = |pool: &Pool| config_hashes.get(&pool.name).cloned().unwrap_or_default();
    let rollout = rollout::step(broker, observed, settings, &config_hash)?;
    for (pool, step) in broker.pools.iter().zip(&rollout.zones) {
        let live = observed.deployments.get(&pool.name);
        objects.deployments.push(deployment::deployment(broker, pool, step, live));
    }
    let nats = nats::add(&mut objects, broker, observed, settings, &rollout)?;
    let overrides = overrides::patch(&mut objects, broker, &observed.missing_kinds(&broker.spec))?;
    let sizes: Vec<_> = objects.deployments.iter().map(|deployment| deployment.spec.as_ref()?.replicas).collect();
    let deletion_costs = deletion_costs::deletion_costs(broker, observed, &rollout.zones, &sizes);
    let image = rollout.zones.first().and_then(|zone| zone.revision.image()).unwrap_or_default().to_owned();
    Ok(Plan {
        objects,
        overrides,
        image,
        custom_metrics: settings.custom_metrics,
        endpoints: service::endpoints(broker, settings),
        spring_config_map: spring::name(broker),
        config_hashes,
        pools: broker.pools.clone(),
        respread,
        budget,
        deletion_costs,
        rollout,
        logins,
        nats,
    })
}

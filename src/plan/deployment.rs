//! Deployment: the pods of a pool.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{LocalObjectReference, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{FAILED, PREVIOUS, REVISION, ZoneStep, container, labels, metadata, placement, volume};
use crate::{
    observed::DeploymentView,
    validate::{Engine, Pool, PoolSize, ValidatedBroker},
};

/// Annotation of pods: [`stompbroker_config::Config::start_hash`] of what they were started with. It changes only with
/// what a running broker cannot take up by itself.
const START_CONFIG: &str = "stompbroker.dev/start-config";
/// Annotation of pods: `spec.rollout.restart`.
const RESTART: &str = "stompbroker.dev/restart";
/// Seconds that a pod may take beyond its drain before the kubelet kills it.
const GRACE_MARGIN: u64 = 15;
/// Seconds without a new ready pod, beyond the drain of an old one, after which a rollout counts as stuck.
const PROGRESS_MARGIN: i64 = 300;
/// Old ReplicaSets to keep, for `kubectl rollout undo` to show what there was.
const HISTORY: i32 = 3;

/// The Deployment of `pool` with the revision that `step` gives it.
pub(super) fn deployment(
    broker: &ValidatedBroker,
    pool: &Pool,
    step: &ZoneStep,
    live: Option<&DeploymentView>,
) -> Deployment {
    let annotations = [(REVISION, Some(&step.annotation)), (PREVIOUS, step.previous.as_ref())]
        .into_iter()
        .chain([(FAILED, step.failed.as_ref())])
        .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    Deployment {
        metadata: ObjectMeta { annotations: Some(annotations.collect()), ..metadata::of_pool(broker, pool) },
        spec: Some(DeploymentSpec {
            replicas: replicas(pool.size, live),
            selector: metadata::pods_of_pool(broker, pool),
            strategy: Some(strategy(&broker.engine)),
            revision_history_limit: Some(HISTORY),
            progress_deadline_seconds: i32::try_from(grace_period(broker).saturating_add(PROGRESS_MARGIN)).ok(),
            template: step.revision.template.clone(),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// What the pods of `pool` are made from.
pub(super) fn template(broker: &ValidatedBroker, pool: &Pool, image: &str, start_hash: String) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod_metadata(broker, pool, start_hash)),
        spec: Some(pod(broker, pool, image, grace_period(broker))),
    }
}

/// The number of pods that we ask for: none when an autoscaler does, but for the first.
///
/// While the API server still counts the number as ours, leaving it out would reset it to 1. So it is repeated, within the
/// new bounds, until the autoscaler has written it; `apply` sees to it that a newer number is not taken back.
pub(super) fn replicas(size: PoolSize, live: Option<&DeploymentView>) -> Option<i32> {
    let repeated = |first, bounded: &dyn Fn(i32) -> i32| match live {
        None => Some(first),
        Some(live) => live.owns_replicas.then(|| bounded(live.desired)),
    };
    match size {
        PoolSize::Fixed(replicas) => Some(replicas),
        PoolSize::Autoscaled { min, max } => repeated(min, &|desired| desired.max(min).min(max)),
        PoolSize::External { first } => repeated(first, &|desired| desired),
    }
}

/// A new pod is ready before an old one goes, except where two pods would not see each other's messages.
fn strategy(engine: &Engine) -> DeploymentStrategy {
    match engine {
        Engine::Embedded(_) => DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None },
        Engine::Relay(_) | Engine::JetStream(_) => DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        },
    }
}

/// Seconds between SIGTERM and SIGKILL: more than the drain takes.
fn grace_period(broker: &ValidatedBroker) -> i64 {
    let drain = broker.drain.deadline.0;
    let seconds = drain.as_secs() + u64::from(drain.subsec_nanos() > 0) + GRACE_MARGIN;
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn pod_metadata(broker: &ValidatedBroker, pool: &Pool, start_hash: String) -> ObjectMeta {
    let mut labels = labels::common(&broker.name);
    labels.insert(labels::ZONE.to_owned(), metadata::zone_label(pool));
    let mut annotations = BTreeMap::from([(START_CONFIG.to_owned(), start_hash)]);
    annotations.extend(broker.spec.rollout.restart.iter().map(|wish| (RESTART.to_owned(), wish.clone())));
    ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

fn pod(broker: &ValidatedBroker, pool: &Pool, image: &str, grace: i64) -> PodSpec {
    let pull_secrets: Vec<_> =
        broker.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        affinity: placement::affinity(pool.zone.as_deref()),
        automount_service_account_token: Some(false),
        containers: vec![container::container(broker, pool, image)],
        enable_service_links: Some(false),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        security_context: Some(container::pod_security_context()),
        service_account_name: Some(broker.name.clone()),
        termination_grace_period_seconds: Some(grace),
        topology_spread_constraints: Some(placement::spread(broker, pool)),
        volumes: Some(volume::volumes(broker, pool)),
        ..PodSpec::default()
    }
}

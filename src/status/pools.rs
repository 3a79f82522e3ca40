//! What planned and observed say about each pool together.

use stompbroker_config::admin;

use crate::{
    api::ZoneOutage,
    observed::{DeploymentView, Observed, PodView},
    plan::{Plan, respread, silence::Patience},
    validate::{Pool, PoolSize, ValidatedBroker},
};

/// One pool as planned and as observed.
#[derive(Clone, Debug)]
pub(super) struct PoolFacts<'a> {
    /// The pool.
    pub(super) pool: &'a Pool,
    /// Its Deployment; absent before the first apply.
    pub(super) live: Option<&'a DeploymentView>,
    /// Its pods, the terminating ones too.
    pub(super) pods: Vec<&'a PodView>,
    /// Pods wanted.
    pub(super) desired: i32,
    /// Hash of the configuration wanted.
    pub(super) config_hash: &'a str,
    /// Pods among those wanted that stand in for pods of lost zones.
    pub(super) standing_in: i32,
    /// That its zone is lost, or was not long ago.
    pub(super) outage: Option<&'a ZoneOutage>,
    /// Whether it is to get another revision, but not yet.
    pub(super) held: bool,
    /// How long a rollout waits for pods that say nothing.
    patience: Patience,
}

impl<'a> PoolFacts<'a> {
    /// The facts of all pools in the order of the spec.
    pub(super) fn all(broker: &'a ValidatedBroker, plan: &'a Plan, observed: &'a Observed) -> Vec<Self> {
        let patience = Patience::of_rollout(broker, observed.now);
        plan.pools
            .iter()
            .enumerate()
            .map(|(index, pool)| {
                let live = observed.deployments.get(&pool.name);
                let zone = pool.zone.as_deref().unwrap_or_default();
                let desired = match pool.size {
                    _ if broker.spec.is_hands_off() => live.map_or(0, |live| live.desired),
                    PoolSize::Fixed(replicas) => replicas,
                    PoolSize::Autoscaled { min, max } => live.map_or(min, |live| live.desired.max(min).min(max)),
                    PoolSize::External { first } => live.map_or(first, |live| live.desired),
                };
                let own = broker.pools.get(index).map_or(pool.size, |own| own.size);
                let planned = respread::fewest(pool.size) - respread::fewest(own);
                // What is planned is not done.
                let there = if broker.spec.is_hands_off() { desired - respread::fewest(own) } else { planned };
                let standing_in = there.clamp(0, planned);
                let outage = plan.respread.outages.get(zone);
                let config_hash = plan.config_hashes.get(&pool.name).map_or("", String::as_str);
                let pods = observed.pods.iter().filter(|pod| pod.zone == zone).collect();
                let held = plan.rollout.decision.held.get(index).copied().unwrap_or_default();
                Self { pool, live, pods, desired, config_hash, standing_in, outage, held, patience }
            })
            .collect()
    }

    /// How people call the pool.
    pub(super) fn label(&self) -> String {
        self.pool.zone.as_ref().map_or_else(|| "the pool".to_owned(), |zone| format!("zone {zone}"))
    }

    /// Pods ready.
    pub(super) fn ready(&self) -> i32 {
        self.live.map_or(0, |live| live.ready)
    }

    /// Pods of the newest revision.
    pub(super) fn updated(&self) -> i32 {
        self.live.filter(|_| !self.held).map_or(0, |live| live.updated)
    }

    /// Whether the Deployment's controller has nothing left to start or replace, ready or not.
    pub(super) fn is_rolled_out(&self) -> bool {
        self.live.is_some_and(|live| {
            live.current
                && live.desired == self.desired
                && live.updated == self.desired
                && live.replicas == self.desired
        })
    }

    /// Pods that are there to stay.
    pub(super) fn staying(&self) -> impl Iterator<Item = &'a PodView> {
        self.pods.iter().copied().filter(|pod| !pod.terminating)
    }

    /// What the pods' admin ports said, by pod.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&'a PodView, &'a Result<admin::Status, String>)> {
        self.staying().filter_map(|pod| pod.admin.as_ref().map(|answer| (pod, answer)))
    }

    /// Whether `pod` has said nothing for so long that rollouts do not wait for it any more.
    pub(super) fn passes_over(&self, pod: &PodView) -> bool {
        self.patience.is_over(pod)
    }

    /// Sessions logged in, also on pods that are about to go.
    pub(super) fn sessions(&self) -> i64 {
        let answers = self.pods.iter().filter_map(|pod| pod.admin.as_ref()?.as_ref().ok());
        let sessions = answers.map(|status| status.sessions.live());
        i64::try_from(sessions.fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
    }
}

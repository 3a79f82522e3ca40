//! Which pods go first when there are to be fewer: those with the fewest sessions.
//!
//! A ReplicaSet looks at an annotation of the pods. It is written before it matters, when a pod with clearly more sessions
//! than need be would go, and at no other time: numbers of sessions change all the time.

use crate::{
    observed::{DeploymentView, Observed, PodView},
    plan::{gate::Act, rollout::ZoneStep},
    validate::{Pool, PoolSize, ValidatedBroker},
};

/// The annotation that ReplicaSets look at: pods with less of it go first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sessions that are too few to write anything for.
const FEW: i32 = 5;
/// So much more sessions than need be are no reason either, in percent.
const SLACK: i32 = 10;

/// What a pod's annotation is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionCost {
    /// Name of the pod.
    pub pod: String,
    /// Its sessions.
    pub cost: i32,
}

/// The annotations to write before the Deployments of `broker` are; `sizes` are the numbers of pods that they get.
pub(super) fn deletion_costs(
    broker: &ValidatedBroker,
    observed: &Observed,
    steps: &[ZoneStep],
    sizes: &[Option<i32>],
) -> Vec<DeletionCost> {
    let mut costs = Vec::new();
    for ((pool, step), size) in broker.pools.iter().zip(steps).zip(sizes) {
        let Some(live) = observed.deployments.get(&pool.name) else { continue };
        let zone = pool.zone.as_deref().unwrap_or_default();
        let pods: Vec<_> = observed.pods.iter().filter(|pod| pod.zone == zone && !pod.terminating).collect();
        let going = going(broker, observed, pool, live, step.act, *size);
        let going = usize::try_from(going).unwrap_or_default().min(pods.len());
        if going < pods.len() {
            costs.extend(of_pool(&pods, going));
        }
    }
    costs
}

/// How many pods of `pool` may have to go soon.
fn going(
    broker: &ValidatedBroker,
    observed: &Observed,
    pool: &Pool,
    live: &DeploymentView,
    act: Act,
    size: Option<i32>,
) -> i32 {
    // A rollout takes one after the other.
    let replaced = i32::from(matches!(act, Act::Roll | Act::Return));
    let fewer = size.map_or(0, |size| live.replicas - size);
    let scaled = match pool.size {
        PoolSize::Fixed(_) => 0,
        PoolSize::Autoscaled { min, .. } if broker.spec.wants_keda() => i32::from(live.desired > min),
        PoolSize::Autoscaled { .. } => {
            i32::from(observed.autoscalers.get(&pool.name).is_some_and(|scaler| scaler.shrinking))
        }
        PoolSize::External { .. } => i32::from(live.desired > 1),
    };
    replaced.max(fewer).max(scaled)
}

/// The annotations of `pods`, of which `going` go, if those that would go have clearly more sessions than need be.
fn of_pool(pods: &[&PodView], going: usize) -> Vec<DeletionCost> {
    let known: Vec<_> = pods.iter().filter_map(|pod| Some((*pod, sessions(pod)?))).collect();
    // Of who says nothing it is not known that he has none.
    if going == 0 || known.len() < pods.len() {
        return Vec::new();
    }
    // Of pods with the same annotation the ReplicaSet may take any.
    let would_go = sum_of_first(&known, going, |pod, sessions| (pod.deletion_cost.unwrap_or_default(), -sessions));
    let need_go = sum_of_first(&known, going, |_, sessions| (sessions, 0));
    if would_go <= need_go.saturating_add((need_go / 100 * SLACK).max(FEW)) {
        return Vec::new();
    }
    let differs = |(pod, sessions): &(&PodView, i32)| pod.deletion_cost != Some(*sessions);
    let wanted = known.into_iter().filter(differs);
    wanted.map(|(pod, cost)| DeletionCost { pod: pod.name.clone(), cost }).collect()
}

/// Sessions of the first pods in this order.
fn sum_of_first(pods: &[(&PodView, i32)], first: usize, order: impl Fn(&PodView, i32) -> (i32, i32)) -> i32 {
    let mut pods = pods.to_vec();
    pods.sort_by_key(|(pod, sessions)| order(pod, *sessions));
    pods.iter().take(first).map(|(_, sessions)| *sessions).fold(0, i32::saturating_add)
}

fn sessions(pod: &PodView) -> Option<i32> {
    let status = pod.admin.as_ref()?.as_ref().ok()?;
    Some(i32::try_from(status.sessions.live()).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::testing::report;

    fn pod(name: &str, sessions: Option<u64>, cost: Option<i32>) -> PodView {
        let admin = sessions.map(|sessions| Ok(report(sessions, 0.0)));
        PodView { name: name.to_owned(), deletion_cost: cost, admin, ..PodView::default() }
    }

    fn costs(pods: &[PodView], going: usize) -> Vec<(String, i32)> {
        let pods: Vec<_> = pods.iter().collect();
        of_pool(&pods, going).into_iter().map(|DeletionCost { pod, cost }| (pod, cost)).collect()
    }

    #[test]
    fn the_pod_with_the_fewest_sessions_goes_first() {
        let pods = [pod("a", Some(500), None), pod("b", Some(20), None), pod("c", Some(400), None)];
        let named =
            |pairs: &[(&str, i32)]| pairs.iter().map(|(pod, cost)| ((*pod).to_owned(), *cost)).collect::<Vec<_>>();
        assert_eq!(costs(&pods, 1), named(&[("a", 500), ("b", 20), ("c", 400)]));
        let written = [pod("a", Some(510), Some(500)), pod("b", Some(25), Some(20)), pod("c", Some(390), Some(400))];
        assert_eq!(costs(&written, 1), [], "the order has not changed");
        let turned = [pod("a", Some(10), Some(500)), pod("b", Some(20), Some(20)), pod("c", Some(400), Some(400))];
        assert_eq!(costs(&turned, 1), named(&[("a", 10)]));
    }

    #[test]
    fn nothing_is_written_for_a_few_sessions_or_for_nobody_who_goes() {
        let pods = [pod("a", Some(6), None), pod("b", Some(2), None)];
        assert_eq!(costs(&pods, 1), []);
        let pods = [pod("a", Some(600), None), pod("b", Some(2), None)];
        assert_eq!(costs(&pods, 0), []);
    }

    #[test]
    fn who_does_not_answer_is_not_taken_for_empty() {
        assert_eq!(costs(&[pod("a", Some(600), None), pod("b", None, None)], 1), []);
    }
}

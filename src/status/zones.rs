//! `ZonesSatisfied`: every zone has the pods that it is to have.

use super::{
    Reason,
    pools::PoolFacts,
    verdict::{Holds, Verdict},
};

/// Judges every pool and reports the gravest shortage: a lost zone, a full one, one whose pods are not ready.
pub(super) fn zones_satisfied(pools: &[PoolFacts<'_>]) -> Verdict {
    let short = || pools.iter().filter(|pool| pool.ready() < pool.desired);
    let gravest =
        short().find_map(lost).or_else(|| short().find_map(unschedulable)).or_else(|| short().next().map(unready));
    let mut verdict = gravest.unwrap_or_else(|| {
        if pools.iter().all(|pool| pool.desired == 0) {
            Verdict::new(Holds::True, Reason::ScaledToZero, "the spec asks for no pods")
        } else {
            Verdict::new(Holds::True, Reason::AsExpected, "every zone has its pods ready")
        }
    });
    let guests = pools.iter().map(|pool| pool.standing_in).fold(0, i32::saturating_add);
    if guests > 0 {
        let given_up = pools.iter().filter(|pool| pool.outage.is_some_and(|outage| outage.respread_since.is_some()));
        let given_up: Vec<_> = given_up.filter_map(|pool| pool.pool.zone.as_deref()).collect();
        let whose = given_up.join(", ");
        verdict.message = format!("{}; {guests} pods elsewhere stand in for those of zone {whose}", verdict.message);
    }
    verdict
}

/// All that ran there is on nodes that stopped reporting.
fn lost(pool: &PoolFacts<'_>) -> Option<Verdict> {
    let on_lost_nodes = pool.pods.iter().filter(|pod| pod.node_lost).count();
    let others_run = pool.pods.iter().any(|pod| pod.ready && !pod.node_lost);
    (on_lost_nodes > 0 && !others_run).then(|| {
        let text = format!(
            "{} is lost: {on_lost_nodes} pods are on nodes that stopped reporting, and none runs elsewhere",
            pool.label()
        );
        Verdict::new(Holds::False, Reason::ZoneLost, text)
    })
}

fn unschedulable(pool: &PoolFacts<'_>) -> Option<Verdict> {
    let (pod, why) = pool.staying().find_map(|pod| pod.unschedulable.as_ref().map(|why| (pod, why)))?;
    let text = format!("{} has no room for pod {}: {why}", pool.label(), pod.name);
    Some(Verdict::new(Holds::False, Reason::ZoneUnschedulable, text))
}

fn unready(pool: &PoolFacts<'_>) -> Verdict {
    let text = format!("{} has {} of {} pods ready", pool.label(), pool.ready(), pool.desired);
    Verdict::new(Holds::False, Reason::PodsNotReady, text)
}

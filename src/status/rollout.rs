//! `status.lastRollout`, and what conditions say of a rollout.
//!
//! Told from what the Deployments carry, so that it is found out anew when an operator ended between writing a Deployment
//! and writing the status.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    Reason,
    pools::PoolFacts,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{RestartReason, RolloutPhase, RolloutStatus},
    observed::PodView,
    plan::{RolloutStep, gate::Act, reasons_of, shown, staying_sessions},
};

/// The last rollout as of this pass.
pub(super) fn last_rollout(
    previous: Option<&RolloutStatus>,
    step: &RolloutStep,
    pools: &[PoolFacts<'_>],
    pods: &[PodView],
    now: Timestamp,
) -> Option<RolloutStatus> {
    let zone_of = |pool: &PoolFacts<'_>| pool.pool.zone.clone();
    let touched = || pools.iter().filter(|pool| pool.live.is_some_and(|live| live.previous.is_some()));
    // Written in this pass: the Deployment was looked at again after that.
    let replaced = pools.iter().zip(&step.zones).rfind(|(pool, zone)| {
        matches!(zone.act, Act::Roll | Act::Return)
            && pool.live.and_then(shown).is_some_and(|id| id == zone.revision.id)
    });
    let open = previous.filter(|last| last.revision == step.newest && last.finished_at.is_none());
    let mut last = match open {
        Some(last) => last.clone(),
        None if touched().next().is_some() && !step.decision.complete => RolloutStatus {
            revision: step.newest.clone(),
            reasons: Vec::new(),
            zone: touched().next_back().and_then(zone_of),
            phase: RolloutPhase::Progressing,
            started_at: Time(now),
            finished_at: None,
            sessions_before: None,
            zone_ready_at: None,
        },
        None => return previous.cloned(),
    };
    if let Some((pool, _)) = replaced {
        last.zone = zone_of(pool);
        last.sessions_before = Some(staying_sessions(pods));
        last.zone_ready_at = None;
    }
    let mut reasons: Vec<RestartReason> = last.reasons.clone();
    for reason in touched().filter_map(|pool| pool.live?.revision.as_deref()).flat_map(reasons_of) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.sort_unstable();
    last.reasons = reasons;
    let decision = &step.decision;
    last.phase = match (decision.back, decision.complete) {
        (false, true) => RolloutPhase::Completed,
        (true, true) => RolloutPhase::RolledBack,
        (true, false) => RolloutPhase::RollingBack,
        (false, false) if decision.halted.is_some() => RolloutPhase::Halted,
        (false, false) => RolloutPhase::Progressing,
    };
    if decision.awaits_sessions && replaced.is_none() && last.zone_ready_at.is_none() {
        last.zone_ready_at = Some(Time(now));
    }
    if decision.complete {
        last.finished_at = Some(Time(now));
    }
    Some(last)
}

/// What is wrong with a rollout.
pub(super) fn failure(step: &RolloutStep, pools: &[PoolFacts<'_>]) -> Option<Verdict> {
    let decision = &step.decision;
    let newest = &step.newest;
    let yes = |reason, text| Some(Verdict::new(Holds::True, reason, text));
    if decision.back {
        let at = pools.iter().find(|pool| pool.live.is_some_and(|live| live.failed.as_ref() == Some(newest)));
        let at = at.map_or_else(|| "a zone".to_owned(), PoolFacts::label);
        let state = if decision.complete { "all pods run" } else { "the pods go back to" };
        return yes(
            Reason::RolledBack,
            format!(
                "revision {newest} did not come up in {at}, so {state} the last revision that worked; correct the spec, \
                 or set spec.rollout.restart to a new text to try it again"
            ),
        );
    }
    let pool = pools.get(decision.halted?)?;
    let cause = cause(pool);
    let held = held(step, pools);
    if held.is_empty() {
        return None;
    }
    yes(
        Reason::RolloutHalted,
        format!(
            "revision {newest} does not come up in {}, so {held} as before: {cause}; correct the spec, which replaces the \
             broken pods at once, or set spec.rollout.onFailure to Rollback",
            pool.label()
        ),
    )
}

/// Why a pool does not come up, as near to the cause as can be told.
fn cause(pool: &PoolFacts<'_>) -> String {
    let of_pod = pool.staying().find_map(|pod| {
        let why = pod.waiting.as_ref().or(pod.unschedulable.as_ref())?;
        Some(format!("pod {}: {why}", pod.name))
    });
    let of_deployment = pool.live.and_then(|live| live.replica_failure.clone().or_else(|| live.stalled.clone()));
    of_pod.or(of_deployment).unwrap_or_else(|| "its pods are not ready".to_owned())
}

/// The pools that wait for another one, with a verb; empty when none does.
fn held(step: &RolloutStep, pools: &[PoolFacts<'_>]) -> String {
    let waiting: Vec<_> =
        pools.iter().zip(&step.decision.held).filter(|(_, held)| **held).map(|(pool, _)| pool.label()).collect();
    match waiting.as_slice() {
        [] => String::new(),
        [one] => format!("{one} stays"),
        many => format!("{} stay", many.join(", ")),
    }
}

/// What zones wait for before they get the newest revision.
pub(super) fn waiting(step: &RolloutStep, pools: &[PoolFacts<'_>]) -> Option<Verdict> {
    let held = held(step, pools);
    if held.is_empty() {
        return None;
    }
    let why = if step.decision.awaits_sessions {
        "the sessions of the zone that was replaced last are awaited"
    } else {
        "another zone is not done, or not well"
    };
    let text = format!("{held} at the previous revision for now: {why}");
    Some(Verdict::new(Holds::True, Reason::RollingOut, text))
}

/// `UpdateAvailable`: pods are kept as they are though this operator would make them otherwise.
pub(super) fn update_available(step: &RolloutStep) -> Verdict {
    let Some((is, would_be)) = &step.update else {
        return Verdict::new(Holds::False, Reason::AsExpected, "pods are as this operator makes them");
    };
    let what = if is == would_be { "another form of pod".to_owned() } else { format!("image {would_be} for {is}") };
    let text = format!(
        "this operator has {what}; pods get it with the next change that restarts them, in spec.maintenanceWindow, or at \
         once with spec.upgradePolicy Automatic"
    );
    Verdict::new(Holds::True, Reason::OperatorUpgraded, text)
}

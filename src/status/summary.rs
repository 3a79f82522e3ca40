//! `Progressing`, `Degraded` and `Ready`: the sums of the other conditions.

use super::{
    ConditionType, Reason,
    build::Failure,
    exposure,
    pools::PoolFacts,
    rollout,
    verdict::{Holds, Verdict},
};
use crate::{plan::RolloutStep, validate::SpecError};

/// The conditions that `Degraded` and `Ready` sum up.
pub(super) struct Parts<'a> {
    pub(super) errors: &'a [SpecError],
    pub(super) failure: Option<&'a Failure>,
    pub(super) pools: &'a [PoolFacts<'a>],
    pub(super) rollout: Option<&'a RolloutStep>,
    pub(super) zones: &'a Verdict,
    pub(super) config: &'a Verdict,
    pub(super) relay: Option<&'a Verdict>,
    pub(super) exposed: Option<&'a Verdict>,
    pub(super) certificates: Option<&'a Verdict>,
    pub(super) autoscaled: Option<&'a Verdict>,
    /// That the spec wants nothing to be written, when it does.
    pub(super) managed: Option<&'a Verdict>,
    pub(super) nats: Option<&'a Verdict>,
    pub(super) nats_waiting: Option<Verdict>,
}

/// All errors of the spec in one text.
pub(super) fn list<'a>(errors: impl Iterator<Item = &'a SpecError>) -> String {
    errors.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Something is wrong that does not pass by itself. The reason is the cause that lies deepest: what the user wrote, what
/// the operator could not do, what keeps pods from running, what running pods miss.
pub(super) fn degraded(parts: &Parts<'_>) -> Verdict {
    let Parts {
        errors, failure, pools, rollout, zones, config, relay, exposed, certificates, autoscaled, nats, ..
    } = parts;
    let yes = |reason, message: String| Verdict::new(Holds::True, reason, message);
    if let Some(first) = errors.iter().find(|error| !error.passes()) {
        return yes(first.reason, list(errors.iter()));
    }
    if let Some(failure) = failure {
        return yes(failure.reason, failure.message.clone());
    }
    if let Some(failed) = rollout.and_then(|step| rollout::failure(step, pools)) {
        return failed;
    }
    for pool in *pools {
        if let Some(why) = pool.live.and_then(|live| live.replica_failure.as_ref()) {
            return yes(Reason::PodsNotCreated, format!("{}: {why}", pool.label()));
        }
    }
    if zones.is_false() && matches!(zones.reason, Reason::ZoneLost | Reason::ZoneUnschedulable) {
        return yes(zones.reason, zones.message.clone());
    }
    // Brokers that have no NATS are not ready for no other reason.
    if let Some(nats) = nats.filter(|nats| nats.is_false() && nats.reason == Reason::PodsFailing) {
        return yes(nats.reason, nats.message.clone());
    }
    for pool in *pools {
        if let Some((pod, why)) = pool.staying().find_map(|pod| pod.waiting.as_ref().map(|why| (pod, why))) {
            return yes(Reason::PodsFailing, format!("pod {}: {why}", pod.name));
        }
    }
    if config.is_false() && config.reason == Reason::ConfigRejected {
        return yes(config.reason, config.message.clone());
    }
    if let Some(relay) = relay.filter(|relay| relay.is_false() && !is_untried(relay)) {
        return yes(relay.reason, relay.message.clone());
    }
    if let Some(expired) = certificates.filter(|verdict| verdict.reason == Reason::CertificateExpired) {
        return yes(expired.reason, expired.message.clone());
    }
    if let Some(exposed) = exposed.filter(|exposed| exposed.is_false() && !exposure::passes(exposed.reason)) {
        return yes(exposed.reason, exposed.message.clone());
    }
    // What an autoscaler complains of mostly passes, but KEDA does not install itself.
    if let Some(keda) = autoscaled.filter(|autoscaled| autoscaled.reason == Reason::KedaMissing) {
        return yes(keda.reason, keda.message.clone());
    }
    for pool in *pools {
        if let Some(why) = pool.live.and_then(|live| live.stalled.as_ref()) {
            return yes(Reason::ProgressDeadlineExceeded, format!("{}: {why}", pool.label()));
        }
    }
    Verdict::new(Holds::False, Reason::AsExpected, "nothing is wrong")
}

/// What is wrong needs somebody to change the spec, or an object in the way: what kstatus calls stalled. Absent otherwise.
pub(super) fn stalled(degraded: &Verdict) -> Option<Verdict> {
    let stalled = degraded.is_true() && ConditionType::Stalled.can_have(degraded.reason);
    stalled.then(|| degraded.clone())
}

/// Something is on its way: pods, or a configuration to them.
pub(super) fn progressing(parts: &Parts<'_>) -> Verdict {
    let Parts {
        errors, failure, pools, rollout, zones: _, config, relay, exposed, managed, nats, nats_waiting, ..
    } = parts;
    if let Some(first) = errors.first() {
        return if errors.iter().all(SpecError::passes) {
            Verdict::new(Holds::True, first.reason, list(errors.iter()))
        } else {
            Verdict::new(Holds::False, Reason::NotAccepted, "the spec has to be corrected first")
        };
    }
    if let Some(failure) = failure.filter(|_| pools.is_empty()) {
        return Verdict::new(Holds::Unknown, failure.reason, failure.message.clone());
    }
    if let Some(managed) = managed {
        return Verdict::new(Holds::False, managed.reason, managed.message.clone());
    }
    if let Some(pool) = pools.iter().find(|pool| pool.live.is_some_and(|live| live.stalled.is_some())) {
        return Verdict::new(
            Holds::False,
            Reason::ProgressDeadlineExceeded,
            format!("the rollout of {} does not come forward", pool.label()),
        );
    }
    if let Some(waiting) = nats_waiting {
        return waiting.clone();
    }
    if let Some(nats) = nats.filter(|nats| nats.is_false() && nats.reason != Reason::PodsFailing) {
        return Verdict::new(Holds::True, nats.reason, nats.message.clone());
    }
    if let Some(pool) = pools.iter().find(|pool| !pool.is_rolled_out()) {
        let text = format!("{} has {} of {} pods of the newest revision", pool.label(), pool.updated(), pool.desired);
        return Verdict::new(Holds::True, Reason::RollingOut, text);
    }
    if let Some(waiting) = rollout.and_then(|step| rollout::waiting(step, pools)) {
        return waiting;
    }
    if let Some(pool) = pools.iter().find(|pool| pool.ready() < pool.desired) {
        let text = format!("{} has {} of {} pods ready", pool.label(), pool.ready(), pool.desired);
        return Verdict::new(Holds::True, Reason::PodsNotReady, text);
    }
    if config.is_false() && config.reason != Reason::ConfigRejected {
        return Verdict::new(Holds::True, config.reason, config.message.clone());
    }
    if let Some(relay) = relay.filter(|relay| is_untried(relay)) {
        return Verdict::new(Holds::True, relay.reason, relay.message.clone());
    }
    if let Some(exposed) = exposed.filter(|exposed| exposed.is_false() && exposure::passes(exposed.reason)) {
        return Verdict::new(Holds::True, exposed.reason, exposed.message.clone());
    }
    Verdict::new(Holds::False, Reason::AsExpected, "nothing is on its way")
}

/// Whether pods have no upstream only because they have not tried any yet.
fn is_untried(relay: &Verdict) -> bool {
    relay.is_false() && relay.reason == Reason::Idle
}

/// Clients can connect, and what runs is what the spec asks for.
pub(super) fn ready(parts: &Parts<'_>, degraded: &Verdict, progressing: &Verdict) -> Verdict {
    let pools = parts.pools;
    if degraded.is_true() {
        return Verdict::new(Holds::False, degraded.reason, degraded.message.clone());
    }
    if !progressing.is_false() {
        return Verdict::new(Holds::False, progressing.reason, progressing.message.clone());
    }
    if let Some(managed) = parts.managed {
        let (ready, desired) = sums(pools);
        let holds = if desired > 0 && ready >= desired { Holds::True } else { Holds::False };
        let text = format!("{ready} of {desired} pods are ready; {}", managed.message);
        return Verdict::new(holds, managed.reason, text);
    }
    match pools.iter().map(|pool| pool.desired).fold(0, i32::saturating_add) {
        0 => Verdict::new(Holds::True, Reason::ScaledToZero, "the spec asks for no pods"),
        1 => Verdict::new(Holds::True, Reason::AsExpected, "the pod is ready"),
        pods => Verdict::new(Holds::True, Reason::AsExpected, format!("all {pods} pods are ready")),
    }
}

/// Pods that are ready, and pods wanted, over all zones.
fn sums(pools: &[PoolFacts<'_>]) -> (i32, i32) {
    pools.iter().fold((0, 0), |(ready, desired), pool| (ready + pool.ready(), desired + pool.desired))
}

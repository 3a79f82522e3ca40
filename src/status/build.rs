//! Builds the status of one pass.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::{
    ConditionType, Reason, autoscaling, certificates,
    config::config_applied,
    drains,
    exposure::{self, Way},
    logins::{credentials, credentials_settled},
    management, nats,
    pools::PoolFacts,
    relay::relay_connected,
    rollout::{last_rollout, update_available},
    summary::{self, Parts},
    verdict::{Holds, Verdict},
    zones::zones_satisfied,
};
use crate::{
    api::{Binding, CertificateStatus, CredentialsStatus, PlannedChange, StompBroker, StompBrokerStatus, ZoneStatus},
    observed::Observed,
    plan::{Plan, labels, shown},
    validate::{Engine, SpecError, ValidatedBroker},
};

/// All that the status of one pass is made from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The object that the pass was for, with its previous status.
    pub broker: &'a StompBroker,
    /// What was seen, with the Deployments as the API server returned them after the pass had applied them; absent when
    /// observing failed.
    pub observed: Option<&'a Observed>,
    /// What was validated and planned; absent when the spec was refused or the pass did not get so far.
    pub planned: Option<(&'a ValidatedBroker, &'a Plan)>,
    /// What is wrong with the spec.
    pub errors: &'a [SpecError],
    /// What made the pass fail otherwise.
    pub failure: Option<&'a Failure>,
    /// What the pass would have done, where the spec wants to be told only.
    pub changes: &'a [PlannedChange],
    /// The time of conditions that flip in this pass.
    pub now: Timestamp,
}

/// What made a pass fail although the spec is all right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`Reason::ObserveFailed`] or [`Reason::ApplyFailed`].
    pub reason: Reason,
    /// The error, for people.
    pub message: String,
}

/// Most changes that are told.
const CHANGES: usize = 32;

/// The status that this pass reports. What cannot be told is kept from the previous status.
pub fn build(input: &StatusInput<'_>) -> StompBrokerStatus {
    let previous = input.broker.status.clone().unwrap_or_default();
    let pools = match (input.planned, input.observed) {
        (Some((broker, plan)), Some(observed)) => PoolFacts::all(broker, plan, observed),
        _ => Vec::new(),
    };
    let mut status = StompBrokerStatus { conditions: Vec::new(), ..previous.clone() };
    status.observed_generation = input.broker.metadata.generation;
    if let Some(observed) = input.observed {
        let sum = |number: fn(&crate::observed::DeploymentView) -> i32| {
            observed.deployments.values().map(number).fold(0, i32::saturating_add)
        };
        status.replicas = sum(|live| live.replicas);
        status.ready_replicas = sum(|live| live.ready);
        status.drained_zone = observed.budget.as_ref().and_then(|budget| budget.drained_zone.clone());
    }
    if let Some((broker, plan)) = input.planned {
        of_plan(&mut status, broker, plan);
    }
    let ways = match (input.planned, input.observed) {
        (Some((broker, _)), Some(observed)) => Some(exposure::ways(broker, observed)),
        _ => None,
    };
    if let Some(ways) = &ways {
        status.exposure = ways.iter().map(|way| way.told.clone()).collect();
    }
    let told = input.observed.map(|observed| certificates::report(input.broker, observed));
    status.certificates = told.clone().unwrap_or(status.certificates);
    if !is_pruned(input) {
        exposure::keep_left(&mut status.exposure, &previous.exposure);
        certificates::keep_left(&mut status.certificates, &previous.certificates);
    }
    if let (Some((broker, _)), Some(observed)) = (input.planned, input.observed) {
        status.credentials = Some(credentials(broker, observed, previous.credentials.as_ref()));
    }
    if !pools.is_empty() {
        of_pools(&mut status, &pools);
    }
    if let (Some((_, plan)), Some(observed)) = (input.planned, input.observed) {
        let before = previous.last_rollout.as_ref();
        status.last_rollout = last_rollout(before, &plan.rollout, &pools, &observed.pods, input.now);
        let before = previous.autoscaling.as_ref();
        let wanted = input.broker.spec.autoscaling.as_ref();
        status.nats = plan.nats.as_ref().map(nats::report);
        status.autoscaling = wanted.map(|wanted| autoscaling::report(wanted, before, &pools, observed, input.now));
    }
    if input.planned.is_some() || !input.broker.spec.is_hands_off() {
        status.planned_changes = input.changes.iter().take(CHANGES).cloned().collect();
    }
    let logins = status.credentials.clone().filter(|_| input.planned.is_some());
    let all =
        verdicts(input, &pools, told.as_deref().unwrap_or(&status.certificates), ways.as_deref(), logins.as_ref());
    for (kind, verdict) in all {
        status.conditions.push(condition(kind, verdict, input, &previous.conditions));
    }
    status
}

/// Whether the pass has come to deleting what the spec no longer asks for.
fn is_pruned(input: &StatusInput<'_>) -> bool {
    input.planned.is_some() && input.failure.is_none() && !input.broker.spec.is_hands_off()
}

fn of_plan(status: &mut StompBrokerStatus, broker: &ValidatedBroker, plan: &Plan) {
    status.selector = Some(labels::to_text(&labels::selector(&broker.name)));
    status.engine = Some(broker.engine.name().to_owned());
    status.image = Some(plan.image.clone());
    status.endpoints = Some(plan.endpoints.clone());
    status.overrides.clone_from(&plan.overrides);
    status.binding = Some(Binding { name: broker.system_credential.secret_name.clone() });
    status.spring_config_map.clone_from(&plan.spring_config_map);
}

fn of_pools(status: &mut StompBrokerStatus, pools: &[PoolFacts<'_>]) {
    status.sessions = pools.iter().map(PoolFacts::sessions).fold(0, i64::saturating_add);
    let zoned = || pools.iter().filter_map(|pool| pool.pool.zone.as_ref().map(|zone| (zone, pool)));
    status.draining = drains::progress(pools.iter().flat_map(|pool| pool.pods.iter().copied()));
    status.zones = zoned()
        .map(|(zone, pool)| ZoneStatus {
            name: zone.clone(),
            desired: pool.desired,
            ready: pool.ready(),
            updated: pool.updated(),
            sessions: pool.sessions(),
            draining: drains::progress(pool.pods.iter().copied()),
            standing_in: pool.standing_in,
            outage: pool.outage.cloned(),
            revision: pool.live.and_then(shown),
        })
        .collect();
    let satisfied = zoned().filter(|(_, pool)| pool.ready() >= pool.desired).count();
    status.ready_zones = (!status.zones.is_empty()).then(|| format!("{satisfied}/{}", status.zones.len()));
}

/// All conditions in the order of [`ConditionType::ALL`].
fn verdicts(
    input: &StatusInput<'_>,
    pools: &[PoolFacts<'_>],
    told: &[CertificateStatus],
    ways: Option<&[Way]>,
    logins: Option<&CredentialsStatus>,
) -> Vec<(ConditionType, Verdict)> {
    let unknown = unknown(input);
    let known = |verdict: fn(&[PoolFacts<'_>]) -> Verdict| {
        if pools.is_empty() { unknown.clone() } else { verdict(pools) }
    };
    let config = known(config_applied);
    let zones = known(zones_satisfied);
    let has_relay = match input.planned {
        Some((broker, _)) => matches!(broker.engine, Engine::Relay(_) | Engine::JetStream(_)),
        None => input
            .broker
            .spec
            .engine
            .as_ref()
            .is_some_and(|engine| engine.relay.is_some() || engine.jet_stream.is_some()),
    };
    let relay = has_relay.then(|| known(relay_connected));
    let autoscaled = input.broker.spec.autoscaling.as_ref().map(|wanted| match (input.planned, input.observed) {
        (Some((_, plan)), Some(observed)) if !pools.is_empty() => {
            autoscaling::autoscaled(wanted, pools, observed, plan.custom_metrics)
        }
        _ => unknown.clone(),
    });
    let exposed = input.broker.spec.exposure.as_ref();
    let exposed = exposed.map(|_| ways.map_or_else(|| unknown.clone(), exposure::exposed));
    let certificates = (!told.is_empty()).then(|| match input.observed {
        Some(observed) => certificates::certificates_valid(told, observed, input.now),
        None => unknown.clone(),
    });
    let managed = management::managed(input);
    let nats = input.broker.spec.manages_nats().then(|| {
        let step = input.planned.and_then(|(_, plan)| plan.nats.as_ref());
        step.map_or_else(|| unknown.clone(), nats::nats_ready)
    });
    let parts = Parts {
        nats: nats.as_ref(),
        nats_waiting: input.planned.and_then(|(_, plan)| nats::waiting(plan.nats.as_ref()?)),
        errors: input.errors,
        failure: input.failure,
        pools,
        rollout: input.planned.filter(|_| !pools.is_empty()).map(|(_, plan)| &plan.rollout),
        zones: &zones,
        config: &config,
        relay: relay.as_ref(),
        exposed: exposed.as_ref(),
        certificates: certificates.as_ref(),
        autoscaled: autoscaled.as_ref(),
        managed: managed.as_ref(),
    };
    let degraded = summary::degraded(&parts);
    let progressing = summary::progressing(&parts);
    let ready = summary::ready(&parts, &degraded, &progressing);
    let (mut relay, mut autoscaled, mut managed) = (relay, autoscaled, managed);
    ConditionType::ALL
        .iter()
        .filter_map(|&kind| {
            let verdict = match kind {
                ConditionType::Ready => ready.clone(),
                ConditionType::Progressing => progressing.clone(),
                ConditionType::Degraded => degraded.clone(),
                ConditionType::Stalled => summary::stalled(&degraded)?,
                ConditionType::Accepted => accepted(input),
                ConditionType::ResolvedRefs => resolved_refs(input),
                ConditionType::ConfigApplied => config.clone(),
                ConditionType::RelayConnected => relay.take()?,
                ConditionType::NatsReady => nats.clone()?,
                ConditionType::ZonesSatisfied => zones.clone(),
                ConditionType::Exposed => exposed.clone()?,
                ConditionType::CertificatesValid => certificates.clone()?,
                ConditionType::Autoscaled => autoscaled.take()?,
                ConditionType::CredentialsSettled => logins.map_or_else(|| unknown.clone(), credentials_settled),
                ConditionType::Managed => managed.take()?,
                ConditionType::UpdateAvailable => {
                    input.planned.map_or_else(|| unknown.clone(), |(_, plan)| update_available(&plan.rollout))
                }
            };
            Some((kind, verdict))
        })
        .collect()
}

/// The verdict about what the pass did not get to.
fn unknown(input: &StatusInput<'_>) -> Verdict {
    match input.failure {
        _ if !input.errors.is_empty() && input.errors.iter().all(SpecError::passes) => Verdict::new(
            Holds::Unknown,
            Reason::NotAccepted,
            "nothing more is looked at before the certificate is there",
        ),
        _ if !input.errors.is_empty() => {
            Verdict::new(Holds::Unknown, Reason::NotAccepted, "the spec has to be corrected first")
        }
        Some(failure) => Verdict::new(Holds::Unknown, failure.reason, failure.message.clone()),
        None => Verdict::new(Holds::Unknown, Reason::ObserveFailed, "nothing was seen"),
    }
}

fn accepted(input: &StatusInput<'_>) -> Verdict {
    let about_spec = || input.errors.iter().filter(|error| error.condition == ConditionType::Accepted);
    if let Some(first) = about_spec().next() {
        return Verdict::new(Holds::False, first.reason, summary::list(about_spec()));
    }
    let warnings = input.planned.map(|(broker, _)| broker.warnings.as_slice()).unwrap_or_default();
    if input.observed.is_none() {
        return unknown(input);
    }
    let text = match warnings {
        [] => "the spec is accepted".to_owned(),
        warnings => format!("the spec is accepted, but {}", warnings.join("; ")),
    };
    Verdict::new(Holds::True, Reason::AsExpected, text)
}

fn resolved_refs(input: &StatusInput<'_>) -> Verdict {
    let about_refs = || input.errors.iter().filter(|error| error.condition == ConditionType::ResolvedRefs);
    if let Some(first) = about_refs().next() {
        return Verdict::new(Holds::False, first.reason, summary::list(about_refs()));
    }
    if input.observed.is_none() {
        return unknown(input);
    }
    Verdict::new(Holds::True, Reason::AsExpected, "everything that the spec refers to exists")
}

/// Gives a verdict its time: that of the previous condition, unless the status flips.
fn condition(kind: ConditionType, verdict: Verdict, input: &StatusInput<'_>, previous: &[Condition]) -> Condition {
    let Verdict { holds, reason, message } = verdict;
    let before = previous.iter().find(|condition| condition.type_ == kind.as_str());
    let since = before
        .filter(|condition| condition.status == holds.as_str())
        .map_or_else(|| Time(input.now), |condition| condition.last_transition_time.clone());
    Condition {
        type_: kind.as_str().to_owned(),
        status: holds.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        last_transition_time: since,
        observed_generation: input.broker.metadata.generation,
    }
}

//! What each zone is given in this step of a rollout: from observed Deployments and pods, each time anew.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{
    PlanError, Settings,
    gate::{Act, Decision, ZoneFacts, decide},
    nats,
    revision::{Fresh, Revision, id_of},
    silence::Patience,
    window,
};
use crate::{
    api::{RestartReason, UpgradePolicy},
    observed::{DeploymentView, Observed, PodView},
    validate::{Pool, ValidatedBroker},
};

/// Sessions are back when there are so many percent of those that there were.
const BACK: i64 = 90;

/// Where a rollout stands, and what is done about it in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutStep {
    /// The newest revision.
    pub newest: String,
    /// What is done with each pool.
    pub zones: Vec<ZoneStep>,
    /// What was decided.
    pub decision: Decision,
    /// How long the sessions of the last zone are awaited.
    pub session_wait: Duration,
    /// The revision of a zone is kept though this operator would make another one: the images that are and would be.
    pub update: Option<(String, String)>,
}

/// What is done with one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneStep {
    /// Whether its pods are replaced.
    pub act: Act,
    /// What its Deployment gets.
    pub revision: Revision,
    /// Why its pods are replaced; empty when they are not.
    pub reasons: Vec<RestartReason>,
    /// Its annotation [`super::revision::REVISION`].
    pub annotation: String,
    /// Its annotation [`super::revision::PREVIOUS`].
    pub previous: Option<String>,
    /// Its annotation [`super::revision::FAILED`].
    pub failed: Option<String>,
    /// No pod is ready, so that nothing is lost by replacing them.
    pub empty: bool,
    /// All wanted pods are there, of one revision, and ready.
    pub ready: bool,
}

/// What is known of the revisions of one pool.
struct Known<'a> {
    pool: &'a Pool,
    live: Option<&'a DeploymentView>,
    /// What it has, with its annotation; absent without a Deployment, and when somebody has spoilt the annotation.
    at: Option<(Revision, &'a str)>,
    good: Option<(Revision, &'a str)>,
    target: String,
    facts: Facts,
}

#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct Facts {
    empty: bool,
    mixed: bool,
    ready: bool,
    verified: bool,
    broken: bool,
    blocked: bool,
}

/// Decides the step of `broker`, whose pools have configurations with these hashes.
pub(super) fn step(
    broker: &ValidatedBroker,
    observed: &Observed,
    settings: &Settings,
    config_hash: &dyn Fn(&Pool) -> String,
) -> Result<RolloutStep, PlanError> {
    let fresh = Fresh::new(broker, settings)?;
    let spec = &broker.spec;
    let upgrade = spec.upgrade_policy == UpgradePolicy::Automatic
        || spec.maintenance_window.as_ref().is_some_and(|open| window::is_open(open, observed.now));
    let patience = Patience::of_rollout(broker, observed.now);
    let mut known = Vec::with_capacity(broker.pools.len());
    for (pool, blocked) in broker.pools.iter().zip(nats::holds_up(broker, observed)) {
        let mut zone = look(pool, observed, &fresh, patience, upgrade, &config_hash(pool))?;
        zone.facts.blocked = blocked;
        known.push(zone);
    }
    let facts: Vec<ZoneFacts<'_>> = known.iter().map(|known| known.facts(&fresh.id)).collect();
    let decision = decide(&facts, &fresh.id, spec.rollout.on_failure, sessions_back(broker, observed));
    let mut zones = Vec::with_capacity(known.len());
    let mut update = None;
    for (known, act) in known.iter().zip(&decision.acts) {
        let step = known.step(*act, &decision, &fresh)?;
        if update.is_none() && *act == Act::Keep && known.target != fresh.id {
            let image = broker.image.as_deref().unwrap_or(&settings.image);
            update = Some((step.revision.image().unwrap_or_default().to_owned(), image.to_owned()));
        }
        zones.push(step);
    }
    let session_wait = spec.rollout.session_wait.0;
    Ok(RolloutStep { newest: fresh.id, zones, decision, session_wait, update })
}

fn look<'a>(
    pool: &'a Pool,
    observed: &'a Observed,
    fresh: &Fresh<'_>,
    patience: Patience,
    upgrade: bool,
    config_hash: &str,
) -> Result<Known<'a>, PlanError> {
    let live = observed.deployments.get(&pool.name);
    let read = |annotation: Option<&'a String>| {
        annotation.and_then(|text| Revision::parse(text).map(|revision| (revision, text.as_str())))
    };
    let at = read(live.and_then(|live| live.revision.as_ref()));
    let good = read(live.and_then(|live| live.previous.as_ref()));
    let target = match &at {
        Some((at, _)) if at.id != fresh.id && !upgrade && fresh.is_wanted_as(at, pool)? => at.id.clone(),
        _ => fresh.id.clone(),
    };
    let zone = pool.zone.as_deref().unwrap_or_default();
    let pods: Vec<&PodView> = observed.pods.iter().filter(|pod| pod.zone == zone && !pod.terminating).collect();
    let facts = match live {
        None => Facts { empty: true, mixed: false, ready: false, verified: false, broken: false, blocked: false },
        Some(live) => Facts {
            empty: live.ready == 0 && !pods.iter().any(|pod| pod.ready),
            mixed: !live.current || live.updated != live.replicas,
            ready: live.current
                && live.updated == live.desired
                && live.replicas == live.desired
                && live.ready >= live.desired,
            verified: pods.len() >= usize::try_from(live.desired).unwrap_or_default()
                && pods.iter().all(|pod| runs_with(pod, config_hash) || pod.ready && patience.is_over(pod)),
            broken: live.stalled.is_some()
                || live.replica_failure.is_some()
                || pods.iter().any(|pod| pod.waiting.is_some() || pod.unschedulable.is_some()),
            blocked: false,
        },
    };
    Ok(Known { pool, live, at, good, target, facts })
}

/// Whether a pod itself says that it runs with the configuration of this hash.
fn runs_with(pod: &PodView, config_hash: &str) -> bool {
    let Some(Ok(status)) = &pod.admin else { return false };
    status.config.hash == config_hash && status.config.rejected.is_none() && status.config.needs_restart.is_empty()
}

/// Sessions on pods that are there to stay.
pub(crate) fn staying_sessions(pods: &[PodView]) -> i64 {
    let answers = pods.iter().filter(|pod| !pod.terminating).filter_map(|pod| pod.admin.as_ref()?.as_ref().ok());
    let sessions = answers.map(|status| status.sessions.stomp.saturating_add(status.sessions.websocket));
    i64::try_from(sessions.fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
}

/// Whether the sessions that there were before the last zone was begun are back, or were awaited for long enough.
fn sessions_back(broker: &ValidatedBroker, observed: &Observed) -> bool {
    let Some(last) = observed.last_rollout.as_ref().filter(|last| last.finished_at.is_none()) else { return true };
    let Some(before) = last.sessions_before else { return true };
    let wait = SignedDuration::try_from(broker.spec.rollout.session_wait.0).unwrap_or(SignedDuration::MAX);
    let waited = last.zone_ready_at.as_ref().is_some_and(|since| observed.now.duration_since(since.0) >= wait);
    waited || staying_sessions(&observed.pods).saturating_mul(100) >= before.saturating_mul(BACK)
}

impl Known<'_> {
    fn facts(&self, newest: &str) -> ZoneFacts<'_> {
        let Facts { empty, mixed, ready, verified, broken, blocked } = self.facts;
        let failed = self.live.and_then(|live| live.failed.as_deref());
        ZoneFacts {
            at: self.at.as_ref().map(|(at, _)| at.id.as_str()),
            target: &self.target,
            good: self.good.as_ref().map(|(good, _)| good.id.as_str()),
            failed: failed.filter(|failed| *failed == newest),
            empty,
            mixed,
            ready,
            verified,
            broken,
            stalled: self.live.is_some_and(|live| live.current && live.stalled.is_some()),
            blocked,
        }
    }

    fn step(&self, act: Act, decision: &Decision, fresh: &Fresh<'_>) -> Result<ZoneStep, PlanError> {
        let at = self.at.as_ref();
        let Facts { empty, ready, .. } = self.facts;
        let failed = self.live.and_then(|live| live.failed.clone()).filter(|failed| *failed == fresh.id);
        let made = |revision: Revision, previous: Option<String>, failed: Option<String>| {
            let reasons = revision.reasons.clone();
            Ok(ZoneStep { act, annotation: revision.annotation()?, revision, reasons, previous, failed, empty, ready })
        };
        match (act, at, &self.good) {
            (Act::Keep, Some((revision, annotation)), good) => Ok(ZoneStep {
                act,
                revision: revision.clone(),
                reasons: Vec::new(),
                annotation: (*annotation).to_owned(),
                previous: good.as_ref().map(|(_, text)| (*text).to_owned()).filter(|_| !decision.complete),
                failed,
                empty,
                ready,
            }),
            (Act::Return, _, Some((good, text))) => {
                let revision = Revision { reasons: vec![RestartReason::RolledBack], ..good.clone() };
                let fails =
                    self.live.is_some_and(|live| live.stalled.is_some()) && at.is_some_and(|(at, _)| at.id == fresh.id);
                made(revision, Some((*text).to_owned()), if fails { Some(fresh.id.clone()) } else { failed })
            }
            (_, at, good) => {
                let revision = fresh.revision(self.pool, at.map(|(at, _)| at))?;
                // A revision that never worked is nothing to go back to: the one before it still is.
                let before = at.filter(|_| self.facts.ready).or(good.as_ref()).or(at);
                made(revision, before.map(|(_, text)| (*text).to_owned()), failed)
            }
        }
    }
}

/// The revision in a Deployment's annotation, for people.
pub(crate) fn shown(live: &DeploymentView) -> Option<String> {
    live.revision.as_deref().and_then(id_of)
}

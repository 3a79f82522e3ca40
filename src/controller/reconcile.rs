//! One pass over one StompBroker: observe, validate, plan, trial, apply, prune, status.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};
use tokio::time::timeout;
use tracing::{debug, instrument};

use super::{
    Context,
    kinds::ChildKind,
    memory::{BrokerMemory, GeneratedSight, SecretSight},
    steps::{apis, apply, observe, preview, prune, status as write, trial},
    watches::kept::KeptBroker,
};
use crate::{
    api::{PlannedChange, StompBroker},
    backoff::jittered,
    error::Error,
    events::{EventReason, Transition},
    metrics::ResultLabel,
    observed::Observed,
    plan::{Objects, Plan, PlanError, plan, silence, whole_seconds},
    status::{ConditionType, Reason, StatusInput, build},
    validate::{SpecError, ValidatedBroker, validate},
};

/// When to look again for what somebody else has to make: nothing is watched that could tell.
const UNRESOLVED: Duration = Duration::from_secs(5);
/// When to look again at a route that no gateway has taken yet: nothing is watched that could tell.
const ROUTED: Duration = Duration::from_secs(5);
/// When to look again at a Secret whose content is followed: nothing is watched that could tell.
const FOLLOWED: Duration = Duration::from_mins(1);
/// When to ask again for an eviction that a disruption budget refuses: nothing that is watched tells when it would not.
const EVICTING: Duration = Duration::from_secs(5);
/// A pass comes at most so often for the sake of time that goes by.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Deadline of the status write; it comes after the pass and has its own.
const STATUS: Duration = Duration::from_secs(15);

/// How far a pass has come. What it has by the time it fails still goes into the status.
#[derive(Debug, Default)]
struct Attempt {
    observed: Option<Observed>,
    planned: Option<(ValidatedBroker, Plan)>,
    errors: Vec<SpecError>,
    created: usize,
    outdated: bool,
    stepped: bool,
    evicting: bool,
    /// What would be done, where the spec wants to be told only.
    changes: Vec<PlannedChange>,
}

/// Makes one pass over `broker`.
#[instrument(skip_all, fields(namespace = broker.namespace(), name = broker.name_any()))]
pub(crate) async fn reconcile(broker: Arc<KeptBroker>, context: Arc<Context>) -> Result<Action, Error> {
    let result = Box::pin(pass(&broker, &context)).await; // some 18 KiB
    context.forget_if_gone(&broker);
    result
}

async fn pass(broker: &KeptBroker, context: &Context) -> Result<Action, Error> {
    // Children go by their owner references; writing any now would only hold the deletion up.
    if broker.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let _timer = context.metrics.time_reconcile();
    let mut broker = match broker.read() {
        Ok(broker) => broker,
        Err(why) => {
            count(context, "refused");
            let written = timeout(STATUS, write::write_unreadable(broker.meta(), &why, context)).await;
            written.unwrap_or(Err(Error::Timeout(STATUS)))?;
            return Ok(Action::requeue(jittered(context.settings.resync)));
        }
    };
    broker.status = write::latest(&broker, context);
    let limit = context.settings.reconcile_timeout;
    let mut attempt = Attempt::default();
    let run = Box::pin(attempt.run(&broker, context)); // some 22 KiB
    let result = timeout(limit, run).await.unwrap_or(Err(Error::Timeout(limit)));
    if matches!(result, Err(Error::Gone)) {
        // By then it is not there any more, unless its labels were changed back before the watch has told.
        return Ok(Action::requeue(jittered(context.settings.resync)));
    }
    let wait = attempt.report(&broker, result.as_ref().err(), context).await?;
    result?;
    context.memory.of(broker.uid().as_deref().unwrap_or_default(), |BrokerMemory { backoff, .. }| backoff.reset());
    count(context, if attempt.errors.is_empty() { "success" } else { "refused" });
    let next = attempt.next().unwrap_or_else(|| jittered(context.settings.resync));
    Ok(Action::requeue(wait.map_or(next, |wait| wait.min(next))))
}

/// Decides when a failed pass is tried again.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller asks for")]
pub(crate) fn error_policy(broker: Arc<KeptBroker>, error: &Error, context: Arc<Context>) -> Action {
    count(&context, "error");
    context.metrics.reconcile_errors.get_or_create(&crate::metrics::ReasonLabel { reason: error.reason() }).inc();
    let wait = if error.is_final() {
        context.settings.resync
    } else {
        context.memory.of(broker.uid().as_deref().unwrap_or_default(), |memory| {
            memory.forget_secrets();
            memory.backoff.next()
        })
    };
    context.forget_if_gone(&broker);
    Action::requeue(jittered(wait))
}

fn count(context: &Context, result: &'static str) {
    context.metrics.reconciles.get_or_create(&ResultLabel { result }).inc();
}

impl Attempt {
    async fn run(&mut self, broker: &StompBroker, context: &Context) -> Result<(), Error> {
        let gathered = observe::observe(broker, context).await?;
        let observed = self.observed.insert(gathered.observed);
        let validated = match validate(broker, observed) {
            Ok(validated) => validated,
            Err(errors) if errors.iter().all(SpecError::awaits_certificate) && !broker.spec.is_hands_off() => {
                self.issue(broker, &gathered.secrets, context).await?;
                return Ok(());
            }
            Err(errors) => {
                self.refuse(errors);
                return Ok(());
            }
        };
        let plan = match plan(&validated, observed, &context.settings.plan) {
            Err(PlanError::Overrides(errors)) => {
                self.refuse(errors);
                return Ok(());
            }
            plan => plan?,
        };
        // Only the plan knows which names are needed, so the second look at the world comes after it.
        let sites = observe::sites(broker, &plan.objects, &gathered.secrets, context).await?;
        observed.foreign.clone_from(&sites.foreign);
        observed.routes.clone_from(&sites.routes);
        observed.certificates.clone_from(&sites.certificates);
        if !observed.foreign.is_empty()
            && let Err(errors) = validate(broker, observed)
        {
            self.refuse(errors);
            return Ok(());
        }
        if !broker.spec.is_hands_off() {
            let refusals = trial::refusals(broker, &validated, &plan.objects, &sites, context).await?;
            if !refusals.is_empty() {
                self.refuse(refusals);
                return Ok(());
            }
        }
        let (_, plan) = self.planned.insert((validated, plan));
        if broker.spec.is_hands_off() {
            if !broker.spec.suspend {
                self.changes = preview::preview(broker, plan, &gathered.secrets, &sites, context).await?;
            }
            return Ok(());
        }
        let outcome = apply::apply(broker, plan, observed, &gathered.secrets, &sites, context).await?;
        if outcome.made.keys().eq(gathered.secrets.keys()) {
            let sight = SecretSight {
                referenced: observed.referenced_secrets.clone(),
                validities: observed.validities.clone(),
                generated: outcome.made.clone(),
            };
            let uid = broker.uid().unwrap_or_default();
            context.memory.of(&uid, |memory| memory.remember_secrets(broker.metadata.generation, &sight));
        }
        self.created = outcome.created;
        self.outdated = outcome.outdated;
        self.evicting = outcome.evicting;
        prune::prune(broker, &outcome, context).await?;
        for (name, step) in &outcome.steps {
            if let Some(login) = observed.logins.get_mut(name) {
                login.advance(*step, whole_seconds(observed.now));
            }
        }
        self.stepped = !outcome.steps.is_empty();
        // What was just written is newer than what was observed: a Deployment that has to roll out is not ready.
        observed.deployments = observe::deployments(broker, context);
        observed.budget = observe::budget(broker, context);
        observed.routes.retain(|route, _| !outcome.written.iter().any(|(kind, _)| kind.name() == *route));
        observed.certificates.retain(|name, _| !outcome.written.contains(&(ChildKind::Certificate, name.clone())));
        observed.service = observe::exposure(broker, ChildKind::Service, context);
        observed.ingress = observe::exposure(broker, ChildKind::Ingress, context);
        Ok(())
    }

    /// Has certificates issued that are all that the spec lacks. Pods are left as they are until their Secrets are there.
    async fn issue(
        &mut self,
        broker: &StompBroker,
        secrets: &BTreeMap<String, GeneratedSight>,
        context: &Context,
    ) -> Result<(), Error> {
        let observed = self.observed.get_or_insert_default();
        let assumed = observed.assuming_certificates(broker);
        if let Ok(validated) = validate(broker, &assumed) {
            let plan = match plan(&validated, &assumed, &context.settings.plan) {
                Err(PlanError::Overrides(errors)) => {
                    self.refuse(errors);
                    return Ok(());
                }
                plan => plan?,
            };
            let objects = Objects { certificates: plan.objects.certificates, ..Objects::default() };
            let sites = observe::sites(broker, &objects, secrets, context).await?;
            observed.foreign.clone_from(&sites.foreign);
            observed.certificates.clone_from(&sites.certificates);
            let refusals = trial::refusals(broker, &validated, &objects, &sites, context).await?;
            if !refusals.is_empty() {
                self.refuse(refusals);
                return Ok(());
            }
            if observed.foreign.is_empty() {
                self.created += apply::certificates(broker, &objects.certificates, &sites, context).await?;
            }
        }
        let errors = validate(broker, observed).err().unwrap_or_default();
        self.refuse(errors);
        Ok(())
    }

    fn refuse(&mut self, errors: Vec<SpecError>) {
        for error in &errors {
            debug!(reason = error.reason.as_str(), %error, "not put into effect");
        }
        self.errors = errors;
    }

    /// Writes the status; gives the time after which to come again when it was too early to write.
    async fn report(
        &self,
        broker: &StompBroker,
        error: Option<&Error>,
        context: &Context,
    ) -> Result<Option<Duration>, Error> {
        let failure = error.map(Error::failure);
        let new = build(&StatusInput {
            broker,
            observed: self.observed.as_ref(),
            planned: self.planned.as_ref().map(|(validated, plan)| (validated, plan)),
            errors: &self.errors,
            failure: failure.as_ref(),
            changes: &self.changes,
            now: Timestamp::now(),
        });
        if broker.status.is_none() && self.created > 0 {
            let note = format!("{} objects", self.created);
            let event = Transition::of(EventReason::Created, note);
            context.events.publish(&broker.object_ref(&()), event);
        }
        let old = broker.status.as_ref();
        timeout(STATUS, write::write(broker, old, new, context)).await.unwrap_or(Err(Error::Timeout(STATUS)))
    }

    /// When to come again though nothing happens; absent: at the usual time.
    fn next(&self) -> Option<Duration> {
        if self.outdated || self.stepped {
            return Some(LEAST_WAIT);
        }
        if let Some((broker, plan)) = self.planned.as_ref().filter(|(broker, _)| !broker.spec.is_hands_off()) {
            let sessions = Some(plan.rollout.session_wait).filter(|_| plan.rollout.decision.awaits_sessions);
            let due = plan.logins.iter().filter_map(|login| login.due_in);
            let followed = plan.logins.iter().any(|login| login.follows).then(|| jittered(FOLLOWED));
            // A kind that is installed later says so to nobody.
            let missing =
                self.observed.as_ref().is_some_and(|observed| !observed.missing_kinds(&broker.spec).is_empty());
            let missing = missing.then_some(apis::GOOD_FOR);
            let routed = self.observed.as_ref().is_some_and(|observed| observed.awaits_gateways(&plan.objects));
            let routed = routed.then_some(ROUTED);
            let issued = self.observed.as_ref().is_some_and(|observed| observed.awaits_certificates(&plan.objects));
            let issued = issued.then_some(apis::GOOD_FOR);
            let silence = self.observed.as_ref().and_then(|observed| silence::due_in(broker, observed));
            let evicting = self.evicting.then_some(EVICTING);
            let due = due
                .chain(sessions)
                .chain(followed)
                .chain(missing)
                .chain(routed)
                .chain(issued)
                .chain(silence)
                .chain(evicting)
                .chain(plan.respread.due_in);
            return due.min().map(|wait| wait.max(LEAST_WAIT));
        }
        let waits =
            |error: &SpecError| error.condition == ConditionType::ResolvedRefs || error.reason == Reason::NameConflict;
        self.errors.iter().any(waits).then_some(UNRESOLVED)
    }
}

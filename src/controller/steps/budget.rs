//! Writes the PodDisruptionBudget, whose forms change only after another look at the world: see
//! [`crate::plan::disruption_budget`], which tells why.

use std::collections::BTreeSet;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, ResourceExt as _, api::ListParams};
use tracing::info;

use super::apply::{Pass, fingerprint};
use crate::{
    controller::{
        kinds::ChildKind,
        watches::{cache::Key, pod_views::AnyPod, seen::Seen, shapes::PodShape, views::ChildEntry},
    },
    error::Error,
    observed::{Observed, PodView},
    plan::{Budget, DRAINED_ZONE, Plan, disruption_budget::ZoneCrew, labels},
};

/// Brings the budget into the form that `plan` wants, or leaves it for the next pass when the world has changed meanwhile.
pub(super) async fn apply(
    pass: &mut Pass<'_>,
    wanted: &PodDisruptionBudget,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Error> {
    let name = wanted.name_any();
    let live =
        pass.context.world.child(ChildKind::PodDisruptionBudget, &Key::new(pass.namespace.clone(), name.clone()));
    let open = live.as_ref().and_then(|live| live.drained_zone());
    if !matches!(plan.budget, Budget::Held(_)) && !is_settled(pass, wanted, observed, live.as_ref()).await? {
        pass.outcome.wanted.insert((ChildKind::PodDisruptionBudget, name));
        pass.outcome.outdated = true;
        return Ok(());
    }
    match (open, &plan.budget) {
        (None, Budget::Open(zone)) => {
            pass.outcome.wanted.insert((ChildKind::PodDisruptionBudget, name));
            self::open(pass, wanted, zone, observed, live.as_ref()).await
        }
        (Some(zone), Budget::OneByOne) => close(pass, wanted, zone, observed, live.as_ref()).await,
        _ => pass.one(wanted, live.as_ref()).await,
    }
}

/// Opens `zone` if it is the only one that is disrupted.
async fn open(
    pass: &mut Pass<'_>,
    wanted: &PodDisruptionBudget,
    zone: &str,
    observed: &Observed,
    live: Option<&ChildEntry>,
) -> Result<(), Error> {
    let name = wanted.name_any();
    let Some(now) = read(pass, &name).await? else {
        pass.outcome.outdated = true;
        return Ok(());
    };
    let version = now.resource_version();
    let status = now.status.unwrap_or_default();
    let going: BTreeSet<String> = status.disrupted_pods.unwrap_or_default().into_keys().collect();
    let crews = crews(pass, observed, &pods(pass).await?, |pod| going.contains(&pod.name));
    if !crews.iter().all(|crew| crew.name == zone || crew.is_whole()) {
        pass.outcome.outdated = true;
        return Ok(());
    }
    let written = pass.guarded(wanted, version, live).await;
    if pass.unless_outdated(written)?.is_some() {
        info!(name, zone, "all pods of a zone may be evicted");
    }
    Ok(())
}

/// Shuts `zone`, and goes back to one pod at a time if it really has its pods.
async fn close(
    pass: &mut Pass<'_>,
    wanted: &PodDisruptionBudget,
    zone: &str,
    observed: &Observed,
    live: Option<&ChildEntry>,
) -> Result<(), Error> {
    let mut shut = wanted.clone();
    shut.annotations_mut().insert(DRAINED_ZONE.to_owned(), zone.to_owned());
    if let Some(spec) = &mut shut.spec {
        spec.max_unavailable = Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(0));
    }
    pass.one(&shut, live).await?;
    let crews = crews(pass, observed, &pods(pass).await?, |_| false);
    if !crews.iter().all(|crew| crew.name != zone || crew.is_whole()) {
        pass.outcome.outdated = true;
        return Ok(());
    }
    let key = Key::new(pass.namespace.clone(), wanted.name_any());
    let live = pass.context.world.child(ChildKind::PodDisruptionBudget, &key);
    pass.one(wanted, live.as_ref()).await
}

/// Whether the budget is not held, or what it is held for is over: no zone has too many pods, and the disruption controller,
/// asked after that, counts as many as there are.
async fn is_settled(
    pass: &Pass<'_>,
    wanted: &PodDisruptionBudget,
    observed: &Observed,
    live: Option<&ChildEntry>,
) -> Result<bool, Error> {
    let name = wanted.name_any();
    let Some(live) = live else { return Ok(true) };
    let kind = ChildKind::PodDisruptionBudget;
    if pass.is_as_applied(kind, &name, fingerprint(wanted)?, live) {
        return Ok(true);
    }
    let held = |budget: &PodDisruptionBudget| budget.spec.as_ref().is_some_and(|spec| spec.min_available.is_some());
    if !read(pass, &name).await?.as_ref().is_some_and(held) {
        return Ok(true);
    }
    let pods = pods(pass).await?;
    let crews = crews(pass, observed, &pods, |_| false);
    let ready = || pods.iter().filter(|pod| pod.ready && !pod.terminating);
    // A rollout has one more, which may stay for as long as it is stuck.
    let rolling = |zone: &str| {
        let live = observed.deployments.get(&format!("{}-{zone}", pass.broker));
        usize::from(live.is_some_and(|live| live.updated < live.replicas))
    };
    let surplus = crews.iter().any(|crew| crew.staying > crew.wanted + rolling(&crew.name));
    let strangers = ready().count() > crews.iter().map(|crew| crew.ready).sum();
    if surplus || strangers {
        return Ok(false);
    }
    let Some(PodDisruptionBudget { metadata, status: Some(status), .. }) = read(pass, &name).await? else {
        return Ok(false);
    };
    let going = status.disrupted_pods.unwrap_or_default();
    let ready = ready().filter(|pod| !going.contains_key(&pod.name)).count();
    // Fewer would be as wrong: it may still count one that is gone in place of one that it does not know.
    let is = |counted: i32, there: usize| usize::try_from(counted) == Ok(there);
    Ok(status.observed_generation >= metadata.generation
        && is(status.current_healthy, ready)
        && is(status.expected_pods, pods.len()))
}

async fn read(pass: &Pass<'_>, name: &str) -> Result<Option<PodDisruptionBudget>, Error> {
    let api: Api<PodDisruptionBudget> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let found = api.get_opt(name).await;
    found.map_err(|source| Error::Observe { kind: "PodDisruptionBudget", name: name.to_owned(), source })
}

/// The zones with these pods.
fn crews(pass: &Pass<'_>, observed: &Observed, pods: &[PodView], going: impl Fn(&PodView) -> bool) -> Vec<ZoneCrew> {
    let prefix = format!("{}-", pass.broker);
    let wanted = observed.deployments.iter().filter_map(|(name, live)| {
        // The one without zones is called like the broker.
        let zone = if *name == pass.broker { "" } else { name.strip_prefix(&prefix)? };
        Some((zone, usize::try_from(live.desired).unwrap_or_default()))
    });
    Budget::crews(wanted, pods, going)
}

/// The pods that the API server itself knows of.
async fn pods(pass: &Pass<'_>) -> Result<Vec<PodView>, Error> {
    let api: Api<Seen<PodShape>> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let selector = labels::to_text(&labels::selector(&pass.broker));
    let pods = api.list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|source| Error::Observe { kind: "Pod", name: selector, source })?;
    let views = pods.items.into_iter().filter_map(|pod| match pod.kept {
        AnyPod::Broker(pod) => Some(pod.view),
        AnyPod::Nats(_) => None,
    });
    Ok(views.collect())
}

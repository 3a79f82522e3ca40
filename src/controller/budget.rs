//! Writes the PodDisruptionBudget, whose forms change only after another look at the world: see
//! [`crate::plan::disruption_budget`], which tells why.

use std::collections::BTreeSet;

use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{Api, ResourceExt as _, api::ListParams};
use tracing::info;

use super::{
    apply::Pass,
    cache::Key,
    kinds::ChildKind,
    views::{ChildEntry, PodEntry},
};
use crate::{
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
    let open = live.as_ref().and_then(|live| live.drained_zone.as_deref());
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
    let api: Api<PodDisruptionBudget> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let now = api.get_opt(&name).await;
    let now = now.map_err(|source| Error::Observe { kind: "PodDisruptionBudget", name: name.clone(), source })?;
    let Some(now) = now else {
        pass.outcome.outdated = true;
        return Ok(());
    };
    let version = now.resource_version();
    let status = now.status.unwrap_or_default();
    let going: BTreeSet<String> = status.disrupted_pods.unwrap_or_default().into_keys().collect();
    let crews = crews(pass, observed, |pod| going.contains(&pod.name)).await?;
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
    let crews = crews(pass, observed, |_| false).await?;
    if !crews.iter().all(|crew| crew.name != zone || crew.is_whole()) {
        pass.outcome.outdated = true;
        return Ok(());
    }
    let key = Key::new(pass.namespace.clone(), wanted.name_any());
    let live = pass.context.world.child(ChildKind::PodDisruptionBudget, &key);
    pass.one(wanted, live.as_ref()).await
}

/// The zones with the pods that the API server itself knows of.
async fn crews(pass: &Pass<'_>, observed: &Observed, going: impl Fn(&PodView) -> bool) -> Result<Vec<ZoneCrew>, Error> {
    let api: Api<Pod> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let selector = labels::to_text(&labels::selector(&pass.broker));
    let pods = api.list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|source| Error::Observe { kind: "Pod", name: selector, source })?;
    let pods: Vec<PodView> = pods.items.iter().map(|pod| PodEntry::from_pod(pod).view).collect();
    let prefix = format!("{}-", pass.broker);
    let wanted = observed.deployments.iter().filter_map(|(name, live)| {
        Some((name.strip_prefix(&prefix)?, usize::try_from(live.desired).unwrap_or_default()))
    });
    Ok(Budget::crews(wanted, &pods, going))
}

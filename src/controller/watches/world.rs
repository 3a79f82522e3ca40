//! All that the watches have shown, shared by passes and poller.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::{
    cache::{Cache, Key, Step},
    pod_views::{AnyPod, NatsPodEntry, PodEntry},
    views::ChildEntry,
};
use crate::controller::kinds::ChildKind;

/// All that the watches have shown of children and pods. Secrets and PersistentVolumeClaims are not
/// watched, nor are kinds that many clusters do not know.
#[derive(Debug, Default)]
pub(crate) struct World {
    service_accounts: Mutex<Cache<ChildEntry>>,
    config_maps: Mutex<Cache<ChildEntry>>,
    services: Mutex<Cache<ChildEntry>>,
    ingresses: Mutex<Cache<ChildEntry>>,
    network_policies: Mutex<Cache<ChildEntry>>,
    pod_disruption_budgets: Mutex<Cache<ChildEntry>>,
    stateful_sets: Mutex<Cache<ChildEntry>>,
    deployments: Mutex<Cache<ChildEntry>>,
    horizontal_pod_autoscalers: Mutex<Cache<ChildEntry>>,
    /// The pods of brokers.
    pub(crate) pods: Mutex<Cache<PodEntry>>,
    /// The pods of NATS servers.
    pub(crate) nats_pods: Mutex<Cache<NatsPodEntry>>,
}

impl World {
    /// The kinds that are watched.
    pub(crate) const WATCHED: [ChildKind; 9] = [
        ChildKind::ServiceAccount,
        ChildKind::ConfigMap,
        ChildKind::Service,
        ChildKind::Ingress,
        ChildKind::NetworkPolicy,
        ChildKind::PodDisruptionBudget,
        ChildKind::StatefulSet,
        ChildKind::Deployment,
        ChildKind::HorizontalPodAutoscaler,
    ];

    /// The children of a kind; absent for the kinds that are not watched.
    pub(crate) fn children(&self, kind: ChildKind) -> Option<&Mutex<Cache<ChildEntry>>> {
        match kind {
            ChildKind::ServiceAccount => Some(&self.service_accounts),
            ChildKind::Secret
            | ChildKind::Certificate
            | ChildKind::PersistentVolumeClaim
            | ChildKind::ScaledObject
            | ChildKind::HttpRoute
            | ChildKind::TlsRoute => None,
            ChildKind::ConfigMap => Some(&self.config_maps),
            ChildKind::Service => Some(&self.services),
            ChildKind::Ingress => Some(&self.ingresses),
            ChildKind::NetworkPolicy => Some(&self.network_policies),
            ChildKind::PodDisruptionBudget => Some(&self.pod_disruption_budgets),
            ChildKind::StatefulSet => Some(&self.stateful_sets),
            ChildKind::Deployment => Some(&self.deployments),
            ChildKind::HorizontalPodAutoscaler => Some(&self.horizontal_pod_autoscalers),
        }
    }

    /// A child as it was last seen.
    pub(crate) fn child(&self, kind: ChildKind, key: &Key) -> Option<ChildEntry> {
        self.children(kind)?.lock().get(key).cloned()
    }

    /// Remembers the answer to a write of ours.
    pub(crate) fn wrote(&self, kind: ChildKind, key: &Key, entry: ChildEntry) {
        if let Some(cache) = self.children(kind) {
            // The pass that wrote it knows; nobody else needs to be told.
            let _ = cache.lock().put(key, entry);
        }
    }

    /// Takes one step of the watch of `kind`; gives the brokers to which it matters.
    pub(crate) fn step(&self, kind: ChildKind, scope: Option<&str>, step: Step<ChildEntry>) -> BTreeSet<Key> {
        self.children(kind).map(|cache| cache.lock().step(scope, step)).unwrap_or_default()
    }

    /// Takes one step of the watch of pods, which shows those of brokers and those of NATS servers.
    pub(crate) fn step_pods(&self, scope: Option<&str>, step: Step<AnyPod>) -> BTreeSet<Key> {
        let (brokers, nats) = match step {
            Step::Init => (Some(Step::Init), Some(Step::Init)),
            Step::InitDone => (Some(Step::InitDone), Some(Step::InitDone)),
            Step::Upsert(key, AnyPod::Broker(pod)) => (Some(Step::Upsert(key, *pod)), None),
            Step::Upsert(key, AnyPod::Nats(pod)) => (None, Some(Step::Upsert(key, *pod))),
            Step::Delete(key, uid) => (Some(Step::Delete(key.clone(), uid.clone())), Some(Step::Delete(key, uid))),
        };
        let mut touched = brokers.map(|step| self.pods.lock().step(scope, step)).unwrap_or_default();
        touched.extend(nats.map(|step| self.nats_pods.lock().step(scope, step)).unwrap_or_default());
        touched
    }
}

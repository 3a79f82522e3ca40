//! PodDisruptionBudget: which pods may be evicted now. One zone may be drained completely, never two at once.
//!
//! An eviction looks at the one budget that selects its pod, and a pod that two select cannot be evicted at all. A budget
//! counts pods and knows no zones, so there is one budget in three forms:
//!
//! ```text
//!                a pod of zone Z is evicted,            Z has its pods again
//!                all others are well
//!   OneByOne ─────────────────────────────► Open(Z) ─────────────────────────► Shut(Z) ──► OneByOne
//!   all pods, 1 may go                      all but Z, 0 may go                all pods, 0 may go
//! ```
//!
//! At rest one pod of any zone may go: of two evictions in the same moment the API server itself lets one through. Only then is
//! the rest of that zone opened, by taking it out of the selector, and all other zones are shut by the same write. That write
//! is bound to the very version of the budget that was read before the pods were listed: every eviction that a budget lets
//! through makes a new version of it first, so none can hide between decision and write. Back to rest it goes by way of
//! `Shut`: what was evicted while no budget selected it is seen in a list of pods made after that. So there is no
//! moment in which pods of two zones may be evicted, however late the operator sees the world, and when it is down one pod
//! may go at a time. (All of it rests on the disruption controller having heard of a pod by the time that it is ready.) A pod that is not ready may always go, and nobody asks a budget before a node dies.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::{labels, metadata};
use crate::{
    observed::{Observed, PodView},
    validate::ValidatedBroker,
};

/// Annotation of the budget: the zone that is open, or was before it was shut.
pub const DRAINED_ZONE: &str = "stompbroker.dev/drained-zone";

/// A form of the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budget {
    /// One pod over all zones may go.
    OneByOne,
    /// All pods of this zone may go, and no other.
    Open(String),
    /// No pod may go; this zone was open.
    Shut(String),
}

/// What is known of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneCrew {
    /// Its name.
    pub name: String,
    /// Pods that it is to have.
    pub wanted: usize,
    /// Pods that are ready and there to stay.
    pub ready: usize,
    /// Whether a pod is on its way out because somebody asked for an eviction.
    pub evicted: bool,
}

impl ZoneCrew {
    /// Whether it has its pods.
    pub fn is_whole(&self) -> bool {
        self.ready >= self.wanted
    }
}

impl Budget {
    /// The zone that the annotation names.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::OneByOne => None,
            Self::Open(zone) | Self::Shut(zone) => Some(zone),
        }
    }

    /// The form that `zones` need, when the annotation of the budget that there is names `open`.
    pub fn decide(zones: &[ZoneCrew], open: Option<&str>) -> Self {
        let others_whole = |name: &str| zones.iter().all(|zone| zone.name == name || zone.is_whole());
        if let Some(open) = open {
            return match zones.iter().find(|zone| zone.name == open) {
                Some(zone) if zone.is_whole() => Self::OneByOne,
                Some(_) if others_whole(open) => Self::Open(open.to_owned()),
                Some(_) => Self::Shut(open.to_owned()),
                None => Self::OneByOne,
            };
        }
        // Where nobody else would be left, or nobody is left to go, there is nothing to open.
        let drained = |zone: &&ZoneCrew| zone.evicted && !zone.is_whole() && zone.ready > 0;
        let elsewhere = |name: &str| zones.iter().any(|zone| zone.name != name && zone.ready > 0);
        let drained = zones.iter().filter(drained).find(|zone| others_whole(&zone.name) && elsewhere(&zone.name));
        drained.map_or(Self::OneByOne, |zone| Self::Open(zone.name.clone()))
    }

    /// The zones of `wanted` with the pods that there are; those in `going` are on their way out though they do not show it.
    pub fn crews<'a>(
        wanted: impl Iterator<Item = (&'a str, usize)>,
        pods: &[PodView],
        going: impl Fn(&PodView) -> bool,
    ) -> Vec<ZoneCrew> {
        wanted
            .map(|(name, wanted)| {
                let pods = || pods.iter().filter(|pod| pod.zone == name);
                ZoneCrew {
                    name: name.to_owned(),
                    wanted,
                    ready: pods().filter(|pod| pod.ready && !pod.terminating && !going(pod)).count(),
                    evicted: pods().any(|pod| pod.disrupted),
                }
            })
            .collect()
    }
}

/// The zones of `broker`, none without zones, and the pods that each has.
pub(super) fn crews(broker: &ValidatedBroker, observed: &Observed) -> Vec<ZoneCrew> {
    let wanted = broker.pools.iter().filter_map(|pool| {
        let desired = observed.deployments.get(&pool.name).map_or(0, |live| live.desired);
        Some((pool.zone.as_deref()?, usize::try_from(desired).unwrap_or_default()))
    });
    Budget::crews(wanted, &observed.pods, |_| false)
}

/// The budget in this form. `maxUnavailable` also lets the only pod of a broker go, where `minAvailable: 1` would block the
/// drain of its node for ever; a pod that is broken anyway may always go.
pub(super) fn disruption_budget(broker: &ValidatedBroker, budget: &Budget) -> PodDisruptionBudget {
    let mut metadata = metadata::shared(broker, broker.name.as_str());
    metadata.annotations = budget.zone().map(|zone| [(DRAINED_ZONE.to_owned(), zone.to_owned())].into());
    let but_for = |zone: &String| LabelSelectorRequirement {
        key: labels::ZONE.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![zone.clone()]),
    };
    let all = metadata::all_pods(broker);
    let selector = match budget {
        Budget::Open(zone) => LabelSelector { match_expressions: Some(vec![but_for(zone)]), ..all },
        Budget::OneByOne | Budget::Shut(_) => all,
    };
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(i32::from(*budget == Budget::OneByOne))),
            selector: Some(selector),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

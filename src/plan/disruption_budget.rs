//! PodDisruptionBudget: which pods may be evicted now. One zone may be drained completely, never two at once.
//!
//! An eviction looks at the one budget that selects its pod, and a pod that two select cannot be evicted at all. A budget
//! counts pods and knows no zones, so there is one budget in several forms:
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
//! may go at a time. (All of it rests on the disruption controller having heard of a pod by the time that it is ready.) A pod
//! that is not ready may always go, and nobody asks a budget before a node dies.
//!
//! A budget with `maxUnavailable` lets go as many pods as there are more than are wanted, of whatever zone. So before the
//! operator asks for fewer (stand-ins go, or the spec has changed) the budget is `Held`, which lets none go however many there
//! are, and stays so until those that had to go are gone and the disruption controller counts as many as the API server shows:
//!
//! ```text
//!             a zone is to have fewer pods              no zone has too many, for the
//!                  than it has                          disruption controller neither
//!   any form ────────────────────────► Held, or Held(Z) ────────────────────────────► the form that is due
//!                                      all pods, 0 may go
//! ```
//!
//! (This rests on the disruption controller having counted a pod as it was by the time that a ReplicaSet ends it. Of what it counts
//! it tells the numbers alone: should it be so far behind that pods which are gone stand in its count for as many that have come and
//! got ready since, the hold ends too early; world 343210 of `tests/budget.rs` is the first like that.) An autoscaler that asks for fewer
//! does not wait for that, nor does a rollout, which has one more for a moment.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::{deployment, labels, metadata};
use crate::{
    observed::{DeploymentView, Observed, PodView},
    validate::ValidatedBroker,
};

/// Annotation of the budget: the zone that is open, or was before it was shut.
pub const DRAINED_ZONE: &str = "stompbroker.dev/drained-zone";

/// More pods than there are of any broker.
const MORE_THAN_ALL: i32 = i32::MAX;

/// A form of the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budget {
    /// One pod over all zones may go.
    OneByOne,
    /// All pods of this zone may go, and no other.
    Open(String),
    /// No pod may go; this zone was open.
    Shut(String),
    /// No pod may go, however many there are: some go by themselves. This zone was open.
    Held(Option<String>),
}

/// What is known of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneCrew {
    /// Its name.
    pub name: String,
    /// Pods that it is to have.
    pub wanted: usize,
    /// Pods that are there to stay, ready or not.
    pub staying: usize,
    /// Those of them that are ready.
    pub ready: usize,
    /// Whether a pod is on its way out because somebody asked for an eviction.
    pub evicted: bool,
    /// Whether it is about to be given fewer pods than it was.
    pub shrinks: bool,
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
            Self::OneByOne | Self::Held(None) => None,
            Self::Open(zone) | Self::Shut(zone) | Self::Held(Some(zone)) => Some(zone),
        }
    }

    /// The form that `zones` need, when the annotation of the budget that there is names `open`.
    pub fn decide(zones: &[ZoneCrew], open: Option<&str>) -> Self {
        if zones.iter().any(|zone| zone.shrinks) {
            return Self::Held(open.map(ToOwned::to_owned));
        }
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
                    staying: pods().filter(|pod| !pod.terminating && !pod.finished).count(),
                    ready: pods().filter(|pod| pod.ready && !pod.terminating && !going(pod)).count(),
                    evicted: pods().any(|pod| pod.disrupted),
                    shrinks: false,
                }
            })
            .collect()
    }
}

/// The form that the budget of `broker` needs.
pub(super) fn step(broker: &ValidatedBroker, observed: &Observed) -> Budget {
    let open = observed.budget.as_ref().and_then(|budget| budget.drained_zone.as_deref());
    match Budget::decide(&crews(broker, observed), open) {
        // That write names the version of the one that is there.
        Budget::Open(_) if observed.budget.is_none() => Budget::OneByOne,
        budget => budget,
    }
}

/// The zones of `broker`, none without zones, and the pods that each has; those that it is not to have any more, too.
fn crews(broker: &ValidatedBroker, observed: &Observed) -> Vec<ZoneCrew> {
    let desired = |live: &DeploymentView| usize::try_from(live.desired).unwrap_or_default();
    let zoned = || broker.pools.iter().filter_map(|pool| Some((pool, pool.zone.as_deref()?)));
    let wanted = zoned().map(|(pool, zone)| (zone, observed.deployments.get(&pool.name).map_or(0, desired)));
    let mut crews = Budget::crews(wanted, &observed.pods, |_| false);
    for (crew, (pool, _)) in crews.iter_mut().zip(zoned()) {
        crew.shrinks = observed.deployments.get(&pool.name).is_some_and(|live| {
            deployment::replicas(pool.size, Some(live)).is_some_and(|replicas| replicas < live.desired)
        });
    }
    let is_wanted = |name: &String| broker.pools.iter().any(|pool| pool.name == *name);
    let others = observed.deployments.iter().filter(|(name, live)| !is_wanted(name) && live.desired > 0);
    crews.extend(others.map(|(name, _)| ZoneCrew { name: name.clone(), shrinks: true, ..ZoneCrew::default() }));
    crews
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
        Budget::OneByOne | Budget::Shut(_) | Budget::Held(_) => all,
    };
    let number = |number| Some(IntOrString::Int(number));
    let (max_unavailable, min_available) = match budget {
        Budget::OneByOne => (number(1), None),
        Budget::Open(_) | Budget::Shut(_) => (number(0), None),
        Budget::Held(_) => (None, number(MORE_THAN_ALL)),
    };
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable,
            min_available,
            selector: Some(selector),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        ..PodDisruptionBudget::default()
    }
}

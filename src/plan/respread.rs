//! Zones that are lost, and with `spec.zoneOutagePolicy: Respread` the pods that stand in for theirs (`decide` is pure and about
//! numbers only, so that the simulation can try very many worlds).
//!
//! ```text
//!           no pod is ready, and all       zoneOutageWait is over,      it has had all its pods
//!           are without a living node      and it lacks pods still      for zoneOutageWait
//!   well ─────────────────────────► lost ─────────────────────► given up ─────────────────────► well
//!     ▲                               │
//!     └───────────────────────────────┘ it has all its pods
//! ```
//!
//! The Deployment of a lost zone stays as it is, so that the zone returns by itself. For one that is given up, the others get
//! its pods in even shares on top of their own. A zone that the spec gives no pods (there are fewer pods than zones) can help,
//! but says nothing of itself as long as it has none: given up, it stays so while anybody needs help, unless nobody else is
//! left. Then such zones are tried in turn, each for the wait.
//!
//! Invariants: sizes follow from the spec and from which zones are given up, and from nothing else, so a zone that comes or goes
//! for less than the wait changes none; no zone is asked for fewer pods than the spec asks for; without a zone that could take
//! them, nobody is asked for more; as long as one zone lives that could take them, all pods get there in the end.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::whole_seconds;
use crate::{
    api::{ZoneOutage, ZoneOutagePolicy},
    observed::{Observed, PodView},
    validate::{Pool, PoolSize, ValidatedBroker, split},
};

/// What is known of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneLife {
    /// The pods that the spec asks for.
    pub own: PoolSize,
    /// Whether it may get pods for others: not where the spec itself says that it is to have none.
    pub takes: bool,
    /// No pod is ready, and all of them are on nodes that stopped reporting, or find no node.
    pub out: bool,
    /// It has all pods that the spec asks for, ready; where these are none, one of those that it has for others.
    pub whole: bool,
    /// Its outage as the status has it.
    pub before: Option<ZoneOutage>,
}

/// What becomes of all zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By zone: its outage as of now.
    pub outages: Vec<Option<ZoneOutage>>,
    /// By zone: its pods, those that stand in for others included.
    pub sizes: Vec<PoolSize>,
    /// When time alone changes any of that.
    pub due_in: Option<Duration>,
}

/// Outages, and what is done about them in this pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Respread {
    /// The outages by zone; none of zones that are well.
    pub outages: BTreeMap<String, ZoneOutage>,
    /// When time alone changes anything.
    pub due_in: Option<Duration>,
}

/// Decides for zones in the order of the spec; `wait` is absent where nobody stands in for anybody.
pub fn decide(zones: &[ZoneLife], wait: Option<Duration>, now: Timestamp) -> Shares {
    let mut outages = current(zones, |zone| outage(zone, zone.whole, wait, now), wait, now);
    if takers(zones, &outages).is_empty() {
        // Nobody stands in for who is back, so there is nobody to keep for a while.
        let lasting =
            |zone: &ZoneLife| outage(zone, zone.whole, wait, now).filter(|outage| outage.back_since.is_none());
        outages = current(zones, lasting, wait, now);
    }
    if takers(zones, &outages).is_empty() {
        try_again(zones, &mut outages, wait, now);
    }
    let mut takers = takers(zones, &outages);
    if takers.is_empty() {
        outages.iter_mut().flatten().for_each(|outage| outage.respread_since = None);
    }
    let given_up = zones.iter().zip(&outages).filter(|(_, outage)| is_given_up(outage.as_ref()));
    let missing = given_up.map(|(zone, _)| bounds(zone.own));
    let (min, max) = missing.fold((0_i32, 0_i32), |(min, max), (a, b)| (min.saturating_add(a), max.saturating_add(b)));
    // Who has the fewest of his own gets the odd ones.
    takers.sort_by_key(|&index| fewest(zones[index].own));
    let mut sizes: Vec<_> = zones.iter().map(|zone| zone.own).collect();
    let shares = split(min, takers.len()).into_iter().zip(split(max, takers.len()));
    for (index, (min, max)) in takers.into_iter().zip(shares) {
        sizes[index] = more(sizes[index], min, max);
    }
    let due = outages.iter().flatten().filter_map(|outage| left(outage, wait?, now));
    let due_in = due.filter(|left| !left.is_zero()).min();
    Shares { outages, sizes, due_in }
}

/// The outages of all zones, when those of zones with pods of their own are what `of_owner` says.
fn current(
    zones: &[ZoneLife],
    of_owner: impl Fn(&ZoneLife) -> Option<ZoneOutage>,
    wait: Option<Duration>,
    now: Timestamp,
) -> Vec<Option<ZoneOutage>> {
    let needed = zones.iter().any(|zone| has_own(zone) && of_owner(zone).is_some());
    let of_helper = |zone: &ZoneLife| {
        // Given up, it has no pods to be judged by.
        let whole = !needed || zone.whole && !is_given_up(zone.before.as_ref());
        outage(zone, whole, wait, now)
    };
    zones.iter().map(|zone| if has_own(zone) { of_owner(zone) } else { of_helper(zone) }).collect()
}

/// With nobody left, the zone without pods of its own that was given up before all others is tried once more, as if nothing was
/// known of it, so that each of them has its turn.
fn try_again(zones: &[ZoneLife], outages: &mut [Option<ZoneOutage>], wait: Option<Duration>, now: Timestamp) {
    let since = |outage: &Option<ZoneOutage>| Some(outage.as_ref()?.respread_since.as_ref()?.0);
    let helpers = || zones.iter().enumerate().filter(|(_, zone)| !has_own(zone) && zone.takes);
    let Some(first) = helpers().filter_map(|(index, _)| since(&outages[index])).min() else { return };
    for (index, zone) in helpers() {
        if since(&outages[index]) != Some(first) {
            continue;
        }
        outages[index] = if is_given_up(zone.before.as_ref()) {
            outage(&ZoneLife { before: None, ..zone.clone() }, false, wait, now)
        } else {
            // It has them now, and there is nobody else to move them to.
            outages[index].take().map(|outage| ZoneOutage { respread_since: None, ..outage })
        };
    }
}

/// The zones that may get pods for those that are given up.
fn takers(zones: &[ZoneLife], outages: &[Option<ZoneOutage>]) -> Vec<usize> {
    (0..zones.len()).filter(|&index| zones[index].takes && !is_given_up(outages[index].as_ref())).collect()
}

/// The outage of a zone that has all its pods, or not.
fn outage(zone: &ZoneLife, whole: bool, wait: Option<Duration>, now: Timestamp) -> Option<ZoneOutage> {
    let begins = || ZoneOutage { since: Time(now), respread_since: None, back_since: None };
    let mut outage = match &zone.before {
        Some(before) => before.clone(),
        None if zone.out => begins(),
        None => return None,
    };
    let is_over = |since: &Time| wait.is_some_and(|wait| elapsed(since, now) >= wait);
    outage.respread_since = outage.respread_since.filter(|_| wait.is_some());
    if whole {
        // Nobody stands in for it, so nobody has to go.
        outage.respread_since.as_ref()?;
        let back_since = outage.back_since.unwrap_or(Time(now));
        outage.back_since = Some(back_since.clone());
        return (!is_over(&back_since)).then_some(outage);
    }
    outage.back_since = None;
    if outage.respread_since.is_none() && is_over(&outage.since) {
        outage.respread_since = Some(Time(now));
    }
    Some(outage)
}

/// How long until time alone changes anything about an outage.
fn left(outage: &ZoneOutage, wait: Duration, now: Timestamp) -> Option<Duration> {
    let since = match (&outage.respread_since, &outage.back_since) {
        (None, _) => &outage.since,
        (Some(_), Some(back)) => back,
        (Some(_), None) => return None,
    };
    Some(wait.saturating_sub(elapsed(since, now)))
}

fn elapsed(since: &Time, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since.0)).unwrap_or_default()
}

/// Whether the spec gives it pods of its own.
fn has_own(zone: &ZoneLife) -> bool {
    most(zone.own) > 0
}

fn is_given_up(outage: Option<&ZoneOutage>) -> bool {
    outage.is_some_and(|outage| outage.respread_since.is_some())
}

/// Outages as of now, and the pools of `broker` as large as they are to be.
pub(super) fn step(broker: &ValidatedBroker, observed: &Observed) -> (Respread, Vec<Pool>) {
    let now = whole_seconds(observed.now);
    let ours = |pool: &Pool| !matches!(pool.size, PoolSize::External { .. });
    let respreads = broker.spec.zone_outage_policy == ZoneOutagePolicy::Respread && broker.pools.iter().all(ours);
    let wait = respreads.then_some(broker.spec.zone_outage_wait.0);
    let lives: Vec<_> = broker.pools.iter().map(|pool| life(broker, observed, pool)).collect();
    let Shares { outages, sizes, due_in } = decide(&lives, wait, now);
    let zones = broker.pools.iter().zip(outages);
    let outages = zones.filter_map(|(pool, outage)| Some((pool.zone.clone()?, outage?))).collect();
    let pools = broker.pools.iter().zip(sizes).map(|(pool, size)| Pool { size, ..pool.clone() }).collect();
    (Respread { outages, due_in }, pools)
}

fn life(broker: &ValidatedBroker, observed: &Observed, pool: &Pool) -> ZoneLife {
    let Some(zone) = &pool.zone else {
        // Without zones there is nowhere else to go.
        return ZoneLife { own: pool.size, takes: true, out: false, whole: true, before: None };
    };
    let live = observed.deployments.get(&pool.name);
    let (desired, ready) = live.map_or((0, 0), |live| (live.desired, live.ready));
    let wanted = match pool.size {
        PoolSize::Fixed(replicas) => replicas,
        PoolSize::Autoscaled { min, max } => desired.max(min).min(max),
        PoolSize::External { .. } => desired,
    };
    let given = broker.spec.zones.iter().find(|given| given.name == *zone).and_then(|given| given.replicas);
    let pods = || observed.pods.iter().filter(|pod| pod.zone == *zone && !pod.finished);
    let stranded = |pod: &PodView| pod.node_lost || pod.unschedulable.is_some();
    ZoneLife {
        own: pool.size,
        takes: given != Some(0),
        out: desired > 0
            && ready == 0
            && !pods().any(|pod| pod.ready)
            && pods().any(stranded)
            && pods().filter(|pod| !pod.terminating).all(stranded),
        whole: ready >= wanted.max(i32::from(desired > 0)),
        before: observed.outages.get(zone).cloned(),
    }
}

/// Fewest pods of a zone, as far as the spec decides about them.
pub(crate) fn fewest(size: PoolSize) -> i32 {
    bounds(size).0
}

/// Fewest and most pods of a zone, as far as the spec decides about them.
fn bounds(size: PoolSize) -> (i32, i32) {
    match size {
        PoolSize::Fixed(replicas) => (replicas, replicas),
        PoolSize::Autoscaled { min, max } => (min, max),
        PoolSize::External { .. } => (0, 0),
    }
}

fn most(size: PoolSize) -> i32 {
    match size {
        PoolSize::Fixed(most) | PoolSize::Autoscaled { max: most, .. } | PoolSize::External { first: most } => most,
    }
}

fn more(size: PoolSize, more_min: i32, more_max: i32) -> PoolSize {
    match size {
        PoolSize::Fixed(replicas) => PoolSize::Fixed(replicas.saturating_add(more_min)),
        PoolSize::Autoscaled { min, max } => {
            PoolSize::Autoscaled { min: min.saturating_add(more_min), max: max.saturating_add(more_max) }
        }
        PoolSize::External { first } => PoolSize::External { first },
    }
}

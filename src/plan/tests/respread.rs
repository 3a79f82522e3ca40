//! Zones that are lost, come back, and come and go.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    cluster::Cluster,
    worlds::{Dice, each_of},
    *,
};
use crate::{
    api::{ZoneOutage, ZoneStatus},
    observed::PodView,
    plan::respread::{Shares, ZoneLife, decide},
    validate::PoolSize,
};

const RESPREAD: &str = ", zoneOutagePolicy: Respread, zoneOutageWait: 60s";

fn sizes(cluster: &Cluster) -> Vec<i32> {
    cluster.observed.deployments.values().map(|view| view.desired).collect()
}

fn zones(cluster: &Cluster) -> Vec<ZoneStatus> {
    cluster.broker.status.clone().unwrap().zones
}

/// The nodes of a zone stop reporting.
fn lose(cluster: &mut Cluster, zone: &str) {
    cluster.zone(zone).ready = 0;
    for pod in cluster.pods(zone) {
        (pod.ready, pod.node_lost) = (false, true);
    }
}

/// Passes until nothing changes any more; the Deployments' pods come up, but for those of `lost` zones.
fn settle(cluster: &mut Cluster, lost: &[&str]) {
    for _ in 0..2 {
        cluster.pass();
        for zone in ["a", "b", "c"].into_iter().filter(|zone| !lost.contains(zone)) {
            cluster.come_up(zone);
        }
        cluster.pass();
    }
}

#[test]
fn others_stand_in_for_a_lost_zone_after_the_wait_and_until_it_has_been_back_for_as_long() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    let outage = zones(&cluster)[2].outage.clone().unwrap();
    assert_eq!((outage.since, outage.respread_since), (Time(cluster.observed.now), None));
    cluster.later(59);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    cluster.later(1);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2], "and the lost zone is still to have its own");
    let told = zones(&cluster);
    assert_eq!(told.iter().map(|zone| (zone.desired, zone.standing_in)).collect::<Vec<_>>(), [(3, 1), (3, 1), (2, 0)]);
    assert!(told[2].outage.as_ref().unwrap().respread_since.is_some());
    let (_, reason, message) = cluster.condition("ZonesSatisfied");
    assert_eq!(reason, "ZoneLost");
    assert!(message.ends_with("; 2 pods elsewhere stand in for those of zone c"), "{message}");

    settle(&mut cluster, &[]);
    assert_eq!(sizes(&cluster), [3, 3, 2], "it may be lost again at once");
    assert!(zones(&cluster)[2].outage.as_ref().unwrap().back_since.is_some());
    assert_eq!(cluster.condition("Ready").0, "True", "and all is well meanwhile");
    cluster.later(60);
    settle(&mut cluster, &[]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert!(zones(&cluster).iter().all(|zone| zone.outage.is_none() && zone.standing_in == 0));
}

#[test]
fn a_zone_that_comes_and_goes_changes_nothing() {
    let mut cluster = Cluster::well(RESPREAD);
    for _ in 0..5 {
        lose(&mut cluster, "c");
        settle(&mut cluster, &["c"]);
        cluster.later(50);
        settle(&mut cluster, &["c"]);
        assert_eq!(sizes(&cluster), [2, 2, 2], "it is never away for long enough");
        settle(&mut cluster, &[]);
    }
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    for _ in 0..5 {
        settle(&mut cluster, &["c"]);
        assert_eq!(sizes(&cluster), [3, 3, 2], "it is never back for long enough");
        settle(&mut cluster, &[]);
        cluster.later(50);
        lose(&mut cluster, "c");
    }
}

#[test]
fn one_pod_is_not_a_zone() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    cluster.zone("c").ready = 1;
    cluster.pods("c").remove(0).ready = true;
    cluster.later(600);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
}

#[test]
fn what_replaces_the_pods_of_a_lost_zone_and_finds_no_node_is_lost_as_well() {
    let mut cluster = Cluster::well(RESPREAD);
    cluster.zone("c").ready = 0;
    for pod in cluster.pods("c") {
        (pod.ready, pod.unschedulable) = (false, Some("0/2 nodes are available".to_owned()));
    }
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    let (_, reason, message) = cluster.condition("ZonesSatisfied");
    assert_eq!(reason, "ZoneUnschedulable");
    assert!(message.contains("stand in"), "{message}");
}

#[test]
fn a_zone_whose_pods_fail_on_living_nodes_is_not_lost() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    *cluster.pods("c").remove(0) = PodView {
        name: "trading-c-0".to_owned(),
        zone: "c".to_owned(),
        waiting: Some("CrashLoopBackOff: back-off 10s".to_owned()),
        ..PodView::default()
    };
    settle(&mut cluster, &["c"]);
    cluster.later(600);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert_eq!(zones(&cluster)[2].outage, None);
}

#[test]
fn with_stay_a_lost_zone_is_told_and_nobody_stands_in() {
    let mut cluster = Cluster::well("");
    lose(&mut cluster, "c");
    for _ in 0..3 {
        settle(&mut cluster, &["c"]);
        cluster.later(10_000);
    }
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert!(zones(&cluster)[2].outage.is_some());
    settle(&mut cluster, &[]);
    assert_eq!(zones(&cluster)[2].outage, None);
}

#[test]
fn who_changes_the_policy_to_stay_gets_the_pods_of_the_spec_at_once() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    cluster.edit("");
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
}

#[test]
fn pods_that_stand_in_replace_no_other_pod() {
    let mut cluster = Cluster::well(RESPREAD);
    let before = cluster.templates.clone();
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    assert_eq!(cluster.templates, before);
}

#[test]
fn autoscalers_of_the_other_zones_get_the_bounds_of_the_lost_one_on_top() {
    let broker = broker(&format!(
        "{{{RELAY}, zones: [{{name: a}}, {{name: b}}, {{name: c}}], zoneOutagePolicy: Respread, \
         autoscaling: {{minReplicasPerZone: 3, maxReplicasPerZone: 8}}}}"
    ));
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let outage = ZoneOutage { since: Time(Timestamp::UNIX_EPOCH), respread_since: None, back_since: None };
    let outages = BTreeMap::from([("b".to_owned(), outage)]);
    let observed = Observed { outages, now, ..Observed::assuming_references(&broker) };
    let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
    let bounds = plan.objects.horizontal_pod_autoscalers.iter().map(|autoscaler| {
        let spec = autoscaler.spec.as_ref().unwrap();
        (spec.min_replicas, spec.max_replicas)
    });
    assert_eq!(bounds.collect::<Vec<_>>(), [(Some(5), 12), (Some(3), 8), (Some(4), 12)]);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Zones with so many pods of their own, of which the marked ones have been lost for long.
fn shares(own: &[(i32, bool)]) -> Vec<i32> {
    let zones: Vec<_> = own
        .iter()
        .map(|&(own, lost)| ZoneLife {
            own: PoolSize::Fixed(own),
            takes: own > 0,
            out: lost,
            whole: !lost,
            before: lost.then(|| ZoneOutage { since: Time(at(0)), respread_since: None, back_since: None }),
        })
        .collect();
    decide(&zones, Some(WAIT), at(1_000)).sizes.into_iter().map(fixed).collect()
}

fn fixed(size: PoolSize) -> i32 {
    match size {
        PoolSize::Fixed(replicas) => replicas,
        PoolSize::Autoscaled { .. } | PoolSize::External { .. } => panic!("{size:?}"),
    }
}

#[test]
fn shares_are_even_and_the_smallest_zone_gets_the_odd_one() {
    assert_eq!(shares(&[(3, true), (2, false), (1, false)]), [3, 3, 3]);
    assert_eq!(shares(&[(2, true), (2, true), (1, false)]), [2, 2, 5]);
    assert_eq!(shares(&[(2, true), (0, false), (1, false)]), [2, 0, 3], "who is to have none gets none");
    assert_eq!(shares(&[(2, true), (2, true)]), [2, 2], "nobody is left");
}

/// The wait of all simulated worlds.
const WAIT: std::time::Duration = std::time::Duration::from_mins(1);
/// The same in seconds.
const WAIT_SECONDS: i64 = 60;
/// Steps of the disturbed part of a world.
const DISTURBED: usize = 80;

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    Whole,
    Partial,
    Out,
}

/// Zones fall out and come back, in part and as a whole; time goes by; the operator sees the world late, and dies before it
/// has written the status.
struct World {
    dice: Dice,
    own: Vec<i32>,
    respreads: bool,
    zones: Vec<Condition>,
    seen: Vec<Condition>,
    now: i64,
    /// The outages in the status.
    status: Vec<Option<ZoneOutage>>,
    /// What each pass that wrote its status saw.
    passes: Vec<(i64, Vec<Condition>)>,
    /// The zones that were given up, each with the beginning of its outage.
    given_up: BTreeSet<(usize, Timestamp)>,
    /// The sizes that each set of zones that are given up has led to.
    known: BTreeMap<BTreeSet<usize>, Vec<i32>>,
}

impl World {
    fn live(seed: u64) -> Result<(), String> {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.below(4);
        let own: Vec<_> = (0..count).map(|_| i32::try_from(1 + dice.below(3)).unwrap()).collect();
        let respreads = !dice.one_in(4);
        let zones = vec![Condition::Whole; count];
        let mut world = Self {
            dice,
            own,
            respreads,
            seen: zones.clone(),
            zones,
            now: 0,
            status: vec![None; count],
            passes: Vec::new(),
            given_up: BTreeSet::new(),
            known: BTreeMap::new(),
        };
        for _ in 0..DISTURBED {
            world.disturb()?;
        }
        world.rest()
    }

    fn disturb(&mut self) -> Result<(), String> {
        let zone = self.dice.below(self.zones.len());
        match self.dice.below(8) {
            0 => self.zones[zone] = Condition::Out,
            1 => self.zones[zone] = Condition::Partial,
            2 => self.zones[zone] = Condition::Whole,
            3 => self.now += i64::try_from(self.dice.below(40)).unwrap(),
            4 => self.seen.clone_from(&self.zones),
            5 => {
                self.seen[zone] = self.zones[zone];
                self.pass(false)?;
            }
            _ => {
                self.seen[zone] = self.zones[zone];
                self.now += 1;
                self.pass(true)?;
            }
        }
        Ok(())
    }

    /// Decides when the status has these outages.
    fn decide(&self, status: &[Option<ZoneOutage>], now: i64) -> Shares {
        let life = |(index, condition): (usize, &Condition)| ZoneLife {
            own: PoolSize::Fixed(self.own[index]),
            takes: true,
            out: *condition == Condition::Out,
            whole: *condition == Condition::Whole,
            before: status[index].clone(),
        };
        let lives: Vec<_> = self.seen.iter().enumerate().map(life).collect();
        decide(&lives, self.respreads.then_some(WAIT), at(now))
    }

    /// A pass, which may end before its status is written.
    fn pass(&mut self, to_the_end: bool) -> Result<(), String> {
        let shares = self.decide(&self.status, self.now);
        self.judge(&shares)?;
        if to_the_end {
            self.passes.push((self.now, self.seen.clone()));
            self.judge_turns(&shares)?;
            self.status = shares.outages;
        }
        Ok(())
    }

    fn judge(&mut self, shares: &Shares) -> Result<(), String> {
        let sizes: Vec<_> = shares.sizes.iter().copied().map(fixed).collect();
        let given_up = given_up(&shares.outages);
        let told = format!("{sizes:?} of {:?}, given up {given_up:?}, {:?}", self.own, shares.outages);
        if sizes.iter().zip(&self.own).any(|(size, own)| size < own) {
            return Err(format!("a zone gets fewer pods than it is to have: {told}"));
        }
        if !self.respreads && (sizes != self.own || !given_up.is_empty()) {
            return Err(format!("pods stand in though they are to stay: {told}"));
        }
        let serving: i32 = (0..sizes.len()).filter(|zone| !given_up.contains(zone)).map(|zone| sizes[zone]).sum();
        if serving != self.own.iter().sum::<i32>() {
            return Err(format!("not as many pods serve as are wanted: {told}"));
        }
        if (0..sizes.len()).any(|zone| given_up.contains(&zone) && sizes[zone] != self.own[zone]) {
            return Err(format!("a zone that is lost gets more pods: {told}"));
        }
        if self.known.entry(given_up).or_insert_with(|| sizes.clone()) != &sizes {
            return Err(format!("the same losses lead to other sizes: {told}"));
        }
        let later = |seconds| self.decide(&shares.outages, self.now + seconds);
        let again = later(0);
        if again != *shares {
            return Err(format!("a second pass changes something: {told}, then {again:?}"));
        }
        match shares.due_in.map(|due| i64::try_from(due.as_secs()).unwrap()) {
            Some(due) if !(1..=WAIT_SECONDS).contains(&due) => Err(format!("it comes again in {due} s: {told}")),
            Some(due) if later(due - 1).outages != shares.outages => Err(format!("it comes again too late: {told}")),
            None if later(2 * WAIT_SECONDS).outages != shares.outages => Err(format!("it does not come again: {told}")),
            _ => Ok(()),
        }
    }

    /// Zones are given up, and taken back, only after all passes within the wait have seen a reason for it.
    fn judge_turns(&mut self, shares: &Shares) -> Result<(), String> {
        let (before, after) = (given_up(&self.status), given_up(&shares.outages));
        let within = || self.passes.iter().rev().take_while(|(time, _)| self.now - time < WAIT_SECONDS);
        for zone in after.difference(&before) {
            let since = shares.outages[*zone].as_ref().map(|outage| outage.since.0).unwrap_or_default();
            // While there was nobody who could stand in for it, it was not.
            let again = self.given_up.contains(&(*zone, since));
            if !again && within().any(|(_, seen)| seen[*zone] == Condition::Whole) {
                return Err(format!("zone {zone} is given up though it was well just now"));
            }
        }
        for zone in before.difference(&after) {
            // With nobody left who could stand in for it, there is nobody to keep for a while.
            let ill = |zone: usize| self.status[zone].is_some() || shares.outages[zone].is_some();
            let nobody_else = (0..self.own.len()).all(ill);
            if !nobody_else && within().any(|(_, seen)| seen[*zone] != Condition::Whole) {
                return Err(format!("zone {zone} is taken back though it was not well just now"));
            }
        }
        let outages = after.iter().filter_map(|zone| Some((*zone, shares.outages[*zone].as_ref()?.since.0)));
        self.given_up.extend(outages);
        Ok(())
    }

    /// Once all zones are well, each has its own pods, after twice the wait at most.
    fn rest(&mut self) -> Result<(), String> {
        self.zones.fill(Condition::Whole);
        self.seen.clone_from(&self.zones);
        let end = self.now + 2 * WAIT_SECONDS;
        while self.now < end {
            self.pass(true)?;
            let shares = self.decide(&self.status, self.now);
            self.now += shares.due_in.map_or(WAIT_SECONDS, |due| i64::try_from(due.as_secs()).unwrap());
        }
        self.pass(true)?;
        let quiet = self.status.iter().all(Option::is_none);
        if quiet { Ok(()) } else { Err(format!("it does not come to rest: {:?}", self.status)) }
    }
}

fn given_up(outages: &[Option<ZoneOutage>]) -> BTreeSet<usize> {
    let is = |outage: &Option<ZoneOutage>| outage.as_ref().is_some_and(|one| one.respread_since.is_some());
    outages.iter().enumerate().filter(|(_, outage)| is(outage)).map(|(zone, _)| zone).collect()
}

#[test]
fn as_many_pods_serve_whatever_zones_are_given_up_and_nothing_that_passes_quickly_changes_a_size() {
    each_of(4_000, World::live);
}

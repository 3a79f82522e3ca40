//! Evictions against the one budget in its forms: pods are evicted at any moment, by many at once; the disruption controller
//! and the operator see pods late; the operator is interrupted between any two requests, and dies; zones get pods that stand in
//! for others, which go again. Never are pods of two zones evicted at once, and a zone can always be emptied.
//!
//! What is modelled is what the eviction API and the disruption controller do: an eviction takes from the budget that selects
//! the pod, in one write that makes a new version of it, and deletes the pod some time after that. Assumed is that the
//! controller, however late, has heard of a pod, and of the size of its zone, by the time that it is ready: it forgets evictions
//! of pods unknown to it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    cluster::Cluster,
    worlds::{Dice, each_of},
};
use crate::plan::{Budget, disruption_budget::ZoneCrew};

/// Pods that each zone is to have.
const PODS: usize = 3;
/// Steps of the disturbed part of a world.
const DISTURBED: usize = 200;
/// Rounds in which a calm world has to come to rest.
const CALM: usize = 60;

const ZONES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug, PartialEq)]
struct Pod {
    uid: usize,
    zone: usize,
    ready: bool,
    terminating: bool,
    evicted: bool,
}

/// The budget as the API server has it, with its status.
#[derive(Clone, Debug)]
struct Stored {
    form: Budget,
    version: usize,
    generation: usize,
    observed: usize,
    allowed: usize,
    healthy: usize,
    pods: usize,
    disrupted: BTreeSet<usize>,
}

/// What the operator is about to do.
#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    /// It finds the budget held, and lists the pods next.
    Settling,
    /// There are none too many, but so many in all, and these that are ready. It reads next what the disruption controller
    /// counts.
    Settled {
        pods: usize,
        ready: BTreeSet<usize>,
    },
    /// It decides about the budget next.
    Deciding,
    /// It asks for as many pods as were planned next.
    Sizing,
    /// It has read the budget, and lists the pods next.
    Opening {
        zone: usize,
        version: usize,
        disrupted: BTreeSet<usize>,
    },
    /// It has found nothing against it, and writes next.
    Opened {
        zone: usize,
        version: usize,
    },
    /// It has shut the zone, and lists the pods next.
    Closing {
        zone: usize,
    },
    /// It has found the zone whole, and writes next.
    Closed,
}

struct World {
    dice: Dice,
    zones: usize,
    next: usize,
    pods: Vec<Pod>,
    /// Evictions that took from the budget, and whose pods are still to be deleted.
    owed: Vec<usize>,
    budget: Stored,
    /// Pods that each zone is to have, and those that its Deployment asks for.
    wanted: Vec<usize>,
    sizes: Vec<usize>,
    /// What the pass that runs has decided about that.
    planned: Vec<usize>,
    controller_sees: (Vec<Pod>, Vec<usize>),
    operator_sees: (Vec<Pod>, Budget),
    doing: Doing,
    /// The zone whose nodes have no room for new pods.
    cordoned: Option<usize>,
    /// Zones that have lost ready pods to evictions, and are not whole since.
    disrupted: Vec<bool>,
}

impl World {
    fn live(seed: u64) -> Result<(), String> {
        let mut dice = Dice::new(seed);
        let zones = 2 + dice.below(3);
        let pods: Vec<_> = (0..zones * PODS)
            .map(|uid| Pod { uid, zone: uid % zones, ready: true, terminating: false, evicted: false })
            .collect();
        let budget = Stored {
            form: Budget::OneByOne,
            version: 1,
            generation: 1,
            observed: 1,
            allowed: 1,
            healthy: zones * PODS,
            pods: zones * PODS,
            disrupted: BTreeSet::new(),
        };
        let mut world = Self {
            dice,
            zones,
            next: zones * PODS,
            owed: Vec::new(),
            budget,
            wanted: vec![PODS; zones],
            sizes: vec![PODS; zones],
            planned: vec![PODS; zones],
            controller_sees: (pods.clone(), vec![PODS; zones]),
            operator_sees: (pods.clone(), Budget::OneByOne),
            doing: Doing::Nothing,
            cordoned: None,
            disrupted: vec![false; zones],
            pods,
        };
        (0..DISTURBED).try_for_each(|_| world.disturb())?;
        world.rest()
    }

    fn disturb(&mut self) -> Result<(), String> {
        match self.dice.below(30) {
            0..=6 => {
                let pod = self.dice.below(self.pods.len());
                self.evict(pod)?;
            }
            7..=8 => self.delete_what_is_owed(),
            9..=10 => self.controller_sees = (self.pods.clone(), self.sizes.clone()),
            11..=12 => self.control(),
            13..=14 => self.operator_sees = (self.pods.clone(), self.budget.form.clone()),
            15..=19 => self.operate(),
            20 => self.doing = Doing::Nothing,
            21 => self.crash(),
            22 => {
                let zone = self.dice.below(self.zones);
                self.wanted[zone] = PODS + self.dice.below(3);
            }
            23 => self.controller_sees.1.clone_from(&self.sizes),
            24 => self.replica_sets(),
            _ => self.kubelet(),
        }
        for zone in 0..self.zones {
            let going = self.owed.iter().copied().collect();
            self.disrupted[zone] &= !self.crew_of(&self.pods, zone, &going).is_whole();
        }
        Ok(())
    }

    /// Once nobody disturbs it any more, one whole zone can be emptied, its pods come back, and the budget is at rest.
    fn rest(&mut self) -> Result<(), String> {
        self.doing = Doing::Nothing;
        self.settle(CALM)?;
        let zone = self.dice.below(self.zones);
        self.cordoned = Some(zone);
        for _ in 0..CALM {
            let mine: Vec<_> = (0..self.pods.len()).filter(|pod| self.pods[*pod].zone == zone).collect();
            for pod in mine {
                self.evict(pod)?;
            }
            self.round();
        }
        if self.pods.iter().any(|pod| pod.zone == zone && pod.ready) {
            return Err(format!("zone {zone} cannot be emptied, with {:?}", self.budget));
        }
        if let Some(other) = (0..self.pods.len()).find(|pod| self.pods[*pod].zone != zone)
            && self.evict(other)?
        {
            return Err("a pod of another zone was evicted meanwhile".to_owned());
        }
        self.settle(CALM)
    }

    fn settle(&mut self, rounds: usize) -> Result<(), String> {
        self.cordoned = None;
        for _ in 0..rounds {
            self.round();
        }
        self.disrupted.fill(false);
        let budget = &self.budget;
        let at_rest = budget.form == Budget::OneByOne && budget.allowed == 1 && budget.observed == budget.generation;
        if at_rest { Ok(()) } else { Err(format!("it does not come to rest: {budget:?}, {:?}", self.pods)) }
    }

    /// A pod that lets its sessions go takes longer than the operator takes to see it.
    fn round(&mut self) {
        self.delete_what_is_owed();
        self.replica_sets();
        self.controller_sees = (self.pods.clone(), self.sizes.clone());
        self.control();
        self.operator_sees = (self.pods.clone(), self.budget.form.clone());
        (0..6).for_each(|_| self.operate());
        (0..3 * PODS).for_each(|_| self.kubelet());
    }

    /// Somebody asks for an eviction; says whether it is granted.
    fn evict(&mut self, index: usize) -> Result<bool, String> {
        let pod = self.pods[index].clone();
        if pod.terminating {
            return Ok(false);
        }
        let selected = !matches!(&self.budget.form, Budget::Open(zone) if *zone == ZONES[pod.zone]);
        if pod.ready && selected {
            let budget = &mut self.budget;
            if budget.observed != budget.generation || budget.allowed == 0 || budget.disrupted.contains(&pod.uid) {
                return Ok(false);
            }
            budget.allowed -= 1;
            budget.version += 1;
            budget.disrupted.insert(pod.uid);
            self.owed.push(pod.uid);
        } else {
            self.pods[index].evicted = true;
            self.pods[index].terminating = true;
        }
        if pod.ready {
            if let Some(other) = (0..self.zones).find(|zone| *zone != pod.zone && self.disrupted[*zone]) {
                return Err(format!(
                    "a pod of {} is evicted while {} is disrupted, with {:?}",
                    ZONES[pod.zone], ZONES[other], self.budget
                ));
            }
            self.disrupted[pod.zone] = true;
        }
        Ok(true)
    }

    fn delete_what_is_owed(&mut self) {
        for uid in std::mem::take(&mut self.owed) {
            if let Some(pod) = self.pods.iter_mut().find(|pod| pod.uid == uid) {
                (pod.evicted, pod.terminating) = (true, true);
            }
        }
    }

    /// The disruption controller counts the pods that it sees.
    fn control(&mut self) {
        let budget = &mut self.budget;
        let (sees, sizes) = &self.controller_sees;
        budget.disrupted.retain(|uid| sees.iter().any(|pod| pod.uid == *uid && !pod.terminating));
        let selects = |zone: usize| !matches!(&budget.form, Budget::Open(open) if *open == ZONES[zone]);
        let healthy =
            |pod: &&Pod| selects(pod.zone) && pod.ready && !pod.terminating && !budget.disrupted.contains(&pod.uid);
        let healthy = sees.iter().filter(healthy).count();
        let expected: usize = (0..self.zones).filter(|zone| selects(*zone)).map(|zone| sizes[zone]).sum();
        (budget.healthy, budget.pods) = (healthy, sees.len());
        budget.allowed = match budget.form {
            Budget::Held(_) => 0,
            Budget::OneByOne => (healthy + 1).saturating_sub(expected),
            Budget::Open(_) | Budget::Shut(_) => healthy.saturating_sub(expected),
        };
        budget.observed = budget.generation;
        budget.version += 1;
    }

    /// The form that the operator wants, by what it sees.
    fn decided(&self) -> Budget {
        let (pods, seen) = &self.operator_sees;
        let crew = |zone| {
            let shrinks = self.planned[zone] < self.sizes[zone];
            ZoneCrew { shrinks, ..self.crew_of(pods, zone, &BTreeSet::new()) }
        };
        let crews: Vec<_> = (0..self.zones).map(crew).collect();
        Budget::decide(&crews, seen.zone())
    }

    /// The next request of the operator.
    fn operate(&mut self) {
        let none = BTreeSet::new();
        self.doing = match self.doing.clone() {
            Doing::Nothing => {
                self.planned.clone_from(&self.wanted);
                match (&self.budget.form, self.decided()) {
                    (Budget::Held(_), Budget::Held(_)) => Doing::Deciding,
                    (Budget::Held(_), _) => Doing::Settling,
                    _ => Doing::Deciding,
                }
            }
            Doing::Settling => {
                let mut crews = (0..self.zones).map(|zone| self.crew_of(&self.pods, zone, &none));
                let ready = self.pods.iter().filter(|pod| pod.ready && !pod.terminating).map(|pod| pod.uid).collect();
                let surplus = crews.any(|crew| crew.staying > crew.wanted);
                if surplus { Doing::Sizing } else { Doing::Settled { pods: self.pods.len(), ready } }
            }
            Doing::Settled { pods, ready } => {
                let budget = &self.budget;
                let healthy = budget.healthy == ready.difference(&budget.disrupted).count();
                let counted = budget.observed == budget.generation && healthy && budget.pods == pods;
                if counted { Doing::Deciding } else { Doing::Sizing }
            }
            Doing::Deciding => {
                let wanted = self.decided();
                let index = |zone: &str| ZONES.iter().position(|name| *name == zone).unwrap();
                match (self.operator_sees.1.zone(), &wanted) {
                    (None, Budget::Open(zone)) => Doing::Opening {
                        zone: index(zone),
                        version: self.budget.version,
                        disrupted: self.budget.disrupted.clone(),
                    },
                    (Some(zone), Budget::OneByOne) => {
                        let zone = zone.to_owned();
                        self.write(Budget::Shut(zone.clone()));
                        Doing::Closing { zone: index(&zone) }
                    }
                    _ => {
                        self.write(wanted);
                        Doing::Sizing
                    }
                }
            }
            Doing::Opening { zone, version, disrupted } => {
                let others = (0..self.zones).filter(|other| *other != zone);
                let whole = others.into_iter().all(|other| self.crew_of(&self.pods, other, &disrupted).is_whole());
                if whole { Doing::Opened { zone, version } } else { Doing::Sizing }
            }
            Doing::Opened { zone, version } => {
                if version == self.budget.version {
                    self.write(Budget::Open(ZONES[zone].to_owned()));
                }
                Doing::Sizing
            }
            Doing::Closing { zone } if self.crew_of(&self.pods, zone, &none).is_whole() => Doing::Closed,
            Doing::Closing { .. } => Doing::Sizing,
            Doing::Closed => {
                self.write(Budget::OneByOne);
                Doing::Sizing
            }
            Doing::Sizing => {
                for zone in 0..self.zones {
                    // Of pods that are there already the controller has heard, and of the size with them.
                    let staying = self.crew_of(&self.pods, zone, &none).staying;
                    if self.planned[zone] > self.sizes[zone] && staying > self.sizes[zone] {
                        self.controller_sees.1[zone] = self.planned[zone];
                    }
                }
                self.sizes.clone_from(&self.planned);
                Doing::Nothing
            }
        };
    }

    /// ReplicaSets make what is missing, and end what is too much, the newest first.
    fn replica_sets(&mut self) {
        for zone in 0..self.zones {
            let staying: Vec<_> = (0..self.pods.len())
                .filter(|pod| self.pods[*pod].zone == zone && !self.pods[*pod].terminating)
                .collect();
            let size = self.sizes[zone];
            if staying.len() > size {
                self.controller_sees.0.clone_from(&self.pods);
                self.control();
            }
            staying.iter().skip(size).for_each(|pod| self.pods[*pod].terminating = true);
            for _ in staying.len()..size {
                self.pods.push(Pod { uid: self.next, zone, ready: false, terminating: false, evicted: false });
                self.next += 1;
            }
        }
    }

    fn write(&mut self, form: Budget) {
        if self.budget.form != form {
            self.budget.form = form.clone();
            self.budget.version += 1;
            self.budget.generation += 1;
        }
        // The answer to a write of its own is what it sees next.
        self.operator_sees.1 = form;
    }

    fn crew_of(&self, pods: &[Pod], zone: usize, going: &BTreeSet<usize>) -> ZoneCrew {
        let mine = || pods.iter().filter(|pod| pod.zone == zone);
        ZoneCrew {
            name: ZONES[zone].to_owned(),
            wanted: self.sizes[zone],
            staying: mine().filter(|pod| !pod.terminating).count(),
            ready: mine().filter(|pod| pod.ready && !pod.terminating && !going.contains(&pod.uid)).count(),
            evicted: mine().any(|pod| pod.evicted),
            shrinks: false,
        }
    }

    /// A pod falls ill by itself.
    fn crash(&mut self) {
        let pod = self.dice.below(self.pods.len());
        self.pods[pod].ready = false;
    }

    /// A pod ends, and another one comes for it; or one gets ready.
    fn kubelet(&mut self) {
        if let Some(index) = self.pods.iter().position(|pod| pod.terminating) {
            self.pods.remove(index);
            self.replica_sets();
            return;
        }
        let known = |pod: &Pod| self.controller_sees.0.iter().any(|seen| seen.uid == pod.uid);
        let starts = |pod: &Pod| !pod.ready && Some(pod.zone) != self.cordoned && known(pod);
        if let Some(index) = self.pods.iter().position(starts) {
            self.pods[index].ready = true;
        }
    }
}

#[test]
fn no_two_zones_are_ever_disrupted_by_evictions_and_every_zone_can_be_emptied() {
    each_of(4_000, World::live);
}

fn crew(name: &str, ready: usize, evicted: bool) -> ZoneCrew {
    ZoneCrew { name: name.to_owned(), wanted: 2, staying: 2, ready, evicted, shrinks: false }
}

#[test]
fn a_zone_is_opened_only_for_an_eviction_and_only_where_others_are_whole() {
    let open = |zone: &str| Budget::Open(zone.to_owned());
    let decide = |a, b| Budget::decide(&[a, b], None);
    assert_eq!(decide(crew("a", 1, true), crew("b", 2, false)), open("a"));
    assert_eq!(decide(crew("a", 1, false), crew("b", 2, false)), Budget::OneByOne, "a pod that falls ill is no drain");
    assert_eq!(decide(crew("a", 1, true), crew("b", 1, false)), Budget::OneByOne);
    assert_eq!(decide(crew("a", 0, true), crew("b", 2, false)), Budget::OneByOne, "nobody is left to go");
    assert_eq!(Budget::decide(&[crew("a", 1, true)], None), Budget::OneByOne, "nobody else would be left");
}

#[test]
fn an_open_zone_is_shut_when_another_one_is_disrupted_too_and_stays_open_until_it_is_whole() {
    let decide = |a, b| Budget::decide(&[crew("a", a, false), crew("b", b, false)], Some("a"));
    assert_eq!(decide(0, 2), Budget::Open("a".to_owned()));
    assert_eq!(decide(0, 1), Budget::Shut("a".to_owned()));
    assert_eq!(decide(2, 1), Budget::OneByOne);
    assert_eq!(Budget::decide(&[crew("b", 2, false)], Some("a")), Budget::OneByOne, "the zone is no longer wanted");
}

#[test]
fn before_a_zone_gets_fewer_pods_the_budget_is_held_whatever_its_form() {
    let zones = [ZoneCrew { shrinks: true, ..crew("a", 3, false) }, crew("b", 1, true)];
    assert_eq!(Budget::decide(&zones, None), Budget::Held(None));
    assert_eq!(Budget::decide(&zones, Some("b")), Budget::Held(Some("b".to_owned())));
}

#[test]
fn the_budget_of_a_spec_that_asks_for_fewer_pods_lets_none_go_however_many_there_are() {
    let mut cluster = Cluster::well("");
    let (_, plan) = cluster.pass_until(usize::MAX);
    assert_eq!(plan.budget, Budget::OneByOne);
    cluster.broker.spec.replicas = Some(5);
    let (_, plan) = cluster.pass_until(usize::MAX);
    assert_eq!(plan.budget, Budget::Held(None));
    let spec = plan.objects.pod_disruption_budgets[0].spec.clone().unwrap();
    assert_eq!((spec.min_available, spec.max_unavailable), (Some(IntOrString::Int(i32::MAX)), None));
    let (_, plan) = cluster.pass_until(usize::MAX);
    assert_eq!(plan.budget, Budget::OneByOne, "what is left of that is the second look at the pods");
}

/// The disruption controller counted a pod that was gone in place of one that had got ready, so that the numbers were right.
#[test]
fn a_count_that_is_right_by_chance_does_not_end_the_hold() {
    assert_eq!(World::live(271_570), Ok(()));
}

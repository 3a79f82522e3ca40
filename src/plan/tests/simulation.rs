//! Very many worlds in which everything happens that may: edits, good and bad; pods that die; zones that are lost and come
//! back; an operator that sees the world late, gets errors, and dies between any two writes.
//!
//! What is modelled: the gate's decision and its writes, the Deployment controller (one pod more, none less), and
//! kubelets. What a Deployment says of its pods changes with them.

use super::worlds::{Dice, each_of};
use crate::{
    api::OnFailure,
    plan::gate::{Act, ZoneFacts, decide},
};

/// Names of revisions, in the order in which the user wants them.
const REVISIONS: [&str; 24] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17",
    "r18", "r19", "r20", "r21", "r22", "r23",
];
/// Pods that each zone is to have.
const PODS: usize = 2;
/// Steps of the disturbed part of a world.
const DISTURBED: usize = 60;
/// Rounds in which a calm world has to come to rest.
const CALM: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pod {
    revision: usize,
    ready: bool,
    verified: bool,
}

/// A zone's Deployment and pods.
#[derive(Clone, Debug, PartialEq)]
struct Zone {
    version: u64,
    at: usize,
    good: Option<usize>,
    failed: Option<usize>,
    current: bool,
    stalled: bool,
    pods: Vec<Pod>,
}

impl Zone {
    fn new() -> Self {
        let pod = Pod { revision: 0, ready: true, verified: true };
        Self { version: 1, at: 0, good: None, failed: None, current: true, stalled: false, pods: vec![pod; PODS] }
    }

    fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.ready).count()
    }

    fn updated(&self) -> usize {
        self.pods.iter().filter(|pod| pod.revision == self.at).count()
    }

    fn is_ready(&self) -> bool {
        self.current && self.updated() == PODS && self.pods.len() == PODS && self.ready() >= PODS
    }

    fn facts(&self, newest: usize, bad: &[bool]) -> ZoneFacts<'static> {
        ZoneFacts {
            at: Some(REVISIONS[self.at]),
            target: REVISIONS[newest],
            good: self.good.map(|good| REVISIONS[good]),
            failed: self.failed.map(|failed| REVISIONS[failed]),
            empty: self.ready() == 0,
            mixed: !self.current || self.updated() != self.pods.len(),
            ready: self.is_ready(),
            verified: self.pods.len() >= PODS && self.pods.iter().all(|pod| pod.verified),
            broken: self.stalled || self.pods.iter().any(|pod| bad[pod.revision]),
            stalled: self.current && self.stalled,
            blocked: false,
        }
    }
}

struct World {
    dice: Dice,
    zones: Vec<Zone>,
    /// The zones as the operator sees them: as they were some time ago, but with its own writes.
    seen: Vec<Zone>,
    lost: Vec<bool>,
    newest: usize,
    bad: Vec<bool>,
    policy: OnFailure,
    /// The zones that the operator itself is replacing, and that have something to lose.
    ours: Vec<bool>,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = 2 + dice.below(3);
        let policy = if dice.one_in(2) { OnFailure::Halt } else { OnFailure::Rollback };
        let mut bad: Vec<bool> = REVISIONS.iter().map(|_| dice.one_in(3)).collect();
        bad[0] = false;
        let zones = vec![Zone::new(); count];
        let (lost, ours) = (vec![false; count], vec![false; count]);
        Self { dice, seen: zones.clone(), zones, lost, newest: 0, bad, policy, ours, history: Vec::new() }
    }

    /// Lives through the world that follows from `seed`.
    fn live(seed: u64) -> Result<(), String> {
        let mut world = Self::new(seed);
        let lived = (0..DISTURBED).try_for_each(|_| world.disturb()).and_then(|()| world.rest());
        lived.map_err(|why| format!("{why}, with {:?}, after: {}", world.policy, world.history.join("; ")))
    }

    fn disturb(&mut self) -> Result<(), String> {
        let zone = self.dice.below(self.zones.len());
        match self.dice.below(32) {
            0 if self.newest + 2 < REVISIONS.len() => {
                self.newest += 1;
                self.note(format!("edit: {} (bad: {})", REVISIONS[self.newest], self.bad[self.newest]));
            }
            1 if !self.zones[zone].pods.is_empty() => {
                let pod = self.dice.below(self.zones[zone].pods.len());
                self.zones[zone].pods.remove(pod);
                self.zones[zone].version += 1;
                self.note(format!("a pod of {zone} dies"));
            }
            2 => {
                self.lost[zone] = !self.lost[zone];
                if self.lost[zone] {
                    self.zones[zone].pods.iter_mut().for_each(|pod| pod.ready = false);
                    self.zones[zone].version += 1;
                }
                self.note(format!("{zone} is lost: {}", self.lost[zone]));
            }
            3 => self.seen.clone_from(&self.zones),
            4..=7 => self.seen[zone] = self.zones[zone].clone(),
            8..=17 => self.controller(zone),
            18..=23 => self.kubelet(zone),
            _ => self.pass(true)?,
        }
        self.settle_ours();
        Ok(())
    }

    /// Nothing happens any more but what has to: everything comes to rest as it is to be.
    fn rest(&mut self) -> Result<(), String> {
        self.note("calm".to_owned());
        self.lost.fill(false);
        let rolls_back = self.policy == OnFailure::Rollback;
        if !rolls_back {
            // Somebody corrects it.
            self.newest += 1;
            self.bad[self.newest] = false;
        }
        for _ in 0..CALM {
            self.seen.clone_from(&self.zones);
            if self.decide().1 {
                return self.judge();
            }
            self.pass(false)?;
            for zone in 0..self.zones.len() {
                self.controller(zone);
                self.kubelet(zone);
            }
            self.settle_ours();
        }
        Err("it does not come to rest".to_owned())
    }

    fn judge(&self) -> Result<(), String> {
        for (index, zone) in self.zones.iter().enumerate() {
            if !zone.is_ready() || self.bad[zone.at] {
                return Err(format!("zone {index} is at rest, but not well"));
            }
            if !self.bad[self.newest] && zone.at != self.newest && zone.failed.is_none() && !self.someone_failed() {
                return Err(format!("zone {index} is at rest, but not at the newest revision"));
            }
        }
        Ok(())
    }

    fn someone_failed(&self) -> bool {
        self.zones.iter().any(|zone| zone.failed == Some(self.newest))
    }

    fn decide(&self) -> (Vec<Act>, bool) {
        let facts: Vec<_> = self.seen.iter().map(|zone| zone.facts(self.newest, &self.bad)).collect();
        let decision = decide(&facts, REVISIONS[self.newest], self.policy, true);
        (decision.acts, decision.complete)
    }

    /// One pass of the operator, which in a disturbed world may end anywhere.
    fn pass(&mut self, disturbed: bool) -> Result<(), String> {
        let (acts, complete) = self.decide();
        let fresh = self.seen == self.zones;
        for (index, act) in acts.into_iter().enumerate() {
            if disturbed && self.dice.one_in(8) {
                self.note("an API error".to_owned());
                return Ok(());
            }
            if disturbed && self.dice.one_in(16) {
                self.note("the operator dies".to_owned());
                self.seen.clone_from(&self.zones);
                return Ok(());
            }
            self.write(index, act, complete, fresh)?;
        }
        Ok(())
    }

    fn write(&mut self, index: usize, act: Act, complete: bool, fresh: bool) -> Result<(), String> {
        let (seen, newest) = (self.seen[index].clone(), self.newest);
        let mut next = self.zones[index].clone();
        match act {
            Act::Keep => {
                if complete {
                    next.good = None;
                }
                next.failed = seen.failed.filter(|failed| *failed == newest);
                if next == self.zones[index] {
                    return Ok(());
                }
                next.version += 1;
            }
            Act::Create => return Err("a zone is made that there is".to_owned()),
            Act::Roll | Act::Return => {
                // The API server refuses what was decided on an older version.
                if seen.version != next.version {
                    return Ok(());
                }
                next.failed = seen.failed.filter(|failed| *failed == newest);
                if act == Act::Return {
                    next.at = seen.good.ok_or("it goes back to nothing")?;
                    next.failed = next.failed.or_else(|| Some(newest).filter(|_| seen.stalled && seen.at == newest));
                } else {
                    let before = Some(seen.at).filter(|_| seen.is_ready()).or(seen.good).or(Some(seen.at));
                    (next.at, next.good) = (newest, before);
                }
                (next.current, next.stalled) = (false, false);
                next.version += 1;
                self.note(format!("{act:?} {index} to {}", REVISIONS[next.at]));
                let was_well = seen.is_ready();
                let others = (0..self.zones.len()).filter(|other| *other != index);
                if fresh && was_well && others.clone().any(|other| !self.zones[other].is_ready()) {
                    return Err(format!("zone {index} was well and is begun while another one is not well"));
                }
                // What is half replaced, because it had nothing to lose when that began, may be given yet another revision.
                let begun = seen.good.is_some() && !(seen.current && seen.updated() == seen.pods.len());
                self.ours[index] = seen.ready() > 0;
                if self.ours[index] && !begun && others.clone().any(|other| self.ours[other]) {
                    return Err("two zones are being replaced at once".to_owned());
                }
            }
        }
        self.zones[index] = next.clone();
        self.seen[index] = next;
        Ok(())
    }

    /// One step of the Deployment controller: one pod more, none less.
    fn controller(&mut self, index: usize) {
        let zone = &mut self.zones[index];
        let before = zone.clone();
        if !zone.current {
            zone.current = true;
        } else if let Some(broken) = zone.pods.iter().position(|pod| pod.revision != zone.at && !pod.ready) {
            zone.pods.remove(broken);
        } else if zone.pods.len() < PODS || zone.updated() < PODS && zone.pods.len() == PODS {
            zone.pods.push(Pod { revision: zone.at, ready: false, verified: false });
        } else if zone.ready() > PODS {
            if let Some(old) = zone.pods.iter().position(|pod| pod.revision != zone.at) {
                zone.pods.remove(old);
            }
        } else if zone.pods.iter().any(|pod| pod.revision == zone.at && !pod.ready) && self.bad[zone.at] {
            zone.stalled = true;
        }
        if *zone != before {
            zone.version += 1;
        }
    }

    fn kubelet(&mut self, index: usize) {
        if self.lost[index] {
            return;
        }
        let zone = &mut self.zones[index];
        let bad = &self.bad;
        if let Some(pod) = zone.pods.iter_mut().find(|pod| !pod.ready && !bad[pod.revision]) {
            pod.ready = true;
            zone.version += 1;
        } else if let Some(pod) = zone.pods.iter_mut().find(|pod| pod.ready && !pod.verified) {
            pod.verified = true;
            zone.version += 1;
        }
    }

    fn settle_ours(&mut self) {
        for (ours, zone) in self.ours.iter_mut().zip(&self.zones) {
            let done = zone.current && zone.updated() == zone.pods.len();
            *ours &= !done && zone.ready() > 0;
        }
    }

    fn note(&mut self, what: String) {
        self.history.push(what);
    }
}

#[test]
fn invariants_hold_in_every_world() {
    each_of(4_000, World::live);
}

//! Very many worlds in which zones are lost and come back, for what holds of [`decide`] whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::{
    respread::{at, fixed},
    worlds::{Dice, each_of},
};
use crate::{
    api::ZoneOutage,
    plan::respread::{Shares, ZoneLife, decide},
    validate::PoolSize,
};

/// The wait of all simulated worlds.
const WAIT: Duration = Duration::from_mins(1);
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

/// What is seen of a zone: the pods that its Deployment asks for, and how they are.
type Sight = (i32, Condition);

/// Zones fall out and come back, in part and as a whole; time goes by; the operator sees the world late, and dies before it
/// has written Deployments and status. Of a zone that is to have no pods nothing is seen at all.
struct World {
    dice: Dice,
    own: Vec<i32>,
    /// Who may stand in for others: not a zone that is to have no pods by the spec itself.
    takes: Vec<bool>,
    respreads: bool,
    zones: Vec<Condition>,
    /// The pods that the Deployments ask for.
    desired: Vec<i32>,
    seen: Vec<Sight>,
    now: i64,
    /// The outages in the status.
    status: Vec<Option<ZoneOutage>>,
    /// What each pass that wrote its status saw.
    passes: Vec<(i64, Vec<Sight>)>,
    /// The zones that were given up, each with the beginning of its outage.
    given_up: BTreeSet<(usize, Timestamp)>,
    /// The sizes that each set of zones that are given up has led to.
    known: BTreeMap<BTreeSet<usize>, Vec<i32>>,
}

impl World {
    fn live(seed: u64) -> Result<(), String> {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.below(4);
        let own: Vec<_> = (0..count).map(|_| i32::try_from(dice.below(4)).unwrap()).collect();
        let takes = own.iter().map(|own| *own > 0 || !dice.one_in(4)).collect();
        let respreads = !dice.one_in(4);
        let zones = vec![Condition::Whole; count];
        let mut world = Self {
            dice,
            takes,
            respreads,
            seen: own.iter().map(|own| (*own, Condition::Whole)).collect(),
            zones,
            desired: own.clone(),
            own,
            now: 0,
            status: vec![None; count],
            passes: Vec::new(),
            given_up: BTreeSet::new(),
            known: BTreeMap::new(),
        };
        for _ in 0..DISTURBED {
            world.disturb()?;
        }
        world.last_resort()?;
        world.rest()
    }

    fn disturb(&mut self) -> Result<(), String> {
        let zone = self.dice.below(self.zones.len());
        match self.dice.below(8) {
            0 => self.zones[zone] = Condition::Out,
            1 => self.zones[zone] = Condition::Partial,
            2 => self.zones[zone] = Condition::Whole,
            3 => self.now += i64::try_from(self.dice.below(40)).unwrap(),
            4 => self.look(),
            5 => {
                self.look_at(zone);
                let writes = self.dice.below(self.zones.len());
                self.pass(Some(writes))?;
            }
            _ => {
                self.look_at(zone);
                self.now += 1;
                self.pass(None)?;
            }
        }
        Ok(())
    }

    fn look(&mut self) {
        (0..self.zones.len()).for_each(|zone| self.look_at(zone));
    }

    fn look_at(&mut self, zone: usize) {
        self.seen[zone] = (self.desired[zone], self.zones[zone]);
    }

    /// Decides when the status has these outages.
    fn decide(&self, status: &[Option<ZoneOutage>], now: i64) -> Shares {
        let life = |(index, (desired, condition)): (usize, &Sight)| ZoneLife {
            own: PoolSize::Fixed(self.own[index]),
            takes: self.takes[index],
            out: *condition == Condition::Out && *desired > 0,
            whole: *condition == Condition::Whole || *desired == 0,
            before: status[index].clone(),
        };
        let lives: Vec<_> = self.seen.iter().enumerate().map(life).collect();
        decide(&lives, self.respreads.then_some(WAIT), at(now))
    }

    /// A pass; it may end after so many Deployments, and then its status is not written.
    fn pass(&mut self, writes: Option<usize>) -> Result<(), String> {
        let shares = self.decide(&self.status, self.now);
        self.judge(&shares)?;
        if writes.is_none() {
            self.passes.push((self.now, self.seen.clone()));
            self.judge_turns(&shares)?;
            self.status.clone_from(&shares.outages);
        }
        for (zone, size) in shares.sizes.iter().copied().map(fixed).enumerate().take(writes.unwrap_or(usize::MAX)) {
            if self.desired[zone] == 0 && size > 0 && self.zones[zone] == Condition::Whole {
                // Its first pods are not ready at once.
                self.zones[zone] = Condition::Partial;
            }
            self.desired[zone] = size;
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
        let all_within = |holds: &dyn Fn(&[Sight]) -> bool| {
            let within = self.passes.iter().rev().take_while(|(time, _)| self.now - time < WAIT_SECONDS);
            within.into_iter().all(|(_, seen)| holds(seen))
        };
        for &zone in after.difference(&before) {
            let since = shares.outages[zone].as_ref().map(|outage| outage.since.0).unwrap_or_default();
            // While there was nobody who could stand in for it, it was not.
            let again = self.own[zone] > 0 && self.given_up.contains(&(zone, since));
            let ill = |(desired, condition): Sight| desired > 0 && condition != Condition::Whole;
            if !again && !all_within(&|seen| ill(seen[zone])) {
                return Err(format!("zone {zone} is given up though it was well, or had no pods, just now"));
            }
        }
        // With nobody left who could stand in for others, there is nobody to keep for a while.
        let lasts = |outage: &ZoneOutage| self.now - outage.since.0.as_second() >= WAIT_SECONDS;
        let outage = |zone: usize| self.status[zone].as_ref().or(shares.outages[zone].as_ref());
        let gone = |zone: usize| before.contains(&zone) || outage(zone).is_some_and(lasts);
        let nobody_else = (0..self.own.len()).all(|zone| !self.takes[zone] || gone(zone));
        for &zone in before.difference(&after) {
            let has_own = |zone: usize| self.own[zone] > 0;
            let reason = if has_own(zone) {
                all_within(&|seen| seen[zone].1 == Condition::Whole)
            } else {
                let back = self.status[zone].as_ref().and_then(|outage| outage.back_since.as_ref());
                let unneeded = (0..self.own.len()).all(|zone| !has_own(zone) || shares.outages[zone].is_none());
                unneeded && back.is_some_and(|back| self.now - back.0.as_second() >= WAIT_SECONDS)
            };
            if !nobody_else && !reason {
                return Err(format!("zone {zone} is taken back without a reason"));
            }
            let since = |zone: usize| self.status[zone].as_ref().and_then(|outage| outage.respread_since.clone());
            let waits = |other: usize| !has_own(other) && after.contains(&other) && since(other) < since(zone);
            if !has_own(zone) && !reason && before.iter().any(|other| waits(*other)) {
                return Err(format!("zone {zone} is tried again before it is its turn"));
            }
        }
        let outages = after.iter().filter_map(|zone| Some((*zone, shares.outages[*zone].as_ref()?.since.0)));
        self.given_up.extend(outages);
        Ok(())
    }

    /// As long as one zone lives that takes pods of others, all pods get there in the end.
    fn last_resort(&mut self) -> Result<(), String> {
        let takers: Vec<_> = (0..self.own.len()).filter(|zone| self.takes[*zone]).collect();
        if takers.is_empty() || !self.respreads {
            return Ok(());
        }
        let living = takers[self.dice.below(takers.len())];
        let turns = i64::try_from(2 + self.own.len()).unwrap();
        self.calmly(turns * WAIT_SECONDS, |zone| if zone == living { Condition::Whole } else { Condition::Out })?;
        let wanted = self.own.iter().sum::<i32>();
        if self.desired[living] == wanted {
            return Ok(());
        }
        Err(format!("zone {living} lives, and {wanted} pods are not there: {:?}, {:?}", self.desired, self.status))
    }

    /// Once all zones are well, each has its own pods, after twice the wait at most.
    fn rest(&mut self) -> Result<(), String> {
        self.calmly(2 * WAIT_SECONDS, |_| Condition::Whole)?;
        let quiet = self.status.iter().all(Option::is_none) && self.desired == self.own;
        if quiet { Ok(()) } else { Err(format!("it does not come to rest: {:?}, {:?}", self.desired, self.status)) }
    }

    /// Time goes by, the zones stay as they are, and passes see all of it at once; without a change they come only when they
    /// are due.
    fn calmly(&mut self, seconds: i64, zones: impl Fn(usize) -> Condition) -> Result<(), String> {
        let end = self.now + seconds;
        while self.now <= end {
            self.zones = (0..self.zones.len()).map(&zones).collect();
            self.look();
            self.pass(None)?;
            if self.seen.iter().map(|(desired, _)| desired).eq(&self.desired) {
                let shares = self.decide(&self.status, self.now);
                self.now += shares.due_in.map_or(seconds, |due| i64::try_from(due.as_secs()).unwrap());
            } else {
                self.now += 1;
            }
        }
        Ok(())
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

//! Very many rotations in which everything happens that may: wishes, schedules, changes of the user's Secret and of their
//! mind; pods that come, go and take a Secret up late; an operator that sees Secret and pods as they were some time ago, and
//! dies before or after any write. Whoever reads what consumers read, and logs in at any ready pod within the overlap, gets in.

use std::time::Duration;

use super::worlds::{Dice, each_of};
use crate::plan::rotation::{Holds, LoginFacts, Matches, Rules, Source, Step, Values, decide, due_in};

/// Ticks for which the old value counts.
const OVERLAP: u64 = 12;
/// Ticks after which a value is replaced, where there is a schedule.
const EVERY: u64 = 80;
/// Steps of the disturbed part of a world.
const DISTURBED: usize = 500;
/// Rounds in which a calm world has to come to rest.
const CALM: usize = 200;

/// What the Secret of a login has.
#[derive(Clone, Debug, PartialEq)]
struct Secret {
    version: u64,
    values: Values<u32>,
    switched_at: u64,
    rotate_seen: u32,
    revert_seen: u32,
}

#[derive(Clone, Debug)]
struct Pod {
    uid: u32,
    ready: bool,
    terminating: bool,
    /// The Secret as it was mounted or taken up last.
    has: Values<u32>,
    /// The Secret as its kubelet has it.
    kubelet: Values<u32>,
}

impl Pod {
    fn new(uid: u32, mounts: &Values<u32>) -> Self {
        Self { uid, ready: false, terminating: false, has: mounts.clone(), kubelet: mounts.clone() }
    }
}

/// What the operator knows of a pod.
#[derive(Clone, Debug)]
struct Seen {
    uid: u32,
    says: Option<Values<u32>>,
}

struct World {
    dice: Dice,
    now: u64,
    next: u32,
    secret: Secret,
    /// The value of the user's Secret, where the login follows one.
    source: Option<u32>,
    scheduled: bool,
    rotate: u32,
    revert: u32,
    pods: Vec<Pod>,
    seen_secret: Secret,
    seen_source: Option<u32>,
    seen_pods: Vec<Seen>,
    /// What consumers have read, and until when it has to count.
    read: Vec<(u32, u64)>,
    switches: usize,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let values = Values { now: 1, next: None, previous: None, rotation: None };
        let secret = Secret { version: 1, values: values.clone(), switched_at: 0, rotate_seen: 0, revert_seen: 0 };
        let pods = (0..2).map(|uid| Pod { ready: true, ..Pod::new(uid, &values) }).collect();
        Self {
            source: dice.one_in(3).then_some(1),
            scheduled: dice.one_in(2),
            dice,
            now: 0,
            next: 10,
            seen_secret: secret.clone(),
            seen_source: None,
            secret,
            rotate: 0,
            revert: 0,
            pods,
            seen_pods: Vec::new(),
            read: Vec::new(),
            switches: 0,
            history: Vec::new(),
        }
    }

    fn live(seed: u64) -> Result<(), String> {
        let mut world = Self::new(seed);
        let lived = (0..DISTURBED).try_for_each(|_| world.disturb()).and_then(|()| world.rest());
        lived.map_err(|why| format!("{why}, after: {}", world.history.join("; ")))
    }

    fn disturb(&mut self) -> Result<(), String> {
        let pod = self.dice.below(self.pods.len().max(1));
        match self.dice.below(40) {
            0 => {
                self.rotate += 1;
                self.note("a wish to rotate");
            }
            1 => {
                self.revert += 1;
                self.note("a wish to revert");
            }
            2 if self.source.is_some() => {
                // Few values, so that the same one comes and goes and comes again.
                let value = u32::try_from(1 + self.dice.below(3)).unwrap();
                self.source = Some(value);
                self.note(&format!("the user's Secret has {value}"));
            }
            3 => {
                let pod = Pod::new(self.fresh(), &self.secret.values);
                self.note(&format!("pod {} mounts {:?}", pod.uid, pod.has));
                self.pods.push(pod);
            }
            4 if self.pods.len() > 2 => self.pods[pod].terminating = true,
            5..=7 if self.pods.get(pod).is_some_and(|pod| pod.terminating) => {
                self.pods.remove(pod);
            }
            8..=9 if !self.pods.is_empty() => self.pods[pod].ready = true,
            10..=13 if !self.pods.is_empty() => self.take_up(pod),
            14..=16 if !self.pods.is_empty() => self.pods[pod].kubelet = self.secret.values.clone(),
            17 => self.seen_secret = self.secret.clone(),
            18 => self.seen_source = self.source,
            19..=20 => self.watch(),
            21..=24 => self.poll(pod),
            25..=27 => (0..self.pods.len()).for_each(|pod| self.poll(pod)),
            28..=31 => self.now += 1,
            _ => self.pass(true),
        }
        self.clients()
    }

    /// Nothing happens any more but what has to.
    fn rest(&mut self) -> Result<(), String> {
        self.note("calm");
        self.scheduled = false;
        self.pods.retain(|pod| !pod.terminating);
        for _ in 0..CALM {
            for pod in 0..self.pods.len() {
                self.pods[pod].ready = true;
                self.pods[pod].kubelet = self.secret.values.clone();
                self.take_up(pod);
            }
            self.look();
            (0..self.pods.len()).for_each(|pod| self.poll(pod));
            let step = self.decide();
            if step == Step::Keep && self.secret.values.holds() == Holds::One {
                let follows = self.source.is_none_or(|source| source == self.secret.values.now);
                let seen_to = self.source.is_some() || self.secret.rotate_seen == self.rotate;
                return if follows && seen_to { Ok(()) } else { Err("it rests before all is done".to_owned()) };
            }
            self.pass(false);
            self.now += 1;
            self.clients()?;
        }
        Err("it does not come to rest".to_owned())
    }

    /// The kubelet, which leaves pods alone that go.
    fn take_up(&mut self, pod: usize) {
        let pod = &mut self.pods[pod];
        if !pod.terminating {
            pod.has = pod.kubelet.clone();
        }
    }

    /// What the watch shows: which pods there are.
    fn watch(&mut self) {
        let says = |uid: u32| self.seen_pods.iter().find(|seen| seen.uid == uid).and_then(|seen| seen.says.clone());
        self.seen_pods = self.pods.iter().map(|pod| Seen { uid: pod.uid, says: says(pod.uid) }).collect();
    }

    fn poll(&mut self, pod: usize) {
        let Some(pod) = self.pods.get(pod) else { return };
        if let Some(seen) = self.seen_pods.iter_mut().find(|seen| seen.uid == pod.uid) {
            seen.says = Some(pod.has.clone());
        }
    }

    fn look(&mut self) {
        self.seen_secret = self.secret.clone();
        self.seen_source = self.source;
        self.watch();
    }

    fn rules(&self) -> Rules {
        let ticks = Duration::from_secs;
        Rules { every: self.scheduled.then(|| ticks(EVERY)), overlap: ticks(OVERLAP) }
    }

    fn decide(&self) -> Step {
        let values = &self.seen_secret.values;
        let matches = |source: u32| match source {
            source if source == values.now => Matches::Now,
            source if Some(source) == values.next => Matches::Next,
            source if Some(source) == values.previous => Matches::Previous,
            _ => Matches::None,
        };
        let facts = LoginFacts {
            holds: values.holds(),
            source: self.seen_source.map_or(Source::Generated, |source| Source::Referenced(matches(source))),
            acknowledged: self.seen_pods.iter().all(|seen| seen.says.as_ref() == Some(values)),
            wished: self.rotate != self.seen_secret.rotate_seen,
            taken_back: self.revert != self.seen_secret.revert_seen,
            age: Duration::from_secs(self.now.saturating_sub(self.seen_secret.switched_at)),
        };
        decide(&facts, &self.rules())
    }

    /// One pass of the operator, which in a disturbed world may end before or after its write.
    fn pass(&mut self, disturbed: bool) {
        // An operator that has just begun knows what the API server says, and nothing of pods.
        if self.source.is_some() != self.seen_source.is_some() || disturbed && self.dice.one_in(12) {
            self.seen_pods.clear();
            self.look();
            self.note("an operator begins");
            return;
        }
        let step = self.decide();
        if step == Step::Keep || disturbed && self.dice.one_in(8) {
            return;
        }
        let known = |pod: &Pod| self.seen_pods.iter().any(|seen| seen.uid == pod.uid);
        if self.seen_secret.version != self.secret.version || step == Step::Switch && !self.pods.iter().all(known) {
            self.look();
            return;
        }
        let value = self.source.unwrap_or_else(|| self.fresh());
        let rotation = self.fresh().to_string();
        let before = self.secret.clone();
        let secret = &mut self.secret;
        secret.version += 1;
        secret.values = before.values.after(step, Some((value, rotation)));
        if matches!(step, Step::Switch | Step::SwitchBack) {
            secret.switched_at = self.now;
            self.switches += 1;
        }
        if step == Step::Stage {
            secret.rotate_seen = self.rotate;
        }
        if matches!(step, Step::Stage | Step::Unstage | Step::SwitchBack) {
            secret.revert_seen = self.revert;
        }
        let after = format!("{step:?} to {:?} at {}", self.secret.values, self.now);
        self.note(&after);
        if !disturbed || !self.dice.one_in(4) {
            self.seen_secret = self.secret.clone();
        }
    }

    /// Consumers read; whoever has read within the overlap gets in everywhere.
    fn clients(&mut self) -> Result<(), String> {
        self.read.push((self.secret.values.now, self.now + OVERLAP));
        self.read.sort_unstable();
        self.read.dedup();
        self.read.retain(|(_, until)| *until > self.now);
        for pod in self.pods.iter().filter(|pod| pod.ready) {
            let Values { now, next, previous, .. } = &pod.has;
            for (value, _) in &self.read {
                if value != now && Some(*value) != *next && Some(*value) != *previous {
                    return Err(format!("pod {} with {:?} refuses {value} at {}", pod.uid, pod.has, self.now));
                }
            }
        }
        Ok(())
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn note(&mut self, what: &str) {
        self.history.push(what.to_owned());
    }
}

#[test]
fn nobody_is_ever_refused_and_every_rotation_ends() {
    each_of(4_000, World::live);
}

#[test]
fn worlds_have_rotations_in_them() {
    let switches: usize = (0..50)
        .map(|seed| {
            let mut world = World::new(seed);
            (0..DISTURBED).for_each(|_| world.disturb().unwrap());
            world.switches
        })
        .sum();
    assert!(switches >= 50, "{switches}");
}

fn login(holds: Holds, source: Source) -> LoginFacts {
    LoginFacts { holds, source, acknowledged: false, wished: false, taken_back: false, age: Duration::from_secs(5) }
}

const RULES: Rules = Rules { every: Some(Duration::from_secs(100)), overlap: Duration::from_secs(10) };

#[test]
fn a_schedule_and_an_overlap_say_when_to_come_again() {
    assert_eq!(due_in(&login(Holds::One, Source::Generated), &RULES), Some(Duration::from_secs(95)));
    assert_eq!(due_in(&login(Holds::Previous, Source::Generated), &RULES), Some(Duration::from_secs(5)));
    assert_eq!(due_in(&login(Holds::One, Source::Referenced(Matches::Now)), &RULES), None);
    assert_eq!(due_in(&login(Holds::Next, Source::Generated), &RULES), None);
    let aged = |seconds| LoginFacts { age: Duration::from_secs(seconds), ..login(Holds::One, Source::Generated) };
    assert_eq!((decide(&aged(99), &RULES), decide(&aged(100), &RULES)), (Step::Keep, Step::Stage));
    assert_eq!(decide(&aged(1000), &Rules { every: None, ..RULES }), Step::Keep);
}

#[test]
fn a_rotation_can_be_taken_back_before_and_after_consumers_have_the_new_value() {
    let taken_back = |holds| LoginFacts { taken_back: true, acknowledged: true, ..login(holds, Source::Generated) };
    assert_eq!(decide(&taken_back(Holds::Next), &RULES), Step::Unstage);
    assert_eq!(decide(&taken_back(Holds::Previous), &RULES), Step::SwitchBack);
    assert_eq!(decide(&taken_back(Holds::One), &RULES), Step::Keep);
}

#[test]
fn who_has_a_secret_of_their_own_takes_a_rotation_back_by_putting_the_old_value_back() {
    assert_eq!(decide(&login(Holds::Next, Source::Referenced(Matches::Now)), &RULES), Step::Unstage);
    assert_eq!(decide(&login(Holds::Previous, Source::Referenced(Matches::Previous)), &RULES), Step::SwitchBack);
}

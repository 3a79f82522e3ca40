//! Which fault comes when. Pure: all chance comes from a seed, so that a run can be had again.

use std::{fmt, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::zones::Zone;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `kill -9` of a broker.
    Broker,
    /// `kill -9` of an upstream node.
    Node,
    /// `kill -9` of the node that leads a stream of queues.
    Leader,
    /// A zone neither hears nor is heard.
    Cut,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Where; a leader is where it is.
    pub(crate) zone: Zone,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// How long nothing goes wrong after it.
    pub(crate) calm: Duration,
}

/// Faults without end: each kind once before any comes again, in an order and at places that the seed chooses.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: StdRng,
    kinds: Vec<Kind>,
    left: Vec<Kind>,
}

impl Schedule {
    /// The faults of these kinds that a seed stands for.
    pub(crate) fn new(seed: u64, kinds: &[Kind]) -> Self {
        Self { random: StdRng::seed_from_u64(seed), kinds: kinds.to_vec(), left: Vec::new() }
    }
}

impl Iterator for Schedule {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.left.shuffle(&mut self.random);
        }
        let kind = self.left.pop()?;
        let zone = Zone::ALL[self.random.random_range(0..Zone::ALL.len())];
        let mut millis = |from: u64, to| Duration::from_millis(self.random.random_range(from..=to));
        // Cuts are long enough for elections.
        let lasts = if kind == Kind::Cut { millis(5_000, 15_000) } else { millis(200, 4_000) };
        Some(Fault { kind, zone, lasts, calm: millis(500, 4_000) })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Broker => write!(f, "kill -9 of the broker in zone {}", self.zone),
            Kind::Node => write!(f, "kill -9 of the upstream node in zone {}", self.zone),
            Kind::Leader => write!(f, "kill -9 of the leader of the queues, in zone {}", self.zone),
            Kind::Cut => write!(f, "zone {} cut off", self.zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 4] = [Kind::Broker, Kind::Node, Kind::Leader, Kind::Cut];

    #[test]
    fn a_seed_stands_for_the_same_faults_and_another_one_for_others() {
        let first = |seed| Schedule::new(seed, &KINDS).take(20).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        let faults: Vec<_> = Schedule::new(7, &KINDS).take(40).collect();
        for round in faults.chunks(KINDS.len()) {
            assert!(KINDS.iter().all(|kind| round.iter().any(|fault| fault.kind == *kind)), "{round:?}");
        }
        assert!(Zone::ALL.iter().all(|zone| faults.iter().any(|fault| fault.zone == *zone)));
    }
}

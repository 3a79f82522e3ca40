//! Simulated worlds, each of which follows from its seed. `STOMPBROKER_SIMULATION_SEED=7` replays one,
//! `STOMPBROKER_SIMULATIONS=100000` runs so many.

use std::{env, thread};

/// Numbers that look random (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// Lives through so many worlds, unless the environment asks for others.
pub(super) fn each_of(count: u64, live: fn(u64) -> Result<(), String>) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("STOMPBROKER_SIMULATION_SEED") {
        assert_eq!(live(seed), Ok(()), "seed {seed}");
        return;
    }
    let seeds = number("STOMPBROKER_SIMULATIONS").unwrap_or(count);
    let threads = u64::try_from(thread::available_parallelism().map_or(1, usize::from)).unwrap();
    thread::scope(|scope| {
        let run = |first: u64| {
            for seed in (first..seeds).step_by(usize::try_from(threads).unwrap()) {
                assert_eq!(live(seed), Ok(()), "replay it with STOMPBROKER_SIMULATION_SEED={seed}");
            }
        };
        for first in 0..threads {
            scope.spawn(move || run(first));
        }
    });
}

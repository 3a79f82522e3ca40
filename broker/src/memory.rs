//! `limits.memory`: what messages and buffers of the whole process may hold, and what happens near that.
//!
//! ```text
//! held ── four fifths ──► tight: who sends is read more and more slowly ── all ──► full: SEND and connections are refused
//! ```
//!
//! Held is what grows with the work: live messages, each counted once however many sessions wait for it, octets that wait
//! for clients or have come from them, and a fixed amount for each connection. It is counted where it is taken and given
//! back, not asked of the system, so that room is there again as soon as messages have gone.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::message;

/// What a connection costs besides its buffers: its task, its session, a few subscriptions, and its share of TLS.
const OF_A_CONNECTION: u64 = 8 << 10;
/// Of the memory that the system gives the process at most, the share that is the bound where none is configured, in
/// percent. The rest is for what is not counted: the allocator, code, stacks, metrics.
const SHARE: u64 = 60;
/// The longest pause between two messages of one sender while memory is tight.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is held, and how much may be; one a process.
#[derive(Debug)]
pub(crate) struct Memory {
    /// 0 when there is no bound.
    bound: AtomicU64,
    /// What the system gives the process at most.
    of_the_system: Option<u64>,
    buffers: Arc<AtomicUsize>,
}

/// What one holder of buffers holds of them; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    all: Arc<AtomicUsize>,
    octets: usize,
}

impl Memory {
    /// Nothing is held, and nothing bounded but by the system.
    pub(crate) fn new() -> Self {
        Self { bound: AtomicU64::new(0), of_the_system: of_the_system(), buffers: Arc::default() }
    }

    /// Sets the bound; without one it is a share of what the system gives at most.
    pub(crate) fn set_bound(&self, configured: Option<u64>) {
        let bound = configured.or_else(|| self.of_the_system.map(|most| most / 100 * SHARE));
        self.bound.store(bound.unwrap_or(0), Ordering::Relaxed);
    }

    /// The bound, where there is one.
    pub(crate) fn bound(&self) -> Option<u64> {
        Some(self.bound.load(Ordering::Relaxed)).filter(|bound| *bound > 0)
    }

    /// Says that the buffers of a connection have changed their size.
    pub(crate) fn resized(&self, before: usize, now: usize) {
        resize(&self.buffers, before, now);
    }

    /// A share of it, of which nothing is held yet.
    pub(crate) fn share(&self) -> Share {
        Share { all: Arc::clone(&self.buffers), octets: 0 }
    }

    /// Octets of buffers.
    pub(crate) fn buffers(&self) -> usize {
        self.buffers.load(Ordering::Relaxed)
    }

    /// Octets that are held while there are this many connections.
    pub(crate) fn held(&self, connections: u32) -> u64 {
        let counted = message::octets_alive() + self.buffers();
        counted as u64 + u64::from(connections) * OF_A_CONNECTION
    }

    /// Whether nothing more may be taken; then the bound.
    pub(crate) fn is_full(&self, connections: u32) -> Option<u64> {
        self.bound().filter(|bound| self.held(connections) >= *bound)
    }

    /// How long to leave a sender alone after a message of its; none while there is room enough.
    pub(crate) fn pause(&self, connections: u32) -> Option<Duration> {
        let bound = self.bound()?;
        let tight = bound / 5 * 4;
        let over = self.held(connections).checked_sub(tight)?;
        let share = over.min(bound - tight).saturating_mul(1000) / (bound - tight).max(1);
        let longest = u64::try_from(LONGEST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis((longest * share / 1000).max(1)))
    }
}

impl Share {
    /// Another share of the same, of which nothing is held yet.
    pub(crate) fn another(&self) -> Self {
        Self { all: Arc::clone(&self.all), octets: 0 }
    }

    /// Says how much is held now.
    pub(crate) fn resize(&mut self, octets: usize) {
        resize(&self.all, self.octets, octets);
        self.octets = octets;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

fn resize(all: &AtomicUsize, before: usize, now: usize) {
    if now > before {
        all.fetch_add(now - before, Ordering::Relaxed);
    } else {
        all.fetch_sub(before - now, Ordering::Relaxed);
    }
}

/// The bound of the control group, version 2 or 1, that the process runs in.
fn of_the_system() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].into_iter().find_map(|file| {
        // Without a bound version 2 says `max`, and version 1 a number that no machine has.
        let octets: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
        (octets < 1 << 60).then_some(octets)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(bound: u64) -> Memory {
        let memory = Memory { of_the_system: None, ..Memory::new() };
        memory.set_bound(Some(bound));
        memory
    }

    #[test]
    fn the_nearer_the_bound_the_longer_a_sender_waits_and_what_is_given_back_counts_at_once() {
        // Messages of other tests of this process count too, so the bound is far beyond them.
        const BOUND: usize = 1 << 40;
        let memory = bounded(BOUND as u64);
        assert_eq!((memory.pause(0), memory.is_full(0)), (None, None));
        memory.resized(0, BOUND / 100 * 85);
        let slow = memory.pause(0).unwrap();
        memory.resized(BOUND / 100 * 85, BOUND / 100 * 95);
        assert!(memory.pause(0).unwrap() > slow && memory.is_full(0).is_none());
        memory.resized(BOUND / 100 * 95, BOUND);
        assert_eq!((memory.pause(0), memory.is_full(0)), (Some(LONGEST_PAUSE), Some(BOUND as u64)));
        memory.resized(BOUND, 0);
        assert_eq!((memory.pause(0), memory.is_full(0)), (None, None));
    }

    #[test]
    fn connections_count() {
        let memory = bounded(1 << 40);
        assert!(memory.held(1000) >= memory.held(0) + 8_000_000);
    }

    #[test]
    fn without_a_bound_of_the_configuration_or_the_system_there_is_none() {
        let memory = Memory { of_the_system: None, ..Memory::new() };
        memory.set_bound(None);
        assert_eq!((memory.bound(), memory.is_full(u32::MAX), memory.pause(u32::MAX)), (None, None, None));
        let memory = Memory { of_the_system: Some(1000), ..Memory::new() };
        memory.set_bound(None);
        assert_eq!(memory.bound(), Some(600));
    }
}

//! Which upstream the system connection goes to next, and when. Pure: time and chance come in as arguments.
//!
//! ```text
//!            Try(address)                    connected
//! Looking ───────────────► (caller connects) ──────────► Standing ── lost ──► Looking
//!    ▲  │ Wait(until)              │ failed                 │ Probe(home) while it stands elsewhere
//!    └──┴──────────────────────────┘                        └─► connected: moves home without a gap
//! ```
//!
//! Every upstream has a back-off of its own, so a failing one never delays the next, and none is hammered: also one that
//! takes the connection and closes it again soon. Looking goes on for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::{Address, Candidate};

/// Shortest pause before an upstream that failed is tried again.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause: Spring's relay tries every five seconds.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A connection that stood this long was a good one; the back-off starts anew after it.
const STABLE: Duration = Duration::from_secs(10);
/// How often an upstream of the own zone is tried while another one serves.
const PROBE_PACE: Duration = Duration::from_secs(30);

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Connect to this upstream.
    Try(Address),
    /// Nothing before this time.
    Wait(Instant),
    /// Nothing at all until something else happens.
    Rest,
}

#[derive(Debug)]
struct Health {
    candidate: Candidate,
    failures: u32,
    not_before: Option<Instant>,
    last_try: Option<Instant>,
}

impl Health {
    fn new(candidate: Candidate) -> Self {
        Self { candidate, failures: 0, not_before: None, last_try: None }
    }

    fn fail(&mut self, now: Instant, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let pause = backoff(self.failures, chance);
        self.not_before = Some(now + pause);
        pause
    }
}

/// The upstreams in the order of preference, and how each one fared.
#[derive(Debug)]
pub(super) struct Supervisor {
    upstreams: Vec<Health>,
    standing: Option<(Address, Instant)>,
}

impl Supervisor {
    /// Nothing tried yet.
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Self { upstreams: candidates.iter().cloned().map(Health::new).collect(), standing: None }
    }

    /// Takes a changed list; upstreams that stay keep their health. The caller drops a connection that is no longer wanted.
    pub(super) fn replace(&mut self, candidates: &[Candidate]) {
        let mut known = std::mem::take(&mut self.upstreams);
        self.upstreams = candidates
            .iter()
            .map(|candidate| {
                known.iter().position(|health| health.candidate.address == candidate.address).map_or_else(
                    || Health::new(candidate.clone()),
                    |position| Health { candidate: candidate.clone(), ..known.swap_remove(position) },
                )
            })
            .collect();
        if let Some((address, _)) = &self.standing
            && self.upstreams.iter().all(|health| health.candidate.address != *address)
        {
            self.standing = None;
        }
    }

    /// Forgets every pause, for what made the tries fail may have been changed.
    pub(super) fn retry_at_once(&mut self) {
        for health in &mut self.upstreams {
            (health.failures, health.not_before, health.last_try) = (0, None, None);
        }
    }

    /// What to do now; `Try` counts as begun.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        let standing = self.standing.as_ref().map(|(address, _)| address);
        let away = standing.is_some();
        if standing.is_some_and(|address| self.is_home(address)) {
            return Step::Rest;
        }
        let due = |health: &Health| {
            let pace = health.last_try.filter(|_| away).map(|last| last + PROBE_PACE);
            pace.max(health.not_before).unwrap_or(now)
        };
        // While one stands elsewhere, only those of the own zone are worth a try.
        let wanted = self.upstreams.iter_mut().filter(|health| !away || health.candidate.home);
        let mut earliest: Option<Instant> = None;
        for health in wanted {
            let at = due(health);
            if at <= now {
                health.last_try = Some(now);
                return Step::Try(health.candidate.address.clone());
            }
            earliest = Some(earliest.map_or(at, |known| known.min(at)));
        }
        earliest.map_or(Step::Rest, Step::Wait)
    }

    /// The try came to nothing; says how long this upstream is left alone. `chance` is in `0.0..1.0`.
    pub(super) fn failed(&mut self, address: &Address, now: Instant, chance: f64) -> Option<Duration> {
        self.health(address).map(|health| health.fail(now, chance))
    }

    /// The try made a connection, which stands from now on, instead of another one if there was one.
    pub(super) fn connected(&mut self, address: &Address, now: Instant) {
        if let Some(health) = self.health(address) {
            health.not_before = None;
            self.standing = Some((address.clone(), now));
        }
    }

    /// The standing connection is gone; says how long its upstream is left alone. `chance` is in `0.0..1.0`.
    pub(super) fn lost(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        let (address, since) = self.standing.take()?;
        let health = self.health(&address)?;
        if now.duration_since(since) >= STABLE {
            health.failures = 0;
        }
        Some(health.fail(now, chance))
    }

    /// The caller has dropped the standing connection, for reasons of its own.
    pub(super) fn dropped(&mut self) {
        self.standing = None;
    }

    fn is_home(&self, address: &Address) -> bool {
        let has_home = self.upstreams.iter().any(|health| health.candidate.home);
        !has_home || self.upstreams.iter().any(|health| health.candidate.home && health.candidate.address == *address)
    }

    fn health(&mut self, address: &Address) -> Option<&mut Health> {
        self.upstreams.iter_mut().find(|health| health.candidate.address == *address)
    }
}

/// Full jitter: anywhere between the shortest pause and a bound that doubles with each failure.
fn backoff(failures: u32, chance: f64) -> Duration {
    let bound = MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(MAX_BACKOFF);
    MIN_BACKOFF + bound.saturating_sub(MIN_BACKOFF).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> Address {
        Address { host: host.into(), port: 61613 }
    }

    fn supervisor(hosts: &[(&str, bool)]) -> Supervisor {
        let candidates: Vec<_> = hosts.iter().map(|&(host, home)| Candidate { address: address(host), home }).collect();
        Supervisor::new(&candidates)
    }

    fn tried(step: &Step) -> &str {
        match step {
            Step::Try(address) => &address.host,
            other => panic!("expected a try, got {other:?}"),
        }
    }

    fn waits(step: Step, now: Instant) -> Duration {
        match step {
            Step::Wait(until) => until - now,
            other => panic!("expected a pause, got {other:?}"),
        }
    }

    #[test]
    fn the_own_zone_is_tried_first_then_the_others_without_a_pause() {
        let now = Instant::now();
        let mut supervisor = supervisor(&[("near", true), ("far", false), ("farther", false)]);
        for expected in ["near", "far", "farther"] {
            assert_eq!(tried(&supervisor.next(now)), expected);
            supervisor.failed(&address(expected), now, 0.0);
        }
        assert_eq!(waits(supervisor.next(now), now), MIN_BACKOFF);
    }

    #[test]
    fn the_pause_grows_to_five_seconds_and_the_tries_never_end() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(&[("only", false)]);
        let mut pauses = Vec::new();
        for _ in 0..200 {
            assert_eq!(tried(&supervisor.next(now)), "only");
            supervisor.failed(&address("only"), now, 1.0);
            let pause = waits(supervisor.next(now), now);
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses[..4], [1, 2, 4, 5].map(Duration::from_secs));
        assert!(pauses[4..].iter().all(|pause| *pause == MAX_BACKOFF));
    }

    #[test]
    fn pods_that_lost_the_same_upstream_come_back_at_different_times() {
        let now = Instant::now();
        let pauses: std::collections::BTreeSet<_> = (0..10_u8)
            .filter_map(|pod| supervisor(&[("only", false)]).failed(&address("only"), now, f64::from(pod) / 10.0))
            .collect();
        assert_eq!(pauses.len(), 10, "{pauses:?}");
    }

    #[test]
    fn an_upstream_that_answers_and_closes_is_not_hammered() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(&[("only", false)]);
        for expected in [1, 2, 4, 5, 5].map(Duration::from_secs) {
            tried(&supervisor.next(now));
            supervisor.connected(&address("only"), now);
            assert_eq!(supervisor.next(now), Step::Rest);
            supervisor.lost(now, 1.0);
            let pause = waits(supervisor.next(now), now);
            assert_eq!(pause, expected);
            now += pause;
        }
        tried(&supervisor.next(now));
        supervisor.connected(&address("only"), now);
        now += STABLE;
        supervisor.lost(now, 1.0);
        assert_eq!(
            waits(supervisor.next(now), now),
            Duration::from_secs(1),
            "a good connection starts the back-off anew"
        );
    }

    #[test]
    fn a_loss_fails_over_at_once_and_probes_the_way_home_calmly() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(&[("near", true), ("far", false)]);
        tried(&supervisor.next(now));
        supervisor.connected(&address("near"), now);
        assert_eq!(supervisor.next(now), Step::Rest);
        now += Duration::from_hours(1);
        supervisor.lost(now, 0.0);
        assert_eq!(tried(&supervisor.next(now)), "far");
        supervisor.connected(&address("far"), now);
        now += MIN_BACKOFF;
        assert_eq!(tried(&supervisor.next(now)), "near", "the first probe follows the back-off of the loss");
        supervisor.failed(&address("near"), now, 1.0);
        assert_eq!(waits(supervisor.next(now), now), PROBE_PACE);
        now += PROBE_PACE;
        assert_eq!(tried(&supervisor.next(now)), "near");
        supervisor.connected(&address("near"), now);
        assert_eq!(supervisor.next(now), Step::Rest);
    }

    #[test]
    fn without_an_upstream_in_the_own_zone_there_is_no_way_home() {
        let now = Instant::now();
        let mut supervisor = supervisor(&[("a", false), ("b", false)]);
        tried(&supervisor.next(now));
        supervisor.failed(&address("a"), now, 0.0);
        tried(&supervisor.next(now));
        supervisor.connected(&address("b"), now);
        assert_eq!(supervisor.next(now + Duration::from_hours(1)), Step::Rest);
    }

    #[test]
    fn a_reload_keeps_the_health_of_what_stays_and_forgets_what_goes() {
        let now = Instant::now();
        let mut supervisor = supervisor(&[("a", false), ("b", false)]);
        tried(&supervisor.next(now));
        supervisor.failed(&address("a"), now, 0.0);
        tried(&supervisor.next(now));
        supervisor.connected(&address("b"), now);
        supervisor.replace(&[
            Candidate { address: address("a"), home: false },
            Candidate { address: address("c"), home: false },
        ]);
        assert_eq!(tried(&supervisor.next(now)), "c", "a still waits for its back-off, b is gone");
        supervisor.failed(&address("c"), now, 0.0);
        supervisor.retry_at_once();
        assert_eq!(tried(&supervisor.next(now)), "a");
    }
}

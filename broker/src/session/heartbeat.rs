//! The heart-beats that both sides agreed on, as instants.

use std::time::{Duration, Instant};

/// The heart-beats of a live session.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// When to send the next one, and how long after it the following.
    send: Option<(Instant, Duration)>,
    /// How long the client may be silent.
    read_timeout: Option<Duration>,
    received: Instant,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Send,
    /// The client was silent for at least this long, its limit.
    Silent(Duration),
}

impl Heartbeat {
    /// Agrees with a client that can send every `client.0` and wants something every `client.1`; `ours` counts both ways.
    pub(super) fn agree(client: (Duration, Duration), ours: Duration, session_timeout: Duration, now: Instant) -> Self {
        let agree = |a: Duration, b: Duration| (!a.is_zero() && !b.is_zero()).then(|| a.max(b));
        let tick = agree(ours, client.1).map(tick);
        Self {
            send: tick.map(|tick| (now + tick, tick)),
            read_timeout: agree(client.0, ours).map(|period| session_timeout.max(period * 2)),
            received: now,
        }
    }

    /// Whether there are beats to the client.
    pub(super) const fn sends(&self) -> bool {
        self.send.is_some()
    }

    /// Any octet from the client counts as life.
    pub(super) const fn received(&mut self, now: Instant) {
        self.received = now;
    }

    /// When [`Self::due`] has something to say at the earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        let silent = self.read_timeout.map(|timeout| self.received + timeout);
        [self.send.map(|(next, _)| next), silent].into_iter().flatten().min()
    }

    /// What is due now. The beat has a fixed tick whatever else was sent: some clients reset their timer on beats only.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if let Some(timeout) = self.read_timeout
            && now >= self.received + timeout
        {
            return Due::Silent(timeout);
        }
        match &mut self.send {
            Some((next, tick)) if now >= *next => {
                *next += *tick;
                if *next <= now {
                    *next = now + *tick;
                }
                Due::Send
            }
            _ => Due::Nothing,
        }
    }
}

/// Well before the period is over, for clients that measure coarsely.
fn tick(period: Duration) -> Duration {
    period * 7 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_longer_period_of_both_sides_counts_and_zero_means_none() {
        let now = Instant::now();
        let agree = |send, receive| {
            let beat = Heartbeat::agree((SECOND * send, SECOND * receive), 10 * SECOND, 30 * SECOND, now);
            (beat.send.map(|(_, tick)| tick), beat.read_timeout)
        };
        assert_eq!(agree(0, 0), (None, None));
        assert_eq!(agree(0, 1), (Some(7 * SECOND), None));
        assert_eq!(agree(1, 0), (None, Some(30 * SECOND)));
        assert_eq!(agree(20, 20), (Some(14 * SECOND), Some(40 * SECOND)), "twice the period outweighs the timeout");
        let beat = Heartbeat::agree((SECOND, SECOND), Duration::ZERO, 30 * SECOND, now);
        assert!(beat.send.is_none() && beat.read_timeout.is_none(), "a broker without heart-beats agrees on none");
    }

    #[test]
    fn beats_keep_their_tick_when_they_are_asked_for_late() {
        let start = Instant::now();
        let mut beat = Heartbeat::agree((Duration::ZERO, SECOND), 10 * SECOND, 30 * SECOND, start);
        assert_eq!(beat.due(start + 6 * SECOND), Due::Nothing);
        assert_eq!(beat.due(start + 8 * SECOND), Due::Send);
        assert_eq!(beat.next(), Some(start + 14 * SECOND), "not moved by the lateness");
        assert_eq!(beat.due(start + 100 * SECOND), Due::Send);
        assert_eq!(beat.due(start + 100 * SECOND), Due::Nothing, "missed beats are not made up for");
    }

    #[test]
    fn any_octet_moves_the_deadline() {
        let start = Instant::now();
        let mut beat = Heartbeat::agree((SECOND, Duration::ZERO), 10 * SECOND, 30 * SECOND, start);
        beat.received(start + 29 * SECOND);
        assert_eq!(beat.due(start + 58 * SECOND), Due::Nothing);
        assert_eq!(beat.next(), Some(start + 59 * SECOND));
        assert_eq!(beat.due(start + 59 * SECOND), Due::Silent(30 * SECOND));
    }
}

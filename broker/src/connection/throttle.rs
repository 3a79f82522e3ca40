//! `limits.messagesPerSecondPerPod`: the messages of all sessions against one clock.
//!
//! The clock is the time at which the messages taken so far are paid for. It may run ahead of the real time by a short
//! while, which is the burst that is let through; beyond it nobody reads.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How far the clock may run ahead.
const BURST: Duration = Duration::from_millis(100);

/// The rate and the clock; one a process.
#[derive(Debug)]
pub(crate) struct Throttle {
    begin: Instant,
    /// Nanoseconds that one message costs; 0 when there is no limit.
    cost: AtomicU64,
    /// Nanoseconds after `begin` at which the messages taken so far are paid for.
    paid_at: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { begin: Instant::now(), cost: AtomicU64::new(0), paid_at: AtomicU64::new(0) }
    }
}

impl Throttle {
    /// Sets the limit; none, or 0, which would let nothing through for ever, means no limit.
    pub(crate) fn set_rate(&self, messages_per_second: Option<u32>) {
        let cost = messages_per_second.map_or(0, |rate| 1_000_000_000_u64.checked_div(u64::from(rate)).unwrap_or(0));
        self.cost.store(cost, Ordering::Relaxed);
    }

    /// Until when nobody may read; none when one may.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        if self.cost.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let paid_at = self.begin + Duration::from_nanos(self.paid_at.load(Ordering::Relaxed));
        let resume = paid_at.checked_sub(BURST)?;
        (resume > now).then_some(resume)
    }

    /// Says that messages have been taken.
    pub(crate) fn took(&self, messages: u32, now: Instant) {
        let cost = self.cost.load(Ordering::Relaxed);
        if cost == 0 || messages == 0 {
            return;
        }
        let now = u64::try_from(now.saturating_duration_since(self.begin).as_nanos()).unwrap_or(u64::MAX);
        let pay = |paid_at: u64| Some(paid_at.max(now).saturating_add(cost.saturating_mul(u64::from(messages))));
        // The closure never declines, so there is always a new value.
        let _ = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_messages_pass_than_the_rate() {
        let throttle = Throttle::default();
        throttle.set_rate(Some(1000));
        let (mut now, end) = (throttle.begin, throttle.begin + Duration::from_secs(10));
        let mut passed = 0;
        while now < end {
            if let Some(resume) = throttle.wait(now) {
                now = resume;
            } else {
                throttle.took(7, now);
                passed += 7;
            }
        }
        assert!((10_000..=10_120).contains(&passed), "{passed}");
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let throttle = Throttle::default();
        for rate in [None, Some(0)] {
            throttle.set_rate(rate);
            throttle.took(u32::MAX, throttle.begin);
            assert_eq!(throttle.wait(throttle.begin), None);
        }
    }
}

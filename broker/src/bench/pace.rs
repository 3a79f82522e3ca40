//! A fixed rate: which messages are due at which time.

use std::time::Duration;

/// Messages that are due at a fixed rate.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    sent: u64,
}

impl Pace {
    /// So many messages a second.
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate: rate as u64, sent: 0 }
    }

    /// The next message that is due this long after the begin: its number and when it was due.
    pub(super) fn next(&mut self, elapsed: Duration) -> Option<(u64, Duration)> {
        let nanoseconds = u128::from(self.sent) * 1_000_000_000 / u128::from(self.rate.max(1));
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        if self.rate == 0 || due > elapsed {
            return None;
        }
        self.sent += 1;
        Some((self.sent - 1, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_none_is_left_out_after_a_pause() {
        let mut pace = Pace::new(1000);
        let mut at = |milliseconds| {
            std::iter::from_fn(|| pace.next(Duration::from_millis(milliseconds)))
                .map(|(_, due)| due.as_millis())
                .collect::<Vec<_>>()
        };
        assert_eq!(at(0), [0]);
        assert_eq!(at(0), []);
        assert_eq!(at(3), [1, 2, 3]);
        assert_eq!(at(10).len(), 7);
    }
}

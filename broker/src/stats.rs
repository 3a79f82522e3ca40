//! Messages a second, over the last ten seconds.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;

/// Seconds that the rates are over.
const WINDOW: usize = 10;

/// Totals of the last seconds: SEND frames taken and MESSAGE frames given.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    samples: [(u64, u64); WINDOW + 1],
    taken: usize,
}

impl Rates {
    /// Takes the totals of one more second.
    fn sample(&self, received: u64, sent: u64) {
        let mut window = self.0.lock();
        let at = window.taken % (WINDOW + 1);
        window.samples[at] = (received, sent);
        window.taken += 1;
    }

    /// SEND and MESSAGE frames a second; nothing before two samples are there.
    pub(crate) fn get(&self) -> (f64, f64) {
        let window = self.0.lock();
        let Some(newest) = window.taken.checked_sub(1) else { return (0.0, 0.0) };
        let seconds = newest.min(WINDOW);
        if seconds == 0 {
            return (0.0, 0.0);
        }
        let sample = |index: usize| window.samples[index % (WINDOW + 1)];
        let ((now_received, now_sent), (then_received, then_sent)) = (sample(newest), sample(newest - seconds));
        (rate(now_received - then_received, seconds), rate(now_sent - then_sent, seconds))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^52 is beyond any broker")]
fn rate(count: u64, seconds: usize) -> f64 {
    count as f64 / seconds as f64
}

/// Samples the totals for ever; ends only when it is dropped.
pub(crate) async fn sample(broker: Arc<Broker>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        broker.rates.sample(broker.metrics.messages_received(), broker.metrics.messages_sent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_last_ten_seconds_or_as_long_as_there_are_samples() {
        let rates = Rates::default();
        rates.sample(100, 0);
        assert_eq!(rates.get(), (0.0, 0.0));
        rates.sample(103, 8);
        assert_eq!(rates.get(), (3.0, 8.0));
        for second in 1..=30 {
            rates.sample(103 + second * 5, 8 + second * 20);
        }
        assert_eq!(rates.get(), (5.0, 20.0));
    }
}

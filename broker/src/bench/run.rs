//! What every load does: warm up, take the figures of a while, stop, and wait for what is still under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    BenchError, ClientError,
    arguments::{Resolved, Timing},
    measure::Processes,
    report::{Latency, Report, ServerUse},
};

/// How long what is under way at the end may take to arrive; later it is lost.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How often the end asks whether all has arrived.
const ASK: Duration = Duration::from_millis(10);

/// Latencies between these many nanoseconds are told apart: from a microsecond to ten minutes.
const LEAST: u64 = 1_000;
const MOST: u64 = 600_000_000_000;

/// What the sessions of a run count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

impl Counters {
    pub(super) fn sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn received(&self, messages: u64) {
        self.received.fetch_add(messages, Ordering::Relaxed);
    }
}

/// The latencies of a run, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Latencies {
    /// None recorded; exact to three digits.
    pub(super) fn new() -> Option<Self> {
        Histogram::new_with_bounds(LEAST, MOST, 3).ok().map(|histogram| Self(Arc::new(Mutex::new(histogram))))
    }

    pub(super) fn record(&self, ages: &[Duration]) {
        let mut histogram = self.0.lock();
        for age in ages {
            histogram.saturating_record(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn forget(&self) {
        self.0.lock().reset();
    }

    fn take(&self) -> Latency {
        let histogram = self.0.lock();
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) counters: Arc<Counters>,
    /// Those who send rest after this; those who receive go on until the run is dropped.
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<Result<(), ClientError>>,
    pub(super) latencies: Option<Latencies>,
}

/// One look at the counters.
struct Look {
    at: Instant,
    sent: u64,
    received: u64,
    server: Option<Duration>,
    load: Duration,
}

impl Run {
    /// A run without sessions.
    pub(super) fn new(latencies: Option<Latencies>) -> Self {
        Self { counters: Arc::default(), stop: CancellationToken::new(), tasks: JoinSet::new(), latencies }
    }

    /// Takes the figures; every message that is sent is to arrive `receivers` times.
    pub(super) async fn measure(
        mut self,
        work: String,
        target: &Resolved,
        timing: Timing,
        receivers: u64,
    ) -> Result<Report, BenchError> {
        self.wait(timing.warm_up.0).await?;
        if let Some(latencies) = &self.latencies {
            latencies.forget();
        }
        let before = self.look(target)?;
        self.wait(timing.duration.0).await?;
        let after = self.look(target)?;
        let latency = self.latencies.as_ref().map(Latencies::take);
        let resident = target.server().map(Processes::resident).transpose()?;
        self.stop.cancel();
        let lost = self.arrive(receivers).await?;

        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let received = after.received - before.received;
        let usage = |cpu: Duration| {
            let cpu = cpu.as_secs_f64();
            ServerUse::new(cpu, seconds, received)
        };
        let server = after.server.zip(before.server).map(|(after, before)| usage(after.saturating_sub(before)));
        Ok(Report {
            work,
            url: target.address(),
            seconds,
            sent: after.sent - before.sent,
            received,
            lost,
            latency,
            server,
            resident,
            load: Some(usage(after.load.saturating_sub(before.load))),
            memory: None,
        })
    }

    fn look(&self, target: &Resolved) -> Result<Look, BenchError> {
        Ok(Look {
            at: Instant::now(),
            sent: self.counters.sent.load(Ordering::Relaxed),
            received: self.counters.received.load(Ordering::Relaxed),
            server: target.server().map(Processes::cpu).transpose()?,
            load: Processes(&[std::process::id()]).cpu()?,
        })
    }

    /// Waits, unless a session breaks.
    async fn wait(&mut self, time: Duration) -> Result<(), BenchError> {
        let failed = async {
            loop {
                match self.tasks.join_next().await {
                    Some(Ok(Err(error))) => return error,
                    Some(_) => {}
                    None => return std::future::pending().await,
                }
            }
        };
        match timeout(time, failed).await {
            Ok(error) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// Waits until all that was sent has arrived; what has not by then is lost.
    async fn arrive(&mut self, receivers: u64) -> Result<u64, BenchError> {
        let deadline = Instant::now() + ARRIVAL;
        loop {
            self.wait(ASK).await?;
            let wanted = self.counters.sent.load(Ordering::Relaxed) * receivers;
            let lost = wanted.saturating_sub(self.counters.received.load(Ordering::Relaxed));
            if lost == 0 || Instant::now() > deadline {
                return Ok(lost);
            }
        }
    }
}

/// Works until the run's stop, then holds on to what the caller has: a connection that is closed early may take messages
/// with it. Ends only with a failure.
pub(super) async fn until(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), ClientError>>,
) -> Result<(), ClientError> {
    match stop.run_until_cancelled(work).await {
        Some(outcome) => outcome,
        None => std::future::pending().await,
    }
}

/// Rests between two looks at what is due.
pub(super) async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_reported_in_milliseconds() {
        let latencies = Latencies::new().unwrap();
        let ages: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        latencies.record(&ages);
        let Latency { p50, p99, max, .. } = latencies.take();
        for (value, wanted) in [(p50, 500.0), (p99, 990.0), (max, 1000.0)] {
            assert!((value - wanted).abs() < 1.0, "{value} is not {wanted}");
        }
        latencies.forget();
        assert_eq!(latencies.take().max.to_bits(), 0.0_f64.to_bits());
    }
}

//! How a pod lets its sessions go.
//!
//! ```text
//! begin ──► not ready ── drain.delay ──► stop accepting ──► close sessions, drain.connectionsPerSecond ──► done
//!                                                              └── drain.deadline: what is left is closed at once
//! ```

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;

/// How often a batch of sessions is closed.
const STEP: Duration = Duration::from_millis(50);
/// What a session that is closed may take to tell its client.
const GOODBYE: Duration = Duration::from_secs(3);

/// The state of the drain.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    done: CancellationToken,
}

impl Drain {
    /// Begins; does nothing if it has begun before.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until no session is left.
    pub(crate) async fn done(&self) {
        self.done.cancelled().await;
    }
}

/// Waits for the drain to begin and carries it out; `accepting` is cancelled when no more clients are to be let in.
pub(crate) async fn run(broker: Arc<Broker>, accepting: CancellationToken) {
    broker.drain.begun.cancelled().await;
    let drain = broker.current().config.drain.clone();
    let deadline = Instant::now() + drain.deadline.0;
    broker.metrics.draining.set(1);
    tracing::info!(sessions = broker.registry.len(), delay = %drain.delay, deadline = %drain.deadline, "draining");
    sleep_until(deadline.min(Instant::now() + drain.delay.0)).await;
    accepting.cancel();
    broker.stop.cancel();
    broker.tasks.close();
    if timeout_at(deadline, close_slowly(&broker, drain.connections_per_second)).await.is_err() {
        tracing::warn!(sessions = broker.registry.len(), "drain.deadline has passed; closing what is left at once");
    }
    broker.registry.drain(usize::MAX);
    if timeout(GOODBYE, broker.tasks.wait()).await.is_err() {
        broker.registry.abort();
        broker.tasks.wait().await;
    }
    tracing::info!("drained");
    broker.drain.done.cancel();
}

/// Closes sessions at the configured pace until none is left.
async fn close_slowly(broker: &Broker, per_second: u32) {
    let begun = Instant::now();
    let mut closed = 0;
    loop {
        // The first batch is due at once; a pace of nothing a second would never end, so it means one.
        let steps = begun.elapsed().as_millis() / STEP.as_millis() + 1;
        let due = u128::from(per_second.max(1)) * steps * STEP.as_millis() / 1000;
        let batch = usize::try_from(due.max(1)).unwrap_or(usize::MAX).saturating_sub(closed);
        closed += broker.registry.drain(batch);
        if broker.tasks.is_empty() {
            return;
        }
        sleep(STEP).await;
    }
}

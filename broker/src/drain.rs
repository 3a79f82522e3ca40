//! How a pod lets its sessions go, and how that is called off.
//!
//! ```text
//! begin ──► not ready ── drain.delay ──► stop accepting ──► close sessions, drain.connectionsPerSecond ──► drained
//!   ▲           │                            │                 └── drain.deadline: what is left is closed at once
//!   └─ ready ◄──┴───────── cancel ───────────┴── the ports are bound again ◄───────────── cancel ────────────┘
//! ```
//!
//! Requests to applications that sessions have left behind may end until then, too.
//!
//! The drain of a process that is ending cannot be called off.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use stompbroker_config::admin::{DrainPhase, DrainStatus};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{broker::Broker, timestamp::rfc3339};

/// How often a batch of sessions is closed.
const STEP: Duration = Duration::from_millis(50);
/// What a session that is closed may take to tell its client.
const GOODBYE: Duration = Duration::from_secs(3);

/// The state of the drain.
#[derive(Debug)]
pub(crate) struct Drain {
    state: watch::Sender<State>,
    /// Cancelled when no more clients are let in; another one after the drain has been called off.
    gate: Mutex<CancellationToken>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Whether the pod is to drain.
    asked: bool,
    /// The process is ending.
    is_final: bool,
    /// How far it is.
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    phase: DrainPhase,
    begun: SystemTime,
    deadline: SystemTime,
    connections_at_start: usize,
}

/// The process is ending, so its drain goes on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the process is ending; its drain cannot be called off")]
pub(crate) struct Ending;

impl Default for Drain {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()), gate: Mutex::default() }
    }
}

impl Drain {
    /// Begins; does nothing if it has begun before.
    pub(crate) fn begin(&self) {
        self.state.send_modify(|state| state.asked = true);
    }

    /// Begins, or goes on, for good.
    pub(crate) fn begin_for_good(&self) {
        self.state.send_modify(|state| (state.asked, state.is_final) = (true, true));
    }

    /// Calls the drain off; does nothing where there is none.
    ///
    /// # Errors
    /// When the process is ending.
    pub(crate) fn cancel(&self) -> Result<(), Ending> {
        let mut result = Ok(());
        self.state.send_modify(|state| {
            if state.is_final {
                result = Err(Ending);
            } else {
                state.asked = false;
            }
        });
        result
    }

    /// Whether it has begun and has not been called off.
    pub(crate) fn has_begun(&self) -> bool {
        self.state.borrow().asked
    }

    /// What ends when no more clients are let in, and with it whatever of a connection is no session.
    pub(crate) fn gate(&self) -> CancellationToken {
        self.gate.lock().clone()
    }

    /// What is told of it; nothing while the pod serves.
    pub(crate) fn status(&self, connections: usize) -> Option<DrainStatus> {
        let state = *self.state.borrow();
        let Progress { phase, begun, deadline, connections_at_start } = state.progress?;
        Some(DrainStatus {
            phase,
            since: rfc3339(begun),
            deadline: rfc3339(deadline),
            connections_at_start: connections_at_start as u64,
            connections_left: connections as u64,
            can_be_called_off: !state.is_final,
        })
    }

    /// Waits until no session is left.
    pub(crate) async fn done(&self) {
        self.until(|state| state.progress.is_some_and(|progress| progress.phase == DrainPhase::Drained)).await;
    }

    /// Waits until clients are let in again.
    pub(crate) async fn called_off(&self) {
        self.until(|state| state.progress.is_none()).await;
    }

    async fn until(&self, condition: impl FnMut(&State) -> bool) {
        // The sender lives as long as this call, so there is always an answer.
        let _ = self.state.subscribe().wait_for(condition).await;
    }

    fn set_phase(&self, phase: DrainPhase) {
        self.state.send_modify(|state| {
            if let Some(progress) = &mut state.progress {
                progress.phase = phase;
            }
        });
    }
}

/// Waits for drains to begin, carries them out or calls them off; ends only when it is dropped.
pub(crate) async fn run(broker: Arc<Broker>) {
    let drain = &broker.drain;
    loop {
        drain.until(|state| state.asked).await;
        tokio::select! {
            () = carry_out(&broker) => {}
            () = drain.until(|state| !state.asked) => {}
        }
        drain.until(|state| !state.asked).await;
        *drain.gate.lock() = CancellationToken::new();
        broker.tasks.reopen();
        broker.metrics.draining.set(0);
        tracing::info!(connections = broker.registry.len(), "the drain is called off; serving again");
        drain.state.send_modify(|state| state.progress = None);
    }
}

/// One drain, up to its end.
async fn carry_out(broker: &Broker) {
    let config = broker.current().config.drain.clone();
    let (now, deadline) = (SystemTime::now(), Instant::now() + config.deadline.0);
    let connections = broker.registry.len();
    let progress = Progress {
        phase: DrainPhase::Waiting,
        begun: now,
        deadline: now + config.deadline.0,
        connections_at_start: connections,
    };
    broker.drain.state.send_modify(|state| state.progress = Some(progress));
    broker.metrics.draining.set(1);
    tracing::info!(connections, delay = %config.delay, deadline = %config.deadline, "draining");
    sleep_until(deadline.min(Instant::now() + config.delay.0)).await;
    broker.drain.set_phase(DrainPhase::Closing);
    broker.drain.gate().cancel();
    broker.tasks.close();
    if timeout_at(deadline, close_slowly(broker, config.connections_per_second)).await.is_err() {
        tracing::warn!(connections = broker.registry.len(), "drain.deadline has passed; closing what is left at once");
    }
    broker.registry.drain(usize::MAX);
    if timeout(GOODBYE, broker.tasks.wait()).await.is_err() {
        broker.registry.abort();
        broker.tasks.wait().await;
    }
    if timeout_at(deadline, broker.applications.idle()).await.is_err() {
        tracing::warn!("drain.deadline has passed; requests to applications are left");
    }
    tracing::info!("drained");
    broker.drain.set_phase(DrainPhase::Drained);
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

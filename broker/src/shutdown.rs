//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Both signals that ask a process to end.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over; as PID 1 they would be ignored otherwise.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels `shutdown` at the first signal and returns at the second.
    pub async fn relay(mut self, shutdown: CancellationToken) {
        let name = self.next().await;
        tracing::info!(signal = name, "shutting down; a second signal ends at once");
        shutdown.cancel();
        let name = self.next().await;
        tracing::warn!(signal = name, "second signal, ending at once");
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

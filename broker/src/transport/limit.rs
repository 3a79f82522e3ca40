//! `limits.connectionsPerPod`: a permit a connection, and a clear word to those that get none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Transport;
use crate::{broker::Broker, connection::Stream};

/// Connections that are being told that there is no room; further ones are closed without a word.
const MOST_REFUSALS: usize = 256;
/// How long one of them may take.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Counts the open connections of the pod.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    open: AtomicU32,
    refusals: Arc<Semaphore>,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self { open: AtomicU32::new(0), refusals: Arc::new(Semaphore::new(MOST_REFUSALS)) }
    }
}

/// The right of one connection to be open, given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    broker: Arc<Broker>,
    transport: Transport,
}

impl ConnectionPermit {
    /// Takes a permit; none when as many connections are open as the configuration allows.
    fn take(broker: &Arc<Broker>, transport: Transport) -> Option<Self> {
        let most = broker.current().config.limits.connections_per_pod;
        let one_more = |open: u32| (open < most).then(|| open + 1);
        if broker.connections.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            broker.metrics.connections_refused.inc();
            return None;
        }
        broker.metrics.transport(transport).connections.inc();
        Some(Self { broker: Arc::clone(broker), transport })
    }

    /// The broker that the connection belongs to.
    pub(crate) const fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.broker.connections.open.fetch_sub(1, Ordering::Relaxed);
        self.broker.metrics.transport(self.transport).connections.dec();
    }
}

/// What becomes of a connection that was accepted.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may stay.
    Admitted(ConnectionPermit),
    /// It is told why not, and closed.
    Refused(Refusal),
}

/// The right to take a second for telling a client why it is not let in.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What it is told.
    pub(crate) reason: String,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// Decides about a connection; none when there is no time even to tell it.
    pub(crate) fn decide(broker: &Arc<Broker>, transport: Transport) -> Option<Self> {
        if let Some(permit) = ConnectionPermit::take(broker, transport) {
            return Some(Self::Admitted(permit));
        }
        let most = broker.current().config.limits.connections_per_pod;
        let reason = format!(
            "this broker has as many connections as it may: limits.connectionsPerPod is {most}; try again later"
        );
        let permit = Arc::clone(&broker.connections.refusals).try_acquire_owned().ok()?;
        Some(Self::Refused(Refusal { reason, _permit: permit }))
    }
}

impl Refusal {
    /// Sends an ERROR that says why, and closes so that the client receives it.
    pub(crate) async fn tell(self, mut stream: impl Stream) {
        let body = &self.reason;
        let frame = format!(
            "ERROR\nmessage:connection limit reached\ncontent-type:text/plain\ncontent-length:{}\n\n{body}\0",
            body.len()
        );
        let told = timeout(REFUSAL_TIME, async {
            stream.write_all(frame.as_bytes()).await?;
            stream.shutdown().await?;
            let mut dropped = [0; 512];
            while stream.read(&mut dropped).await? > 0 {}
            std::io::Result::Ok(())
        });
        // A client that does not wait for the reason, or goes on talking, gets no more of our time.
        let _ = told.await;
    }
}

//! `limits.connectionsPerPod`, `limits.connectionsPerAddress` and, at the door, `limits.memory`: a permit a connection, and a
//! clear word to those that get none.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use stompbroker_config::ByteSize;
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

impl ConnectionLimit {
    /// How many connections are open.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

/// The right of one connection to be open, given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    broker: Arc<Broker>,
    transport: Transport,
    /// The client's, once it is known.
    address: OnceLock<IpAddr>,
}

impl ConnectionPermit {
    /// Takes a permit for a client from this address; without one, where a proxy has yet to say it.
    ///
    /// # Errors
    /// The limit that is reached, for the client.
    pub(crate) fn take(broker: &Arc<Broker>, transport: Transport, address: Option<IpAddr>) -> Result<Self, String> {
        let current = broker.current();
        let limits = &current.config.limits;
        if let Some(bound) = broker.memory.is_full(broker.connections.open()) {
            broker.metrics.memory_refusals.inc();
            let bound = ByteSize(bound);
            return Err(format!("this broker has no memory for it: limits.memory is {bound}; try again later"));
        }
        let most = limits.connections_per_pod;
        let one_more = |open: u32| (open < most).then(|| open + 1);
        if broker.connections.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            broker.metrics.connections_refused.inc();
            return Err(format!(
                "this broker has as many connections as it may: limits.connectionsPerPod is {most}; try again later"
            ));
        }
        broker.metrics.transport(transport).connections.inc();
        let permit = Self { broker: Arc::clone(broker), transport, address: OnceLock::new() };
        match address {
            Some(address) => permit.belongs_to(address).map(|()| permit),
            None => Ok(permit),
        }
    }

    /// Learns the client's address; only the first one counts.
    ///
    /// # Errors
    /// The limit that is reached, for the client.
    pub(crate) fn belongs_to(&self, address: IpAddr) -> Result<(), String> {
        if self.address.get().is_some() {
            return Ok(());
        }
        let most = self.broker.current().config.limits.connections_per_address;
        if !self.broker.addresses.enter(address, most) {
            self.broker.metrics.connections_refused.inc();
            let most = most.unwrap_or_default();
            return Err(format!(
                "this address has as many connections as it may: limits.connectionsPerAddress is {most}; close one of them"
            ));
        }
        let _ = self.address.set(address);
        Ok(())
    }

    /// The same right for a connection that has turned out to be of another transport.
    pub(crate) fn for_transport(mut self, transport: Transport) -> Self {
        self.broker.metrics.transport(self.transport).connections.dec();
        self.broker.metrics.transport(transport).connections.inc();
        self.transport = transport;
        self
    }

    /// The broker that the connection belongs to.
    pub(crate) const fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.broker.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address.get() {
            self.broker.addresses.leave(*address);
        }
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
    /// Decides about a connection from this address, or from one that is not known yet; none when there is no time even to
    /// tell it.
    pub(crate) fn decide(broker: &Arc<Broker>, transport: Transport, address: Option<IpAddr>) -> Option<Self> {
        match ConnectionPermit::take(broker, transport, address) {
            Ok(permit) => Some(Self::Admitted(permit)),
            Err(reason) => Self::refused(broker, reason),
        }
    }

    /// Decides again, now that the client's address is known.
    pub(crate) fn belongs_to(self, broker: &Broker, address: IpAddr) -> Option<Self> {
        match self {
            Self::Admitted(permit) => match permit.belongs_to(address) {
                Ok(()) => Some(Self::Admitted(permit)),
                Err(reason) => Self::refused(broker, reason),
            },
            Self::Refused(refusal) => Some(Self::Refused(refusal)),
        }
    }

    fn refused(broker: &Broker, reason: String) -> Option<Self> {
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

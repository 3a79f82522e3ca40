//! What the admin port tells of one session.
//!
//! Only the connection's own task writes here, so its counters need no atomic addition; whoever reads sees numbers that
//! are a turn old at most.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use stompbroker_config::admin::SessionStatus;

use crate::{mailbox::Mailbox, metrics::FrameTally, stomp::Version, timestamp::rfc3339, transport::Transport};

/// One session as it is seen from outside its task.
#[derive(Debug)]
pub(crate) struct SessionRecord {
    /// The session's id.
    pub(crate) id: Arc<str>,
    /// Where the client connects from.
    pub(crate) peer: SocketAddr,
    transport: Transport,
    mailbox: Arc<Mailbox>,
    login: OnceLock<Login>,
    /// The session is over; its connection may still linger.
    ended: AtomicBool,
    subscriptions: AtomicU32,
    frames_received: AtomicU64,
    frames_sent: AtomicU64,
    octets_received: AtomicU64,
    octets_sent: AtomicU64,
}

/// What is known since the login.
#[derive(Debug)]
struct Login {
    /// Empty for an anonymous session.
    user: Arc<str>,
    version: Version,
    at: SystemTime,
}

/// What one turn of a connection moved.
#[derive(Debug)]
pub(crate) struct Moved<'a> {
    pub(crate) received: &'a FrameTally,
    pub(crate) sent: &'a FrameTally,
    pub(crate) octets_received: u64,
    pub(crate) octets_sent: u64,
    pub(crate) subscriptions: usize,
}

impl SessionRecord {
    /// A connection that has not logged in yet.
    pub(crate) fn new(id: Arc<str>, peer: SocketAddr, transport: Transport, mailbox: Arc<Mailbox>) -> Self {
        Self {
            id,
            peer,
            transport,
            mailbox,
            login: OnceLock::new(),
            ended: AtomicBool::new(false),
            subscriptions: AtomicU32::new(0),
            frames_received: AtomicU64::new(0),
            frames_sent: AtomicU64::new(0),
            octets_received: AtomicU64::new(0),
            octets_sent: AtomicU64::new(0),
        }
    }

    /// The session has begun; only the first call counts.
    pub(crate) fn logged_in(&self, user: Arc<str>, version: Version) {
        let _ = self.login.set(Login { user, version, at: SystemTime::now() });
    }

    /// The session is over.
    pub(crate) fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the client has logged in and the session is not over.
    pub(crate) fn is_live(&self) -> bool {
        self.login.get().is_some() && !self.ended.load(Ordering::Relaxed)
    }

    /// Adds what a turn moved.
    pub(crate) fn count(&self, moved: &Moved<'_>) {
        let Moved { received, sent, octets_received, octets_sent, subscriptions } = moved;
        add(&self.octets_received, *octets_received);
        add(&self.octets_sent, *octets_sent);
        add(&self.frames_received, received.total());
        add(&self.frames_sent, sent.total());
        self.subscriptions.store(u32::try_from(*subscriptions).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The name of the user, once somebody has logged in; empty for an anonymous session.
    pub(crate) fn user(&self) -> Option<&str> {
        self.login.get().map(|login| &*login.user)
    }

    /// The session's number among all of this process.
    pub(crate) fn serial(&self) -> u64 {
        place(&self.id).map_or(u64::MAX, |(_, serial)| serial)
    }

    /// What is told of the session, which is in this pod; nothing before its login.
    pub(crate) fn status(&self, pod: &str) -> Option<SessionStatus> {
        let Login { user, version, at } = self.login.get()?;
        Some(SessionStatus {
            id: self.id.as_ref().to_owned(),
            pod: pod.to_owned(),
            user: (!user.is_empty()).then(|| user.as_ref().to_owned()),
            address: self.peer.to_string(),
            transport: self.transport.as_str().to_owned(),
            version: version.as_str().to_owned(),
            connected_since: rfc3339(*at),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            frames_received: self.frames_received.load(Ordering::Relaxed),
            frames_sent: self.frames_sent.load(Ordering::Relaxed),
            octets_received: self.octets_received.load(Ordering::Relaxed),
            octets_sent: self.octets_sent.load(Ordering::Relaxed),
            octets_waiting: self.mailbox.octets() as u64,
        })
    }
}

/// A session's place in the lists of all pods: its process, and its number there.
pub(crate) fn place(id: &str) -> Option<(&str, u64)> {
    let (instance, serial) = id.rsplit_once('-')?;
    Some((instance, serial.parse().ok()?))
}

/// There is only one writer.
fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}

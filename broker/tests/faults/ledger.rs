//! What the clients of a run saw, in the order in which it happened: one list that all of them write into.
//!
//! A client notes that it is going to say something before it says it, and that it was told something after it was told. So of
//! two entries the later one tells of something that began after what the earlier one tells of was over.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// One SEND. A message that is sent again is another one, so that each has at most one RECEIPT. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SendId(pub(crate) u32);

/// One connection of a client. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u32);

/// What a client saw or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It has logged in, and asked for nothing yet.
    Opened(SessionId),
    /// It is going to send to the queue of this number.
    Sent { session: SessionId, send: SendId, queue: usize },
    /// The RECEIPT of the SEND came.
    Receipted(SendId),
    /// A MESSAGE came.
    Delivered { session: SessionId, send: SendId, redelivered: bool },
    /// It is going to acknowledge it.
    Acked { session: SessionId, send: SendId },
    /// The RECEIPT of the ACK came.
    AckReceipted { session: SessionId, send: SendId },
    /// An upstream node is going to be killed or cut off.
    Struck,
}

impl What {
    /// The SEND that it is about.
    pub(crate) const fn send(self) -> Option<SendId> {
        match self {
            Self::Opened(_) | Self::Struck => None,
            Self::Sent { send, .. }
            | Self::Receipted(send)
            | Self::Delivered { send, .. }
            | Self::Acked { send, .. }
            | Self::AckReceipted { send, .. } => Some(send),
        }
    }
}

/// An entry, and how long after the beginning of the run it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Ledger {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    sessions: u32,
    sends: u32,
    delivered: HashSet<SendId>,
    /// With a RECEIPT, and not delivered so far.
    missing: HashSet<SendId>,
    last_delivery: Option<Instant>,
}

impl Ledger {
    /// An empty one; the run begins.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), state: Mutex::default() }
    }

    /// How long the run has lasted.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Notes a client that has logged in.
    pub(crate) fn open(&self) -> SessionId {
        let mut state = self.state.lock();
        state.sessions += 1;
        let session = SessionId(state.sessions);
        self.push(&mut state, What::Opened(session));
        session
    }

    /// Notes a message that is going to be sent.
    pub(crate) fn send(&self, session: SessionId, queue: usize) -> SendId {
        let mut state = self.state.lock();
        state.sends += 1;
        let send = SendId(state.sends);
        self.push(&mut state, What::Sent { session, send, queue });
        send
    }

    /// Notes anything else.
    pub(crate) fn note(&self, what: What) {
        self.push(&mut self.state.lock(), what);
    }

    fn push(&self, state: &mut State, what: What) {
        match what {
            What::Receipted(send) if !state.delivered.contains(&send) => {
                state.missing.insert(send);
            }
            What::Delivered { send, .. } => {
                state.delivered.insert(send);
                state.missing.remove(&send);
                state.last_delivery = Some(Instant::now());
            }
            _ => {}
        }
        state.entries.push(Entry { at: self.age(), what });
    }

    /// Whether all that has a RECEIPT was delivered, and nothing more has come for so long.
    pub(crate) fn is_settled(&self, quiet: Duration) -> bool {
        let state = self.state.lock();
        state.missing.is_empty() && state.last_delivery.is_none_or(|at| at.elapsed() >= quiet)
    }

    /// All entries so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.state.lock().entries.clone()
    }
}

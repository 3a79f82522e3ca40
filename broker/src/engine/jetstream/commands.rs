//! What can be said to NATS, and the way to the task that says it.
//!
//! # Who is held back when more is said than NATS takes
//! * What waits on the way is counted in octets. From [`ENOUGH`] on no session is ready, so that its connection reads nothing
//!   more from its client, until half of that is left. Sessions are asked before each operation, so at most one operation of
//!   each comes on top.
//! * What else comes on top is no session's next operation: messages that ending sessions give back, and dead letters. Sessions
//!   hold no more messages than their windows (`prefetch`), and that bounds it.
//! * Past [`MOST`] commands, which those two rules should make impossible, nothing more is taken and all sessions end as if
//!   NATS were away. The memory of a pod is bounded also if the rules are wrong.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_nats::Subscriber;
use bytes::Bytes;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::{Notify, mpsc};

use crate::{
    engine::{EngineError, Event, embedded::lease::Then},
    mailbox::Mailbox,
};

/// Octets on the way from which on sessions are held back.
const ENOUGH: usize = 8 << 20;
/// Most commands on the way.
const MOST: usize = 1 << 20;
/// Octets that each command takes besides its payload.
const OVERHEAD: usize = 256;

/// Told the sequence in its stream of what is stored.
pub(super) type Stored = Box<dyn FnOnce(Result<u64, EngineError>) + Send + Sync>;
/// Told that nobody is subscribed to where a message was sent.
pub(super) type Nobody = Box<dyn FnOnce() + Send + Sync>;
/// Gets a new subscription of this process.
pub(super) type Subscribed = Box<dyn FnOnce(Subscriber) + Send + Sync>;

/// Tells somebody who only wants to know that something is stored.
pub(super) fn stored(then: Then) -> Stored {
    Box::new(move |outcome| then(outcome.map(|_| ())))
}

/// What to say to NATS.
pub(super) enum Command {
    /// A message to whoever is subscribed now.
    Publish {
        /// Where to.
        subject: Box<str>,
        /// The message.
        payload: Bytes,
        /// Told when NATS has it.
        then: Option<Then>,
        /// Told if nobody is subscribed.
        nobody: Option<Nobody>,
    },
    /// A message to a stream.
    Store {
        /// Where to.
        subject: Box<str>,
        /// The message.
        payload: Bytes,
        /// What JetStream knows it by when it comes twice.
        id: SmolStr,
        /// Told when it is safe.
        then: Stored,
    },
    /// What became of a message of a stream.
    Settle {
        /// The message's own subject for that.
        reply: Box<str>,
        /// What became of it, in JetStream's words.
        verdict: Bytes,
        /// Told when JetStream knows.
        then: Option<Then>,
    },
    /// Subscribes.
    Subscribe {
        /// To what.
        subject: Box<str>,
        /// Takes the subscription.
        then: Subscribed,
    },
    /// Tells when NATS has all that was said before.
    Mark(Then),
}

impl Command {
    /// Answers what will not be carried out.
    pub(super) fn refuse(self) {
        match self {
            Self::Publish { then, .. } | Self::Settle { then, .. } => {
                if let Some(then) = then {
                    then(Err(EngineError::NotAvailable));
                }
            }
            Self::Store { then, .. } => then(Err(EngineError::NotAvailable)),
            Self::Mark(then) => then(Err(EngineError::NotAvailable)),
            Self::Subscribe { .. } => {}
        }
    }

    fn octets(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Publish { payload, .. } | Self::Store { payload, .. } => payload.len(),
                Self::Settle { .. } | Self::Subscribe { .. } | Self::Mark(_) => 0,
            }
    }
}

/// What is on the way, and who waits for it to become less.
#[derive(Debug, Default)]
struct Way {
    octets: AtomicUsize,
    waiting: Mutex<HashMap<u64, Arc<Mailbox>>>,
    overflow: Notify,
}

/// The way to the task that talks to NATS. What is said while there is none is forgotten; its sessions are over.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    sender: mpsc::Sender<Command>,
    way: Arc<Way>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Commands {
    receiver: mpsc::Receiver<Command>,
    way: Arc<Way>,
}

impl Outgoing {
    /// A way, and where it leads.
    pub(super) fn new() -> (Self, Commands) {
        Self::holding(MOST)
    }

    fn holding(most: usize) -> (Self, Commands) {
        let (sender, receiver) = mpsc::channel(most);
        let way = Arc::<Way>::default();
        (Self { sender, way: way.clone() }, Commands { receiver, way })
    }

    /// Says something.
    pub(super) fn say(&self, command: Command) {
        let octets = command.octets();
        self.way.octets.fetch_add(octets, Ordering::Relaxed);
        if let Err(error) = self.sender.try_send(command) {
            self.way.octets.fetch_sub(octets, Ordering::Relaxed);
            // Without a receiver the process is ending. Otherwise the sessions are, so that nobody waits for an answer; and
            // none may be given here, for the caller holds its locks.
            if matches!(error, mpsc::error::TrySendError::Full(_)) {
                self.way.overflow.notify_one();
            }
        }
    }

    /// Whether the session of this number may go on; if not, its mailbox is told when it may.
    pub(super) fn is_ready(&self, session: u64, mailbox: &Arc<Mailbox>) -> bool {
        if self.way.octets.load(Ordering::Relaxed) < ENOUGH {
            return true;
        }
        let mut waiting = self.way.waiting.lock();
        // It may have become less meanwhile, with nobody left to tell.
        if self.way.octets.load(Ordering::Relaxed) < ENOUGH {
            return true;
        }
        waiting.insert(session, mailbox.clone());
        false
    }

    /// Forgets a session that has gone.
    pub(super) fn forget(&self, session: u64) {
        self.way.waiting.lock().remove(&session);
    }

    /// Waits until more was said than there may be on the way.
    pub(super) async fn overflow(&self) {
        self.way.overflow.notified().await;
    }
}

impl Commands {
    /// Takes what has been said, waiting for something if there is nothing. Nothing is lost when this is cancelled.
    pub(super) async fn take(&mut self, into: &mut Vec<Command>, most: usize) {
        self.receiver.recv_many(into, most).await;
        self.way.has_less(into.iter().map(Command::octets).sum());
    }

    /// Refuses all that has been said.
    pub(super) fn refuse_all(&mut self) {
        while let Ok(command) = self.receiver.try_recv() {
            self.way.has_less(command.octets());
            command.refuse();
        }
    }
}

impl Way {
    fn has_less(&self, octets: usize) {
        let left = self.octets.fetch_sub(octets, Ordering::Relaxed) - octets;
        if left > ENOUGH / 2 {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for mailbox in waiting.into_values() {
            mailbox.notify(Event::Ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(octets: usize) -> Command {
        let payload = vec![0; octets - OVERHEAD].into();
        Command::Publish { subject: "a".into(), payload, then: None, nobody: None }
    }

    async fn take(commands: &mut Commands, count: usize) {
        let mut taken = Vec::new();
        while taken.len() < count {
            let mut some = Vec::new();
            commands.take(&mut some, count - taken.len()).await;
            taken.append(&mut some);
        }
    }

    #[tokio::test]
    async fn sessions_are_held_back_until_half_of_what_was_too_much_has_been_said() {
        let (outgoing, mut commands) = Outgoing::new();
        let (mailbox, other) = (Arc::new(Mailbox::new(1000)), Arc::new(Mailbox::new(1000)));
        let ready = |mailbox: &Mailbox| {
            let mut events = Vec::new();
            mailbox.take(&mut events);
            events.iter().filter(|event| matches!(event, Event::Ready)).count()
        };
        for _ in 0..8 {
            assert!(outgoing.is_ready(1, &mailbox));
            outgoing.say(message(ENOUGH / 8));
        }
        assert!(!outgoing.is_ready(1, &mailbox) && !outgoing.is_ready(1, &mailbox) && !outgoing.is_ready(2, &other));
        outgoing.forget(2);
        take(&mut commands, 3).await;
        assert_eq!(ready(&mailbox), 0);
        take(&mut commands, 1).await;
        assert_eq!((ready(&mailbox), ready(&other)), (1, 0), "told once; and nobody who has gone");
        assert!(outgoing.is_ready(1, &mailbox));
    }

    #[tokio::test]
    async fn what_is_more_than_there_may_be_is_told_and_not_kept() {
        let (outgoing, mut commands) = Outgoing::holding(2);
        for _ in 0..3 {
            outgoing.say(message(1000));
        }
        outgoing.overflow().await;
        take(&mut commands, 2).await;
        assert_eq!(outgoing.way.octets.load(Ordering::Relaxed), 0);
    }
}

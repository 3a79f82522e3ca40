//! Between the sessions, which say what happens, and the writer, which makes it safe.
//!
//! Nobody waits here for the disk: sessions add to the next batch, the writer takes it whole when it is done with the one
//! before. How much gathers is bounded by holding sessions back ([`Channel::is_ready`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};
use stompbroker_config::ByteSize;

use super::pending::{Answer, Change, Changes, Pending, StoredId};
use crate::{
    engine::{EngineError, Event, StoreStatus},
    mailbox::Mailbox,
};

/// Octets that may wait for a commit before sessions are held back.
const BACKLOG: usize = 4 << 20;

/// A session's place in the order of answers: the batch that its last answer waits for, or waited.
#[derive(Debug, Default)]
pub(in crate::engine::embedded) struct Place(u64);

/// What the writer takes at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// What to write.
    pub(super) changes: Changes,
    /// Whom to answer.
    pub(super) answers: Vec<Answer>,
    /// No other batch follows.
    pub(super) last: bool,
}

/// The two ends' common ground.
#[derive(Debug)]
pub(super) struct Channel {
    /// Held for reading by who has several changes that must not be parted; batches are taken in between.
    together: RwLock<()>,
    pending: Mutex<Pending>,
    work: Condvar,
    /// Ends the pause of a writer that will try again.
    closing: Condvar,
    /// The last batch whose answers have been given.
    answered: AtomicU64,
    /// Octets of the messages in the next batch.
    backlog: AtomicUsize,
    /// Octets in use after the last commit.
    used: AtomicU64,
    size: ByteSize,
    /// Why nothing can be written now; the flag tells whether there is a reason.
    trouble: Mutex<Option<Box<str>>>,
    troubled: AtomicBool,
    commits: AtomicU64,
    failures: AtomicU64,
}

impl Channel {
    /// A channel to a store that uses so many octets of at most `size`.
    pub(super) fn new(used: u64, size: ByteSize) -> Self {
        Self {
            together: RwLock::new(()),
            pending: Mutex::new(Pending { batch: 1, ..Pending::default() }),
            work: Condvar::new(),
            closing: Condvar::new(),
            answered: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
            used: AtomicU64::new(used),
            size,
            trouble: Mutex::new(None),
            troubled: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Whatever is added while the guard lives is committed at once. To be taken before any lock of a queue.
    pub(super) fn together(&self) -> RwLockReadGuard<'_, ()> {
        self.together.read()
    }

    /// As [`Self::together`], also for who may hold such a guard already: goes before a writer that waits for that one.
    pub(super) fn together_within(&self) -> RwLockReadGuard<'_, ()> {
        self.together.read_recursive()
    }

    /// Whether another message may be stored.
    pub(super) fn admit(&self) -> Result<(), EngineError> {
        if self.troubled.load(Ordering::Relaxed)
            && let Some(reason) = &*self.trouble.lock()
        {
            return Err(EngineError::NotStored(reason.clone()));
        }
        let (used, limit) = (self.used.load(Ordering::Relaxed), self.high_water());
        if used + self.backlog.load(Ordering::Relaxed) as u64 <= limit {
            return Ok(());
        }
        let why = format!(
            "the store uses {used} octets of engine.embedded.persistence.size ({}), the rest is needed to take messages \
             out; consume from the queues or raise it",
            self.size
        );
        Err(EngineError::NotStored(why.into()))
    }

    /// What is above is kept free for batches that are on their way, and for the removal of messages.
    const fn high_water(&self) -> u64 {
        (self.size.0 - self.size.0 / 8).saturating_sub(2 * BACKLOG as u64)
    }

    /// Adds what happened to a message.
    pub(super) fn add(&self, id: StoredId, change: Change) {
        let mut pending = self.pending.lock();
        if pending.ended {
            return;
        }
        pending.changes.add(id, change);
        self.backlog.store(pending.changes.octets(), Ordering::Relaxed);
        self.work.notify_one();
    }

    /// Answers a session when all that its operation changed is safe, and not before its earlier answers.
    pub(super) fn answer(&self, place: &mut Place, mailbox: &Arc<Mailbox>, event: Event, depends: bool) {
        if !depends && place.0 <= self.answered.load(Ordering::Acquire) {
            return mailbox.notify(event);
        }
        let mut pending = self.pending.lock();
        let answer = Answer { mailbox: Arc::clone(mailbox), event, depends };
        if pending.ended {
            drop(pending);
            return answer.give(Err(&self.reason()));
        }
        pending.answers.push(answer);
        place.0 = pending.batch;
        self.work.notify_one();
    }

    /// Has the next answer of a session wait for what was added until now.
    pub(super) fn follow(&self, place: &mut Place) {
        place.0 = self.pending.lock().batch;
    }

    /// Whether more may come; if not, the session of this mailbox is told when it may.
    pub(super) fn is_ready(&self, mailbox: &Arc<Mailbox>) -> bool {
        if self.backlog.load(Ordering::Relaxed) <= BACKLOG {
            return true;
        }
        let mut pending = self.pending.lock();
        // While nothing can be written, what comes in may be just what makes room: messages are refused, not held back.
        if pending.changes.octets() <= BACKLOG || self.troubled.load(Ordering::Relaxed) {
            return true;
        }
        if !pending.held_back.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
            pending.held_back.push(Arc::clone(mailbox));
        }
        false
    }

    /// Waits for something to do and takes it.
    pub(super) fn take(&self) -> Batch {
        let mut pending = self.pending.lock();
        while pending.changes.is_empty() && pending.answers.is_empty() && !pending.closing {
            self.work.wait(&mut pending);
        }
        drop(pending);
        let nobody_in_between = self.together.write();
        let mut pending = self.pending.lock();
        let batch = Batch {
            changes: std::mem::take(&mut pending.changes),
            answers: std::mem::take(&mut pending.answers),
            last: pending.closing,
        };
        pending.batch += 1;
        self.backlog.store(0, Ordering::Relaxed);
        let held_back = std::mem::take(&mut pending.held_back);
        drop((pending, nobody_in_between));
        for mailbox in held_back {
            mailbox.notify(Event::Ready);
        }
        batch
    }

    /// Tells that the batch taken last is safe.
    pub(super) fn committed(&self, answers: Vec<Answer>, used: Option<u64>) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(used) = used {
            self.used.store(used, Ordering::Relaxed);
        }
        if self.troubled.swap(false, Ordering::Relaxed) {
            *self.trouble.lock() = None;
            tracing::info!("the store is written again");
        }
        self.answered(answers, Ok(()));
    }

    /// Tells that the batch taken last could not be written; it becomes part of the next one.
    pub(super) fn failed(&self, mut changes: Changes, answers: Vec<Answer>, reason: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let reason: Box<str> = reason.into();
        *self.trouble.lock() = Some(reason.clone());
        self.troubled.store(true, Ordering::Relaxed);
        let mut pending = self.pending.lock();
        changes.extend(std::mem::take(&mut pending.changes));
        self.backlog.store(changes.octets(), Ordering::Relaxed);
        pending.changes = changes;
        let held_back = std::mem::take(&mut pending.held_back);
        drop(pending);
        self.answered(answers, Err(&reason));
        for mailbox in held_back {
            mailbox.notify(Event::Ready);
        }
    }

    fn answered(&self, answers: Vec<Answer>, outcome: Result<(), &str>) {
        for answer in answers {
            answer.give(outcome);
        }
        self.answered.fetch_add(1, Ordering::Release);
    }

    /// Waits before the next attempt, or until the channel is to be closed.
    pub(super) fn pause(&self, time: Duration) {
        let mut pending = self.pending.lock();
        if !pending.closing {
            self.closing.wait_for(&mut pending, time);
        }
    }

    /// Whether everything that was added has been written, or is about to be.
    pub(super) fn is_sound(&self) -> bool {
        !self.troubled.load(Ordering::Relaxed) && !self.pending.lock().ended
    }

    /// Has the writer end after what is pending now.
    pub(super) fn close(&self) {
        self.pending.lock().closing = true;
        self.work.notify_one();
        self.closing.notify_one();
    }

    /// Tells that the writer has ended; what comes now is refused.
    pub(super) fn end(&self) {
        self.trouble.lock().get_or_insert_with(|| "the store is closed; the broker must be started again".into());
        self.troubled.store(true, Ordering::Relaxed);
        let ended = Pending { ended: true, ..Pending::default() };
        let Pending { answers, held_back, .. } = std::mem::replace(&mut *self.pending.lock(), ended);
        self.answered(answers, Err(&self.reason()));
        for mailbox in held_back {
            mailbox.notify(Event::Ready);
        }
    }

    fn reason(&self) -> Box<str> {
        self.trouble.lock().clone().unwrap_or_default()
    }

    /// Numbers for people.
    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            used: self.used.load(Ordering::Relaxed),
            size: self.size.0,
            commits: self.commits.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            trouble: self.admit().err().map(|error| error.to_string()),
        }
    }
}

impl Answer {
    /// Gives the answer, which is another one when what it depends on has failed.
    fn give(self, outcome: Result<(), &str>) {
        let event = match (outcome, self.event) {
            (Err(reason), Event::Completed(ticket)) if self.depends => {
                Event::Failed { ticket: Some(ticket), error: EngineError::NotStored(reason.into()) }
            }
            (_, event) => event,
        };
        self.mailbox.notify(event);
    }
}

//! Which subjects this process is subscribed to, and for whom here: one subscription to each, however many sessions want it.

use std::{collections::HashMap, sync::Arc};

use async_nats::Subscriber;
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    commands::{Command, Outgoing},
    envelope,
};
use crate::{
    engine::embedded::EmbeddedEngine,
    message::{Batch, Message},
};

/// Messages that are handed on together.
const MOST_AT_ONCE: usize = 64;

/// For whom messages of a subject are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// Those who subscribed to the message's own topic by its name.
    Topic,
    /// Those who subscribed to this pattern, however it is written.
    Pattern(Box<str>),
    /// Sessions of a user, or one session.
    User,
    /// A queue that is in this process alone.
    Temporary,
}

/// All subscriptions of this process.
#[derive(Debug)]
pub(super) struct Interests {
    subjects: Arc<Mutex<HashMap<Box<str>, Interest>>>,
    outgoing: Outgoing,
    local: Arc<EmbeddedEngine>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Interest {
    /// For whom, and how often.
    targets: HashMap<Target, usize>,
    /// Ends the subscription.
    over: CancellationToken,
}

impl Interests {
    /// None yet. What comes is handed to `local`; tasks belong to `tasks`.
    pub(super) fn new(outgoing: Outgoing, local: Arc<EmbeddedEngine>, tasks: TaskTracker) -> Self {
        Self { subjects: Arc::default(), outgoing, local, tasks }
    }

    /// Adds somebody who wants messages of a subject. They come from when all that was said to NATS has arrived there.
    pub(super) fn add(&self, subject: &str, target: Target) {
        let mut subjects = self.subjects.lock();
        if let Some(interest) = subjects.get_mut(subject) {
            *interest.targets.entry(target).or_default() += 1;
            return;
        }
        let over = CancellationToken::new();
        let targets = HashMap::from([(target, 1)]);
        subjects.insert(subject.into(), Interest { targets, over: over.clone() });
        let (local, all, tasks, name) =
            (self.local.clone(), self.subjects.clone(), self.tasks.clone(), Box::from(subject));
        let begin = move |subscriber| {
            tasks.spawn(hand_on(subscriber, name, all, local, over));
        };
        // Under the lock, so that the end of an earlier subscription to the same subject cannot overtake.
        self.outgoing.say(Command::Subscribe { subject: subject.into(), then: Box::new(begin) });
    }

    /// Removes somebody whom [`Self::add`] has added.
    pub(super) fn remove(&self, subject: &str, target: &Target) {
        let mut subjects = self.subjects.lock();
        let Some(interest) = subjects.get_mut(subject) else { return };
        if let Some(count) = interest.targets.get_mut(target) {
            *count -= 1;
            if *count == 0 {
                interest.targets.remove(target);
            }
        }
        if interest.targets.is_empty() {
            interest.over.cancel();
            subjects.remove(subject);
        }
    }
}

/// Hands on what comes for a subject, until nobody here wants it.
async fn hand_on(
    subscriber: Subscriber,
    subject: Box<str>,
    all: Arc<Mutex<HashMap<Box<str>, Interest>>>,
    local: Arc<EmbeddedEngine>,
    over: CancellationToken,
) {
    let mut messages = subscriber.ready_chunks(MOST_AT_ONCE);
    loop {
        let chunk = tokio::select! {
            biased;
            () = over.cancelled() => return,
            chunk = messages.next() => chunk,
        };
        let Some(chunk) = chunk else { return };
        let read = |message: async_nats::Message| match envelope::decode(&message.payload) {
            Ok(message) => Some(Arc::new(message)),
            Err(error) => {
                tracing::warn!(%error, subject = &*message.subject, "a message of another program is dropped");
                None
            }
        };
        let messages: Vec<Arc<Message>> = chunk.into_iter().filter_map(read).collect();
        let targets: Vec<Target> = {
            let subjects = all.lock();
            // Its end may be on the way.
            subjects.get(&subject).map(|interest| interest.targets.keys().cloned().collect()).unwrap_or_default()
        };
        for target in &targets {
            deliver(&local, target, &messages);
        }
    }
}

fn deliver(local: &EmbeddedEngine, target: &Target, messages: &[Arc<Message>]) {
    match target {
        Target::Topic => {
            for run in messages.chunk_by(|a, b| a.destination == b.destination) {
                if let [first, ..] = run {
                    local.deliver_topic(&first.destination, &Arc::new(Batch::new(run.to_vec())));
                }
            }
        }
        Target::Pattern(pattern) => local.deliver_pattern(pattern, messages),
        Target::User => messages.iter().for_each(|message| local.deliver_user(message)),
        Target::Temporary => {
            for message in messages {
                if !local.deliver_temporary(message) {
                    tracing::warn!(
                        destination = &*message.destination,
                        "a temporary queue is full; a message is dropped"
                    );
                }
            }
        }
    }
}

//! Any number of pods over NATS: topics on its subjects, queues in streams of JetStream.
//!
//! ```text
//!                       ┌ Interests: subjects that somebody here wants ◄──┐
//! session ── Half ──────┤                                                 │
//!    ▲        │         └ Fetcher, one a queue: messages on lease ◄───────┤ NATS
//!    │        └── Answers ◄── Talker: all that is said to NATS ◄─────────►┘
//!    └── EmbeddedEngine: subscriptions, credit, requeues, selectors of topics ...
//! ```
//!
//! * What subscribers see is decided by the [embedded engine](super::embedded), which has no messages of its own here: those of
//!   topics come by [`interests`], those of queues are fetched on [lease](super::embedded::lease) by [`fetch`].
//! * A message to a queue is confirmed when JetStream has it on as many servers as configured, one to a topic when NATS has
//!   it. Nothing that is not confirmed ever gets a RECEIPT.
//! * While the connection is being made anew sessions wait, for a few seconds at most ([`life`]); then they end with
//!   `Broker not available.`. What of topics was under way when it broke is lost.
//! * Given back within this process, a message is in its old place; given back to another one, it comes as soon as that
//!   asks for more.
//!
//! # Lock order
//! one session's half → locks of the embedded engine → leases of a queue; → sessions; → interests; → answers → mailbox. Whatever
//! is told by the task that talks to NATS is told without any lock.

mod answers;
mod commands;
mod commit;
mod connect;
mod delay;
mod durable_topics;
mod envelope;
mod fetch;
mod fetchers;
mod interests;
mod life;
mod link;
mod names;
mod outgoing;
mod reply;
mod session;
mod sessions;
mod spread;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use async_nats::{
    Client,
    jetstream::{self, ErrorCode, stream::ConsumerErrorKind},
};
use bytes::Bytes;
use parking_lot::Mutex;
use stompbroker_config::{
    ByteSize, Config, JetStreamEngine,
    admin::{RelayStatus, UpstreamState, UpstreamStatus},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    commands::{Command, Outgoing, Stored, stored},
    durable_topics::DurableTopics,
    fetchers::Fetchers,
    interests::Interests,
    life::Life,
    link::Link,
    names::{Names, Source},
    session::{JetStreamSession, target},
    sessions::Sessions,
};
use super::{
    DestinationStatus, Engine, EngineError, EngineSession, SessionInfo,
    embedded::{
        DIED_IN, EmbeddedEngine, Standing, durable,
        lease::{Lease, Owner, Then},
    },
    failure::Failure,
};
use crate::{mailbox::Mailbox, message::Message};

/// The port of a NATS server that names none.
const PORT: u16 = 4222;

/// What the parts of the engine share.
struct Shared {
    config: JetStreamEngine,
    names: Names,
    durable: DurableTopics,
    local: Arc<EmbeddedEngine>,
    outgoing: Outgoing,
    interests: Interests,
    fetchers: Fetchers,
    sessions: Sessions,
    /// Set once there has been a connection.
    nats: OnceLock<(Client, jetstream::Context)>,
    link: watch::Sender<Link>,
    /// Why messages do not flow; absent when they do.
    trouble: Mutex<Option<Failure>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The engine.
pub struct JetStream {
    shared: Arc<Shared>,
}

/// Where the local part of the engine sends dead letters.
#[derive(Debug)]
struct Undertaker {
    names: Names,
    outgoing: Outgoing,
}

impl JetStream {
    /// Starts the engine of a pod. Its tasks belong to `tasks` and end soon after `stop` is cancelled.
    pub fn start(config: &JetStreamEngine, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let names = Names::new(&config.prefix, config.queue_streams);
        let (outgoing, commands) = Outgoing::new();
        let embedded = stompbroker_config::EmbeddedEngine {
            prefetch: config.prefetch,
            queue_size: ByteSize(u64::MAX),
            persistence: None,
        };
        let undertaker = Undertaker { names: names.clone(), outgoing: outgoing.clone() };
        let local = Arc::new(EmbeddedEngine::borrowing(&embedded, Arc::new(undertaker)));
        let shared = Arc::new(Shared {
            config: config.clone(),
            interests: Interests::new(outgoing.clone(), local.clone(), tasks.clone()),
            fetchers: Fetchers::default(),
            sessions: Sessions::default(),
            nats: OnceLock::new(),
            link: watch::Sender::new(Link::Down),
            trouble: Mutex::new(Some(Failure::new(UpstreamState::Idle, "not connected to NATS yet"))),
            names,
            durable: DurableTopics::new(config),
            local,
            outgoing,
            tasks: tasks.clone(),
            stop,
        });
        tasks.spawn(Life::new(shared.clone(), commands).run());
        Self { shared }
    }

    /// Puts changed settings in force that hold for every engine.
    pub fn configure(&self, config: &Config) {
        self.shared.local.set_destinations(&config.destinations, &config.user_destinations);
    }

    /// Does what is due by time; to be called some times a second.
    pub fn sweep(&self, now: Instant) {
        self.shared.local.sweep_queues(now);
    }
}

impl Engine for JetStream {
    fn open(&self, session: &SessionInfo, mailbox: Arc<Mailbox>) -> Result<Box<dyn EngineSession>, EngineError> {
        let local = self.shared.local.session(session, mailbox.clone())?;
        Ok(Box::new(JetStreamSession::new(self.shared.clone(), local, mailbox)))
    }

    fn ready(&self) -> Result<(), String> {
        match &*self.shared.trouble.lock() {
            None => Ok(()),
            Some(failure) => Err(format!("{:?}: {failure}", failure.state)),
        }
    }

    fn destinations(&self) -> BTreeMap<Box<str>, DestinationStatus> {
        self.shared.local.destinations()
    }

    fn relay_status(&self) -> Option<RelayStatus> {
        let trouble = self.shared.trouble.lock().clone();
        let (state, message) = match trouble {
            None => (UpstreamState::Connected, None),
            Some(failure) => (failure.state, Some(failure.message)),
        };
        let server = |url: &String| {
            let (host, port) = address(url);
            UpstreamStatus { host: host.to_owned(), port, state, message: message.clone() }
        };
        Some(RelayStatus {
            connected: state == UpstreamState::Connected,
            client_connections: self.shared.sessions.count(),
            upstreams: self.shared.config.servers.iter().map(server).collect(),
        })
    }

    fn unresolved_messages(&self) -> Option<u64> {
        self.shared.local.unresolved_messages()
    }
}

/// Host and port of the URL of a server.
fn address(url: &str) -> (&str, u16) {
    let address = url.split_once("://").map_or(url, |(_, address)| address).trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host, port.parse().unwrap_or(PORT))
}

impl Shared {
    /// Octets that a message to NATS may have.
    fn max_payload(&self) -> usize {
        self.nats.get().map_or(0, |(client, _)| client.max_payload())
    }

    /// Has NATS send what a subscription is for.
    fn need(self: &Arc<Self>, standing: &Standing) -> Result<(), EngineError> {
        if let Standing::Queue(queue) = standing {
            // Checked here, for the task that fetches could tell nobody.
            let source = self.names.source(&queue.name)?;
            if let Some(topic) = durable::topic_of(&queue.name) {
                self.durable.check(topic)?;
            }
            self.fetchers.add(self, queue, source);
            return Ok(());
        }
        let subjects = self.subjects(standing)?;
        if let Some(target) = target(standing) {
            for subject in &subjects {
                self.interests.add(subject, target.clone());
            }
        }
        Ok(())
    }

    /// Ends what [`Self::need`] began.
    fn release(&self, standing: &Standing) {
        if let Standing::Queue(queue) = standing {
            return self.fetchers.remove(&queue.name);
        }
        if let (Ok(subjects), Some(target)) = (self.subjects(standing), target(standing)) {
            for subject in &subjects {
                self.interests.remove(subject, &target);
            }
        }
    }

    fn subjects(&self, standing: &Standing) -> Result<Vec<Box<str>>, EngineError> {
        match standing {
            Standing::Queue(_) => Ok(Vec::new()),
            Standing::Temporary(name) => Ok(vec![self.names.temporary(name)?]),
            Standing::Topic(topic) => Ok(vec![self.names.topic(topic)?]),
            Standing::Pattern(pattern) => self.names.pattern(pattern),
            Standing::User(names) => names.iter().map(|name| self.names.user(name)).collect(),
        }
    }

    /// Whether messages to a topic are kept for durable subscriptions.
    fn keeps(&self, topic: &str) -> bool {
        self.durable.keeps(topic)
    }

    /// Sends a message to whoever is subscribed to its topic now, and has it kept for durable subscriptions. `then` is told
    /// when NATS has it, and JetStream too where it is kept.
    fn publish_topic(&self, message: &Message, payload: Bytes, then: Option<Then>) -> Result<(), EngineError> {
        let subject = self.names.topic(&message.destination)?;
        if !self.keeps(&message.destination) {
            self.outgoing.say(Command::Publish { subject, payload, then, nobody: None });
            return Ok(());
        }
        let kept = self.names.stored_topic(&message.destination)?;
        // First, so that NATS has it when JetStream confirms what follows.
        self.outgoing.say(Command::Publish { subject, payload: payload.clone(), then: None, nobody: None });
        let then = then.map_or_else(|| Box::new(|_| ()) as Stored, stored);
        self.outgoing.say(Command::Store { subject: kept, payload, id: message.id.clone(), then });
        Ok(())
    }

    /// Deletes a durable subscription with all that is kept for it.
    async fn delete_durable(&self, name: &str) -> Result<(), EngineError> {
        let Some((_, context)) = self.nats.get() else { return Err(EngineError::NotAvailable) };
        let Source { stream, consumer, .. } = self.names.source(name)?;
        match context.delete_consumer_from_stream(&*consumer, &*stream).await {
            Ok(_) => Ok(()),
            // Nobody has subscribed since it was deleted last, or it has expired.
            Err(error) if is_missing(&error.kind()) => Ok(()),
            Err(error) => Err(EngineError::Upstream(
                format!("NATS JetStream did not delete the durable subscription: {error}; try again").into(),
            )),
        }
    }

    /// Does what the configuration says with a message for a user whom nobody is.
    fn unresolved(&self, message: &Message) {
        let Some(message) = self.local.unresolved(message) else { return };
        if let Some(payload) = envelope::encode(&message)
            && let Err(error) = self.publish_topic(&message, payload, None)
        {
            tracing::debug!(%error, "the topic of messages for users whom nobody is cannot be sent to");
        }
    }

    /// Removes a transaction that has been spread over its queues.
    fn forget_commit(self: &Arc<Self>, sequence: u64) {
        let shared = self.clone();
        self.tasks.spawn(async move {
            let Some((_, context)) = shared.nats.get() else { return };
            let (stream, _) = shared.names.commits();
            let removed =
                async { context.get_stream_no_info(&*stream).await.ok()?.delete_message(sequence).await.ok() };
            if removed.await.is_none() {
                tracing::debug!(
                    sequence,
                    "a transaction that was spread is still in its stream; it is looked at again"
                );
            }
        });
    }
}

fn is_missing(error: &ConsumerErrorKind) -> bool {
    matches!(error, ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}

impl Owner for Undertaker {
    fn bury(&self, letter: Arc<Message>, lease: Option<Box<dyn Lease>>) {
        let place = self.names.queue(&letter.destination).ok();
        let packed = place.and_then(|subject| Some((subject, envelope::encode(&letter)?)));
        let Some((subject, payload)) = packed else {
            return tracing::warn!(
                destination = &*letter.destination,
                "a dead letter has no place in NATS; it comes again"
            );
        };
        // The same letter is stored once, also when its message comes and dies again.
        let id = format!("{}-died-in-{}", letter.id, letter.header(DIED_IN).unwrap_or_default()).into();
        let then: Stored = Box::new(move |outcome| match (outcome, lease) {
            (Ok(_), Some(lease)) => lease.accept(None),
            (Err(error), Some(lease)) => {
                tracing::warn!(%error, "a dead letter cannot be stored; its message comes again");
                lease.give_back();
            }
            (_, None) => {}
        });
        self.outgoing.say(Command::Store { subject, payload, id, then });
    }
}

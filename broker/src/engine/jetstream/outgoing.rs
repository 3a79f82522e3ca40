//! What this process says to NATS, in the order in which its sessions say it, and what comes back of it.
//!
//! Everything goes over one connection, so messages of one session to one subject stay in order. Three kinds of certainty:
//!
//! * A message to a subject is safe when NATS has it: a *mark* is sent behind it that comes back to this process. One mark
//!   serves all that were sent before it. What was under way when the connection broke has failed.
//! * A message to a stream is safe when JetStream says so. It is sent again with the same id until then, and JetStream drops
//!   what it has already.
//! * A settlement is safe when JetStream says so, where somebody asks for it; sent again as well.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use async_nats::{Client, HeaderMap, StatusCode, header::NATS_MESSAGE_ID};
use bytes::Bytes;
use futures::StreamExt as _;
use smol_str::SmolStr;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    commands::{Command, Commands, Nobody, Stored},
    link::Link,
    reply::Reply,
};
use crate::engine::{EngineError, embedded::lease::Then};

/// How long JetStream may take to confirm before it is asked again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same after it said that it cannot now.
const PAUSE: Duration = Duration::from_millis(250);
/// After how long without a confirmation an operation fails.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How often is looked for what has to be sent again.
const TICK: Duration = Duration::from_millis(100);
/// Commands that are carried out before replies are looked at.
const MOST_AT_ONCE: usize = 256;

/// What is sent again until JetStream confirms it.
struct Pending {
    what: Awaited,
    since: Instant,
    due: Instant,
}

enum Awaited {
    Store { subject: Box<str>, payload: Bytes, id: SmolStr, then: Stored },
    Settle { reply: Box<str>, verdict: Bytes, then: Then },
}

impl Awaited {
    fn fail(self, error: EngineError) {
        match self {
            Self::Store { then, .. } => then(Err(error)),
            Self::Settle { then, .. } => then(Err(error)),
        }
    }
}

/// Who waits for a mark, and on which connection their messages went out.
struct Waiter {
    connection: u64,
    then: Then,
}

/// The task that talks to NATS.
pub(super) struct Talker {
    client: Client,
    commands: Commands,
    link: watch::Receiver<Link>,
    inbox: String,
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// Who is to be told of an empty room, by number.
    probes: BTreeMap<u64, Nobody>,
    /// For the next mark.
    waiting: Vec<Waiter>,
    /// The mark that is under way, and for whom.
    marked: Option<(u64, Vec<Waiter>)>,
}

impl Talker {
    /// Talks through this client.
    pub(super) fn new(client: Client, commands: Commands, link: watch::Receiver<Link>) -> Self {
        let inbox = client.new_inbox();
        Self {
            client,
            commands,
            link,
            inbox,
            next: 0,
            pending: BTreeMap::new(),
            probes: BTreeMap::new(),
            waiting: Vec::new(),
            marked: None,
        }
    }

    /// Talks until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut replies = match self.client.subscribe(format!("{}.*", self.inbox)).await {
            Ok(replies) => replies,
            Err(error) => return tracing::error!(%error, "cannot subscribe to the replies of NATS"),
        };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = *self.link.borrow_and_update();
        let mut commands = Vec::with_capacity(MOST_AT_ONCE);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.link.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = *self.link.borrow_and_update();
                    self.link_changed(link, now).await;
                    link = now;
                }
                Some(reply) = replies.next() => self.take_reply(&reply),
                () = self.commands.take(&mut commands, MOST_AT_ONCE), if !matches!(link, Link::Lost { .. }) => {
                    for command in commands.drain(..) {
                        self.carry_out(command, link).await;
                    }
                    self.mark().await;
                }
                _ = ticks.tick(), if matches!(link, Link::Up { .. }) => self.repeat().await,
            }
        }
        self.fail_all(&EngineError::NotAvailable);
    }

    async fn link_changed(&mut self, before: Link, now: Link) {
        match now {
            Link::Down => {
                self.commands.refuse_all();
                self.fail_all(&EngineError::NotAvailable);
            }
            Link::Lost { .. } => {
                // What NATS had of it nobody can tell.
                let marked = self.marked.take().map(|(_, waiters)| waiters);
                for waiter in marked.into_iter().flatten().chain(std::mem::take(&mut self.waiting)) {
                    (waiter.then)(Err(EngineError::NotAvailable));
                }
                self.probes.clear();
            }
            Link::Up { .. } if before != now => {
                for pending in self.pending.values_mut() {
                    pending.due = Instant::now();
                }
                self.repeat().await;
            }
            Link::Up { .. } => {}
        }
    }

    fn fail_all(&mut self, error: &EngineError) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            pending.what.fail(error.clone());
        }
        let marked = self.marked.take().map(|(_, waiters)| waiters);
        for waiter in marked.into_iter().flatten().chain(std::mem::take(&mut self.waiting)) {
            (waiter.then)(Err(error.clone()));
        }
        self.probes.clear();
    }

    fn number(&mut self) -> (u64, String) {
        self.next += 1;
        (self.next, format!("{}.{}", self.inbox, self.next))
    }

    /// The number of the connection; another one after a reconnect.
    fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    async fn carry_out(&mut self, command: Command, link: Link) {
        if link == Link::Down {
            return command.refuse();
        }
        match command {
            Command::Publish { subject, payload, then, nobody } => {
                let (connection, subject) = (self.connection(), subject.into_string());
                let sent = if let Some(nobody) = nobody {
                    let (number, reply) = self.number();
                    self.probes.insert(number, nobody);
                    self.client.publish_with_reply(subject, reply, payload).await
                } else {
                    self.client.publish(subject, payload).await
                };
                match (sent, then) {
                    (Ok(()), Some(then)) => self.waiting.push(Waiter { connection, then }),
                    (Ok(()), None) => {}
                    (Err(error), then) => {
                        tracing::warn!(%error, "cannot publish to NATS");
                        if let Some(then) = then {
                            then(Err(EngineError::NotAvailable));
                        }
                    }
                }
            }
            Command::Store { subject, payload, id, then } => {
                self.send_awaited(Awaited::Store { subject, payload, id, then }).await;
            }
            Command::Settle { reply, verdict, then: Some(then) } => {
                self.send_awaited(Awaited::Settle { reply, verdict, then }).await;
            }
            Command::Settle { reply, verdict, then: None } => {
                if let Err(error) = self.client.publish(reply.into_string(), verdict).await {
                    tracing::warn!(%error, "cannot tell JetStream what became of a message; it comes again");
                }
            }
            Command::Subscribe { subject, then } => match self.client.subscribe(subject.to_string()).await {
                Ok(subscriber) => then(subscriber),
                Err(error) => tracing::error!(%error, subject = &*subject, "cannot subscribe to NATS"),
            },
            Command::Mark(then) => self.waiting.push(Waiter { connection: self.connection(), then }),
        }
    }

    async fn send_awaited(&mut self, what: Awaited) {
        let now = Instant::now();
        let (number, reply) = self.number();
        self.transmit(&what, reply).await;
        self.pending.insert(number, Pending { what, since: now, due: now + PATIENCE });
    }

    async fn transmit(&self, what: &Awaited, answer: String) {
        let sent = match what {
            Awaited::Store { subject, payload, id, .. } => {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, &**id);
                let subject = subject.to_string();
                self.client.publish_with_reply_and_headers(subject, answer, headers, payload.clone()).await
            }
            Awaited::Settle { reply, verdict, .. } => {
                self.client.publish_with_reply(reply.to_string(), answer, verdict.clone()).await
            }
        };
        if let Err(error) = sent {
            // It is tried again like all that is not confirmed.
            tracing::debug!(%error, "cannot send to JetStream");
        }
    }

    /// Sends a mark behind all that somebody waits for, unless one is under way.
    async fn mark(&mut self) {
        if self.marked.is_some() || (self.waiting.is_empty() && self.probes.is_empty()) {
            return;
        }
        let waiters = std::mem::take(&mut self.waiting);
        let (number, subject) = self.number();
        self.marked = Some((number, waiters));
        if let Err(error) = self.client.publish(subject, Bytes::new()).await {
            tracing::debug!(%error, "cannot send a mark to NATS");
        }
    }

    fn take_reply(&mut self, reply: &async_nats::Message) {
        let number = reply.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { return };
        if reply.status == Some(StatusCode::NO_RESPONDERS)
            && let Some(nobody) = self.probes.remove(&number)
        {
            return nobody();
        }
        if self.marked.as_ref().is_some_and(|(marked, _)| *marked == number) {
            let connection = self.connection();
            // Whoever is not there has said so before the mark.
            self.probes = self.probes.split_off(&number);
            for Waiter { connection: sent, then } in self.marked.take().into_iter().flat_map(|(_, waiters)| waiters) {
                then(if sent == connection { Ok(()) } else { Err(EngineError::NotAvailable) });
            }
            return;
        }
        let Some(mut pending) = self.pending.remove(&number) else { return };
        match (pending.what, Reply::read(reply)) {
            (Awaited::Store { then, .. }, Reply::Stored(sequence)) => then(Ok(sequence)),
            (Awaited::Settle { then, .. }, Reply::Empty) => then(Ok(())),
            (what, Reply::Refused(error)) => what.fail(error),
            (what, Reply::NotNow | Reply::Stored(_) | Reply::Empty) => {
                pending.due = Instant::now() + PAUSE;
                self.pending.insert(number, Pending { what, ..pending });
            }
        }
    }

    /// Sends again what is not confirmed in time, in order, and gives up what was not for long. Sends marks that are due.
    async fn repeat(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = self.pending.iter().filter(|(_, one)| one.due <= now).map(|(number, _)| *number).collect();
        for number in due {
            let Some(mut pending) = self.pending.remove(&number) else { continue };
            if now.duration_since(pending.since) >= GIVE_UP {
                let why = format!("NATS JetStream did not confirm within {GIVE_UP:?}");
                pending.what.fail(EngineError::Upstream(why.into()));
                continue;
            }
            self.transmit(&pending.what, format!("{}.{number}", self.inbox)).await;
            pending.due = now + PATIENCE;
            self.pending.insert(number, pending);
        }
        self.mark().await;
    }
}

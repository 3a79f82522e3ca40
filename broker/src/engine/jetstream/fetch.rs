//! Fetches messages of one queue for the consumers that it has in this process.
//!
//! All pods pull from one durable consumer of JetStream, each only as much as its own consumers can take at once. Every
//! message that is here is leased: until it is settled JetStream hears every now and then that somebody works on it, so that
//! only the death of this process makes it come again elsewhere.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_nats::{
    Client, StatusCode, Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, pull::Config as Consumer},
        stream::{ConsumerError, ConsumerErrorKind},
    },
};
use bytes::Bytes;
use futures::StreamExt as _;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    commands::{Command, Outgoing},
    connect::backoff,
    envelope,
    fetchers::Made,
    link::Link,
    names::Source,
};
use crate::engine::{
    EngineError,
    embedded::{
        Borrowed, EmbeddedEngine, Queue, durable, has_messages_of,
        lease::{Lease, Then},
    },
};

/// Words of JetStream for what becomes of a message.
const ACCEPTED: &[u8] = b"+ACK";
const GIVEN_BACK: &[u8] = b"-NAK";
const IN_PROGRESS: &[u8] = b"+WPI";
const TERMINATED: &[u8] = b"+TERM";

/// How long JetStream keeps a request for messages.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it shows that it still does, and how often at least within `ackWait`.
const HEARTBEAT: Duration = Duration::from_secs(5);
const HEARTBEATS_OF_ACK_WAIT: u32 = 4;
/// After so many heart-beats missed, the request is taken for lost.
const MISSED: u32 = 2;
/// The most messages of one request.
const MOST_AT_ONCE: usize = 500;
/// How long is waited for messages that are on the way to somebody who has gone.
const LEFTOVERS: Duration = Duration::from_secs(1);
/// How long an unused consumer of a queue stays in JetStream; the messages stay anyway.
pub(super) const UNUSED: Duration = Duration::from_hours(1);

/// The messages of one queue that are leased to this process.
#[derive(Debug)]
pub(super) struct Leases {
    held: Mutex<HashMap<u64, Held>>,
    next: AtomicU64,
    outgoing: Outgoing,
    /// Before that, JetStream was told that all that was held then is worked on.
    known: Mutex<Instant>,
    /// For how long JetStream waits for that.
    ack_wait: Duration,
    /// Cancelled when nobody here consumes any more.
    over: CancellationToken,
    /// What was given back since then. JetStream hears of it only once it has no request of this task left. Else it would serve
    /// that one, or find nobody there, and either way put the message behind others that were given back after it. None when
    /// that is so.
    parting: Mutex<Option<Vec<Box<str>>>>,
}

/// What is known of a message that is leased.
#[derive(Debug)]
struct Held {
    /// Where to say what became of it.
    reply: Box<str>,
    since: Instant,
}

/// One message that is leased.
#[derive(Debug)]
struct Leased {
    leases: Arc<Leases>,
    number: u64,
}

impl Leases {
    fn new(outgoing: Outgoing, ack_wait: Duration, over: CancellationToken) -> Self {
        let (known, parting) = (Mutex::new(Instant::now()), Mutex::new(Some(Vec::new())));
        Self { held: Mutex::default(), next: AtomicU64::new(0), outgoing, known, ack_wait, over, parting }
    }

    fn lease(self: &Arc<Self>, reply: &str) -> Leased {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.held.lock().insert(number, Held { reply: reply.into(), since: Instant::now() });
        Leased { leases: self.clone(), number }
    }

    fn give_back(&self, reply: Box<str>) {
        if self.over.is_cancelled()
            && let Some(waiting) = &mut *self.parting.lock()
        {
            return waiting.push(reply);
        }
        self.outgoing.say(Command::Settle { reply, verdict: Bytes::from_static(GIVEN_BACK), then: None });
    }

    /// Whether the order of what was given back is still to be kept.
    fn have_an_order(&self) -> bool {
        self.parting.lock().as_ref().is_some_and(|waiting| waiting.len() > 1)
    }

    /// JetStream has no request left.
    fn part(&self) {
        let waiting = self.parting.lock().take();
        for reply in waiting.into_iter().flatten() {
            self.give_back(reply);
        }
    }
}

impl Leased {
    fn end(&self) -> Option<Box<str>> {
        self.leases.held.lock().remove(&self.number).map(|held| held.reply)
    }
}

impl Lease for Leased {
    fn accept(&self, then: Option<Then>) {
        if let Some(reply) = self.end() {
            let verdict = Bytes::from_static(ACCEPTED);
            self.leases.outgoing.say(Command::Settle { reply, verdict, then });
        } else if let Some(then) = then {
            then(Ok(()));
        }
    }

    fn give_back(&self) {
        if let Some(reply) = self.end() {
            self.leases.give_back(reply);
        }
    }

    fn is_over(&self) -> bool {
        let since = self.leases.held.lock().get(&self.number).map(|held| held.since);
        since.is_some_and(|since| since.max(*self.leases.known.lock()).elapsed() >= self.leases.ack_wait)
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // Nobody works on it any more; JetStream gives it to somebody else after a while.
        drop(self.end());
    }
}

/// Fetches for one queue.
pub(super) struct Fetcher {
    /// The queue.
    pub(super) queue: Arc<Queue>,
    /// Where messages go.
    pub(super) local: Arc<EmbeddedEngine>,
    /// What to talk with.
    pub(super) client: Client,
    /// The same for JetStream's own requests.
    pub(super) context: jetstream::Context,
    /// Where settlements go.
    pub(super) outgoing: Outgoing,
    /// Whether the connection stands.
    pub(super) link: watch::Receiver<Link>,
    /// Where the messages come from.
    pub(super) source: Source,
    /// Told whether there is a consumer.
    pub(super) made: Arc<Made>,
    /// How long JetStream keeps the consumer while nobody uses it; for ever with none.
    pub(super) unused: Option<Duration>,
    /// How long JetStream waits for a sign of life.
    pub(super) ack_wait: Duration,
}

/// Where messages come to, and what is to come.
struct Arrivals {
    inbox: String,
    subscriber: Subscriber,
    /// Messages that JetStream was asked for and that are still to come.
    outstanding: usize,
    /// When something of them was heard last.
    heard: Instant,
    /// When JetStream was told that what is held is worked on; absent once it has answered.
    shown: Option<Instant>,
}

impl Fetcher {
    /// Fetches until `over` is cancelled.
    pub(super) async fn run(mut self, over: CancellationToken) {
        let leases = Arc::new(Leases::new(self.outgoing.clone(), self.ack_wait, over.clone()));
        let mut arrivals = None;
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = self.serve(&leases, &mut arrivals) => {}
        }
        if let Some(Arrivals { subscriber, .. }) = &mut arrivals
            && subscriber.unsubscribe().await.is_err()
        {
            tracing::debug!(queue = &*self.queue.name, "the connection to NATS is over, and its subscriptions with it");
        }
        if leases.have_an_order() {
            self.forget_requests().await;
        }
        leases.part();
        // What is on the way is for others.
        if let Some(Arrivals { mut subscriber, .. }) = arrivals {
            while let Ok(Some(message)) = timeout(LEFTOVERS, subscriber.next()).await {
                if message.status.is_none() {
                    message.reply.iter().for_each(|reply| leases.lease(reply).give_back());
                }
            }
        }
    }

    /// Has JetStream drop the requests that nobody waits for any more: it looks for them when it tells of a consumer. Without it
    /// only the order of messages suffers.
    async fn forget_requests(&self) {
        let Source { stream, consumer, .. } = &self.source;
        let told = self.context.get_consumer_from_stream::<Consumer, _, _>(&**consumer, &**stream);
        if !matches!(timeout(LEFTOVERS, told).await, Ok(Ok(_))) {
            tracing::debug!(queue = &*self.queue.name, "NATS JetStream tells nothing of the consumer of a queue");
        }
    }

    async fn serve(&mut self, leases: &Arc<Leases>, arrivals: &mut Option<Arrivals>) {
        let mut failures = 0;
        loop {
            self.up().await;
            if let Err(error) = self.make_consumer().await {
                tracing::warn!(%error, queue = &*self.queue.name, "cannot make the consumer of a queue; trying on");
                failures += 1;
                if let ConsumerErrorKind::JetStream(refusal) = error.kind() {
                    let why = format!("NATS JetStream makes no consumer for it: {refusal}");
                    self.made.tell(&Err(EngineError::Upstream(why.into())));
                }
                sleep(backoff(failures)).await;
                continue;
            }
            failures = 0;
            self.made.tell(&Ok(()));
            // Where nothing was heard for long, nobody listens any more, and JetStream gives what comes there to others.
            *arrivals = match arrivals.take() {
                Some(arrivals) if Instant::now() < self.silent_at(&arrivals) => {
                    Some(Arrivals { outstanding: 0, ..arrivals })
                }
                _ => self.subscribe().await,
            };
            let Some(arrivals) = arrivals else { return };
            self.fetch(leases, arrivals).await;
            sleep(backoff(0)).await;
        }
    }

    /// A place for messages to come to.
    async fn subscribe(&self) -> Option<Arrivals> {
        let inbox = self.client.new_inbox();
        match self.client.subscribe(inbox.clone()).await {
            Ok(subscriber) => Some(Arrivals { inbox, subscriber, outstanding: 0, heard: Instant::now(), shown: None }),
            Err(error) => {
                tracing::error!(%error, queue = &*self.queue.name, "cannot subscribe to NATS");
                None
            }
        }
    }

    fn heartbeat(&self) -> Duration {
        HEARTBEAT.min(self.ack_wait / HEARTBEATS_OF_ACK_WAIT)
    }

    /// When nothing was heard for so long that JetStream may soon give the messages to others, unless something is heard before.
    /// What comes later may be settled there already.
    fn silent_at(&self, arrivals: &Arrivals) -> Instant {
        arrivals.heard + self.heartbeat() * (MISSED + 1)
    }

    async fn up(&mut self) {
        // An error means that the engine is ending, and this task with it.
        let _ = self.link.wait_for(|link| matches!(link, Link::Up { .. })).await;
    }

    async fn make_consumer(&self) -> Result<(), ConsumerError> {
        let Source { stream, consumer, subjects } = &self.source;
        let is_durable = durable::topic_of(&self.queue.name).is_some();
        let consumer = Consumer {
            durable_name: Some(consumer.to_string()),
            filter_subjects: subjects.iter().map(ToString::to_string).collect(),
            // What a queue has is for its consumers whenever they come; a durable subscription has what comes after it.
            deliver_policy: if is_durable { DeliverPolicy::New } else { DeliverPolicy::All },
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            // As many as all consumers of all pods may hold; each pod asks for no more than its own can take.
            max_ack_pending: -1,
            max_waiting: 10_000,
            inactive_threshold: self.unused.unwrap_or_default(),
            ..Consumer::default()
        };
        self.context.create_consumer_on_stream(consumer, &**stream).await.map(|_| ())
    }

    /// Asks for messages and takes them, until the consumer has to be made anew.
    async fn fetch(&mut self, leases: &Arc<Leases>, arrivals: &mut Arrivals) {
        let ask = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.source.stream, self.source.consumer);
        let mut signs = interval(self.ack_wait / 3);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut epoch = *self.link.borrow_and_update();
        loop {
            let appetite = EmbeddedEngine::appetite(&self.queue).saturating_sub(arrivals.outstanding).min(MOST_AT_ONCE);
            // With little free of much that is asked for, more requests would only cost.
            if appetite > arrivals.outstanding {
                let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                let request =
                    json!({"batch": appetite, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(self.heartbeat())});
                let (request, inbox) = (Bytes::from(request.to_string()), arrivals.inbox.clone());
                if let Err(error) = self.client.publish_with_reply(ask.clone(), inbox, request).await {
                    tracing::warn!(%error, queue = &*self.queue.name, "cannot ask for messages");
                    return;
                }
                if arrivals.outstanding == 0 {
                    arrivals.heard = Instant::now();
                }
                arrivals.outstanding += appetite;
            }
            let silent_at = self.silent_at(arrivals);
            tokio::select! {
                biased;
                changed = self.link.changed() => {
                    let now = *self.link.borrow_and_update();
                    if changed.is_err() || matches!(now, Link::Up { .. }) && now != epoch {
                        // The requests went with the connection.
                        return;
                    }
                    epoch = if matches!(now, Link::Up { .. }) { now } else { epoch };
                }
                arrival = arrivals.subscriber.next() => {
                    let Some(message) = arrival else { return };
                    if arrivals.outstanding > 0 && Instant::now() >= silent_at {
                        return;
                    }
                    arrivals.heard = Instant::now();
                    if !self.take(message, leases, arrivals) {
                        return;
                    }
                }
                () = self.queue.appetite.notified() => {}
                _ = signs.tick() => self.show_life(leases, arrivals).await,
                () = tokio::time::sleep_until(silent_at), if arrivals.outstanding > 0 => return,
            }
        }
    }

    /// Says that all that is held here is worked on; past what sessions say, which may have to wait. The last of it is answered.
    async fn show_life(&self, leases: &Leases, arrivals: &mut Arrivals) {
        let mut held: Vec<_> = leases.held.lock().values().map(|held| held.reply.to_string()).collect();
        let last = held.pop();
        if last.is_some() {
            arrivals.shown.get_or_insert_with(Instant::now);
        }
        let sign = || Bytes::from_static(IN_PROGRESS);
        for reply in held {
            if let Err(error) = self.client.publish(reply, sign()).await {
                return tracing::warn!(%error, queue = &*self.queue.name, "cannot tell JetStream what is worked on");
            }
        }
        if let Some(reply) = last
            && let Err(error) = self.client.publish_with_reply(reply, arrivals.inbox.clone(), sign()).await
        {
            tracing::warn!(%error, queue = &*self.queue.name, "cannot tell JetStream what is worked on");
        }
    }

    /// Takes what has arrived; says whether the consumer is still good.
    fn take(&self, message: async_nats::Message, leases: &Arc<Leases>, asked: &mut Arrivals) -> bool {
        match message.status {
            None if message.reply.is_none() => {
                // The answer to a sign of life.
                if let Some(shown) = asked.shown.take() {
                    *leases.known.lock() = shown;
                }
                true
            }
            None => {
                asked.outstanding = asked.outstanding.saturating_sub(1);
                self.take_message(message, leases);
                true
            }
            Some(StatusCode::IDLE_HEARTBEAT) => true,
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                let header = message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
                let left = header.and_then(|left| left.as_str().parse().ok()).unwrap_or(asked.outstanding);
                asked.outstanding = asked.outstanding.saturating_sub(left);
                true
            }
            Some(status) => {
                let description = message.description.as_deref().unwrap_or_default();
                tracing::debug!(%status, description, queue = &*self.queue.name, "a request for messages has ended");
                false
            }
        }
    }

    fn take_message(&self, message: async_nats::Message, leases: &Arc<Leases>) {
        let Some(reply) = message.reply.clone() else { return };
        let message = jetstream::Message { message, context: self.context.clone() };
        let Ok(info) = message.info() else { return };
        let say = |verdict: Bytes| {
            self.outgoing.say(Command::Settle { reply: reply.as_str().into(), verdict, then: None });
        };
        let content = match envelope::decode(&message.payload) {
            Ok(content) => Arc::new(content),
            Err(error) => {
                let (queue, sequence) = (&*self.queue.name, info.stream_sequence);
                tracing::error!(%error, queue, sequence, "a message of another program is dropped");
                return say(Bytes::from_static(TERMINATED));
            }
        };
        if !has_messages_of(&self.queue.name, &content.destination) {
            return say(Bytes::from_static(ACCEPTED));
        }
        let published = SystemTime::from(info.published);
        let age = SystemTime::now().duration_since(published).unwrap_or_default();
        // A topic delays a message before it keeps it.
        let is_delayed = durable::topic_of(&self.queue.name).is_none() && EmbeddedEngine::is_delayed(&content);
        let delay = if is_delayed { EmbeddedEngine::delay_left(&content, age) } else { Duration::ZERO };
        if !delay.is_zero() {
            return say(format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).into());
        }
        // Each time that it came too early counts for JetStream, though nobody has seen it.
        let early = i64::from(is_delayed);
        let returns = u32::try_from(info.delivered - 1 - early).unwrap_or(0);
        let lease = Box::new(leases.lease(reply.as_str()));
        self.local.borrow(&self.queue.name, Borrowed { message: content, age, returns, lease });
    }
}

//! Finishes transactions that a process has left undone, see [`super::commit`].

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::jetstream::{AckKind, Message, consumer::AckPolicy, consumer::pull::Config as Consumer};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    commands::Command,
    commit::{Part, all},
    envelope,
    link::Link,
};

/// How often is looked for such transactions.
const PERIOD: Duration = Duration::from_secs(15);
/// How old they are at least; younger ones are at work.
const AGE: Duration = Duration::from_secs(30);
/// How many are finished at once.
const MOST_AT_ONCE: usize = 32;
/// The consumer that all pods share.
const NAME: &str = "spread";

/// The task that does it.
pub(super) struct Spreader {
    shared: Arc<Shared>,
}

impl Spreader {
    /// For the streams of this engine.
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    async fn look_again_and_again(&self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if matches!(*self.shared.link.borrow(), Link::Up { .. })
                && let Err(error) = self.look().await
            {
                tracing::debug!(%error, "cannot look for transactions that are left");
            }
        }
    }

    async fn look(&self) -> Result<(), async_nats::Error> {
        let Some((_, context)) = self.shared.nats.get() else { return Ok(()) };
        let (stream, _) = self.shared.names.commits();
        let consumer = Consumer {
            durable_name: Some(NAME.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: AGE,
            ..Consumer::default()
        };
        let consumer = context.create_consumer_on_stream(consumer, &*stream).await?;
        let mut found = consumer.fetch().max_messages(MOST_AT_ONCE).messages().await?;
        while let Some(commit) = found.next().await {
            self.finish(&commit?).await?;
        }
        Ok(())
    }

    async fn finish(&self, commit: &Message) -> Result<(), async_nats::Error> {
        let age = SystemTime::now().duration_since(commit.info()?.published.into()).unwrap_or_default();
        if let Some(left) = AGE.checked_sub(age).filter(|left| !left.is_zero()) {
            return commit.ack_with(AckKind::Nak(Some(left))).await;
        }
        let Ok(parts) = parts(commit) else {
            tracing::error!("a transaction in JetStream cannot be read; it is dropped");
            return commit.ack_with(AckKind::Term).await;
        };
        let (told, outcome) = oneshot::channel();
        let done = all(parts.len(), Box::new(move |outcome| drop(told.send(outcome))));
        for ((subject, payload, id), done) in parts.into_iter().zip(done) {
            let then = Box::new(move |outcome: Result<u64, _>| done(outcome.map(|_| ())));
            self.shared.outgoing.say(Command::Store { subject, payload, id, then });
        }
        outcome.await??;
        tracing::info!("a transaction that was left is finished");
        commit.ack().await
    }
}

/// The messages of a transaction.
fn parts(commit: &Message) -> Result<Vec<Part>, envelope::Malformed> {
    let part = |(subject, payload): (Box<str>, Bytes)| {
        let id = envelope::decode(&payload)?.id;
        Ok((subject, payload, id))
    };
    envelope::decode_all(&commit.payload)?.into_iter().map(part).collect()
}

//! Messages to topics that are to be delivered later: they wait in a stream of their own, so that no pod has to live as long.
//!
//! Any pod hears of such a message at once, tells JetStream how long it has to wait, and the one that gets it again then
//! publishes it. It leaves the stream when NATS has it, so a pod that dies in between makes it come twice, never not at all.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::jetstream::{AckKind, Message, consumer::AckPolicy, consumer::pull::Config as Consumer};
use futures::StreamExt as _;
use tokio::{sync::oneshot, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Shared, connect::backoff, envelope, link::Link};
use crate::engine::embedded::EmbeddedEngine;

/// How long a message may be in the hands of a pod before another one gets it.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// The most that a pod asks for at once.
const MOST_AT_ONCE: usize = 100;
/// How long JetStream keeps a request, and how often it shows that it does.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The consumer that all pods share.
const NAME: &str = "delay";

/// The task that does it.
pub(super) struct Delayer {
    shared: Arc<Shared>,
}

impl Delayer {
    /// For the streams of this engine.
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.serve()).await;
    }

    async fn serve(&self) {
        let (mut failures, mut link) = (0, self.shared.link.subscribe());
        loop {
            // An error means that the engine is ending, and this task with it.
            let _ = link.wait_for(|link| matches!(link, Link::Up { .. })).await;
            match self.take_all().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(%error, "cannot take delayed messages of topics; trying on");
                    failures += 1;
                }
            }
            sleep(backoff(failures)).await;
        }
    }

    async fn take_all(&self) -> Result<(), async_nats::Error> {
        let Some((_, context)) = self.shared.nats.get() else { return Ok(()) };
        let (stream, _) = self.shared.names.delayed();
        let consumer = Consumer {
            durable_name: Some(NAME.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            // All that wait count, however many they are.
            max_ack_pending: -1,
            ..Consumer::default()
        };
        let consumer = context.create_consumer_on_stream(consumer, &*stream).await?;
        let asked = consumer.stream().max_messages_per_batch(MOST_AT_ONCE).expires(EXPIRES).heartbeat(HEARTBEAT);
        let mut messages = asked.messages().await?;
        while let Some(message) = messages.next().await {
            self.take(&message?).await?;
        }
        Ok(())
    }

    async fn take(&self, delayed: &Message) -> Result<(), async_nats::Error> {
        let Ok(message) = envelope::decode(&delayed.payload) else {
            tracing::error!("a delayed message in JetStream cannot be read; it is dropped");
            return delayed.ack_with(AckKind::Term).await;
        };
        let age = SystemTime::now().duration_since(delayed.info()?.published.into()).unwrap_or_default();
        let left = EmbeddedEngine::delay_left(&message, age);
        if !left.is_zero() {
            return delayed.ack_with(AckKind::Nak(Some(left))).await;
        }
        let (told, outcome) = oneshot::channel();
        let then = Box::new(move |outcome| drop(told.send(outcome)));
        self.shared.publish_topic(&message, delayed.payload.clone(), Some(then))?;
        outcome.await??;
        delayed.ack().await
    }
}

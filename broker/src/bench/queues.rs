//! Queues with one producer and one consumer each, every message acknowledged by itself.

use std::{sync::Arc, time::Duration};

use super::{
    BenchError, ClientError,
    arguments::{Header, Queues, Resolved, Timing},
    client::{Client, Sender, Shared, open_subscribed},
    fan_out::{at_least, plural},
    frames::{STAMP, ack_of, put_ack, put_frame, stamped},
    report::Report,
    run::{Counters, Run},
};
use crate::stomp::Command;

/// Runs the load.
pub(super) async fn measure(target: &Resolved, timing: Timing, work: &Queues) -> Result<Report, BenchError> {
    let Queues { pairs, size, window, receipts, ref headers } = *work;
    at_least("--pairs", pairs, 1)?;
    at_least("--size", size, STAMP)?;
    at_least("--window", window, 1)?;
    let shared = Shared::new();
    let queue = |index: usize| format!("/queue/{}.{index}", shared.name);
    let mut run = Run::new(None);
    let subscribe = |index| {
        let own = [
            ("destination", queue(index)),
            ("ack", "client-individual".to_owned()),
            ("prefetch-count", window.to_string()),
        ];
        own.into_iter().chain(headers.iter().map(|Header { name, value }| (name.as_str(), value.clone()))).collect()
    };
    let consumers = open_subscribed(target, "0,0", pairs, subscribe).await?;
    for (index, consumer) in consumers.into_iter().enumerate() {
        let mut producer = Client::open(target, index + 1, "0,0").await?;
        let (counters, stop, queue) = (Arc::clone(&run.counters), run.stop.clone(), queue(index));
        let (mut body, mut message) = (Vec::new(), Vec::new());
        stamped(&mut body, size, Duration::ZERO);
        let mut all = vec![("destination", &*queue)];
        all.extend(receipts.then_some(("receipt", "sent")));
        all.extend(headers.iter().map(|Header { name, value }| (name.as_str(), value.as_str())));
        let Sender { framing, scratch, .. } = &mut producer.sender;
        put_frame(*framing, Command::Send, &all, &body, scratch, &mut message);
        let pair = Pair { producer, consumer, message, window: window as u64, receipts };
        run.tasks.spawn(async move { pair.exchange(&counters, || stop.is_cancelled()).await });
    }
    let queues = plural(pairs, "queue pair");
    let receipts = if receipts { ", a receipt each" } else { "" };
    let work = format!("{queues}, client-individual ack{receipts}, {size}-octet bodies, {window} under way");
    run.measure(work, target, timing, 1).await
}

/// A queue with its two sessions.
struct Pair {
    producer: Client,
    consumer: Client,
    /// The frame that is sent again and again.
    message: Vec<u8>,
    window: u64,
    receipts: bool,
}

impl Pair {
    /// Keeps a window of messages under way: as many as are received, acknowledged and confirmed are sent.
    async fn exchange(mut self, counters: &Counters, stopped: impl Fn() -> bool) -> Result<(), ClientError> {
        let (mut sent, mut received, mut confirmed) = (0, 0, 0);
        let (mut octets, mut acks) = (Vec::new(), Vec::new());
        loop {
            let done = if self.receipts { confirmed.min(received) } else { received };
            let free = self.window.saturating_sub(sent - done);
            if free > 0 && !stopped() {
                octets.clear();
                (0..free).for_each(|_| octets.extend_from_slice(&self.message));
                sent += free;
                counters.sent(free);
                self.producer.sender.write(&octets).await?;
            }
            acks.clear();
            let mut messages = 0;
            let Sender { framing, scratch, .. } = &mut self.consumer.sender;
            let acknowledge = |frame: &[u8]| {
                messages += 1;
                if let Some(ack) = ack_of(frame) {
                    put_ack(*framing, ack, scratch, &mut acks);
                }
            };
            let confirm = |frame: &[u8]| confirmed += u64::from(frame.starts_with(b"RECEIPT"));
            tokio::select! {
                outcome = self.consumer.receiver.receive(acknowledge) => outcome?,
                outcome = self.producer.receiver.receive(confirm) => outcome?,
            }
            if messages > 0 {
                received += messages;
                counters.received(messages);
                self.consumer.sender.write(&acks).await?;
            }
        }
    }
}

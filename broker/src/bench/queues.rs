//! Queues with one producer and one consumer each, every message acknowledged by itself.

use std::{sync::Arc, time::Duration};

use super::{
    BenchError, ClientError,
    arguments::{Queues, Resolved, Timing},
    client::{Client, Sender, Shared, open_subscribed},
    fan_out::{at_least, plural},
    frames::{STAMP, ack_of, put_ack, put_frame, stamped},
    report::Report,
    run::{Counters, Run},
};
use crate::stomp::Command;

/// Has brokers remove the queues after the run; for those that take SEND for a declaration it must stand there too.
const AUTO_DELETE: (&str, &str) = ("auto-delete", "true");

/// Runs the load.
pub(super) async fn measure(target: &Resolved, timing: Timing, work: &Queues) -> Result<Report, BenchError> {
    let Queues { pairs, size, window } = *work;
    at_least("--pairs", pairs, 1)?;
    at_least("--size", size, STAMP)?;
    at_least("--window", window, 1)?;
    let shared = Shared::new();
    let queue = |index: usize| format!("/queue/{}.{index}", shared.name);
    let mut run = Run::new(None);
    let headers = |index| {
        vec![
            ("destination", queue(index)),
            ("ack", "client-individual".to_owned()),
            ("prefetch-count", window.to_string()),
            (AUTO_DELETE.0, AUTO_DELETE.1.to_owned()),
        ]
    };
    let consumers = open_subscribed(target, "0,0", pairs, headers).await?;
    for (index, consumer) in consumers.into_iter().enumerate() {
        let Client { receiver, sender } = Client::open(target, "0,0").await?;
        run.tasks.spawn(receiver.drop_all());
        let (counters, stop, queue) = (Arc::clone(&run.counters), run.stop.clone(), queue(index));
        run.tasks.spawn(async move {
            let stopped = || stop.is_cancelled();
            exchange(sender, consumer, &counters, &queue, size, window, stopped).await
        });
    }
    let queues = plural(pairs, "queue pair");
    let work = format!("{queues}, client-individual ack, {size}-octet bodies, {window} under way");
    run.measure(work, target, timing, 1).await
}

/// Keeps a window of messages under way: as many as are received and acknowledged are sent.
async fn exchange(
    mut producer: Sender,
    mut consumer: Client,
    counters: &Counters,
    queue: &str,
    size: usize,
    window: usize,
    stopped: impl Fn() -> bool,
) -> Result<(), ClientError> {
    let (mut body, mut one, mut octets) = (Vec::new(), Vec::new(), Vec::new());
    stamped(&mut body, size, Duration::ZERO);
    let headers = [("destination", queue), AUTO_DELETE];
    put_frame(producer.framing, Command::Send, &headers, &body, &mut producer.scratch, &mut one);
    let mut free = window;
    let mut acks = Vec::new();
    loop {
        if !stopped() {
            octets.clear();
            (0..free).for_each(|_| octets.extend_from_slice(&one));
            counters.sent(free as u64);
            producer.write(&octets).await?;
        }
        free = 0;
        acks.clear();
        let Sender { framing, scratch, .. } = &mut consumer.sender;
        let acknowledge = |frame: &[u8]| {
            free += 1;
            if let Some(ack) = ack_of(frame) {
                put_ack(*framing, ack, scratch, &mut acks);
            }
        };
        consumer.receiver.receive(acknowledge).await?;
        counters.received(free as u64);
        consumer.sender.write(&acks).await?;
    }
}

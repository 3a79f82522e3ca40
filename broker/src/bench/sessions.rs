//! Many sessions with a topic each, and messages to one after the other at a fixed rate.

use std::{sync::Arc, time::Duration};

use super::{
    BenchError, ClientError,
    arguments::{Resolved, Sessions, Timing},
    client::{Client, Sender, Shared, open_subscribed},
    fan_out::{at_least, plural, receive_timed},
    frames::{STAMP, put_frame, stamped},
    pace::Pace,
    report::Report,
    run::{Counters, Latencies, Run, rest, until},
};
use crate::stomp::Command;

/// Prime, so that the sessions are not served in the order in which they were opened.
const STRIDE: u64 = 7919;

/// Runs the load.
pub(super) async fn measure(target: &Resolved, timing: Timing, work: &Sessions) -> Result<Report, BenchError> {
    let Sessions { sessions, rate, size } = *work;
    at_least("--sessions", sessions, 1)?;
    at_least("--size", size, STAMP)?;
    let shared = Shared::new();
    let mut run = Run::new(Latencies::new());
    let headers = |index| vec![("destination", format!("/topic/{}.{index}", shared.name))];
    for client in open_subscribed(target, "0,0", sessions, headers).await? {
        let (counters, latencies) = (Arc::clone(&run.counters), run.latencies.clone());
        let Client { receiver, sender } = client;
        let epoch = shared.epoch;
        run.tasks.spawn(async move {
            let _sender = sender;
            match latencies {
                Some(latencies) => receive_timed(receiver, &counters, &latencies, size, epoch).await,
                None => receiver.drop_all().await,
            }
        });
    }
    let Client { receiver, mut sender } = Client::open(target, "0,0").await?;
    run.tasks.spawn(receiver.drop_all());
    let (counters, stop, publisher) = (Arc::clone(&run.counters), run.stop.clone(), shared.clone());
    run.tasks
        .spawn(async move { until(&stop, publish(&mut sender, &counters, &publisher, sessions, size, rate)).await });
    let work = format!("{}, {rate} messages a second, {size}-octet bodies", plural(sessions, "session"));
    run.measure(work, target, timing, 1).await
}

async fn publish(
    sender: &mut Sender,
    counters: &Counters,
    shared: &Shared,
    sessions: usize,
    size: usize,
    rate: u32,
) -> Result<(), ClientError> {
    let (begin, mut pace) = (shared.epoch.elapsed(), Pace::new(rate));
    let (mut body, mut octets): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    loop {
        let mut messages = 0;
        while let Some((number, due)) = pace.next(shared.epoch.elapsed().saturating_sub(begin)) {
            stamped(&mut body, size, begin + due);
            let topic = format!("/topic/{}.{}", shared.name, number.wrapping_mul(STRIDE) % sessions as u64);
            let headers = [("destination", topic.as_str())];
            put_frame(sender.framing, Command::Send, &headers, &body, &mut sender.scratch, &mut octets);
            messages += 1;
        }
        if messages > 0 {
            counters.sent(messages);
            sender.write(&octets).await?;
            octets.clear();
        }
        rest().await;
    }
}

/// The longest that sessions are given to settle down; used by the measurement of memory too.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

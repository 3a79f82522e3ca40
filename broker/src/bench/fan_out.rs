//! Publishers to one topic, subscribers that all get everything.

use std::{sync::Arc, time::Duration};

use super::{
    BenchError, ClientError,
    arguments::{FanOut, Resolved, Timing},
    client::{Client, Receiver, Sender, Shared, open_subscribed},
    frames::{STAMP, age, put_frame, stamped},
    gate::{Gate, Progress},
    pace::Pace,
    report::Report,
    run::{Counters, Latencies, Run, rest, until},
};
use crate::stomp::Command;

/// Runs the load.
pub(super) async fn measure(target: &Resolved, timing: Timing, work: &FanOut) -> Result<Report, BenchError> {
    let FanOut { publishers, subscribers, size, rate, batch, window } = *work;
    at_least("--publishers", publishers, 1)?;
    at_least("--subscribers", subscribers, 1)?;
    at_least("--size", size, STAMP)?;
    at_least("--batch", batch, 1)?;
    let shared = Shared::new();
    let topic: Arc<str> = format!("/topic/{}", shared.name).into();
    let gate = Arc::new(Gate::new(subscribers, window.max(1)));
    let mut run = Run::new(rate.and_then(|_| Latencies::new()));
    let headers = |_| vec![("destination", topic.to_string())];
    for client in open_subscribed(target, "0,0", subscribers, headers).await? {
        let (counters, latencies, gate) = (Arc::clone(&run.counters), run.latencies.clone(), Arc::clone(&gate));
        let Client { receiver, sender } = client;
        let epoch = shared.epoch;
        run.tasks.spawn(async move {
            let _sender = sender;
            match latencies {
                Some(latencies) => receive_timed(receiver, &counters, &latencies, size, epoch).await,
                None => receive_counted(receiver, &counters, &gate, batch as u64).await,
            }
        });
    }
    for publisher in 0..publishers {
        let Client { receiver, mut sender } = Client::open(target, publisher, "0,0").await?;
        run.tasks.spawn(receiver.drop_all());
        let (counters, gate, topic, stop) =
            (Arc::clone(&run.counters), Arc::clone(&gate), Arc::clone(&topic), run.stop.clone());
        let share = rate.map(|rate| share_of(rate, publishers, publisher));
        let epoch = shared.epoch;
        run.tasks.spawn(async move {
            let work = async {
                match share {
                    Some(rate) => publish_paced(&mut sender, &counters, |_| &*topic, size, rate, epoch).await,
                    None => publish_gated(&mut sender, &counters, &gate, &topic, size, batch).await,
                }
            };
            until(&stop, work).await
        });
    }
    let (one, many) = (plural(publishers, "publisher"), plural(subscribers, "subscriber"));
    run.measure(format!("fan-out: {one}, {many}, {size}-octet bodies"), target, timing, subscribers as u64).await
}

/// Counts what comes and tells the gate.
async fn receive_counted(
    mut receiver: Receiver,
    counters: &Counters,
    gate: &Gate,
    batch: u64,
) -> Result<(), ClientError> {
    let mut progress = Progress::default();
    loop {
        let mut messages = 0;
        receiver.receive(|_| messages += 1).await?;
        counters.received(messages);
        gate.received(&mut progress, messages, batch);
    }
}

/// Counts what comes and how old it is.
pub(super) async fn receive_timed(
    mut receiver: Receiver,
    counters: &Counters,
    latencies: &Latencies,
    size: usize,
    epoch: std::time::Instant,
) -> Result<(), ClientError> {
    let mut ages: Vec<Duration> = Vec::new();
    loop {
        receiver.receive(|frame| ages.extend(age(frame, size, epoch))).await?;
        counters.received(ages.len() as u64);
        latencies.record(&ages);
        ages = Vec::new();
    }
}

/// Sends batches as long as the gate lets them through.
async fn publish_gated(
    sender: &mut Sender,
    counters: &Counters,
    gate: &Gate,
    topic: &str,
    size: usize,
    batch: usize,
) -> Result<(), ClientError> {
    let (mut body, mut octets) = (Vec::new(), Vec::new());
    stamped(&mut body, size, Duration::ZERO);
    for _ in 0..batch {
        let headers = [("destination", topic)];
        put_frame(sender.framing, Command::Send, &headers, &body, &mut sender.scratch, &mut octets);
    }
    loop {
        gate.enter().await;
        // Counted first: what is cut off by the end of the run was begun before it.
        counters.sent(batch as u64);
        sender.write(&octets).await?;
    }
}

/// Sends at a fixed rate; `topic` is asked for the destination of each message by its number.
pub(super) async fn publish_paced<T: AsRef<str>>(
    sender: &mut Sender,
    counters: &Counters,
    topic: impl Fn(u64) -> T,
    size: usize,
    rate: u32,
    epoch: std::time::Instant,
) -> Result<(), ClientError> {
    let (begin, mut pace) = (epoch.elapsed(), Pace::new(rate));
    let (mut body, mut octets) = (Vec::new(), Vec::new());
    loop {
        let mut messages = 0;
        while let Some((number, due)) = pace.next(epoch.elapsed().saturating_sub(begin)) {
            stamped(&mut body, size, begin + due);
            let topic = topic(number);
            let headers = [("destination", topic.as_ref())];
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

/// Refuses a number that is too small.
pub(super) fn at_least(flag: &'static str, value: usize, least: usize) -> Result<(), BenchError> {
    if value >= least {
        return Ok(());
    }
    let remedy =
        if least == STAMP { "bodies have at least 16 octets, for the time in them" } else { "it must be at least 1" };
    Err(BenchError::Argument { flag, value: value.to_string(), remedy })
}

/// A number and its noun.
pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What one of several publishers contributes to a rate.
fn share_of(rate: u32, publishers: usize, publisher: usize) -> u32 {
    let publishers = u32::try_from(publishers).unwrap_or(u32::MAX);
    let more = u32::try_from(publisher).is_ok_and(|publisher| publisher < rate % publishers);
    rate / publishers + u32::from(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_publishers_are_the_rate() {
        for (rate, publishers) in [(10, 3), (2, 5), (7, 1)] {
            assert_eq!((0..publishers).map(|publisher| share_of(rate, publishers, publisher)).sum::<u32>(), rate);
        }
    }
}

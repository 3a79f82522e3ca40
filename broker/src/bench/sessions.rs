//! Many sessions with a topic each, and messages to one after the other at a fixed rate.

use std::{sync::Arc, time::Duration};

use super::{
    BenchError,
    arguments::{Resolved, Sessions, Timing},
    client::{Client, Shared, open_subscribed},
    fan_out::{at_least, plural, publish_paced, receive_timed},
    frames::STAMP,
    report::Report,
    run::{Latencies, Run, until},
};

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
    let Client { receiver, mut sender } = Client::open(target, 0, "0,0").await?;
    run.tasks.spawn(receiver.drop_all());
    let (counters, stop, publisher) = (Arc::clone(&run.counters), run.stop.clone(), shared.clone());
    run.tasks.spawn(async move {
        let topic =
            |number: u64| format!("/topic/{}.{}", publisher.name, number.wrapping_mul(STRIDE) % sessions as u64);
        until(&stop, publish_paced(&mut sender, &counters, topic, size, rate, publisher.epoch)).await
    });
    let work = format!("{}, {rate} messages a second, {size}-octet bodies", plural(sessions, "session"));
    run.measure(work, target, timing, 1).await
}

/// The longest that sessions are given to settle down; used by the measurement of memory too.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

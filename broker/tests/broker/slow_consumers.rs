//! Clients that take messages of topics more slowly than they come, on listeners that drop: what is left, and what is told.

use std::fs;

use serde_json::Value;

use crate::support::{BrokerUnderTest, Peer, Process, StompClient, config, eventually, stompbroker};

const LIMITS: &str = "limits: {sendBufferSize: 256Ki, sendTimeout: 5m}";
/// Octets of one message of the flood.
const SIZE: usize = 30_000;
/// Messages that are sent at once.
const BURST: usize = 4;

fn dropping(policy: &str) -> String {
    config(LIMITS).replace("stomp: {port: 0}", &format!("stomp: {{port: 0, slowConsumers: {policy}}}"))
}

/// Numbered messages, one write each, so that each is a delivery of its own, or in one write and a transaction, so that the
/// engine passes them on as one batch.
async fn burst(sender: &mut StompClient, from: usize, batched: bool) {
    let filler = "x".repeat(SIZE);
    let extra = if batched { "transaction:t\n" } else { "" };
    let frames =
        (from..from + BURST).map(|number| format!("SEND\ndestination:/topic/flood\n{extra}\n{number} {filler}\0"));
    if batched {
        let begin = std::iter::once("BEGIN\ntransaction:t\n\n\0".to_owned());
        let end = std::iter::once("COMMIT\ntransaction:t\n\n\0".to_owned());
        sender.write(begin.chain(frames).chain(end).collect::<String>().as_bytes()).await;
    } else {
        for frame in frames {
            sender.write(frame.as_bytes()).await;
        }
    }
}

/// Floods a client that reads nothing until the broker has dropped messages for it, then lets it read up to the last one.
/// Returns the numbers of the messages that it got, and how many were sent.
async fn what_a_flooded_client_gets(policy: &str, batched: bool) -> (Vec<usize>, usize) {
    let broker = BrokerUnderTest::start(&dropping(policy));
    let (mut slow, mut sender) = (broker.tcp_session().await, broker.tcp_session().await);
    slow.subscribe("s", "/topic/flood").await;
    let mut sent = 0;
    while broker.metric("stompbroker_messages_dropped_total").await == 0 {
        assert!(sent < 5000, "nothing is ever dropped");
        burst(&mut sender, sent, batched).await;
        sent += BURST;
    }
    let got = numbers_that_were_kept(&mut slow, &mut sender).await;
    assert!(got.len() < sent && got.is_sorted(), "{got:?} of {sent}");
    slow.send_frame("UNSUBSCRIBE\nid:end\n\n").await;
    sender.send("/topic/flood", "9999 back to normal").await;
    assert_eq!(slow.message().await, "9999 back to normal");
    assert_eq!(broker.metric("stompbroker_slow_consumers_total").await, 0);
    let dropped = u64::try_from(sent - got.len()).unwrap();
    eventually("every dropped message to be counted", async || {
        (broker.metric("stompbroker_messages_dropped_total").await == dropped).then_some(())
    })
    .await;
    (got, sent)
}

/// The numbers of the messages that come before this one.
async fn numbers_up_to(client: &mut StompClient, end: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let message = client.message().await;
        if message == end {
            return numbers;
        }
        numbers.push(message.split_once(' ').unwrap().0.parse().unwrap());
    }
}

/// The numbers of the messages that a slow client gets of all that were sent to it.
async fn numbers_that_were_kept(slow: &mut StompClient, sender: &mut StompClient) -> Vec<usize> {
    sender.send_frame("SEND\ndestination:/queue/other\nreceipt:all-sent\n\n").await;
    sender.frame().await;
    slow.send_frame("SUBSCRIBE\nid:end\ndestination:/queue/end\n\n").await;
    sender.send("/queue/end", "end").await;
    numbers_up_to(slow, "end").await
}

#[tokio::test]
async fn a_listener_that_drops_the_oldest_gives_a_slow_client_the_newest() {
    for batched in [false, true] {
        let (got, sent) = what_a_flooded_client_gets("DropOldest", batched).await;
        assert!(got.first() == Some(&0) && got.last() == Some(&(sent - 1)), "{batched}: {got:?} of {sent}");
    }
}

#[tokio::test]
async fn a_listener_that_drops_the_newest_lets_a_slow_client_keep_what_waits() {
    for batched in [false, true] {
        let (got, _) = what_a_flooded_client_gets("DropNewest", batched).await;
        let waiting = got.iter().enumerate().take_while(|(index, number)| index == *number).count();
        assert!(waiting * SIZE > 256 << 10, "{batched}: {got:?}");
    }
}

#[tokio::test]
async fn what_a_client_acknowledges_is_not_dropped_and_its_prefetch_stays_as_it_was() {
    let broker = BrokerUnderTest::start(&dropping("DropOldest"));
    let (mut slow, mut sender) = (broker.tcp_session().await, broker.tcp_session().await);
    for number in 0..4 {
        sender.send("/queue/work", &format!("{number} of the queue")).await;
    }
    sender.send_frame("SEND\ndestination:/queue/other\nreceipt:all-sent\n\n").await;
    sender.frame().await;
    slow.subscribe("s", "/topic/flood").await;
    slow.send_frame("SUBSCRIBE\nid:q\ndestination:/queue/work\nack:client-individual\nprefetch-count:2\n\n").await;
    let mut sent = 0;
    while broker.metric("stompbroker_messages_dropped_total").await == 0 {
        assert!(sent < 5000, "nothing is ever dropped");
        burst(&mut sender, sent, true).await;
        sent += BURST;
    }
    let (mut of_the_queue, mut unacknowledged) = (Vec::new(), Vec::new());
    while of_the_queue.len() < 4 {
        let frame = slow.frame().await;
        if frame.header("subscription") != Some("q") {
            continue;
        }
        of_the_queue.push(frame.text().chars().next().unwrap());
        unacknowledged.push(frame.header("ack").unwrap().to_owned());
        assert!(unacknowledged.len() <= 2, "more than prefetch-count");
        if unacknowledged.len() == 2 {
            for ack in unacknowledged.drain(..) {
                slow.send_frame(&format!("ACK\nid:{ack}\n\n")).await;
            }
        }
    }
    assert_eq!(of_the_queue, ['0', '1', '2', '3']);
    let depth = eventually("the queue to be empty", async || {
        let answer = broker.admin("GET", "/destinations").await.json();
        let list = answer["destinations"].as_array().unwrap().clone();
        let queue = list.into_iter().find(|one| one["name"] == "/queue/work")?;
        (queue["unsettled"] == 0).then_some(queue["depth"].clone())
    })
    .await;
    assert_eq!(depth, 0);
}

#[tokio::test]
async fn the_log_says_whose_messages_were_dropped_and_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    let text = format!(
        "listeners: {{stomp: {{port: 0, slowConsumers: DropNewest}}}}\nadmin: {{port: 0}}\n\
         authentication: {{anonymous: true}}\n{LIMITS}\ndrain: {{delay: 0s}}\n"
    );
    fs::write(&file, text).unwrap();
    let process =
        Process::spawn(&mut stompbroker(&["run", "--log-format", "json", "--config", file.to_str().unwrap()]));
    let address = ([127, 0, 0, 1], process.port).into();
    let (mut slow, mut sender) = (StompClient::connect(address).await, StompClient::connect(address).await);
    let session = slow.log_in("").await.header("session").unwrap().to_owned();
    sender.log_in("").await;
    slow.subscribe("s", "/topic/flood").await;
    let mut sent = 0;
    // More than the buffers of two kernels and the broker hold.
    while sent * SIZE < 48 << 20 {
        burst(&mut sender, sent, false).await;
        sent += BURST;
    }
    let got = numbers_that_were_kept(&mut slow, &mut sender).await;
    process.signal("-TERM");
    let (_, log) = process.end().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.iter().filter(|line| line["message"].as_str().unwrap_or_default().starts_with("messages dropped"));
    let dropped: u64 = told
        .map(|line| {
            assert_eq!(
                (line["level"].as_str(), line["session.id"].as_str()),
                (Some("WARN"), Some(&*session)),
                "{line}"
            );
            line["dropped"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(dropped, u64::try_from(sent - got.len()).unwrap(), "{log}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_the_others_are_not_held_up() {
    // A timeout beyond the test's patience: the bound in octets cuts off, however fast the flood comes.
    let limits = "limits: {sendBufferSize: 256Ki, sendTimeout: 5m, messageSize: 64Ki}";
    let broker = BrokerUnderTest::start(&config(limits));
    let (mut slow, mut sender, mut quick) =
        (broker.tcp_session().await, broker.tcp_session().await, broker.tcp_session().await);
    slow.subscribe("s", "/topic/flood").await;
    quick.subscribe("q", "/topic/flood").await;
    let body = "x".repeat(60_000);
    let mut sent = 0;
    while broker.metric("stompbroker_slow_consumers_total").await == 0 {
        assert!(sent < 2000, "the slow client is never cut off");
        for _ in 0..4 {
            sender.send("/topic/flood", &body).await;
            assert_eq!(quick.message().await.len(), body.len());
            sent += 1;
        }
    }
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"slow_consumer\"}").await, 1);
    sender.send("/topic/flood", "still here").await;
    assert_eq!(quick.message().await, "still here");
}

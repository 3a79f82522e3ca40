//! Persistent messages and the process that holds them: killed again and again under load, stopped, started twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    durable::{confirmed, disconnect},
    support::{BrokerUnderTest, Frame, Peer as _, Process, config, eventually, frame_end, stompbroker, within},
};

const KILLS: usize = 12;
const PRODUCERS: usize = 2;
/// Messages that a producer has sent without a RECEIPT, at most.
const WINDOW: usize = 32;

fn start(folder: &Path) -> Process {
    let file = folder.join("broker.yaml");
    let store = folder.join("store");
    let text = format!(
        "listeners: {{stomp: {{port: 0}}}}\nadmin: {{port: 0}}\nauthentication: {{anonymous: true}}\n\
         drain: {{delay: 0s}}\nengine: {{embedded: {{persistence: {{directory: {}}}}}}}\n",
        store.display()
    );
    fs::write(&file, text).unwrap();
    Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file))
}

/// A client of a broker that may go at any moment.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    async fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream, read: Vec::new() };
        wire.send("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,0\n\n").await?;
        assert_eq!(wire.frame().await?.command, "CONNECTED");
        Some(wire)
    }

    /// None when the broker has gone.
    async fn send(&mut self, frame: &str) -> Option<()> {
        within("the socket to take a frame", self.stream.write_all(format!("{frame}\0").as_bytes())).await.ok()
    }

    /// None when the broker has gone.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            let beats = self.read.iter().take_while(|octet| **octet == b'\n').count();
            self.read.drain(..beats);
            if let Some(end) = frame_end(&self.read) {
                let frame = Frame::parse(&self.read[..end]);
                self.read.drain(..=end);
                assert_ne!(frame.command, "ERROR", "{frame:?}");
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            let octets = within("a frame", self.stream.read(&mut buffer)).await.unwrap_or(0);
            if octets == 0 {
                return None;
            }
            self.read.extend_from_slice(&buffer[..octets]);
        }
    }
}

/// What the clients have seen, over all processes.
#[derive(Default)]
struct Ledger {
    /// The next number of each producer.
    next: [usize; PRODUCERS],
    next_pair: usize,
    /// What the broker vouched for.
    receipted: BTreeSet<String>,
    receipted_pairs: BTreeSet<usize>,
    received: BTreeSet<String>,
    /// Whose ACK the broker vouched for.
    settled: BTreeSet<String>,
    /// Receipts of all kinds.
    receipts: usize,
}

type Shared = Arc<Mutex<Ledger>>;

/// Sends numbered messages, many at once, and notes which were receipted.
async fn produce(port: u16, producer: usize, ledger: Shared) -> Option<()> {
    let mut wire = Wire::connect(port).await?;
    let mut open = 0;
    loop {
        while open < WINDOW {
            let number = {
                let mut ledger = ledger.lock().unwrap();
                ledger.next[producer] += 1;
                ledger.next[producer]
            };
            let body = format!("{producer}-{number}");
            wire.send(&format!("SEND\ndestination:/queue/work\npersistent:true\nreceipt:{body}\n\n{body}")).await?;
            open += 1;
        }
        let frame = wire.frame().await?;
        open -= 1;
        let mut ledger = ledger.lock().unwrap();
        ledger.receipted.insert(frame.header("receipt-id").unwrap().to_owned());
        ledger.receipts += 1;
    }
}

/// Sends messages to two queues in one transaction.
async fn produce_pairs(port: u16, ledger: Shared) -> Option<()> {
    let mut wire = Wire::connect(port).await?;
    loop {
        let pair = {
            let mut ledger = ledger.lock().unwrap();
            ledger.next_pair += 1;
            ledger.next_pair
        };
        wire.send(&format!("BEGIN\ntransaction:{pair}\n\n")).await?;
        for queue in ["left", "right"] {
            let frame = format!("SEND\ndestination:/queue/{queue}\ntransaction:{pair}\npersistent:true\n\n{pair}");
            wire.send(&frame).await?;
        }
        wire.send(&format!("COMMIT\ntransaction:{pair}\nreceipt:{pair}\n\n")).await?;
        wire.frame().await?;
        let mut ledger = ledger.lock().unwrap();
        ledger.receipted_pairs.insert(pair);
        ledger.receipts += 1;
    }
}

/// Takes messages and acknowledges each; fails when one comes again that was settled, or out of the order of its producer.
async fn consume(port: u16, ledger: Shared) -> Option<()> {
    let mut wire = Wire::connect(port).await?;
    wire.send("SUBSCRIBE\nid:1\ndestination:/queue/work\nack:client-individual\nprefetch-count:20\n\n").await?;
    let mut last = BTreeMap::new();
    loop {
        let frame = wire.frame().await?;
        if frame.command == "RECEIPT" {
            let mut ledger = ledger.lock().unwrap();
            ledger.settled.insert(frame.header("receipt-id").unwrap().to_owned());
            ledger.receipts += 1;
            continue;
        }
        note(&frame, &mut last, &ledger);
        let ack = frame.header("ack").unwrap();
        wire.send(&format!("ACK\nid:{ack}\nreceipt:{}\n\n", frame.text())).await?;
    }
}

/// Notes that a message came, and checks that it may.
fn note(frame: &Frame, last: &mut BTreeMap<usize, usize>, ledger: &Shared) {
    let body = frame.text();
    let mut ledger = ledger.lock().unwrap();
    assert!(!ledger.settled.contains(body), "{body} comes again though its ACK was receipted");
    ledger.received.insert(body.to_owned());
    let (producer, number) = body.split_once('-').unwrap();
    let (producer, number) = (producer.parse().unwrap(), number.parse().unwrap());
    let before = last.insert(producer, number).unwrap_or(0);
    assert!(before < number, "{number} of producer {producer} comes after {before}");
}

/// Takes everything that is in a queue; `end` is sent behind it.
async fn drain(wire: &mut Wire, queue: &str) -> Option<Vec<Frame>> {
    wire.send(&format!("SEND\ndestination:/queue/{queue}\n\nend")).await?;
    wire.send(&format!("SUBSCRIBE\nid:{queue}\ndestination:/queue/{queue}\n\n")).await?;
    let mut frames = Vec::new();
    loop {
        let frame = wire.frame().await?;
        if frame.text() == "end" {
            return Some(frames);
        }
        frames.push(frame);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_broker_loses_nothing_it_vouched_for_and_repeats_nothing_that_was_settled() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Shared::default();
    for round in 0..KILLS {
        let mut process = start(folder.path());
        let mut clients = JoinSet::new();
        for producer in 0..PRODUCERS {
            clients.spawn(produce(process.port, producer, Arc::clone(&ledger)));
        }
        clients.spawn(produce_pairs(process.port, Arc::clone(&ledger)));
        clients.spawn(consume(process.port, Arc::clone(&ledger)));
        let enough = ledger.lock().unwrap().receipts + 50 + round * 37;
        eventually("enough receipts", async || (ledger.lock().unwrap().receipts >= enough).then_some(())).await;
        process.kill();
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    }

    let process = start(folder.path());
    let mut wire = Wire::connect(process.port).await.unwrap();
    let mut last = BTreeMap::new();
    for frame in drain(&mut wire, "work").await.unwrap() {
        note(&frame, &mut last, &ledger);
        assert_eq!(frame.header("redelivered"), Some("true"), "after a crash it may have been delivered");
    }
    let mut pairs = Vec::new();
    for queue in ["left", "right"] {
        let frames = drain(&mut wire, queue).await.unwrap();
        pairs.push(frames.iter().map(|frame| frame.text().parse().unwrap()).collect::<BTreeSet<usize>>());
    }
    let ledger = ledger.lock().unwrap();
    let lost: Vec<_> = ledger.receipted.difference(&ledger.received).collect();
    assert!(lost.is_empty(), "receipted and lost: {lost:?}");
    assert!(!ledger.settled.is_empty(), "nothing was settled");
    assert_eq!(pairs[0], pairs[1], "half a transaction");
    assert!(ledger.receipted_pairs.is_subset(&pairs[0]), "{:?} of {pairs:?}", ledger.receipted_pairs);
}

#[tokio::test]
async fn an_orderly_stop_keeps_what_was_not_receipted_too() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path());
    let mut wire = Wire::connect(process.port).await.unwrap();
    for number in 0..100 {
        wire.send(&format!("SEND\ndestination:/queue/work\npersistent:true\n\n0-{number}")).await.unwrap();
    }
    // A frame that is answered at once, so that all before it have arrived.
    wire.send("SUBSCRIBE\nid:1\ndestination:/topic/a\nreceipt:1\n\n").await.unwrap();
    wire.frame().await.unwrap();
    process.signal("-TERM");
    let (code, log) = process.end().await;
    assert_eq!(code, Some(0), "{log}");
    let process = start(folder.path());
    let mut wire = Wire::connect(process.port).await.unwrap();
    let frames = drain(&mut wire, "work").await.unwrap();
    assert_eq!(frames.len(), 100);
    assert!(frames.iter().all(|frame| frame.header("redelivered") != Some("true")), "none was delivered before");
}

#[tokio::test]
async fn a_second_broker_on_the_same_store_ends_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let _first = start(folder.path());
    let second = stompbroker(&["run"]).env("STOMPBROKER_CONFIG", folder.path().join("broker.yaml")).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(1) && error.contains("in use by another broker"), "{error}");
}

#[tokio::test]
async fn a_full_store_is_told_to_the_sender_to_probes_and_to_prometheus() {
    let persistence = "limits: {messageSize: 4Mi}\n\
                       engine: {embedded: {persistence: {directory: FOLDER/store, size: 64Mi}}}";
    let broker = BrokerUnderTest::start(&config(persistence));
    let mut client = broker.tcp_session().await;
    assert_eq!(broker.metric("stompbroker_store_writable").await, 1);
    let body = "x".repeat(4_000_000);
    let refused = loop {
        client.send_frame(&format!("SEND\ndestination:/queue/a\npersistent:true\nreceipt:1\n\n{body}")).await;
        let frame = client.frame().await;
        if frame.command != "RECEIPT" {
            break frame;
        }
    };
    refused.assert_error("Message cannot be stored");
    refused.assert_error("engine.embedded.persistence.size (64Mi)");
    let ready = broker.admin("GET", "/readyz").await;
    assert_eq!(ready.status, 200, "those who consume are served");
    assert!(ready.body.contains("warning: the store of persistent messages"), "{}", ready.body);
    assert_eq!(broker.metric("stompbroker_store_writable").await, 0);

    let mut consumer = broker.tcp_session().await;
    consumer.consume("1", "/queue/a").await;
    consumer.message().await;
    eventually("room for messages again", async || {
        (broker.metric("stompbroker_store_writable").await == 1).then_some(())
    })
    .await;
    assert!(!broker.admin("GET", "/readyz").await.body.contains("warning"));
}

#[tokio::test]
async fn a_durable_subscription_survives_a_restart_with_its_persistent_messages() {
    let config = config("engine: {embedded: {persistence: {directory: FOLDER/store}}}");
    let mut broker = BrokerUnderTest::start(&config);
    let subscribe = "SUBSCRIBE\nid:jobs\ndestination:/topic/a\npersistent:true\nack:client";
    let mut session = broker.tcp_session().await;
    confirmed(&mut session, subscribe).await;
    confirmed(&mut session, "UNSUBSCRIBE\nid:jobs").await;
    confirmed(&mut session, "SEND\ndestination:/topic/a\npersistent:true\n\n1").await;
    disconnect(session).await;
    let folder = std::mem::replace(&mut broker.folder, tempfile::tempdir().unwrap());
    broker.shutdown.cancel();
    broker.ended().await;

    let broker = BrokerUnderTest::start_in(folder, &config);
    let mut session = broker.tcp_session().await;
    confirmed(&mut session, "SEND\ndestination:/topic/a\n\n2").await;
    session.send_frame(&format!("{subscribe}\n\n")).await;
    assert_eq!([session.message().await, session.message().await], ["1", "2"]);
}

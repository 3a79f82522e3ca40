//! What clients see through the relay of each upstream that it is made for: real ones, the same dialogues with all.
//!
//! [`TABLE`] says what is seen with each; the tests hold every cell of it, so a difference that is gone is noticed as one
//! that is new is. `docs/engines.md` has the same table.

use std::{fmt::Write as _, panic::AssertUnwindSafe, pin::Pin};

use futures::FutureExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::{
    servers::{self, Kind, LOGIN, Server},
    support::{BrokerUnderTest, Frame, Peer, StompClient, config, eventually},
};

/// What is seen, with RabbitMQ, ActiveMQ and Artemis.
const TABLE: &[(&str, [&str; 3])] = &[
    ("RECEIPT of a SEND", ["yes", "yes", "yes"]),
    ("receipts for what was sent before the client closed its side", ["yes", "yes", "yes"]),
    ("each subscriber of a topic gets each message", ["yes", "yes", "yes"]),
    ("messages of a queue come in their order", ["yes", "yes", "yes"]),
    ("`ack:client` covers all before", ["yes", "yes", "yes"]),
    ("`ack:client-individual` covers one", ["yes", "yes", "yes"]),
    ("what comes again says `redelivered:true`", ["yes", "yes", "yes"]),
    ("UNSUBSCRIBE gives back what is not acknowledged", ["yes", "yes", "yes"]),
    ("a message after NACK", ["comes again", "is a dead letter", "is gone"]),
    ("a transaction is seen at COMMIT, and not after ABORT", ["yes", "yes", "yes"]),
    ("bodies with NUL", ["yes", "yes", "yes"]),
    ("headers with colons, line breaks, UTF-8", ["yes", "yes", "yes"]),
    ("`selector`", ["ignored", "yes", "yes"]),
    ("wildcards of topics", ["`*` `#`", "`*` `>`", "`*` `#`"]),
    ("`/topic/a/b`", ["ERROR", "yes", "yes"]),
    (
        "durable subscription by",
        ["`durable`", "`activemq.subscriptionName`", "`activemq.subscriptionName` `durable-subscription-name`"],
    ),
    ("heart-beats keep an idle session", ["yes", "yes", "yes"]),
    ("a wrong password is", ["`AuthFailed`", "`AuthFailed`", "`AuthFailed`"]),
    ("`persistent:true` messages after a restart", ["kept", "kept", "kept"]),
];

type Seen<'a> = Pin<Box<dyn Future<Output = String> + Send + 'a>>;

/// A pod before an upstream.
struct Pod {
    broker: BrokerUnderTest,
    kind: Kind,
}

fn pod(server: &Server, password: &str) -> BrokerUnderTest {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("upstream");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("username"), LOGIN.0).unwrap();
    std::fs::write(directory.join("password"), password).unwrap();
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let port = server.address().port();
    let text = format!(
        "heartbeat: 500ms\nsessionTimeout: 2s\nengine: {{relay: {{destinationPrefixes: [/topic, /queue], \
         upstreams: [{{host: 127.0.0.1, port: {port}}}], connectTimeout: 60s, \
         systemCredentials: {{directory: FOLDER/upstream}}, clientCredentials: {{directory: FOLDER/upstream}}}}}}"
    );
    BrokerUnderTest::start_in(folder, &config(&text))
}

impl Pod {
    async fn ready(&self) {
        let ready = async || (self.broker.admin("GET", "/readyz").await.status == 200).then_some(());
        eventually("the relay to be ready", ready).await;
    }

    async fn client(&self) -> StompClient {
        self.named("").await
    }

    /// A client that has this line in its CONNECT.
    async fn named(&self, line: &str) -> StompClient {
        let mut client = self.broker.tcp().await;
        client.log_in(line).await;
        client
    }

    /// A name that no other dialogue uses, as the upstream has it.
    fn name(what: &str) -> String {
        format!("{what}-{:08x}", rand::random::<u32>())
    }
}

/// A frame whose RECEIPT is waited for; what comes before it is returned.
async fn done(client: &mut StompClient, frame: &str) -> Vec<Frame> {
    let receipt = Pod::name("r");
    let (command, rest) = frame.split_once('\n').unwrap();
    client.send_frame(&format!("{command}\nreceipt:{receipt}\n{rest}")).await;
    let mut before = Vec::new();
    loop {
        let frame = client.frame().await;
        match frame.command.as_str() {
            "RECEIPT" if frame.header("receipt-id") == Some(&receipt) => return before,
            "MESSAGE" => before.push(frame),
            _ => panic!("no receipt: {frame:?}"),
        }
    }
}

/// Sends a message whose receipt is waited for, from a client that consumes nothing there.
async fn put(client: &mut StompClient, destination: &str, headers: &str, body: &str) {
    done(client, &format!("SEND\ndestination:{destination}\n{headers}\n{body}")).await;
}

/// Subscribes with the id 0; messages may come at once.
async fn consume(client: &mut StompClient, destination: &str, headers: &str) -> Vec<Frame> {
    done(client, &format!("SUBSCRIBE\nid:0\ndestination:{destination}\n{headers}\n")).await
}

/// Reads messages until one has this body, which is left out.
async fn until(client: &mut StompClient, mut before: Vec<Frame>, last: &str) -> Vec<Frame> {
    while before.last().is_none_or(|frame| frame.text() != last) {
        let frame = client.frame().await;
        assert_eq!(frame.command, "MESSAGE", "{frame:?}");
        before.push(frame);
    }
    before.pop();
    before
}

fn bodies(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(Frame::text).collect()
}

fn yes(holds: bool, otherwise: impl std::fmt::Debug) -> String {
    if holds { "yes".to_owned() } else { format!("{otherwise:?}") }
}

async fn receipt_of_a_send(pod: &Pod) -> String {
    let mut client = pod.client().await;
    put(&mut client, &format!("/queue/{}", Pod::name("receipt")), "", "x").await;
    "yes".to_owned()
}

async fn receipts_after_the_end_of_input(pod: &Pod) -> String {
    let (mut client, queue) = (pod.client().await, Pod::name("half-closed"));
    let send = |number: u8| format!("SEND\ndestination:/queue/{queue}\nreceipt:{number}\n\nx\0");
    client.write((0..10).map(send).collect::<String>().as_bytes()).await;
    client.stream.shutdown().await.unwrap();
    for number in 0..10_u8 {
        let frame = client.frame().await;
        assert_eq!(frame.header("receipt-id"), Some(&*number.to_string()), "{frame:?}");
    }
    client.end().await;
    "yes".to_owned()
}

async fn topics(pod: &Pod) -> String {
    let topic = format!("/topic/{}", Pod::name("topic"));
    let (mut one, mut other) = (pod.client().await, pod.client().await);
    consume(&mut one, &topic, "").await;
    consume(&mut other, &topic, "").await;
    let mut sender = pod.client().await;
    put(&mut sender, &topic, "", "x").await;
    let got = [one.message().await, other.message().await];
    yes(got == ["x", "x"], got)
}

async fn order(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("order"));
    let mut client = pod.client().await;
    for number in 0..50 {
        client.send(&queue, &number.to_string()).await;
    }
    put(&mut client, &queue, "", "last").await;
    let before = consume(&mut client, &queue, "").await;
    let frames = until(&mut client, before, "last").await;
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    yes(bodies(&frames) == expected, bodies(&frames))
}

/// Three messages are delivered in this mode and the second is acknowledged; what another session gets then.
async fn acknowledged(pod: &Pod, mode: &str) -> Vec<Frame> {
    let queue = format!("/queue/{}", Pod::name("ack"));
    let mut client = pod.client().await;
    for body in ["1", "2", "3"] {
        put(&mut client, &queue, "", body).await;
    }
    let before = consume(&mut client, &queue, &format!("ack:{mode}\n")).await;
    let mut frames = before;
    while frames.len() < 3 {
        frames.push(client.frame().await);
    }
    done(&mut client, &format!("ACK\nid:{}\n\n", frames[1].header("ack").unwrap())).await;
    done(&mut client, "DISCONNECT\n\n").await;
    drop(client);
    let mut other = pod.client().await;
    let expected = if mode == "client" { 1 } else { 2 };
    let mut given = consume(&mut other, &queue, "").await;
    while given.len() < expected {
        given.push(other.frame().await);
    }
    other.send(&queue, "last").await;
    until(&mut other, given, "last").await
}

async fn cumulative(pod: &Pod) -> String {
    let given = acknowledged(pod, "client").await;
    yes(bodies(&given) == ["3"], bodies(&given))
}

async fn individual(pod: &Pod) -> String {
    let given = acknowledged(pod, "client-individual").await;
    yes(bodies(&given) == ["1", "3"], bodies(&given))
}

async fn redelivered(pod: &Pod) -> String {
    let given = acknowledged(pod, "client").await;
    yes(given[0].header("redelivered") == Some("true"), &given[0])
}

async fn unsubscribe(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("unsubscribe"));
    let (mut one, mut other) = (pod.client().await, pod.client().await);
    put(&mut one, &queue, "", "x").await;
    if consume(&mut one, &queue, "ack:client\n").await.is_empty() {
        one.message().await;
    }
    done(&mut one, "UNSUBSCRIBE\nid:0\n\n").await;
    let given = match consume(&mut other, &queue, "").await.first() {
        Some(frame) => frame.text().to_owned(),
        None => other.message().await,
    };
    yes(given == "x", given)
}

async fn nack(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("nack"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "persistent:true\n", "refused").await;
    let before = consume(&mut client, &queue, "ack:client-individual\n").await;
    let frame = match before.into_iter().next() {
        Some(frame) => frame,
        None => client.frame().await,
    };
    let before = done(&mut client, &format!("NACK\nid:{}\n\n", frame.header("ack").unwrap())).await;
    client.send(&queue, "last").await;
    if !until(&mut client, before, "last").await.is_empty() {
        return "comes again".to_owned();
    }
    let dead = if pod.kind == Kind::Artemis { "/queue/DLQ" } else { "/queue/ActiveMQ.DLQ" };
    let mut undertaker = pod.client().await;
    let before = consume(&mut undertaker, dead, "").await;
    undertaker.send(dead, "last").await;
    let letters = until(&mut undertaker, before, "last").await;
    if bodies(&letters).contains(&"refused") { "is a dead letter" } else { "is gone" }.to_owned()
}

async fn transactions(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("transaction"));
    let (mut sender, mut consumer) = (pod.client().await, pod.client().await);
    consume(&mut consumer, &queue, "").await;
    for (transaction, body) in [("a", "aborted"), ("c", "committed")] {
        sender.send_frame(&format!("BEGIN\ntransaction:{transaction}\n\n")).await;
        sender.send_frame(&format!("SEND\ndestination:{queue}\ntransaction:{transaction}\n\n{body}")).await;
    }
    put(&mut sender, &queue, "", "before").await;
    done(&mut sender, "ABORT\ntransaction:a\n\n").await;
    done(&mut sender, "COMMIT\ntransaction:c\n\n").await;
    put(&mut sender, &queue, "", "last").await;
    let given = until(&mut consumer, Vec::new(), "last").await;
    yes(bodies(&given) == ["before", "committed"], bodies(&given))
}

async fn nul(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("nul"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "content-length:5\n", "a\0\0b\u{1}").await;
    let frame = match consume(&mut client, &queue, "").await.into_iter().next() {
        Some(frame) => frame,
        None => client.frame().await,
    };
    yes(frame.body == b"a\0\0b\x01", &frame.body)
}

async fn headers(pod: &Pod) -> String {
    let queue = format!("/queue/{}", Pod::name("headers"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "k:a\\cb\\nc\\\\ \u{20ac}\n", "x").await;
    let frame = match consume(&mut client, &queue, "").await.into_iter().next() {
        Some(frame) => frame,
        None => client.frame().await,
    };
    yes(frame.header("k") == Some("a\\cb\\nc\\\\ \u{20ac}"), &frame.headers)
}

async fn selector(pod: &Pod) -> String {
    let topic = format!("/topic/{}", Pod::name("selector"));
    let mut client = pod.client().await;
    consume(&mut client, &topic, "selector:colour = 'red'\n").await;
    for (colour, body) in [("blue", "1"), ("red", "2"), ("red", "last")] {
        client.send_frame(&format!("SEND\ndestination:{topic}\ncolour:{colour}\n\n{body}")).await;
    }
    let given = until(&mut client, Vec::new(), "last").await;
    match bodies(&given)[..] {
        ["2"] => "yes".to_owned(),
        ["1", "2"] => "ignored".to_owned(),
        ref other => format!("{other:?}"),
    }
}

async fn wildcards(pod: &Pod) -> String {
    let mut work = Vec::new();
    for (wildcard, path) in [("*", "a"), ("#", "a.b"), (">", "a.b")] {
        let topic = format!("/topic/{}", Pod::name("wild"));
        let (mut client, mut sender) = (pod.client().await, pod.client().await);
        consume(&mut client, &format!("{topic}.{wildcard}"), "").await;
        done(&mut client, &format!("SUBSCRIBE\nid:1\ndestination:{topic}-last\n\n")).await;
        put(&mut sender, &format!("{topic}.{path}"), "", "x").await;
        put(&mut sender, &format!("{topic}-last"), "", "last").await;
        if !until(&mut client, Vec::new(), "last").await.is_empty() {
            work.push(format!("`{wildcard}`"));
        }
    }
    work.join(" ")
}

async fn slashes(pod: &Pod) -> String {
    let mut client = pod.client().await;
    let name = Pod::name("slashes");
    client.send_frame(&format!("SUBSCRIBE\nid:0\ndestination:/topic/{name}/b\nreceipt:s\n\n")).await;
    match client.frame().await.command.as_str() {
        "RECEIPT" => "yes".to_owned(),
        command => command.to_owned(),
    }
}

async fn durable(pod: &Pod) -> String {
    let mut work = Vec::new();
    for header in ["durable", "activemq.subscriptionName", "durable-subscription-name"] {
        let topic = format!("/topic/{}", Pod::name("durable"));
        let name = Pod::name("d");
        let value = if header == "durable" { "true" } else { &*name };
        let subscribe = format!("SUBSCRIBE\nid:{name}\ndestination:{topic}\n{header}:{value}\nauto-delete:false\n\n");
        let connect = format!("client-id:{name}\n");
        let mut client = pod.named(&connect).await;
        done(&mut client, &subscribe).await;
        done(&mut client, "DISCONNECT\n\n").await;
        drop(client);
        gone(pod).await;
        let mut sender = pod.client().await;
        put(&mut sender, &topic, "persistent:true\n", "while away").await;
        let mut client = pod.named(&connect).await;
        let before = done(&mut client, &subscribe).await;
        put(&mut sender, &topic, "", "last").await;
        if !until(&mut client, before, "last").await.is_empty() {
            work.push(format!("`{header}`"));
        }
        done(&mut sender, "DISCONNECT\n\n").await;
        done(&mut client, "DISCONNECT\n\n").await;
        drop((client, sender));
        gone(pod).await;
    }
    work.join(" ")
}

/// Waits until no session has an upstream connection any more.
async fn gone(pod: &Pod) {
    let count = async || pod.broker.admin("GET", "/status").await.json()["relay"]["clientConnections"].as_u64();
    eventually("the upstream connections to end", async || (count().await == Some(0)).then_some(())).await;
}

async fn heartbeats(pod: &Pod) -> String {
    let mut client = pod.named("heart-beat:0,500\n").await;
    let queue = format!("/queue/{}", Pod::name("idle"));
    consume(&mut client, &queue, "").await;
    // Longer than any of the three bears silence of the relay.
    for _ in 0..8 {
        client.heartbeat().await;
    }
    put(&mut client, &queue, "", "x").await;
    "yes".to_owned()
}

async fn wrong_password(server: &Server) -> String {
    let broker = pod(server, "wrong");
    let state = async || {
        let status = broker.admin("GET", "/status").await.json();
        let state = status["relay"]["upstreams"][0]["state"].as_str().unwrap_or_default().to_owned();
        (!["", "Idle"].contains(&&*state)).then_some(state)
    };
    format!("`{}`", eventually("the upstream to be tried", state).await)
}

/// The upstream ends and comes again; a client sees the words of Spring's relay, and what was receipted is still there.
async fn restart(pod: &Pod, server: &mut Server) -> String {
    let queue = format!("/queue/{}", Pod::name("restart"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "persistent:true\n", "kept").await;
    tokio::task::block_in_place(|| server.stop());
    client.frame().await.assert_error("Broker not available.");
    tokio::task::block_in_place(|| server.run());
    pod.ready().await;
    let mut client = pod.client().await;
    let before = consume(&mut client, &queue, "").await;
    client.send(&queue, "last").await;
    let given = until(&mut client, before, "last").await;
    if bodies(&given) == ["kept"] { "kept".to_owned() } else { format!("{:?}", bodies(&given)) }
}

/// Has every dialogue with an upstream and compares what is seen with the table.
async fn holds(kind: Kind) {
    let _turn = servers::turn().await;
    let mut server = tokio::task::block_in_place(|| Server::start(kind));
    let pod = Pod { broker: pod(&server, LOGIN.1), kind };
    pod.ready().await;
    let dialogues: [fn(&Pod) -> Seen<'_>; 17] = [
        |pod| Box::pin(receipt_of_a_send(pod)),
        |pod| Box::pin(receipts_after_the_end_of_input(pod)),
        |pod| Box::pin(topics(pod)),
        |pod| Box::pin(order(pod)),
        |pod| Box::pin(cumulative(pod)),
        |pod| Box::pin(individual(pod)),
        |pod| Box::pin(redelivered(pod)),
        |pod| Box::pin(unsubscribe(pod)),
        |pod| Box::pin(nack(pod)),
        |pod| Box::pin(transactions(pod)),
        |pod| Box::pin(nul(pod)),
        |pod| Box::pin(headers(pod)),
        |pod| Box::pin(selector(pod)),
        |pod| Box::pin(wildcards(pod)),
        |pod| Box::pin(slashes(pod)),
        |pod| Box::pin(durable(pod)),
        |pod| Box::pin(heartbeats(pod)),
    ];
    let mut seen = Vec::new();
    for dialogue in dialogues {
        // One that ends in a panic is told with the others.
        let outcome = AssertUnwindSafe(dialogue(&pod)).catch_unwind().await;
        seen.push(outcome.unwrap_or_else(|_| "fails".to_owned()));
    }
    seen.push(wrong_password(&server).await);
    seen.push(restart(&pod, &mut server).await);
    let column = kind as usize;
    let expected: Vec<_> = TABLE.iter().map(|(what, cells)| (*what, cells[column])).collect();
    let found: Vec<_> = TABLE.iter().zip(&seen).map(|((what, _), seen)| (*what, &**seen)).collect();
    assert_eq!(found, expected, "what is seen with {kind:?}, and what the table says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_as_the_table_says() {
    holds(Kind::RabbitMq).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activemq_is_as_the_table_says() {
    holds(Kind::ActiveMq).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artemis_is_as_the_table_says() {
    holds(Kind::Artemis).await;
}

#[test]
fn the_documented_table_is_the_one_that_is_tested() {
    let mut table = "| through the relay | RabbitMQ | ActiveMQ | Artemis |\n|---|---|---|---|\n".to_owned();
    for (what, [rabbitmq, activemq, artemis]) in TABLE {
        let _ = writeln!(table, "| {what} | {rabbitmq} | {activemq} | {artemis} |");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/engines.md");
    assert!(std::fs::read_to_string(path).unwrap().contains(&table), "docs/engines.md must have this table:\n{table}");
}

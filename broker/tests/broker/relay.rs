//! The relay engine as clients see it: a broker whose upstream is another broker.

use std::fs;

use tempfile::TempDir;

use crate::support::{BrokerUnderTest, Collector, Otlp, Peer, config, eventually};

/// A folder with the credentials of both kinds of upstream connection.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for role in ["system", "client"] {
        fs::create_dir(folder.path().join(role)).unwrap();
        fs::write(folder.path().join(role).join("username"), role).unwrap();
        fs::write(folder.path().join(role).join("password"), format!("{role}-pass")).unwrap();
    }
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    folder
}

fn upstream() -> BrokerUnderTest {
    let credentials = "credentials: {system: {directory: FOLDER/system}, client: {directory: FOLDER/client}}";
    BrokerUnderTest::start_in(
        secrets(),
        &format!("listeners: {{stomp: {{port: 0}}}}\nadmin: {{port: 0}}\n{credentials}\n"),
    )
}

fn relaying_to(port: u16) -> String {
    config(&format!(
        "engine: {{relay: {{destinationPrefixes: [/topic, /queue], upstreams: [{{host: 127.0.0.1, port: {port}}}], \
         systemCredentials: {{directory: FOLDER/system}}, clientCredentials: {{directory: FOLDER/client}}}}}}"
    ))
}

async fn ready(broker: &BrokerUnderTest) {
    eventually("the relay to be ready", async || (broker.admin("GET", "/readyz").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn messages_pass_from_one_pod_to_another_through_the_upstream() {
    let upstream = upstream();
    let text = relaying_to(upstream.stomp().port());
    let (one, other) = (BrokerUnderTest::start_in(secrets(), &text), BrokerUnderTest::start_in(secrets(), &text));
    ready(&one).await;
    ready(&other).await;
    let (mut sender, mut browser) = (one.tcp_session().await, other.websocket_client().await);
    browser.log_in("").await;
    browser.subscribe("b", "/topic/prices").await;
    sender.send_frame("SEND\ndestination:/topic/prices\nreceipt:r\n\n42").await;
    assert_eq!(sender.frame().await.header("receipt-id"), Some("r"));
    assert_eq!(browser.message().await, "42");
    let status = one.admin("GET", "/status").await.json();
    assert_eq!((&status["relay"]["connected"], &status["relay"]["clientConnections"]), (&true.into(), &1.into()));
    assert_eq!(one.metric("stompbroker_relay_connected").await, 1);
}

#[tokio::test]
async fn a_trace_goes_on_through_the_upstream() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (upstream, collector) = (upstream(), Collector::start(Otlp::Grpc).await);
    let tracing = format!("tracing: {{otlpEndpoint: 'http://{}'}}\n", collector.address);
    let broker = BrokerUnderTest::start_in(secrets(), &(relaying_to(upstream.stomp().port()) + &tracing));
    ready(&broker).await;
    let mut client = broker.tcp_session().await;
    client.send_frame("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n").await;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    client.send_frame(&format!("SEND\ndestination:/queue/a\ntraceparent:{traceparent}\n\nx")).await;
    let message = client.frame().await;
    client.send_frame(&format!("NACK\nid:{}\nrequeue:false\n\n", message.header("ack").unwrap())).await;
    let send = collector.span("send /queue/a").await;
    for name in ["deliver /queue/a", "nack /queue/a"] {
        let step = collector.span(name).await;
        assert_eq!((step.trace_id, step.parent_span_id), (send.trace_id.clone(), send.span_id.clone()), "{name}");
    }
}

#[tokio::test]
async fn a_lost_upstream_ends_the_sessions_turns_readiness_off_and_comes_back() {
    let mut upstream = upstream();
    let broker = BrokerUnderTest::start_in(secrets(), &relaying_to(upstream.stomp().port()));
    ready(&broker).await;
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    upstream.shutdown.cancel();
    client.frame().await.assert_error("Broker not available.");
    client.end().await;
    upstream.ended().await;
    let answer = eventually("readiness to turn off", async || {
        Some(broker.admin("GET", "/readyz").await).filter(|answer| answer.status == 503)
    })
    .await;
    assert!(answer.body.starts_with("engine not ready: "), "{answer:?}");

    let another = self::upstream();
    broker.write_config(&relaying_to(another.stomp().port()));
    ready(&broker).await;
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    client.send("/topic/a", "back again").await;
    assert_eq!(client.message().await, "back again");
}

#[tokio::test]
async fn a_pod_with_a_relay_drains_to_its_end() {
    let upstream = upstream();
    let text = format!("{}\ndrain: {{delay: 0s, deadline: 20s}}\n", relaying_to(upstream.stomp().port()));
    let mut broker = BrokerUnderTest::start_in(secrets(), &text);
    ready(&broker).await;
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    broker.shutdown.cancel();
    client.frame().await.assert_error("lets its sessions go");
    drop(client);
    broker.ended().await;
}

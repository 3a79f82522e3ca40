//! Traces of messages, as a collector and the consumers see them.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;

use crate::support::{BrokerUnderTest, Collector, Otlp, Peer, attribute, config, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

/// The configuration with traces that are only continued.
fn traced(collector: &Collector, otlp: Otlp) -> String {
    let (address, protocol) = (collector.address, otlp.name());
    config(&format!(
        "tracing: {{otlpEndpoint: 'http://{address}', protocol: {protocol}, samplingRatio: 0, serviceName: shop}}"
    ))
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SENDER}-{flags}")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |hex, octet| format!("{hex}{octet:02x}"))
}

/// The trace and the span in a `traceparent`.
fn parts(header: &str) -> (&str, &str) {
    let parts: Vec<_> = header.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "01"), "{header}");
    (parts[1], parts[2])
}

#[tokio::test]
async fn the_trace_of_a_sender_goes_on_through_the_queue_to_the_acknowledgement() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp).await;
        let broker = BrokerUnderTest::start(&traced(&collector, otlp));
        let (mut sender, mut consumer) = (broker.tcp_session().await, broker.tcp_session().await);
        let session = "SUBSCRIBE\nid:0\ndestination:/queue/orders\nack:client-individual\n\n";
        consumer.send_frame(session).await;
        let header = traceparent("01");
        sender
            .send_frame(&format!("SEND\ndestination:/queue/orders\ntraceparent:{header}\ntracestate:v=1\n\n12345"))
            .await;
        let message = consumer.frame().await;
        let (trace, span) = parts(message.header("traceparent").unwrap());
        assert_eq!((trace, message.header("tracestate")), (TRACE, Some("v=1")));
        assert_ne!(span, SENDER, "the consumer goes on from the broker's span");
        consumer.send_frame(&format!("ACK\nid:{}\n\n", message.header("ack").unwrap())).await;

        let send = collector.span("send /queue/orders").await;
        let ids = (hex(&send.trace_id), hex(&send.parent_span_id), hex(&send.span_id));
        assert_eq!((ids.0.as_str(), ids.1.as_str(), ids.2.as_str()), (TRACE, SENDER, span));
        assert_eq!((send.kind, send.trace_state.as_str()), (SpanKind::Producer as i32, "v=1"));
        assert!(send.start_time_unix_nano > 0 && send.end_time_unix_nano >= send.start_time_unix_nano);
        for (key, value) in [
            ("messaging.system", "stompbroker"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "/queue/orders"),
            ("messaging.message.id", message.header("message-id").unwrap()),
            ("messaging.message.body.size", "5"),
        ] {
            assert_eq!(attribute(&send.attributes, key).as_deref(), Some(value), "{key} over {otlp:?}");
        }
        for (name, kind) in [("deliver /queue/orders", SpanKind::Consumer), ("ack /queue/orders", SpanKind::Client)] {
            let step = collector.span(name).await;
            assert_eq!((hex(&step.trace_id).as_str(), hex(&step.parent_span_id).as_str()), (TRACE, span), "{name}");
            assert_eq!(step.kind, kind as i32, "{name}");
        }
        let resource = collector.received()[0].resource.clone().unwrap();
        assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("shop"));
        eventually("the spans to be counted", async || {
            (broker.metric("stompbroker_spans_exported_total").await == 3).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn all_receivers_of_a_message_go_on_from_one_span() {
    let collector = Collector::start(Otlp::Grpc).await;
    let broker = BrokerUnderTest::start(&traced(&collector, Otlp::Grpc));
    let mut sender = broker.tcp_session().await;
    let mut spans = Vec::new();
    let mut receivers = vec![broker.tcp_session().await, broker.tcp_session().await];
    for receiver in &mut receivers {
        receiver.subscribe("0", "/topic/prices").await;
    }
    sender.send_frame(&format!("SEND\ndestination:/topic/prices\ntraceparent:{}\n\nx", traceparent("01"))).await;
    for receiver in &mut receivers {
        spans.push(receiver.frame().await.header("traceparent").unwrap().to_owned());
    }
    assert_eq!(spans[0], spans[1]);
    collector.span("send /topic/prices").await;
}

#[tokio::test]
async fn a_trace_that_nobody_records_passes_untouched_and_so_does_every_header_without_tracing() {
    let collector = Collector::start(Otlp::Grpc).await;
    let with = BrokerUnderTest::start(&traced(&collector, Otlp::Grpc));
    let without = BrokerUnderTest::start(&config(""));
    for (broker, flags) in [(&with, "00"), (&without, "01")] {
        let mut client = broker.tcp_session().await;
        client.subscribe("0", "/queue/a").await;
        client.send_frame(&format!("SEND\ndestination:/queue/a\ntraceparent:{}\n\nx", traceparent(flags))).await;
        assert_eq!(client.frame().await.header("traceparent"), Some(&*traceparent(flags)));
        client.send("/queue/a", "x").await;
        assert_eq!(client.frame().await.header("traceparent"), None);
    }
    let mut client = with.tcp_session().await;
    client.send_frame(&format!("SEND\ndestination:/queue/b\ntraceparent:{}\n\nx", traceparent("01"))).await;
    collector.span("send /queue/b").await;
    assert_eq!(collector.spans().len(), 1, "{:?}", collector.spans());
}

#[tokio::test]
async fn a_message_without_a_trace_begins_one_as_the_ratio_says() {
    let collector = Collector::start(Otlp::Grpc).await;
    let broker =
        BrokerUnderTest::start(&traced(&collector, Otlp::Grpc).replace("samplingRatio: 0", "samplingRatio: 1"));
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/queue/a").await;
    client.send("/queue/a", "x").await;
    let message = client.frame().await;
    let (trace, span) = parts(message.header("traceparent").unwrap());
    let send = collector.span("send /queue/a").await;
    assert_eq!((hex(&send.trace_id).as_str(), hex(&send.span_id).as_str()), (trace, span));
    assert!(send.parent_span_id.is_empty());
}

#[tokio::test]
async fn a_collector_that_is_dead_or_mute_hinders_no_message() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [dead, mute.local_addr().unwrap()] {
        let text = format!("tracing: {{otlpEndpoint: 'http://{address}', samplingRatio: 1}}");
        let mut broker = BrokerUnderTest::start(&config(&format!("{text}\ndrain: {{delay: 0s}}")));
        let mut client = broker.tcp_session().await;
        client.subscribe("0", "/queue/a").await;
        // More spans than wait for the collector.
        for round in 0..1500 {
            client.send("/queue/a", &round.to_string()).await;
            assert_eq!(client.message().await, round.to_string());
        }
        eventually("dropped spans to be counted", async || {
            let mut dropped = 0;
            for reason in ["export_failed", "queue_full"] {
                dropped += broker.metric(&format!("stompbroker_spans_dropped_total{{reason=\"{reason}\"}}")).await;
            }
            (dropped > 0).then_some(())
        })
        .await;
        broker.shutdown.cancel();
        broker.ended().await;
    }
}

#[tokio::test]
async fn a_closed_connection_to_the_collector_is_replaced() {
    for otlp in [Otlp::Grpc, Otlp::Http] {
        let collector = Collector::start(otlp).await;
        let broker = BrokerUnderTest::start(&traced(&collector, otlp));
        let mut client = broker.tcp_session().await;
        for queue in ["a", "b", "c"] {
            let header = traceparent("01");
            client.send_frame(&format!("SEND\ndestination:/queue/{queue}\ntraceparent:{header}\n\nx")).await;
            collector.span(&format!("send /queue/{queue}")).await;
            collector.cut();
        }
    }
}

#[tokio::test]
async fn the_last_spans_leave_before_the_broker_ends() {
    let collector = Collector::start(Otlp::Http).await;
    let drain = "drain: {delay: 0s, connectionsPerSecond: 1000}";
    let mut broker = BrokerUnderTest::start(&format!("{}{drain}\n", traced(&collector, Otlp::Http)));
    let mut client = broker.tcp_session().await;
    client.send_frame(&format!("SEND\ndestination:/queue/a\nreceipt:r\ntraceparent:{}\n\nx", traceparent("01"))).await;
    assert_eq!(client.frame().await.command, "RECEIPT");
    broker.shutdown.cancel();
    broker.ended().await;
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test]
async fn spans_hold_no_credentials_no_body_and_no_secret_name() {
    let collector = Collector::start(Otlp::Grpc).await;
    let folder = tempfile::tempdir().unwrap();
    let client = folder.path().join("client");
    std::fs::create_dir(&client).unwrap();
    std::fs::write(client.join("username"), "ann").unwrap();
    std::fs::write(client.join("password"), "correct-horse").unwrap();
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let credentials = "credentials: {client: {directory: FOLDER/client}}\n";
    let broker = BrokerUnderTest::start_in(folder, &format!("{}{credentials}", traced(&collector, Otlp::Grpc)));
    let (mut asking, mut answering) = (broker.tcp().await, broker.tcp().await);
    asking.log_in("login:ann\npasscode:correct-horse\n").await;
    answering.log_in("login:ann\npasscode:correct-horse\n").await;
    answering.subscribe("0", "/queue/questions").await;
    let more = format!("traceparent:{}\nx-api-key:hidden", traceparent("01"));
    asking.send_frame(&format!("SEND\ndestination:/queue/questions\nreply-to:/temp-queue/me\n{more}\n\nprivate")).await;
    let reply_to = answering.frame().await.header("reply-to").unwrap().to_owned();
    answering.send_frame(&format!("SEND\ndestination:{reply_to}\n{more}\n\nprivate")).await;
    asking.message().await;
    let span = collector.span("send (temporary)").await;
    assert_eq!(attribute(&span.attributes, "messaging.destination.temporary").as_deref(), Some("true"));
    assert_eq!(attribute(&span.attributes, "user.name").as_deref(), Some("ann"));
    let all = format!("{:?}", collector.received());
    for secret in ["correct-horse", "hidden", "private", reply_to.split('/').nth(2).unwrap()] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn tracing_is_switched_on_without_a_restart() {
    let collector = Collector::start(Otlp::Grpc).await;
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/queue/a").await;
    broker.write_config(&traced(&collector, Otlp::Grpc));
    broker.in_force().await;
    client.send_frame(&format!("SEND\ndestination:/queue/a\ntraceparent:{}\n\nx", traceparent("01"))).await;
    client.message().await;
    collector.span("deliver /queue/a").await;
}

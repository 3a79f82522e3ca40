//! Bounds that protect the pod.

use std::time::Instant;

use crate::support::{BrokerUnderTest, Peer, WebSocketClient, config, eventually};

#[tokio::test]
async fn a_full_pod_says_so_over_both_transports_and_has_room_again_when_one_leaves() {
    let broker = BrokerUnderTest::start(&config("limits: {connectionsPerPod: 2}"));
    let (one, _two) = (broker.tcp_session().await, broker.tcp_session().await);

    let mut third = broker.tcp().await;
    third.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0").await;
    third.frame().await.assert_error("limits.connectionsPerPod is 2");
    third.end().await;
    let refusal = WebSocketClient::try_connect(broker.websocket(), "/chat", "").await.err().unwrap();
    assert!(refusal.status == 503 && refusal.body.contains("limits.connectionsPerPod is 2"), "{refusal:?}");
    assert_eq!(broker.metric("stompbroker_connections_refused_total").await, 2);

    drop(one);
    eventually("room for another one", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
        (client.frame().await.command == "CONNECTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_with_as_many_connections_as_it_may_is_told_so_over_both_transports() {
    let broker = BrokerUnderTest::start(&config("limits: {connectionsPerAddress: 2}"));
    let (one, _two) = (broker.tcp_session().await, broker.websocket_client().await);
    let mut third = broker.tcp().await;
    third.frame().await.assert_error("limits.connectionsPerAddress is 2");
    third.end().await;
    let refusal = WebSocketClient::try_connect(broker.websocket(), "/chat", "").await.err().unwrap();
    assert!(refusal.status == 503 && refusal.body.contains("limits.connectionsPerAddress is 2"), "{refusal:?}");
    drop(one);
    eventually("room for another one", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
        (client.frame().await.command == "CONNECTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_name_of_the_limit() {
    let limits = "limits: {messageSize: 100, unauthenticatedFrameSize: 500, headers: 10, headerSize: 200}";
    let broker = BrokerUnderTest::start(&config(limits));
    let long = "x".repeat(201);
    let many = (0..11).map(|number| format!("h{number}:v\n")).collect::<Vec<_>>().concat();
    for (frame, limit) in [
        (format!("SEND\ndestination:/queue/a\n\n{}", "x".repeat(101)), "limits.messageSize"),
        ("SEND\ndestination:/queue/a\ncontent-length:99999999999\n\nx".to_owned(), "limits.messageSize"),
        (format!("SEND\ndestination:/queue/a\n{many}\nx"), "limits.headers"),
        (format!("SEND\ndestination:/queue/{long}\n\nx"), "limits.headerSize"),
    ] {
        let mut client = broker.tcp_session().await;
        client.send_frame(&frame).await;
        client.frame().await.assert_error(limit);
        client.end().await;
        let mut browser = broker.websocket_client().await;
        browser.log_in("").await;
        browser.send_frame(&frame).await;
        browser.frame().await.assert_error(limit);
        assert_eq!(browser.close().await.0, 1009, "{limit}");
    }
    let mut stranger = broker.tcp().await;
    stranger.send_frame(&format!("CONNECT\naccept-version:1.2\n{}\n", "some-header:with a value\n".repeat(30))).await;
    stranger.frame().await.assert_error("limits.");
    stranger.end().await;
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

#[tokio::test]
async fn a_client_that_reads_nothing_of_a_queue_is_cut_off_by_the_send_timeout() {
    let limits = "limits: {sendBufferSize: 64Mi, sendTimeout: 500ms, messageSize: 1Mi}";
    let broker = BrokerUnderTest::start(&config(limits));
    let (mut slow, mut sender) = (broker.tcp_session().await, broker.tcp_session().await);
    slow.subscribe("s", "/topic/flood").await;
    let body = "x".repeat(1_000_000);
    for _ in 0..16 {
        sender.send("/topic/flood", &body).await;
    }
    eventually("the slow client to be cut off", async || {
        (broker.metric("stompbroker_slow_consumers_total").await == 1).then_some(())
    })
    .await;
}

/// Floods a client that reads nothing until the broker has dropped messages for it, then lets it read up to the last one.
/// Returns the numbers of the messages that it got.
async fn what_a_flooded_client_gets(policy: &str) -> Vec<usize> {
    let limits = "limits: {sendBufferSize: 256Ki, sendTimeout: 5m}";
    let listener = format!("stomp: {{port: 0, slowConsumers: {policy}}}");
    let broker = BrokerUnderTest::start(&config(limits).replace("stomp: {port: 0}", &listener));
    let (mut slow, mut sender) = (broker.tcp_session().await, broker.tcp_session().await);
    slow.subscribe("s", "/topic/flood").await;
    let filler = "x".repeat(30_000);
    let mut number = 0;
    while broker.metric("stompbroker_messages_dropped_total").await == 0 {
        assert!(number < 5000, "nothing is ever dropped");
        for _ in 0..20 {
            sender.send("/topic/flood", &format!("{number} {filler}")).await;
            number += 1;
        }
    }
    sender.send_frame("SEND\ndestination:/queue/other\nreceipt:all-sent\n\n").await;
    sender.frame().await;
    slow.send_frame("SUBSCRIBE\nid:end\ndestination:/queue/end\n\n").await;
    sender.send("/queue/end", "end").await;
    let mut got = Vec::new();
    loop {
        let message = slow.message().await;
        if message == "end" {
            break;
        }
        got.push(message.split_once(' ').unwrap().0.parse().unwrap());
    }
    assert!(got.len() < number && got.is_sorted(), "{got:?} of {number}");
    slow.send_frame("UNSUBSCRIBE\nid:end\n\n").await;
    sender.send("/topic/flood", "9999 back to normal").await;
    assert_eq!(slow.message().await, "9999 back to normal");
    assert_eq!(broker.metric("stompbroker_slow_consumers_total").await, 0);
    let dropped = u64::try_from(number - got.len()).unwrap();
    eventually("every dropped message to be counted", async || {
        (broker.metric("stompbroker_messages_dropped_total").await == dropped).then_some(())
    })
    .await;
    got.push(number);
    got
}

#[tokio::test]
async fn a_listener_that_drops_the_oldest_gives_a_slow_client_the_newest() {
    let mut got = what_a_flooded_client_gets("DropOldest").await;
    let sent = got.pop().unwrap();
    assert!(got.first() == Some(&0) && got.last() == Some(&(sent - 1)), "{got:?} of {sent}");
}

#[tokio::test]
async fn a_listener_that_drops_the_newest_lets_a_slow_client_keep_what_waits() {
    let got = what_a_flooded_client_gets("DropNewest").await;
    let waiting = got.iter().enumerate().take_while(|(index, number)| index == *number).count();
    assert!(waiting * 30_000 > 256 << 10, "{got:?}");
}

#[tokio::test]
async fn beyond_the_message_rate_the_broker_reads_more_slowly_and_loses_nothing() {
    let broker = BrokerUnderTest::start(&config("limits: {messagesPerSecondPerPod: 200}"));
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    let begun = Instant::now();
    let burst: Vec<_> = (0..300).map(|number| format!("SEND\ndestination:/topic/a\n\n{number}\0")).collect();
    client.write(burst.concat().as_bytes()).await;
    for number in 0..300 {
        assert_eq!(client.message().await, number.to_string());
    }
    assert!(begun.elapsed().as_millis() >= 1300, "300 messages at 200 a second took {:?}", begun.elapsed());
    assert!(broker.metric("stompbroker_throttled_total").await > 0);
}

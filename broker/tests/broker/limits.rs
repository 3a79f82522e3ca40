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

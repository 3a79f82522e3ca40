//! Heart-beats that really travel.

use crate::support::{BrokerUnderTest, Message, Peer, config};

const FAST: &str = "heartbeat: 200ms\nsessionTimeout: 600ms";

#[tokio::test]
async fn the_broker_beats_over_tcp_as_agreed_also_while_messages_flow() {
    let broker = BrokerUnderTest::start(&config(FAST));
    let mut client = broker.tcp().await;
    let connected = client.log_in("heart-beat:0,100\n").await;
    assert_eq!(connected.header("heart-beat"), Some("200,200"));
    for _ in 0..3 {
        client.heartbeat().await;
    }
}

#[tokio::test]
async fn the_broker_beats_over_websocket_with_a_message_of_one_line_feed() {
    let broker = BrokerUnderTest::start(&config(FAST));
    let mut client = broker.websocket_client().await;
    client.log_in("heart-beat:0,200\n").await;
    for _ in 0..3 {
        assert_eq!(client.message_or_control().await, Message::Text("\n".to_owned()));
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_is_told_and_closed() {
    let broker = BrokerUnderTest::start(&config(FAST));
    let mut client = broker.tcp().await;
    client.log_in("heart-beat:200,0\n").await;
    client.frame().await.assert_error("heart-beat");
    client.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"heartbeat_timeout\"}").await, 1);
}

#[tokio::test]
async fn a_client_that_beats_or_asked_for_nothing_stays() {
    let broker = BrokerUnderTest::start(&config(FAST));
    let (mut beating, mut silent) = (broker.tcp().await, broker.tcp().await);
    beating.log_in("heart-beat:200,0\n").await;
    silent.log_in("").await;
    for _ in 0..12 {
        beating.write(b"\n").await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for client in [&mut beating, &mut silent] {
        client.send_frame("DISCONNECT\nreceipt:alive\n\n").await;
        assert_eq!(client.frame().await.header("receipt-id"), Some("alive"));
    }
}

#[tokio::test]
async fn a_client_that_is_not_listened_to_for_its_rate_is_not_called_silent() {
    let broker = BrokerUnderTest::start(&config(&format!("{FAST}\nlimits: {{messagesPerSecondPerPod: 1}}")));
    let mut client = broker.tcp().await;
    client.log_in("heart-beat:200,0\n").await;
    client.subscribe("0", "/topic/a").await;
    for number in 0..4 {
        client.send("/topic/a", &number.to_string()).await;
    }
    for number in 0..4 {
        assert_eq!(client.message().await, number.to_string());
    }
}

//! How a pod lets its sessions go.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::support::{BrokerUnderTest, Peer, WebSocketClient, config, eventually};

#[tokio::test]
async fn a_drain_turns_readiness_off_then_refuses_then_closes_and_ends() {
    let drain = "drain: {delay: 700ms, connectionsPerSecond: 100, deadline: 30s}";
    let mut broker = BrokerUnderTest::start(&config(drain));
    let (mut tcp, mut browser) = (broker.tcp_session().await, broker.websocket_client().await);
    browser.log_in("").await;
    broker.shutdown.cancel();
    let ready = eventually("readiness to turn off", async || {
        Some(broker.admin("GET", "/readyz").await).filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(ready.body, "draining\n");
    assert_eq!(broker.admin("GET", "/livez").await.status, 200);
    let mut late = broker.tcp().await;
    late.log_in("").await;

    for client in [&mut tcp, &mut late] {
        client.frame().await.assert_error("lets its sessions go");
        client.end().await;
    }
    browser.frame().await.assert_error("lets its sessions go");
    assert_eq!(browser.close().await.0, 1012);
    broker.ended().await;
    assert!(TcpStream::connect(broker.stomp()).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn sessions_are_closed_at_the_configured_pace() {
    let mut broker = BrokerUnderTest::start(&config("drain: {delay: 0s, connectionsPerSecond: 20, deadline: 30s}"));
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(broker.tcp_session().await);
    }
    let begun = Instant::now();
    broker.shutdown.cancel();
    for client in &mut clients {
        client.frame().await;
        client.end().await;
    }
    broker.ended().await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "20 sessions at 20 a second took {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_deadline_closes_what_is_left() {
    let mut broker = BrokerUnderTest::start(&config("drain: {delay: 0s, connectionsPerSecond: 1, deadline: 500ms}"));
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(broker.tcp_session().await);
    }
    broker.shutdown.cancel();
    for client in &mut clients {
        client.frame().await.assert_error("lets its sessions go");
    }
    drop(clients);
    broker.ended().await;
}

#[tokio::test]
async fn a_drain_by_the_admin_port_leaves_the_process_alive() {
    let mut broker = BrokerUnderTest::start(&config("drain: {delay: 0s, connectionsPerSecond: 100, deadline: 30s}"));
    let mut client = broker.tcp_session().await;
    assert_eq!(broker.admin("POST", "/drain").await.status, 202);
    client.frame().await.assert_error("lets its sessions go");
    drop(client);
    eventually("all sessions to be gone", async || {
        let status = broker.admin("GET", "/status").await.json();
        (status["draining"] == true && status["sessions"]["stomp"] == 0).then_some(())
    })
    .await;
    eventually("the port to be closed", async || TcpStream::connect(broker.stomp()).await.is_err().then_some(())).await;
    assert_eq!(broker.metric("stompbroker_draining").await, 1);
    assert_eq!(broker.admin("GET", "/livez").await.status, 200);
    broker.shutdown.cancel();
    broker.ended().await;
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_handshake_does_not_hold_up_the_end() {
    let mut broker = BrokerUnderTest::start(&config("drain: {delay: 0s, connectionsPerSecond: 100, deadline: 20s}"));
    let begun = Instant::now();
    let _http = TcpStream::connect(broker.websocket()).await.unwrap();
    let _stomp = broker.tcp().await;
    let _upgraded = WebSocketClient::connect(broker.websocket(), "/chat", "").await;
    broker.shutdown.cancel();
    broker.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

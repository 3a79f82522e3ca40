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

async fn status(broker: &BrokerUnderTest) -> serde_json::Value {
    broker.admin("GET", "/status").await.json()
}

#[tokio::test]
async fn a_drain_that_is_called_off_in_time_harms_no_session() {
    let broker = BrokerUnderTest::start(&config("drain: {delay: 5m, connectionsPerSecond: 100, deadline: 10m}"));
    let mut client = broker.tcp_session().await;
    assert!(status(&broker).await.get("drain").is_none());
    broker.admin("POST", "/drain").await;
    let drain = eventually("the drain to be told", async || status(&broker).await.get("drain").cloned()).await;
    assert_eq!((&drain["phase"], &drain["canBeCalledOff"]), (&"Waiting".into(), &true.into()));
    assert_eq!((&drain["connectionsAtStart"], &drain["connectionsLeft"]), (&1.into(), &1.into()));
    assert!(drain["since"].as_str() < drain["deadline"].as_str(), "{drain}");
    assert_eq!(broker.admin("GET", "/readyz").await.status, 503);
    assert_eq!(broker.admin("DELETE", "/drain").await.status, 202);
    eventually("the pod to be ready", async || (broker.admin("GET", "/readyz").await.status == 200).then_some(()))
        .await;
    eventually("the drain to be over", async || status(&broker).await.get("drain").is_none().then_some(())).await;
    assert_eq!(broker.metric("stompbroker_draining").await, 0);
    client.subscribe("0", "/topic/a").await;
    broker.tcp_session().await;
}

#[tokio::test]
async fn a_drained_pod_serves_again_and_what_was_not_acknowledged_is_still_there() {
    let mut broker = BrokerUnderTest::start(&config("drain: {delay: 0s, connectionsPerSecond: 100, deadline: 30s}"));
    let mut client = broker.tcp_session().await;
    client.send_frame("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n").await;
    client.send("/queue/a", "kept").await;
    assert_eq!(client.message().await, "kept");
    broker.admin("POST", "/drain").await;
    client.frame().await.assert_error("lets its sessions go");
    drop(client);
    eventually("the drain to be done", async || (status(&broker).await["drain"]["phase"] == "Drained").then_some(()))
        .await;
    assert!(TcpStream::connect(broker.stomp()).await.is_err(), "the port is closed");
    broker.admin("DELETE", "/drain").await;
    for port in [broker.stomp(), broker.websocket()] {
        eventually("the port to accept", async || TcpStream::connect(port).await.ok()).await;
    }
    let mut client = broker.tcp_session().await;
    client.consume("0", "/queue/a").await;
    let message = client.frame().await;
    assert_eq!((message.text(), message.header("redelivered")), ("kept", Some("true")));

    broker.shutdown.cancel();
    client.frame().await.assert_error("lets its sessions go");
    drop(client);
    broker.ended().await;
}

#[tokio::test]
async fn the_drain_of_a_process_that_ends_is_not_called_off() {
    let broker = BrokerUnderTest::start(&config("drain: {delay: 5m, connectionsPerSecond: 100, deadline: 10m}"));
    broker.shutdown.cancel();
    eventually("the drain to begin", async || (status(&broker).await["draining"] == true).then_some(())).await;
    let answer = broker.admin("DELETE", "/drain").await;
    assert!(answer.status == 409 && answer.body.contains("ending"), "{answer:?}");
    assert_eq!(status(&broker).await["drain"]["canBeCalledOff"], false);
}

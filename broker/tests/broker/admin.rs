//! The admin port.

use crate::support::{BrokerUnderTest, Peer, config, eventually};

#[tokio::test]
async fn probes_and_metrics_need_no_token_and_everything_else_does() {
    let broker = BrokerUnderTest::start(&config(""));
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(broker.admin_with("GET", path, "").await.status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/status"),
        ("GET", "/config-hash"),
        ("GET", "/websocket-stats"),
        ("GET", "/sessions"),
        ("GET", "/sessions/x"),
        ("DELETE", "/sessions/x"),
        ("GET", "/users/x/sessions"),
        ("GET", "/destinations"),
        ("POST", "/drain"),
        ("DELETE", "/drain"),
    ] {
        for header in ["", "Authorization: Bearer open-sesam\r\n", "Authorization: Basic open-sesame\r\n"] {
            let answer = broker.admin_with(method, path, header).await;
            assert!(answer.status == 401 && answer.head.contains("www-authenticate: bearer"), "{path} {answer:?}");
        }
    }
    assert_eq!(broker.admin("GET", "/status").await.status, 200);
    assert_eq!(broker.admin("GET", "/status").await.json()["draining"], false, "a refused drain has no effect");
}

#[tokio::test]
async fn without_a_token_file_the_guarded_paths_are_closed() {
    let broker = BrokerUnderTest::start("listeners: {stomp: {port: 0}}\nadmin: {port: 0}\n");
    let answer = broker.admin("GET", "/status").await;
    assert!(answer.status == 403 && answer.body.contains("admin.tokenFile"), "{answer:?}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_with_what_there_is() {
    let broker = BrokerUnderTest::start(&config(""));
    let answer = broker.admin("GET", "/health").await;
    assert!(answer.status == 404 && answer.body.contains("/readyz"), "{answer:?}");
    let answer = broker.admin("GET", "/drain").await;
    assert!(answer.status == 405 && answer.head.contains("allow: post"), "{answer:?}");
    let answer = broker.admin("PUT", "/sessions/x").await;
    assert!(answer.status == 405 && answer.head.contains("allow: get, delete"), "{answer:?}");
    for path in ["/sessions/", "/sessions/a/b", "/users//sessions"] {
        assert_eq!(broker.admin("GET", path).await.status, 404, "{path}");
    }
    let answer = broker.admin("POST", "/status").await;
    assert!(answer.status == 405 && answer.head.contains("allow: get"), "{answer:?}");
}

#[tokio::test]
async fn stats_tell_sessions_and_what_waits_at_each_destination() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut tcp, mut browser) = (broker.tcp_session().await, broker.websocket_client().await);
    browser.log_in("").await;
    browser.subscribe("b", "/topic/prices").await;
    for _ in 0..3 {
        tcp.send_frame("SEND\ndestination:/queue/jobs\nreceipt:r\n\nwork").await;
        tcp.frame().await;
    }
    let stats = broker.admin("GET", "/websocket-stats").await.json();
    assert_eq!((&stats["stomp"], &stats["websocket"], &stats["total"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(stats["destinations"]["/queue/jobs"]["depth"], 3);
    assert_eq!(stats["destinations"]["/topic/prices"]["consumers"], 1);
    assert_eq!(broker.metric("stompbroker_messages_waiting{destination=\"/queue/jobs\"}").await, 3);
    eventually("the rate of messages", async || {
        let status = broker.admin("GET", "/status").await.json();
        (status["sessions"]["inboundPerSecond"].as_f64().unwrap() > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_count_frames_and_octets() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    for _ in 0..5 {
        client.send("/topic/a", "x").await;
        client.message().await;
    }
    for (metric, value) in [
        ("stompbroker_frames_total{command=\"CONNECT\",direction=\"in\"}", 1),
        ("stompbroker_frames_total{command=\"SEND\",direction=\"in\"}", 5),
        ("stompbroker_frames_total{command=\"MESSAGE\",direction=\"out\"}", 5),
        ("stompbroker_frames_total{command=\"RECEIPT\",direction=\"out\"}", 1),
        ("stompbroker_sessions{transport=\"tcp\"}", 1),
        ("stompbroker_engine_ready", 1),
    ] {
        assert_eq!(broker.metric(metric).await, value, "{metric}");
    }
    assert!(broker.metric("stompbroker_received_bytes_total{transport=\"tcp\"}").await > 100);
    assert!(broker.metric("stompbroker_sent_bytes_total{transport=\"tcp\"}").await > 100);
    let text = broker.admin("GET", "/metrics").await;
    assert!(text.head.contains("content-type: application/openmetrics-text"), "{}", text.head);
    assert!(text.body.contains("stompbroker_build_info{version=\""), "{}", text.body);
}

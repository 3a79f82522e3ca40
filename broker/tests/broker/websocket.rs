//! STOMP over WebSocket: the upgrade, the framing, the end.

use crate::support::{BrokerUnderTest, Message, Peer, WebSocketClient, config, request, upgrade_request};

#[tokio::test]
async fn the_highest_subprotocol_offered_is_echoed_and_none_is_needed() {
    let broker = BrokerUnderTest::start(&config(""));
    for (offer, echoed) in [
        ("Sec-WebSocket-Protocol: v10.stomp, v11.stomp, v12.stomp\r\n", Some("v12.stomp")),
        ("Sec-WebSocket-Protocol: v10.stomp, v11.stomp\r\n", Some("v11.stomp")),
        ("Sec-WebSocket-Protocol: mqtt\r\n", None),
        ("", None),
    ] {
        let mut client = WebSocketClient::connect(broker.websocket(), "/chat", offer).await;
        let line = client.head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(line, echoed, "{offer}");
        assert!(client.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{}", client.head);
        let connection = client.head.lines().find_map(|line| line.strip_prefix("connection: "));
        assert_eq!(connection, Some("upgrade"), "nothing beside it, for strict clients take nothing else");
        client.log_in("").await;
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_answered_in_words() {
    let broker = BrokerUnderTest::start(&config(""));
    let answer = request(broker.websocket(), "GET", "/elsewhere", "").await;
    assert!(answer.status == 404 && answer.body.contains("/chat"), "{answer:?}");
    let answer = request(broker.websocket(), "GET", "/chat", "").await;
    assert!(answer.status == 426 && answer.head.contains("upgrade: websocket"), "{answer:?}");
    let answer = request(broker.websocket(), "POST", "/chat", "").await;
    assert!(answer.status == 405 && answer.head.contains("allow: get"), "{answer:?}");
    let wrong = upgrade_request("/chat", "").replace("Version: 13", "Version: 7");
    let answer = WebSocketClient::request(broker.websocket(), wrong.as_bytes()).await.err().unwrap();
    assert!(answer.status == 426 && answer.head.contains("sec-websocket-version: 13"), "{answer:?}");
}

#[tokio::test]
async fn only_allowed_origins_get_in() {
    let listeners = "listeners: {websocket: {port: 0, allowedOrigins: ['https://app.test', 'https://*.corp.test']}}\n\
                     admin: {port: 0}\nauthentication: {anonymous: true}\n";
    let broker = BrokerUnderTest::start(listeners);
    for origin in ["https://app.test", "https://a.b.corp.test"] {
        WebSocketClient::connect(broker.websocket(), "/ws", &format!("Origin: {origin}\r\n")).await.log_in("").await;
    }
    for origin in ["https://evil.test", "http://app.test", "null", "http://broker.test"] {
        let header = format!("Origin: {origin}\r\n");
        let answer = WebSocketClient::try_connect(broker.websocket(), "/ws", &header).await.err().unwrap();
        assert!(answer.status == 403 && answer.body.contains(origin), "{answer:?}");
    }
    assert_eq!(broker.metric("stompbroker_origins_refused_total").await, 4);
}

#[tokio::test]
async fn without_a_list_of_origins_only_the_same_origin_gets_in() {
    let broker = BrokerUnderTest::start(&config(""));
    let same = WebSocketClient::connect(broker.websocket(), "/chat", "Origin: http://broker.test\r\n").await;
    drop(same);
    let other = WebSocketClient::try_connect(broker.websocket(), "/chat", "Origin: http://other.test\r\n").await;
    assert_eq!(other.err().unwrap().status, 403);
}

#[tokio::test]
async fn messages_are_text_where_they_can_be_and_binary_where_they_must() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    client.subscribe("0", "/topic/a").await;
    client.send("/topic/a", "gr\u{fc}\u{df}e").await;
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.contains("gr\u{fc}\u{df}e\0"), "{text:?}");
    client.send_raw(0x82, b"SEND\ndestination:/topic/a\n\n\xFF\xFE\0").await;
    let Message::Binary(octets) = client.message_or_control().await else { panic!("not binary") };
    assert!(octets.ends_with(b"\n\n\xFF\xFE\0"), "{octets:?}");
}

#[tokio::test]
async fn stomp_frames_and_websocket_messages_need_not_begin_and_end_together() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.websocket_client().await;
    client.send_text("CONN").await;
    client.send_raw(0x02, b"ECT\naccept-version:1.2\n").await;
    client.send_raw(0x89, b"ping").await;
    client.send_raw(0x00, b"host:x\n").await;
    client.send_raw(0x80, b"\n\0SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0SEND\ndestination:/to").await;
    assert_eq!(client.message_or_control().await, Message::Pong(b"ping".to_vec()));
    assert_eq!(client.frame().await.command, "CONNECTED");
    client.send_text("pic/a\n\none\0SEND\ndestination:/topic/a\n\ntwo\0\n").await;
    assert_eq!((client.message().await, client.message().await), ("one".to_owned(), "two".to_owned()));
}

#[tokio::test]
async fn what_follows_the_upgrade_request_at_once_is_not_lost() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut octets = upgrade_request("/chat", "").into_bytes();
    let connect = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0";
    octets.extend([0x81, 0x80 | u8::try_from(connect.len()).unwrap(), 0, 0, 0, 0]);
    octets.extend(connect);
    let mut client = WebSocketClient::request(broker.websocket(), &octets).await.ok().unwrap();
    assert_eq!(client.frame().await.command, "CONNECTED");
}

#[tokio::test]
async fn the_close_frame_says_why_and_follows_the_error() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    client.send_text("NONSENSE\n\n\0").await;
    client.frame().await.assert_error("NONSENSE");
    let (code, reason) = client.close().await;
    assert!(code == 1002 && reason.contains("NONSENSE"), "{code} {reason}");

    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    client.send_frame("DISCONNECT\nreceipt:bye\n\n").await;
    assert_eq!(client.frame().await.header("receipt-id"), Some("bye"));
    assert_eq!(client.close().await.0, 1000);
}

#[tokio::test]
async fn a_broken_websocket_frame_is_answered_by_close_1002_and_bad_text_by_1007() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.websocket_client().await;
    client.write(&[0x81, 0x01, b'x']).await;
    let (code, reason) = client.close().await;
    assert!(code == 1002 && reason.contains("masked"), "{code} {reason}");
    let mut client = broker.websocket_client().await;
    client.send_raw(0x81, b"CONNECT\n\xFF").await;
    assert_eq!(client.close().await.0, 1007);
}

#[tokio::test]
async fn a_close_from_the_client_is_answered_with_the_same_code() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    client.send_raw(0x88, &3001_u16.to_be_bytes()).await;
    assert_eq!(client.message_or_control().await, Message::Close(3001, String::new()));
    client.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"client_closed\"}").await, 1);
}

#[tokio::test]
async fn a_websocket_connection_that_sends_no_request_or_no_connect_is_closed() {
    let broker = BrokerUnderTest::start(&config("limits: {loginTimeout: 300ms}"));
    let mut silent = crate::support::StompClient::connect(broker.websocket()).await;
    silent.end().await;
    let mut client = broker.websocket_client().await;
    client.frame().await.assert_error("limits.loginTimeout");
    assert_eq!(client.close().await.0, 1008);
}

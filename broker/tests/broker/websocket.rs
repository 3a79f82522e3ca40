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

fn compressing() -> String {
    config("").replace("path: /chat", "path: /chat, compression: {enabled: true, minimumSize: 1Ki}")
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// A message as a client deflates it, without the end of the flush.
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(message.len() + 100);
    compress.compress_vec(message, &mut out, flate2::FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

fn inflated(mut wire: Vec<u8>) -> String {
    wire.extend([0, 0, 0xFF, 0xFF]);
    let mut out = Vec::with_capacity(1 << 20);
    flate2::Decompress::new(false).decompress_vec(&wire, &mut out, flate2::FlushDecompress::Sync).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn compression_is_agreed_on_only_where_it_is_offered_and_switched_on() {
    for (config, offer, agreed) in
        [(config(""), OFFER, false), (compressing(), "", false), (compressing(), OFFER, true)]
    {
        let broker = BrokerUnderTest::start(&config);
        let mut client = WebSocketClient::connect(broker.websocket(), "/chat", offer).await;
        assert_eq!(client.head.contains("sec-websocket-extensions: permessage-deflate"), agreed, "{}", client.head);
        client.log_in("").await;
        if !agreed {
            client.send_raw(0xC1, &deflated(b"SEND\ndestination:/topic/a\n\nx\0")).await;
            let (code, reason) = client.close().await;
            assert!(code == 1002 && reason.contains("reserved bit"), "{code} {reason}");
        }
    }
}

#[tokio::test]
async fn compressed_messages_are_understood_in_fragments_and_long_frames_come_compressed() {
    let broker = BrokerUnderTest::start(&compressing());
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat", OFFER).await;
    client.log_in("").await;
    client.subscribe("0", "/topic/a").await;
    let body = "word ".repeat(2000);
    let wire = deflated(format!("SEND\ndestination:/topic/a\n\n{body}\0").as_bytes());
    for cut in [1, 7, wire.len() / 2] {
        client.send_raw(0x41, &wire[..cut]).await;
        client.send_raw(0x80, &wire[cut..]).await;
        let Message::Compressed(received) = client.message_or_control().await else { panic!("not compressed") };
        assert!(received.len() < 1000, "{}", received.len());
        assert!(inflated(received).contains(&format!("\n\n{body}\0")));
    }
    client.send("/topic/a", "short").await;
    let Message::Text(text) = client.message_or_control().await else { panic!("a short frame is sent as it is") };
    assert!(text.ends_with("short\0"), "{text}");
}

#[tokio::test]
async fn many_well_compressed_messages_at_once_are_all_taken() {
    let broker = BrokerUnderTest::start(&compressing());
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat", OFFER).await;
    client.log_in("").await;
    let body = "x".repeat(60_000);
    for number in 0..60 {
        let receipt = if number == 59 { "receipt:all\n" } else { "" };
        let frame = format!("SEND\ndestination:/queue/a\n{receipt}\n{body}\0");
        client.send_raw(0xC1, &deflated(frame.as_bytes())).await;
    }
    assert_eq!(client.frame().await.header("receipt-id"), Some("all"));
    assert_eq!(broker.metric("stompbroker_messages_waiting{destination=\"/queue/a\"}").await, 60);
}

#[tokio::test]
async fn a_compressed_bomb_is_an_error_that_names_the_limit() {
    let broker = BrokerUnderTest::start(&compressing());
    let bomb = deflated(&[b"SEND\ndestination:/queue/a\n\n".to_vec(), vec![b'x'; 40 << 20]].concat());
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat", OFFER).await;
    client.log_in("").await;
    client.send_raw(0xC1, &bomb).await;
    client.frame().await.assert_error("limits.messageSize");
    assert_eq!(client.close().await.0, 1009);
    let many_frames = "SEND\ndestination:/topic/a\n\nx\0".repeat(60_000);
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat", OFFER).await;
    client.log_in("").await;
    client.send_raw(0xC1, &deflated(many_frames.as_bytes())).await;
    client.frame().await.assert_error("inflates to more than");
    let mut stranger = WebSocketClient::connect(broker.websocket(), "/chat", OFFER).await;
    stranger.send_raw(0xC1, &bomb).await;
    stranger.frame().await.assert_error("limits.unauthenticatedFrameSize");
}

#[tokio::test]
async fn a_client_is_pinged_and_closed_when_it_answers_nothing() {
    // Long enough for an answer from a machine that is busy.
    let pings = config("").replace("path: /chat", "path: /chat, pingInterval: 3s");
    let broker = BrokerUnderTest::start(&pings);
    let (mut client, mut silent) = (broker.websocket_client().await, broker.websocket_client().await);
    client.log_in("").await;
    silent.log_in("").await;
    for _ in 0..2 {
        assert_eq!(client.message_or_control().await, Message::Ping);
        client.send_raw(0x8A, b"").await;
    }
    assert_eq!(silent.message_or_control().await, Message::Ping);
    let (code, reason) = silent.close().await;
    assert!(code == 1008 && reason.contains("listeners.websocket.pingInterval"), "{code} {reason}");
    client.subscribe("0", "/topic/a").await;
}

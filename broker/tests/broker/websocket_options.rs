//! Compression and pings, on every path of the port for browsers that is a WebSocket.

use crate::support::{BrokerUnderTest, Message, Peer, WebSocketClient, config};

fn compressing() -> String {
    config("").replace("path: /chat", "path: /chat, sockJs: {}, compression: {enabled: true, minimumSize: 1Ki}")
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

/// A session over the WebSocket of SockJS.
async fn sockjs_client(broker: &BrokerUnderTest, session: &str, headers: &str) -> WebSocketClient {
    let path = format!("/chat/000/{session}/websocket");
    let mut client = WebSocketClient::connect(broker.websocket(), &path, headers).await;
    assert_eq!(client.message_or_control().await, Message::Text("o".to_owned()));
    client.send_text(&json("CONNECT\naccept-version:1.2\nhost:x\n\n\0")).await;
    let Message::Text(text) = client.message_or_control().await else { panic!("a short frame is sent as it is") };
    assert!(text.starts_with("a[\"CONNECTED\\n"), "{text}");
    client
}

fn json(frame: &str) -> String {
    serde_json::to_string(&[frame]).unwrap()
}

#[tokio::test]
async fn the_websockets_of_sockjs_compress_as_well() {
    let broker = BrokerUnderTest::start(&compressing());
    let body = "word ".repeat(2000);
    let send = format!("SEND\ndestination:/topic/a\n\n{body}\0");
    let mut raw = WebSocketClient::connect(broker.websocket(), "/chat/websocket", OFFER).await;
    raw.log_in("").await;
    raw.subscribe("0", "/topic/a").await;
    raw.send_raw(0xC1, &deflated(send.as_bytes())).await;
    let Message::Compressed(received) = raw.message_or_control().await else { panic!("not compressed") };
    assert!(inflated(received).contains(&format!("\n\n{body}\0")));

    let mut client = sockjs_client(&broker, "one", OFFER).await;
    assert!(client.head.contains("sec-websocket-extensions: permessage-deflate"), "{}", client.head);
    client.send_raw(0xC1, &deflated(json("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0").as_bytes())).await;
    let wire = deflated(json(&send).as_bytes());
    client.send_raw(0x41, &wire[..7]).await;
    client.send_raw(0x80, &wire[7..]).await;
    let Message::Compressed(received) = client.message_or_control().await else { panic!("not compressed") };
    let received = inflated(received);
    let messages: Vec<String> = serde_json::from_str(received.strip_prefix('a').unwrap()).unwrap();
    assert!(messages[0].contains(&format!("\n\n{body}\0")), "{received}");
}

#[tokio::test]
async fn a_compressed_bomb_ends_the_websocket_of_sockjs() {
    let broker = BrokerUnderTest::start(&compressing());
    let bomb = json(&format!("SEND\ndestination:/queue/a\n\n{}", "x".repeat(10 << 20)));
    let mut client = sockjs_client(&broker, "one", OFFER).await;
    client.send_raw(0xC1, &deflated(bomb.as_bytes())).await;
    let Message::Text(error) = client.message_or_control().await else { panic!("not text") };
    assert!(error.starts_with("a[\"ERROR") && error.contains("limits.messageSize"), "{error}");
    assert!(matches!(client.message_or_control().await, Message::Text(text) if text.starts_with("c[1009,")));
    assert_eq!(client.close().await.0, 1009);
}

#[tokio::test]
async fn a_client_of_sockjs_is_pinged_and_closed_when_it_answers_nothing() {
    let broker = BrokerUnderTest::start(
        &config("").replace("path: /chat", "path: /chat, sockJs: {heartbeat: 60s}, pingInterval: 3s"),
    );
    let (mut client, mut silent) = (sockjs_client(&broker, "one", "").await, sockjs_client(&broker, "two", "").await);
    assert_eq!(client.message_or_control().await, Message::Ping);
    client.send_raw(0x8A, b"").await;
    assert_eq!(silent.message_or_control().await, Message::Ping);
    let mut farewell = Vec::new();
    let code = loop {
        match silent.message_or_control().await {
            Message::Text(text) => farewell.push(text),
            Message::Close(code, _) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert!(code == 1008 && farewell.concat().contains("listeners.websocket.pingInterval"), "{code} {farewell:?}");
    assert_eq!(client.message_or_control().await, Message::Ping, "who answered stays");
}

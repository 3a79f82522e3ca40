//! STOMP over SockJS: what the broker adds to the service.

use std::net::SocketAddr;

use super::Http;
use crate::support::{BrokerUnderTest, Frame, Message, Peer as _, WebSocketClient, config, eventually, within};

const CONNECT: &str = "CONNECT\naccept-version:1.2\nhost:x\n\n\0";

/// A configuration with SockJS, with these keys of it and these further ones.
pub(super) fn sockjs(keys: &str, more: &str) -> String {
    config(more).replace("path: /chat", &format!("path: /chat, sockJs: {{{keys}}}"))
}

/// A session by HTTP requests.
pub(super) struct Session {
    address: SocketAddr,
    path: String,
}

impl Session {
    pub(super) fn new(broker: &BrokerUnderTest, name: &str) -> Self {
        Self { address: broker.websocket(), path: format!("/chat/000/{name}") }
    }

    pub(super) async fn send(&self, frame: &str) -> u16 {
        let body = serde_json::to_string(&[frame]).unwrap();
        let mut http = Http::connect(self.address).await;
        http.send("POST", &format!("{}/xhr_send", self.path), "1.1", "", &body).await;
        http.response().await.status
    }

    pub(super) async fn poll(&self) -> String {
        let mut http = Http::connect(self.address).await;
        http.send("POST", &format!("{}/xhr", self.path), "1.1", "", "").await;
        let response = http.response().await;
        assert_eq!(response.status, 200, "{response:?}");
        response.body.strip_suffix('\n').unwrap().to_owned()
    }

    /// The messages of the next poll that has some; heart-beats of either kind are passed over.
    pub(super) async fn messages(&self) -> Vec<String> {
        loop {
            let frame = self.poll().await;
            if let Some(messages) = frame.strip_prefix('a') {
                let mut messages: Vec<String> = serde_json::from_str(messages).unwrap();
                messages.retain(|message| message != "\n");
                if !messages.is_empty() {
                    return messages;
                }
            } else {
                assert_eq!(frame, "h");
            }
        }
    }

    async fn frame(&self) -> Frame {
        let mut messages = self.messages().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        Frame::parse(messages.remove(0).strip_suffix('\0').unwrap().as_bytes())
    }

    /// Opens it and logs in.
    async fn log_in(broker: &BrokerUnderTest, name: &str) -> Self {
        let session = Self::new(broker, name);
        assert_eq!(session.poll().await, "o");
        assert_eq!(session.send(CONNECT).await, 204);
        assert_eq!(session.frame().await.command, "CONNECTED");
        session
    }
}

#[tokio::test]
async fn stomp_goes_by_polling_and_frames_may_be_cut_over_messages() {
    let broker = BrokerUnderTest::start(&sockjs("", ""));
    let session = Session::log_in(&broker, "one").await;
    assert_eq!(session.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0SEND\ndestination:/to").await, 204);
    assert_eq!(session.send("pic/a\n\ngr\u{fc}\u{df}e\u{1f600}\0").await, 204);
    let frame = session.frame().await;
    assert_eq!((frame.command.as_str(), frame.text()), ("MESSAGE", "gr\u{fc}\u{df}e\u{1f600}"));
    assert_eq!(broker.metric("stompbroker_sessions{transport=\"sockjs_polling\"}").await, 1);
    let stats = broker.admin("GET", "/websocket-stats").await.json();
    assert_eq!((&stats["sockJsPolling"], &stats["total"]), (&1.into(), &1.into()), "{stats}");
}

#[tokio::test]
async fn stomp_goes_by_streaming_and_messages_that_wait_are_batched() {
    let broker = BrokerUnderTest::start(&sockjs("responseLimit: 1Mi", ""));
    let session = Session::new(&broker, "one");
    let mut stream = Http::connect(broker.websocket()).await;
    stream.send("POST", &format!("{}/xhr_streaming", session.path), "1.1", "", "").await;
    assert_eq!(stream.head().await.status, 200);
    assert_eq!(stream.chunk().await.len(), 2049);
    assert_eq!(stream.chunk().await, "o\n");
    session.send(CONNECT).await;
    assert!(stream.chunk().await.starts_with("a[\"CONNECTED\\n"));
    let sends = "SEND\ndestination:/topic/a\n\nx\0".repeat(1000);
    session.send(&format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0{sends}")).await;
    let mut arrived = 0;
    while arrived < 1000 {
        let chunk = stream.chunk().await;
        let messages: Vec<String> = serde_json::from_str(chunk.strip_prefix('a').unwrap()).unwrap();
        arrived += messages.iter().filter(|message| message.starts_with("MESSAGE\n")).count();
    }
    assert_eq!(broker.metric("stompbroker_sessions{transport=\"sockjs_streaming\"}").await, 1);
}

#[tokio::test]
async fn stomp_goes_over_the_websocket_of_sockjs_and_over_the_raw_one() {
    let broker = BrokerUnderTest::start(&sockjs("", ""));
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat/000/one/websocket", "").await;
    assert_eq!(client.message_or_control().await, Message::Text("o".to_owned()));
    client.send_text(&serde_json::to_string(&[CONNECT]).unwrap()).await;
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.starts_with("a[\"CONNECTED\\nversion:1.2\\n"), "{text}");
    assert_eq!(broker.metric("stompbroker_sessions{transport=\"sockjs_websocket\"}").await, 1);
    assert_eq!(broker.metric("stompbroker_connections{transport=\"websocket\"}").await, 0);
    client.send_text("[\"NONSENSE\\n\\n\\u0000\"]").await;
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.starts_with("a[\"ERROR\\n"), "{text}");
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.starts_with("c[1002,") && text.contains("NONSENSE"), "{text}");
    assert_eq!(client.close().await.0, 1002);

    let offer = "Sec-WebSocket-Protocol: v11.stomp, v12.stomp\r\n";
    let mut raw = WebSocketClient::connect(broker.websocket(), "/chat/websocket", offer).await;
    assert!(raw.head.contains("sec-websocket-protocol: v12.stomp"), "{}", raw.head);
    raw.log_in("").await;
    broker.websocket_client().await.log_in("").await;
}

#[tokio::test]
async fn an_error_is_followed_by_a_close_frame_with_its_code() {
    let broker = BrokerUnderTest::start(&sockjs("", ""));
    let session = Session::log_in(&broker, "one").await;
    session.send("SUBSCRIBE\ndestination:/topic/a\n\n\0").await;
    session.frame().await.assert_error("needs the header id");
    let close = session.poll().await;
    assert!(close.starts_with("c[1002,\"") && close.contains("needs the header id"), "{close}");
    let other = Session::log_in(&broker, "other").await;
    other.send("DISCONNECT\nreceipt:bye\n\n\0").await;
    assert_eq!(other.frame().await.header("receipt-id"), Some("bye"));
    assert_eq!(other.poll().await, "c[1000,\"\"]");
}

#[tokio::test]
async fn a_message_that_is_no_text_ends_the_session_and_goes_to_another_consumer() {
    let broker = BrokerUnderTest::start(&sockjs("", ""));
    let session = Session::log_in(&broker, "one").await;
    session.send("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\nreceipt:r\n\n\0").await;
    assert_eq!(session.frame().await.command, "RECEIPT");
    let mut sender = broker.tcp_session().await;
    sender.write(b"SEND\ndestination:/queue/a\n\n\xFF\0").await;
    session.frame().await.assert_error("not UTF-8");
    assert!(session.poll().await.starts_with("c[1003,"));
    sender.consume("0", "/queue/a").await;
    assert_eq!(sender.frame().await.body, b"\xFF");
}

#[tokio::test]
async fn sockjs_beats_only_where_stomp_does_not() {
    let broker = BrokerUnderTest::start(&sockjs("heartbeat: 200ms", "heartbeat: 10s"));
    let session = Session::new(&broker, "one");
    assert_eq!(session.poll().await, "o");
    assert_eq!(session.poll().await, "h");
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat/000/one/websocket", "").await;
    for frame in ["o", "h", "h"] {
        assert_eq!(client.message_or_control().await, Message::Text(frame.to_owned()));
    }
    let connect = CONNECT.replace("\n\n", "\nheart-beat:0,1000\n\n");
    session.send(&connect).await;
    assert_eq!(session.frame().await.command, "CONNECTED");
    // The first beat of STOMP comes after many periods of `h`.
    assert_eq!(session.poll().await, "a[\"\\n\"]");
}

#[tokio::test]
async fn a_client_that_has_gone_is_found_out() {
    let broker = BrokerUnderTest::start(&sockjs("disconnectDelay: 300ms", ""));
    let session = Session::log_in(&broker, "silent").await;
    assert_eq!(broker.metric("stompbroker_sessions{transport=\"sockjs_polling\"}").await, 1);
    let is_lost = async || {
        let lost = broker.metric("stompbroker_sessions_closed_total{reason=\"connection_lost\"}").await;
        (lost == 1).then_some(())
    };
    eventually("the session to end", is_lost).await;
    assert_eq!(broker.metric("stompbroker_connections{transport=\"sockjs_polling\"}").await, 0);
    assert_eq!(session.send("\n").await, 404);
}

#[tokio::test]
async fn a_client_that_sends_but_does_not_receive_is_held_back_and_then_lost() {
    let broker = BrokerUnderTest::start(&sockjs("disconnectDelay: 1s", "limits: {messageSize: 256Ki}"));
    let session = Session::log_in(&broker, "greedy").await;
    session.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0").await;
    let send = format!("SEND\ndestination:/topic/a\n\n{}\0", "x".repeat(200_000));
    // However the session ends, by what waits for the client or by its absence, its memory is bounded and it is told.
    within("the session to end", async {
        while session.send(&send).await == 204
            && broker.metric("stompbroker_connections{transport=\"sockjs_polling\"}").await == 1
        {}
    })
    .await;
}

#[tokio::test]
async fn only_allowed_pages_get_an_answer() {
    let broker = BrokerUnderTest::start(
        &sockjs("", "")
            .replace("path: /chat", "path: /chat, allowedOrigins: ['https://app.test', 'https://*.corp.test']"),
    );
    let ask = async |method: &str, path: &str, headers: &str| {
        let mut http = Http::connect(broker.websocket()).await;
        http.send(method, path, "1.1", headers, "").await;
        http.response().await
    };
    let cases = [
        ("Origin: https://app.test\r\n", 200),
        ("Origin: https://a.corp.test\r\n", 200),
        ("Referer: https://app.test/page?x#y\r\n", 200),
        ("Referer: http://sockjs.test/chat/iframe.html\r\n", 200),
        ("", 200),
        ("Origin: https://evil.test\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://sockjs.test\r\n", 403),
        ("Referer: https://evil.test/page\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
    ];
    for (index, (headers, status)) in cases.into_iter().enumerate() {
        assert_eq!(ask("GET", "/chat/info", headers).await.status, status, "{headers}");
        assert_eq!(ask("GET", &format!("/chat/0/{index}/jsonp?c=x"), headers).await.status, status, "{headers}");
    }
    assert_eq!(broker.metric("stompbroker_origins_refused_total").await, 10);
    let page = ask("GET", "/chat/iframe.html", "").await;
    let policy = page.header("content-security-policy");
    assert_eq!(policy, Some("frame-ancestors 'self' https://app.test https://*.corp.test"));
}

#[tokio::test]
async fn a_full_broker_says_so() {
    let broker = BrokerUnderTest::start(&sockjs("", "limits: {connectionsPerPod: 2}"));
    let mut http = Http::connect(broker.websocket()).await;
    http.send("POST", "/chat/0/a/xhr", "1.1", "", "").await;
    http.response().await.assert(200, "o\n");
    http.send("POST", "/chat/0/b/xhr", "1.1", "", "").await;
    let refused = http.response().await;
    assert!(refused.status == 503 && refused.body.contains("limits.connectionsPerPod is 2"), "{refused:?}");
}

#[tokio::test]
async fn a_drain_tells_receivers_to_come_again() {
    let mut broker = BrokerUnderTest::start(&sockjs("", "drain: {delay: 0s, deadline: 10s}"));
    let session = Session::new(&broker, "one");
    let mut stream = Http::connect(broker.websocket()).await;
    stream.send("POST", &format!("{}/xhr_streaming", session.path), "1.1", "", "").await;
    stream.head().await;
    stream.chunk().await;
    assert_eq!(stream.chunk().await, "o\n");
    session.send(CONNECT).await;
    assert!(stream.chunk().await.starts_with("a[\"CONNECTED"));
    let polled = Session::log_in(&broker, "two").await;
    let mut client = WebSocketClient::connect(broker.websocket(), "/chat/000/one/websocket", "").await;
    assert_eq!(client.message_or_control().await, Message::Text("o".to_owned()));
    broker.shutdown.cancel();
    assert!(stream.chunk().await.contains("Broker is draining"));
    assert!(stream.chunk().await.starts_with("c[1012,"));
    assert_eq!(stream.chunk().await, "");
    drop(polled);
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.contains("Broker is draining"), "{text}");
    let Message::Text(text) = client.message_or_control().await else { panic!("not text") };
    assert!(text.starts_with("c[1012,"), "{text}");
    drop(client);
    broker.ended().await;
}

#[tokio::test]
async fn without_sockjs_there_is_only_the_websocket() {
    for configuration in [config(""), sockjs("enabled: false", "")] {
        let broker = BrokerUnderTest::start(&configuration);
        for path in ["/chat/info", "/chat/0/a/xhr", "/chat/websocket"] {
            let mut http = Http::connect(broker.websocket()).await;
            http.send("GET", path, "1.1", "", "").await;
            assert_eq!(http.response().await.status, 404, "{path}");
        }
    }
}

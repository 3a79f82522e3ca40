//! SockJS over WebSocket, and the raw WebSocket beside it.

use super::Services;
use crate::support::{Message, WebSocketClient};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

async fn connect(services: &Services, path: &str) -> WebSocketClient {
    WebSocketClient::connect(services.address, path, "").await
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[tokio::test]
async fn a_session_is_its_socket_whatever_its_name() {
    let services = Services::start().await;
    let path = Services::session("echo") + "/websocket";
    let mut one = connect(&services, &path).await;
    let mut other = connect(&services, &path).await;
    for (client, message) in [(&mut one, "[\"a\"]"), (&mut other, "[\"b\",\"c\"]")] {
        assert_eq!(client.message_or_control().await, text("o"));
        client.send_text(message).await;
        let first = &message[2..3];
        assert_eq!(client.message_or_control().await, text(&format!("a[\"{first}\"]")));
    }
    assert_eq!(other.message_or_control().await, text("a[\"c\"]"));
    drop(one);
    other.send_text("\"alone\"").await;
    assert_eq!(other.message_or_control().await, text("a[\"alone\"]"));
}

#[tokio::test]
async fn empty_messages_are_ignored_and_broken_ones_end_the_socket() {
    let services = Services::start().await;
    let mut client = connect(&services, &(Services::session("echo") + "/websocket")).await;
    assert_eq!(client.message_or_control().await, text("o"));
    for message in ["", "[]", "[\"a\"]"] {
        client.send_text(message).await;
    }
    assert_eq!(client.message_or_control().await, text("a[\"a\"]"));
    client.send_text("[\"a").await;
    assert_eq!(client.close().await, (1002, "Broken framing.".to_owned()));
}

#[tokio::test]
async fn a_message_may_come_in_fragments() {
    let services = Services::start().await;
    let mut client = connect(&services, &(Services::session("echo") + "/websocket")).await;
    assert_eq!(client.message_or_control().await, text("o"));
    client.send_raw(0x01, b"[\"gr\\u00").await;
    client.send_raw(0x89, b"ping").await;
    client.send_raw(0x80, "fc\u{df}e\"]".as_bytes()).await;
    assert_eq!(client.message_or_control().await, Message::Pong(b"ping".to_vec()));
    assert_eq!(client.message_or_control().await, text("a[\"gr\u{fc}\u{df}e\"]"));
}

#[tokio::test]
async fn the_end_is_told_by_sockjs_and_then_by_websocket() {
    let services = Services::start().await;
    let mut client = connect(&services, &(Services::session("close") + "/websocket")).await;
    assert_eq!(client.message_or_control().await, text("o"));
    assert_eq!(client.message_or_control().await, text("c[3000,\"Go away!\"]"));
    assert_eq!(client.close().await, (3000, "Go away!".to_owned()));
    let mut raw = connect(&services, "/close/websocket").await;
    assert_eq!(raw.close().await, (3000, "Go away!".to_owned()));
}

#[tokio::test]
async fn what_is_no_upgrade_is_a_bad_request() {
    let services = Services::start().await;
    for path in ["/echo/0/0/websocket", "/echo/websocket"] {
        services.get(path).await.assert(400, "Can \"Upgrade\" only to \"WebSocket\".\n");
        let response = services.ask("GET", path, "Upgrade: WebSocket\r\nConnection: close\r\n", "").await;
        response.assert(400, "\"Connection\" must be \"Upgrade\".\n");
    }
    services.get("/disabled_websocket_echo/0/0/websocket").await.assert(404, "WebSocket is not offered here.\n");
}

#[tokio::test]
async fn the_raw_websocket_echoes_text_and_binary_messages_as_they_came() {
    let services = Services::start().await;
    let mut client = connect(&services, "/echo/websocket").await;
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
        let body = "x".repeat(length);
        client.send_raw(TEXT, body.as_bytes()).await;
        assert_eq!(client.message_or_control().await, Message::Text(body));
        let body = vec![0xFE; length];
        client.send_raw(BINARY, &body).await;
        assert_eq!(client.message_or_control().await, Message::Binary(body));
    }
    client.send_text("Hello world!\u{ffff}").await;
    assert_eq!(client.message_or_control().await, text("Hello world!\u{ffff}"));
}

#[tokio::test]
async fn fragments_of_a_raw_message_come_back_as_one_and_control_frames_between_them_are_answered() {
    let services = Services::start().await;
    let mut client = connect(&services, "/echo/websocket").await;
    client.send_raw(0x02, b"\xFFone").await;
    client.send_raw(0x89, b"").await;
    client.send_raw(0x00, b"").await;
    client.send_raw(0x8A, b"unasked").await;
    client.send_raw(0x80, b"two").await;
    assert_eq!(client.message_or_control().await, Message::Pong(Vec::new()));
    assert_eq!(client.message_or_control().await, Message::Binary(b"\xFFonetwo".to_vec()));
}

#[tokio::test]
async fn what_breaks_rfc_6455_is_answered_with_the_right_code() {
    let services = Services::start().await;
    for (first, payload, code) in [
        (TEXT, &b"\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80"[..], 1007),
        (0x01, b"\xF4\x90", 1007),
        (TEXT, b"\xCE", 1007),
        (0xC1, b"", 1002),
        (0x83, b"", 1002),
        (0x80, b"nothing to continue", 1002),
        (0x89, &[0; 126], 1002),
        (0x09, b"", 1002),
        (0x88, b"x", 1002),
        (0x88, b"\x03\xED", 1002),
        (0x88, b"\x03\xE8\xFF", 1002),
        (0x88, b"\x03\xE8bye", 1000),
        (0x88, b"\x0F\xA0", 4000),
        (0x88, b"", 1000),
    ] {
        let mut client = connect(&services, "/echo/websocket").await;
        client.send_raw(first, payload).await;
        assert_eq!(client.close().await, (code, String::new()), "{first:x} {payload:?}");
    }
}

#[tokio::test]
async fn what_follows_the_upgrade_request_at_once_is_not_lost() {
    let services = Services::start().await;
    let mut octets = crate::support::upgrade_request("/echo/websocket", "").into_bytes();
    octets.extend([TEXT, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let mut client = WebSocketClient::request(services.address, &octets).await.ok().unwrap();
    assert_eq!(client.message_or_control().await, text("hi"));
}

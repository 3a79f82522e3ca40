//! Clients behind load balancers: whose address counts, and whose word about it does.

use std::net::SocketAddr;

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    sockjs::Http,
    support::{Authority, BrokerUnderTest, Peer, StompClient, WebSocketClient, config, within},
};

const LOOPBACK: &str = "{trustedAddresses: [127.0.0.0/8]}";
const ELSEWHERE: &str = "{trustedAddresses: [192.0.2.0/24, '2001:db8::7']}";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Both listeners with this PROXY protocol, and no more than one connection an address.
fn behind(proxies: &str) -> String {
    config("limits: {connectionsPerAddress: 1, loginTimeout: 1s}")
        .replace("stomp: {port: 0", &format!("stomp: {{port: 0, proxyProtocol: {proxies}"))
        .replace("websocket: {port: 0", &format!("websocket: {{port: 0, proxyProtocol: {proxies}"))
}

fn forwarded(proxies: &str) -> String {
    let keys = format!("websocket: {{port: 0, sockJs: {{}}, forwardedHeaders: {proxies}");
    config("limits: {connectionsPerAddress: 1}").replace("websocket: {port: 0", &keys)
}

fn version_1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let destination = if client.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
    format!("PROXY {family} {client} {destination} 4711 61613\r\n").into_bytes()
}

/// A header of version 2 for a client at 198.51.100.9:4711, with some more about it that the broker does not read.
fn version_2(command: u8) -> Vec<u8> {
    let addresses = [198, 51, 100, 9, 192, 0, 2, 1, 0x12, 0x67, 0xF0, 0xAD];
    let authority = [0x02, 0, 4, b'a', b'.', b'b', b'c'];
    [SIGNATURE, &[0x20 | command, 0x11, 0, 19], &addresses, &authority].concat()
}

async fn connect(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
    within("the socket to take the header", stream.write_all(header)).await.unwrap();
    stream
}

async fn addresses(broker: &BrokerUnderTest) -> Vec<String> {
    let sessions = broker.admin("GET", "/sessions").await.json();
    let sessions = sessions["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["address"].as_str().unwrap().to_owned()).collect()
}

async fn refused(broker: &BrokerUnderTest, transport: &str) -> u64 {
    broker.metric(&format!("stompbroker_proxy_headers_refused_total{{transport=\"{transport}\"}}")).await
}

#[tokio::test]
async fn a_client_has_the_address_of_its_proxy_header_in_the_list_and_for_the_limit() {
    let broker = BrokerUnderTest::start(&behind(LOOPBACK));
    let mut clients = Vec::new();
    for header in [version_1("198.51.100.7"), version_1("2001:db8::5"), version_2(1)] {
        let mut client = StompClient::over(connect(broker.stomp(), &header).await);
        client.log_in("").await;
        clients.push(client);
    }
    assert_eq!(addresses(&broker).await, ["198.51.100.7:4711", "[2001:db8::5]:4711", "198.51.100.9:4711"]);
    let mut second = StompClient::over(connect(broker.stomp(), &version_1("198.51.100.7")).await);
    second.frame().await.assert_error("limits.connectionsPerAddress is 1");

    let browser = connect(broker.websocket(), &version_1("198.51.100.8")).await;
    let request = crate::support::upgrade_request("/chat", "");
    let mut browser = WebSocketClient::request_over(browser, request.as_bytes()).await.unwrap();
    browser.log_in("").await;
    assert_eq!(addresses(&broker).await[3], "198.51.100.8:4711");
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_with_what_follows_it() {
    let broker = BrokerUnderTest::start(&behind(LOOPBACK));
    for header in [version_1("198.51.100.7"), version_2(1)] {
        let (first, rest) = header.split_at(14);
        let mut stream = connect(broker.stomp(), first).await;
        stream.set_nodelay(true).unwrap();
        for octet in &rest[..3] {
            tokio::task::yield_now().await;
            stream.write_all(&[*octet]).await.unwrap();
        }
        stream.write_all(&[&rest[3..], b"CONNECT\naccept-version:1.2\nhost:x\n\n\0"].concat()).await.unwrap();
        let mut client = StompClient::over(stream);
        assert_eq!(client.frame().await.command, "CONNECTED");
    }
}

#[tokio::test]
async fn a_connection_of_the_proxys_own_counts_as_its_own() {
    let broker = BrokerUnderTest::start(&behind(LOOPBACK).replace("connectionsPerAddress: 1, ", ""));
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), version_2(0)] {
        let stream = connect(broker.stomp(), &header).await;
        let own = stream.local_addr().unwrap().to_string();
        let mut client = StompClient::over(stream);
        client.log_in("").await;
        assert!(addresses(&broker).await.contains(&own));
    }
}

#[tokio::test]
async fn what_is_no_header_or_comes_too_late_is_closed_and_counted() {
    let broker = BrokerUnderTest::start(&behind(LOOPBACK));
    let unfinished = [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF], &[0; 5000]].concat();
    let malformed: [&[u8]; 6] = [
        b"CONNECT\naccept-version:1.2\nhost:x\n\n\0",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.1 4711 1\r\n",
        &[b'P'; 200],
        &[SIGNATURE, &[0x31, 0x11, 0, 12], &[0; 12]].concat(),
        &unfinished,
    ];
    for (before, octets) in malformed.into_iter().enumerate() {
        assert_eq!(refused(&broker, "tcp").await, before as u64);
        let stream = connect(broker.stomp(), octets).await;
        closed(stream).await;
    }
    closed(connect(broker.websocket(), b"PROXY TCP4 198.51").await).await;
    assert_eq!((refused(&broker, "tcp").await, refused(&broker, "websocket").await), (6, 1));
    assert_eq!(broker.metric("stompbroker_connections{transport=\"tcp\"}").await, 0);
}

/// Waits until the broker has closed without a word; what it had not read may make that an RST.
async fn closed(mut stream: TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let read = within("the connection to be closed", stream.read(&mut [0; 64])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn nobody_else_can_claim_an_address() {
    let broker = BrokerUnderTest::start(&behind(ELSEWHERE));
    let mut liar = StompClient::over(connect(broker.stomp(), &version_1("198.51.100.7")).await);
    liar.frame().await.assert_error("");
    liar.end().await;
    drop(liar);
    let mut honest = crate::support::eventually("room for the address", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
        (client.frame().await.command == "CONNECTED").then_some(client)
    })
    .await;
    honest.subscribe("0", "/topic/a").await;
    assert_eq!(addresses(&broker).await, [honest.stream.local_addr().unwrap().to_string()]);
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    authority.issue(&folder.path().join("tls"));
    let keys = format!("stomp: {{port: 0, tls: {{directory: FOLDER/tls}}, proxyProtocol: {LOOPBACK}");
    let broker = BrokerUnderTest::start_in(folder, &config("").replace("stomp: {port: 0", &keys));
    let stream = connect(broker.stomp(), &version_2(1)).await;
    let mut client = StompClient::over(authority.over(stream).await);
    client.log_in("").await;
    assert_eq!(addresses(&broker).await, ["198.51.100.9:4711"]);
}

#[tokio::test]
async fn a_trusted_proxy_says_by_a_header_whose_request_it_is() {
    let broker = BrokerUnderTest::start(&forwarded(LOOPBACK));
    let mut browsers = Vec::new();
    for client in ["198.51.100.7", "198.51.100.8"] {
        let header = format!("X-Forwarded-For: 203.0.113.1, {client}\r\n");
        let mut browser = WebSocketClient::connect(broker.websocket(), "/chat", &header).await;
        browser.log_in("").await;
        browsers.push(browser);
    }
    assert_eq!(addresses(&broker).await, ["198.51.100.7:0", "198.51.100.8:0"]);
    let again = WebSocketClient::try_connect(broker.websocket(), "/chat", "X-Forwarded-For: 198.51.100.8\r\n").await;
    let refusal = again.err().unwrap();
    assert!(refusal.status == 503 && refusal.body.contains("limits.connectionsPerAddress is 1"), "{refusal:?}");

    for (client, status) in [("198.51.100.8", 503), ("198.51.100.9", 200)] {
        let mut http = Http::connect(broker.websocket()).await;
        let header = format!("X-Forwarded-For: {client}\r\n");
        http.send("POST", &format!("/chat/000/session-{status}/xhr"), "1.1", &header, "").await;
        let response = http.response().await;
        assert_eq!(response.status, status, "{response:?}");
    }
}

#[tokio::test]
async fn the_header_of_others_is_not_believed() {
    let broker = BrokerUnderTest::start(&forwarded(ELSEWHERE));
    let header = "X-Forwarded-For: 198.51.100.7\r\n";
    let mut browser = WebSocketClient::connect(broker.websocket(), "/chat", header).await;
    browser.log_in("").await;
    assert_eq!(addresses(&broker).await, [browser.stream.local_addr().unwrap().to_string()]);
}

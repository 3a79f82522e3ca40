//! Listeners over TLS: what is told over them, who gets in by a certificate, and certificates that change.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    Authority, BrokerUnderTest, Peer, StompClient, WebSocketClient, eventually, upgrade_request, within,
};

/// Both listeners with TLS on their own ports, or whatever `tls` says.
fn config(tls: &str, more: &str) -> String {
    format!(
        "listeners:\n  stomp: {{port: 0, tls: {tls}}}\n  websocket: {{port: 0, path: /chat, tls: {tls}}}\n\
         admin: {{port: 0, tokenFile: TOKEN}}\nauthentication: {{anonymous: true}}\n{more}\n"
    )
}

const FOLDER: &str = "{directory: FOLDER/tls}";

/// A folder with a certificate of this authority, and its own.
fn mounted(authority: &Authority) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    authority.issue(&folder.path().join("tls"));
    authority.write_certificate(&folder.path().join("ca.crt"));
    folder
}

fn start(authority: &Authority, tls: &str, more: &str) -> BrokerUnderTest {
    BrokerUnderTest::start_in(mounted(authority), &config(tls, more))
}

async fn stomp(broker: &BrokerUnderTest, authority: &Authority) -> StompClient<TlsStream<TcpStream>> {
    StompClient::over(authority.connect(broker.stomp()).await)
}

async fn websocket(broker: &BrokerUnderTest, authority: &Authority) -> WebSocketClient<TlsStream<TcpStream>> {
    let stream = authority.connect(broker.websocket()).await;
    WebSocketClient::request_over(stream, upgrade_request("/chat", "").as_bytes()).await.unwrap()
}

/// The certificate that the broker shows.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn messages_of_any_size_pass_between_both_listeners() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "limits: {messageSize: 4Mi, sendBufferSize: 16Mi}");
    let (mut service, mut browser) = (stomp(&broker, &authority).await, websocket(&broker, &authority).await);
    service.log_in("").await;
    browser.log_in("").await;
    service.subscribe("0", "/topic/a").await;
    browser.subscribe("0", "/topic/a").await;
    for size in [1, 16_384, 16_385, 3_000_000] {
        let body = "x".repeat(size);
        browser.send("/topic/a", &body).await;
        assert_eq!(service.message().await.len(), size);
        assert_eq!(browser.message().await.len(), size);
    }
    for transport in ["tcp", "websocket"] {
        let metric = format!("stompbroker_tls_connections{{transport=\"{transport}\"}}");
        assert_eq!(broker.metric(&metric).await, 1, "{transport}");
    }
    drop((service, browser));
    eventually("the connections to be gone", async || {
        (broker.metric("stompbroker_tls_connections{transport=\"tcp\"}").await == 0
            && broker.metric("stompbroker_tls_connections{transport=\"websocket\"}").await == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_error_and_the_end_are_received_even_while_the_client_goes_on_sending() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    for _ in 0..10 {
        let mut client = stomp(&broker, &authority).await;
        client.log_in("").await;
        let (mut read, mut write) = tokio::io::split(client.stream);
        let mut octets = b"NONSENSE\n\n\0".to_vec();
        octets.extend(b"SEND\ndestination:/queue/a\n\nunread\0".repeat(20_000));
        let flood = tokio::spawn(async move {
            // The broker may end the connection while it is written to.
            let _ = write.write_all(&octets).await;
            write
        });
        let mut received = Vec::new();
        // The end of the octets without an error is the close_notify of the broker.
        within("the ERROR and close_notify", read.read_to_end(&mut received)).await.unwrap();
        assert!(String::from_utf8(received).unwrap().contains("NONSENSE"));
        drop(flood.await.unwrap());
    }
}

#[tokio::test]
async fn a_receipt_of_disconnect_is_followed_by_close_notify_and_a_websocket_by_its_close() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    let mut client = stomp(&broker, &authority).await;
    client.log_in("").await;
    client.send_frame("DISCONNECT\nreceipt:bye\n\n").await;
    assert_eq!(client.frame().await.header("receipt-id"), Some("bye"));
    client.end().await;
    let mut browser = websocket(&broker, &authority).await;
    browser.log_in("").await;
    browser.send_frame("DISCONNECT\n\n").await;
    assert_eq!(browser.close().await.0, 1000);
}

#[tokio::test]
async fn a_client_that_hangs_up_without_close_notify_has_closed_in_order_and_what_it_sent_counts() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    let mut client = stomp(&broker, &authority).await;
    client.log_in("").await;
    client.send_frame("SEND\ndestination:/queue/a\n\nlast words").await;
    client.stream.get_mut().0.shutdown().await.unwrap();
    let mut reader = stomp(&broker, &authority).await;
    reader.log_in("").await;
    reader.consume("0", "/queue/a").await;
    assert_eq!(reader.message().await, "last words");
    eventually("the end to be counted", async || {
        (broker.metric("stompbroker_sessions_closed_total{reason=\"client_closed\"}").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn websocket_is_agreed_on_as_http_1_1() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    let stream = authority.try_connect(broker.websocket(), None, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let error = authority.try_connect(broker.websocket(), None, &["h2"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_closed_and_counted() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "limits: {loginTimeout: 500ms}");
    let mut plain = broker.tcp().await;
    plain.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0").await;
    let mut silent = TcpStream::connect(broker.stomp()).await.unwrap();
    within("the plain client to be closed", plain.stream.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(within("the silent one to be closed", silent.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    eventually("both to be counted", async || {
        (broker.metric("stompbroker_tls_handshakes_failed_total{transport=\"tcp\"}").await == 2).then_some(())
    })
    .await;
    assert_eq!(broker.metric("stompbroker_connections{transport=\"tcp\"}").await, 0);
}

#[tokio::test]
async fn with_a_port_of_its_own_tls_is_spoken_there_and_only_there() {
    let authority = Authority::new();
    let broker = start(&authority, "{directory: FOLDER/tls, port: 0}", "");
    let mut plain = broker.tcp_session().await;
    let mut encrypted = StompClient::over(authority.connect(broker.stomp_tls()).await);
    encrypted.log_in("").await;
    plain.subscribe("0", "/topic/a").await;
    encrypted.send("/topic/a", "to all").await;
    assert_eq!(plain.message().await, "to all");
    broker.websocket_client().await.log_in("").await;
}

#[tokio::test]
async fn a_full_pod_says_so_over_tls() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "limits: {connectionsPerPod: 1}");
    let _one = stomp(&broker, &authority).await;
    let mut second = stomp(&broker, &authority).await;
    second.frame().await.assert_error("limits.connectionsPerPod is 1");
    second.end().await;
}

#[tokio::test]
async fn a_new_certificate_counts_for_new_connections_and_a_bad_one_is_told_and_left_out() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    let folder = broker.folder.path().join("tls");
    let mut live = stomp(&broker, &authority).await;
    live.log_in("").await;
    let first = shown(&live.stream);
    let second = authority.issue(&folder);
    eventually("the new certificate to be shown", async || {
        (shown(&authority.connect(broker.stomp()).await) == second).then_some(())
    })
    .await;
    assert_ne!(first, second);
    assert_eq!(shown(&authority.connect(broker.websocket()).await), second);

    for (file, content, words) in [
        ("tls.crt", &b"nonsense"[..], "no certificate"),
        ("tls.key", b"", "no private key"),
        ("tls.key", rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes(), "does not fit"),
    ] {
        let good = fs::read(folder.join(file)).unwrap();
        fs::write(folder.join(file), content).unwrap();
        let warning = eventually("the bad certificate to be told", async || {
            let ready = broker.admin_with("GET", "/readyz", "").await;
            ready.body.contains(words).then_some(ready)
        })
        .await;
        assert!(warning.status == 200 && warning.body.contains("listeners.stomp.tls.directory"), "{warning:?}");
        assert_eq!(broker.metric("stompbroker_config_rejected").await, 1);
        assert_eq!(shown(&authority.connect(broker.stomp()).await), second, "{file}");
        fs::write(folder.join(file), good).unwrap();
    }
    let third = authority.issue(&folder);
    eventually("the mended certificate to be shown", async || {
        (shown(&authority.connect(broker.stomp()).await) == third).then_some(())
    })
    .await;
    live.subscribe("0", "/topic/a").await;
}

#[tokio::test]
async fn tls_is_switched_on_for_new_connections_without_a_restart() {
    let authority = Authority::new();
    let without = config(FOLDER, "").replace(&format!(", tls: {FOLDER}"), "");
    let broker = BrokerUnderTest::start_in(mounted(&authority), &without);
    let mut live = broker.tcp_session().await;
    broker.write_config(&config(FOLDER, ""));
    eventually("TLS to be spoken", async || authority.try_connect(broker.stomp(), None, &[]).await.ok()).await;
    live.subscribe("0", "/topic/a").await;
    assert_eq!(broker.admin("GET", "/config-hash").await.json().get("needsRestart"), None);
}

fn by_certificate(required: bool, login: &str) -> String {
    format!("{{directory: FOLDER/tls, clientCertificates: {{caFile: FOLDER/ca.crt, required: {required}{login}}}}}")
}

#[tokio::test]
async fn a_client_certificate_is_a_login_over_both_listeners() {
    let authority = Authority::new();
    for (login, user) in [(", login: CommonName", "machine-7"), (", login: Uri", "spiffe://cluster/machine-7")] {
        let broker = start(&authority, &by_certificate(true, login), "");
        let client = authority.client("machine-7", "spiffe://cluster/machine-7");
        let stream = authority.try_connect(broker.stomp(), Some(&client), &[]).await.unwrap();
        let connected = StompClient::over(stream).log_in("").await;
        assert_eq!(connected.header("user-name"), Some(user));
        let stream = authority.try_connect(broker.websocket(), Some(&client), &[]).await.unwrap();
        let request = upgrade_request("/chat", "");
        let mut browser = WebSocketClient::request_over(stream, request.as_bytes()).await.unwrap();
        assert_eq!(browser.log_in("").await.header("user-name"), Some(user));
    }
}

#[tokio::test]
async fn a_client_without_a_trusted_certificate_is_refused_where_one_is_required() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let broker = start(&authority, &by_certificate(true, ", login: CommonName"), "");
    let forged = stranger.client("machine-7", "spiffe://cluster/machine-7");
    for client in [None, Some(&forged)] {
        // In TLS 1.3 the client's handshake is over before the broker has judged its certificate.
        if let Ok(mut stream) = authority.try_connect(broker.stomp(), client, &[]).await {
            let error = within("the refusal", stream.read_to_end(&mut Vec::new())).await.unwrap_err();
            assert!(error.to_string().contains("alert"), "{error}");
        }
    }
    assert_eq!(broker.metric("stompbroker_sessions_opened_total{transport=\"tcp\"}").await, 0);
}

#[tokio::test]
async fn where_a_certificate_is_optional_those_without_one_log_in_in_other_ways() {
    let authority = Authority::new();
    let folder = mounted(&authority);
    secret(folder.path(), "ann", "pass");
    let text =
        config(&by_certificate(false, ", login: CommonName"), "credentials: {client: {directory: FOLDER/client}}")
            .replace("anonymous: true", "anonymous: false");
    let broker = BrokerUnderTest::start_in(folder, &text);
    let mut nobody = stomp(&broker, &authority).await;
    nobody.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
    nobody.frame().await.assert_error("login");
    let connected = stomp(&broker, &authority).await.log_in("login:ann\npasscode:pass\n").await;
    assert_eq!(connected.header("user-name"), Some("ann"));

    let client = authority.client("machine-7", "spiffe://cluster/machine-7");
    let connect = async || StompClient::over(authority.try_connect(broker.stomp(), Some(&client), &[]).await.unwrap());
    assert_eq!(connect().await.log_in("").await.header("user-name"), Some("machine-7"));
    let connected = connect().await.log_in("login:ann\npasscode:pass\n").await;
    assert_eq!(connected.header("user-name"), Some("ann"), "a login in CONNECT counts more");
    let mut wrong = connect().await;
    wrong.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:ann\npasscode:wrong\n\n").await;
    wrong.frame().await.assert_error("login");
}

#[tokio::test]
async fn a_certificate_is_no_login_unless_it_is_said_to_be_one() {
    let authority = Authority::new();
    let broker = start(&authority, &by_certificate(true, ""), "");
    let client = authority.client("machine-7", "spiffe://cluster/machine-7");
    let stream = authority.try_connect(broker.stomp(), Some(&client), &[]).await.unwrap();
    assert_eq!(StompClient::over(stream).log_in("").await.header("user-name"), None);
}

#[tokio::test]
async fn the_end_of_the_certificate_is_a_metric() {
    let authority = Authority::new();
    let broker = start(&authority, FOLDER, "");
    for listener in ["stomp", "websocket"] {
        let metric = format!("stompbroker_certificate_expiry_timestamp_seconds{{listener=\"{listener}\"}}");
        assert_eq!(broker.metric(&metric).await, 1_893_456_000, "{listener}");
    }
}

fn secret(folder: &Path, username: &str, password: &str) {
    fs::create_dir_all(folder.join("client")).unwrap();
    fs::write(folder.join("client/username"), username).unwrap();
    fs::write(folder.join("client/password"), password).unwrap();
}

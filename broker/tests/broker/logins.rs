//! Who gets in.

use std::{fs, path::Path, time::Instant};

use tempfile::TempDir;

use crate::support::{BrokerUnderTest, Peer};

const CONFIG: &str = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\ncredentials: {system: {directory: FOLDER/system}, \
                      client: {directory: FOLDER/client}}\n";

fn secret(folder: &Path, name: &str, username: &str, password: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("username"), username).unwrap();
    fs::write(folder.join(name).join("password"), password).unwrap();
}

fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "system", "spring", "s:ecret");
    secret(folder.path(), "client", "browser", "cl13nt");
    folder
}

#[tokio::test]
async fn a_good_login_is_let_in_and_named() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    for (login, passcode) in [("spring", "s:ecret"), ("browser", "cl13nt")] {
        let connected = broker.tcp().await.log_in(&format!("login:{login}\npasscode:{passcode}\n")).await;
        assert_eq!(connected.header("user-name"), Some(login));
    }
}

#[tokio::test]
async fn a_bad_login_is_refused_late_without_holding_up_others_and_without_saying_what_was_wrong() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let begun = Instant::now();
    let mut refused = Vec::new();
    for headers in ["login:spring\npasscode:cl13nt\n", "login:nobody\npasscode:s:ecret\n", ""] {
        let mut client = broker.tcp().await;
        client.send_frame(&format!("CONNECT\naccept-version:1.2\nhost:x\n{headers}\n")).await;
        refused.push(client);
    }
    broker.tcp().await.log_in("login:spring\npasscode:s:ecret\n").await;
    let mut texts = Vec::new();
    for client in &mut refused {
        let error = client.frame().await;
        error.assert_error("login");
        texts.push(error.text().to_owned());
        client.end().await;
    }
    assert!(begun.elapsed().as_millis() >= 1000, "guessing must be slow");
    assert!(texts.iter().all(|text| *text == texts[0] && !text.contains("s:ecret")), "{texts:?}");
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_refused\"}").await, 3);
    assert_eq!(broker.metric("stompbroker_sessions_opened_total{transport=\"tcp\"}").await, 1);
}

#[tokio::test]
async fn a_connection_that_does_not_log_in_is_closed() {
    let broker = BrokerUnderTest::start(&format!("{CONFIG}limits: {{loginTimeout: 300ms}}\n").replace(
        "credentials: {system: {directory: FOLDER/system}, client: {directory: FOLDER/client}}",
        "authentication: {anonymous: true}",
    ));
    let mut client = broker.tcp().await;
    client.write(b"CONN").await;
    client.frame().await.assert_error("limits.loginTimeout");
    client.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_timeout\"}").await, 1);
}

//! Who gets in.

use std::{fs, path::Path, time::Instant};

use tempfile::TempDir;

use crate::support::{BrokerUnderTest, Peer, eventually};

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

#[tokio::test]
async fn the_next_and_the_previous_value_of_a_credential_are_accepted_beside_the_current_one() {
    let folder = secrets();
    let write = |file: &str, text: &str| fs::write(folder.path().join("system").join(file), text).unwrap();
    write("next.username", "spring");
    write("next.password", "soon");
    write("previous.username", "spring4");
    write("previous.password", "before");
    let broker = BrokerUnderTest::start_in(folder, CONFIG);
    for (login, passcode) in [("spring", "s:ecret"), ("spring", "soon"), ("spring4", "before")] {
        broker.tcp().await.log_in(&format!("login:{login}\npasscode:{passcode}\n")).await;
    }
    let folder = broker.folder.path().join("system");
    for file in ["previous.username", "previous.password"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    eventually("the retired value to be refused", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:spring4\npasscode:before\n\n").await;
        (client.frame().await.command == "ERROR").then_some(())
    })
    .await;
    broker.tcp().await.log_in("login:spring\npasscode:soon\n").await;
}

const USERS_CONFIG: &str = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\nauthentication: {users: {file: FOLDER/users.yaml}}\n\
    authorization: {rules: [{actions: [Subscribe], destinations: [/topic/admin], allow: {roles: [ADMIN]}}]}\n";

fn write_user(folder: &Path, password: &str, roles: &str) {
    let hash = stompbroker::security::hash_password(password).unwrap();
    let text = format!("users:\n  - name: ann\n    passwordHash: {hash}\n    roles: [{roles}]\n");
    fs::write(folder.join("users.yaml.new"), text).unwrap();
    fs::rename(folder.join("users.yaml.new"), folder.join("users.yaml")).unwrap();
}

#[tokio::test]
async fn users_of_a_file_log_in_with_their_roles_and_a_changed_file_counts_for_new_logins() {
    let folder = tempfile::tempdir().unwrap();
    write_user(folder.path(), "one", "ADMIN");
    let broker = BrokerUnderTest::start_in(folder, USERS_CONFIG);
    let mut live = broker.tcp().await;
    assert_eq!(live.log_in("login:ann\npasscode:one\n").await.header("user-name"), Some("ann"));
    live.subscribe("0", "/topic/admin").await;
    for headers in ["login:ann\npasscode:two\n", "login:eve\npasscode:one\n", "login:ann\n", "passcode:one\n"] {
        let mut client = broker.tcp().await;
        client.send_frame(&format!("CONNECT\naccept-version:1.2\nhost:x\n{headers}\n")).await;
        client.frame().await.assert_error("check the headers login and passcode");
    }
    write_user(broker.folder.path(), "two", "USER");
    eventually("the new password to count", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:ann\npasscode:two\n\n").await;
        (client.frame().await.command == "CONNECTED").then_some(())
    })
    .await;
    fs::write(broker.folder.path().join("users.yaml"), "users: [{name: ann, passwordHash: plain}]").unwrap();
    eventually("the bad file to be told", async || {
        let ready = broker.admin_with("GET", "/readyz", "").await;
        (ready.body.contains("authentication.users.file") && ready.body.contains("hash-password")).then_some(())
    })
    .await;
    broker.tcp().await.log_in("login:ann\npasscode:two\n").await;
}

//! Changed files come into force while clients stay connected; files that cannot be used do not.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::support::{BrokerUnderTest, Peer, config, eventually};

#[tokio::test]
async fn limits_and_rules_change_for_live_sessions_too() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut client, mut subscriber) = (broker.tcp_session().await, broker.tcp_session().await);
    subscriber.subscribe("0", "/topic/secret").await;
    client.send("/queue/a", &"x".repeat(1000)).await;
    broker.write_config(&config(
        "limits: {messageSize: 100}\nauthorization: {rules: [{actions: [Send, Subscribe], destinations: ['/queue/**'], \
         allow: {anyone: {}}}]}",
    ));
    broker.in_force().await;
    subscriber.frame().await.assert_error("/topic/secret");
    subscriber.end().await;
    client.send_frame(&format!("SEND\ndestination:/queue/a\n\n{}", "x".repeat(101))).await;
    client.frame().await.assert_error("limits.messageSize");
    let mut denied = broker.tcp_session().await;
    denied.send("/topic/a", "x").await;
    denied.frame().await.assert_error("/topic/a");
    assert_eq!(broker.metric("stompbroker_config_reloads_total{result=\"applied\"}").await, 1);
}

#[tokio::test]
async fn a_rejected_file_leaves_the_old_one_in_force_and_is_told_everywhere_but_by_readiness() {
    let broker = BrokerUnderTest::start(&config("limits: {messageSize: 100}"));
    let before = broker.admin("GET", "/config-hash").await.json();
    assert!(before.get("rejected").is_none(), "{before}");
    broker.write_config(&config("limits:\n  messageSize: 100\n  mesageSize: 200"));
    let status = eventually("the file to be rejected", async || {
        Some(broker.admin("GET", "/status").await.json()).filter(|status| status["config"]["rejected"].is_string())
    })
    .await;
    let reason = status["config"]["rejected"].as_str().unwrap();
    assert!(reason.contains("broker.yaml:6: limits.mesageSize: unknown field"), "{reason}");
    assert_eq!(status["config"]["hash"], before["hash"]);
    let ready = broker.admin("GET", "/readyz").await;
    assert!(ready.status == 200 && ready.body.contains("warning: configuration rejected"), "{ready:?}");
    assert_eq!(broker.metric("stompbroker_config_rejected").await, 1);
    let mut client = broker.tcp_session().await;
    client.send("/queue/a", &"x".repeat(101)).await;
    client.frame().await.assert_error("more than the 100");

    broker.write_config(&config("limits: {messageSize: 200}"));
    broker.in_force().await;
    assert_eq!(broker.metric("stompbroker_config_rejected").await, 0);
    assert_eq!(broker.admin("GET", "/readyz").await.body, "ok\n");
}

#[tokio::test]
async fn keys_that_wait_for_a_restart_are_named() {
    let broker = BrokerUnderTest::start(&config(""));
    broker.write_config(&config("zone: eu-1").replace("stomp: {port: 0}", "stomp: {port: 61613}"));
    broker.in_force().await;
    let waiting = broker.admin("GET", "/config-hash").await.json()["needsRestart"].clone();
    assert_eq!(waiting, serde_json::json!(["listeners.stomp.port", "zone"]));
    broker.tcp_session().await;
}

#[tokio::test]
async fn origins_and_path_of_the_websocket_endpoint_change_at_once() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut before = broker.websocket_client().await;
    before.log_in("").await;
    broker.write_config(&config("").replace("path: /chat", "path: /other, allowedOrigins: ['https://a.test']"));
    broker.in_force().await;
    let origin = "Origin: https://a.test\r\n";
    crate::support::WebSocketClient::connect(broker.websocket(), "/other", origin).await.log_in("").await;
    let old = crate::support::WebSocketClient::try_connect(broker.websocket(), "/chat", origin).await;
    assert_eq!(old.err().unwrap().status, 404);
    before.subscribe("0", "/topic/a").await;
}

/// Writes a Secret as Kubernetes mounts it: files behind a link that is swapped as a whole.
fn mount(folder: &Path, version: &str, username: &str, password: &str) {
    let data = folder.join(version);
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("username"), username).unwrap();
    fs::write(data.join("password"), password).unwrap();
    symlink(version, folder.join("..new")).unwrap();
    fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    for file in ["username", "password"] {
        // It is there already from the second time on.
        let _ = symlink(format!("..data/{file}"), folder.join(file));
    }
}

#[tokio::test]
async fn swapped_credentials_count_for_new_logins_and_leave_live_sessions_alone() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("system");
    fs::create_dir(&secret).unwrap();
    mount(&secret, "..v1", "spring", "old");
    let config = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\ncredentials: {system: {directory: FOLDER/system}}\n";
    let broker = BrokerUnderTest::start_in(folder, config);
    let mut live = broker.tcp().await;
    live.log_in("login:spring\npasscode:old\n").await;
    mount(&secret, "..v2", "spring", "new");
    eventually("the new passcode to count", async || {
        let mut client = broker.tcp().await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:spring\npasscode:new\n\n").await;
        (client.frame().await.command == "CONNECTED").then_some(())
    })
    .await;
    let mut late = broker.tcp().await;
    late.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:spring\npasscode:old\n\n").await;
    late.frame().await.assert_error("login");
    live.subscribe("0", "/topic/a").await;

    fs::remove_file(secret.join("..v2/password")).unwrap();
    eventually("the unreadable Secret to be told", async || {
        let ready = broker.admin_with("GET", "/readyz", "").await;
        (ready.body.contains("credentials.system.directory") && ready.body.contains("password")).then_some(())
    })
    .await;
    broker.tcp().await.log_in("login:spring\npasscode:new\n").await;
}

#[tokio::test]
async fn the_logins_in_force_are_told_by_a_digest_of_what_the_secret_holds() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("system");
    fs::create_dir(&secret).unwrap();
    mount(&secret, "..v1", "spring", "old");
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let config = "listeners: {stomp: {port: 0}}\nadmin: {port: 0, tokenFile: TOKEN}\ncredentials: {system: {directory: \
                  FOLDER/system}}\n";
    let broker = BrokerUnderTest::start_in(folder, config);
    let told = async |values: &[(&str, &str)]| {
        let key = stompbroker_config::login_digest_key(BrokerUnderTest::TOKEN);
        let value =
            |file: &str| values.iter().find(|(name, _)| *name == file).map(|(_, text)| text.as_bytes().to_vec());
        let digest = stompbroker_config::login_digest(&key, value).unwrap();
        eventually("the digest", async || {
            let status = broker.admin("GET", "/status").await.json();
            assert!(status["logins"].get("client").is_none(), "{status}");
            (status["logins"]["system"] == digest.as_str()).then_some(())
        })
        .await;
    };
    let now = [("username", "spring"), ("password", "old")];
    told(&now).await;
    let staged = [("next.username", "spring"), ("next.password", "new"), ("rotation", "1")];
    for (file, text) in staged {
        fs::write(secret.join(file), text).unwrap();
    }
    told(&[&now[..], &staged[..]].concat()).await;
    broker.tcp().await.log_in("login:spring\npasscode:new\n").await;
    broker.tcp().await.log_in("login:spring\npasscode:old\n").await;
}

#[tokio::test]
async fn a_new_admin_token_replaces_the_old_one() {
    let broker = BrokerUnderTest::start(&config(""));
    fs::write(broker.folder.path().join("token"), "another").unwrap();
    eventually("the new token to count", async || {
        let answer = broker.admin_with("GET", "/status", "Authorization: Bearer another\r\n").await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(broker.admin("GET", "/status").await.status, 401);
}

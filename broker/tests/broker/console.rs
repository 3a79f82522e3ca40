//! The console: its files, its WebSocket, and the whole of it in a browser.

use std::{fs, path::PathBuf};

use crate::{
    cluster::Cluster,
    support::{BrokerUnderTest, Peer as _, WebSocketClient, assert_ok, clients, config, script},
};

#[tokio::test]
async fn the_page_and_its_files_need_no_token_and_load_nothing_from_elsewhere() {
    let broker = BrokerUnderTest::start(&config(""));
    for (path, content_type) in [
        ("/console", "text/html"),
        ("/console/app.js", "text/javascript"),
        ("/console/stomp.js", "text/javascript"),
        ("/console/style.css", "text/css"),
    ] {
        let answer = broker.admin_with("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        let head = answer.head.to_lowercase();
        assert!(head.contains(&format!("content-type: {content_type}")), "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
        assert!(!answer.body.contains("https://") && !answer.body.contains("src=\"http"), "{path} names another host");
    }
    assert_eq!(broker.admin_with("GET", "/console/nothing.js", "").await.status, 404);
}

#[tokio::test]
async fn only_the_consoles_own_origin_may_open_its_websocket() {
    let broker = BrokerUnderTest::start(&config(""));
    let admin = broker.addresses.admin;
    let admin = std::net::SocketAddr::from(([127, 0, 0, 1], admin.port()));
    let elsewhere = WebSocketClient::try_connect(admin, "/console/ws", "Origin: https://evil.example\r\n").await;
    assert_eq!(elsewhere.err().unwrap().status, 403);
    let own = "Origin: http://broker.test\r\n";
    let mut page = WebSocketClient::try_connect(admin, "/console/ws", own).await.ok().unwrap();
    page.log_in("").await;
}

#[tokio::test]
async fn the_console_works_in_a_browser() {
    let clients = clients();
    let cluster = Cluster::start("").await;
    let _elsewhere = cluster.pods[1].tcp_session().await;
    // Kept with the other logs of a test run, for people to look at.
    let logs = std::env::var_os("STOMPBROKER_TEST_LOGS").map_or_else(std::env::temp_dir, PathBuf::from);
    let screenshots = logs.join("console");
    fs::create_dir_all(&screenshots).unwrap();
    let mut command = tokio::process::Command::new("node");
    command.arg(script("console.mjs")).arg(cluster.pods[0].addresses.admin.port().to_string());
    command.arg(clients.join("node")).arg(&screenshots);
    assert_ok(command).await;
}

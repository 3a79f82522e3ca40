//! Spring against the broker, as a client and as a server whose broker relay points here.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    clients::{assert_ok, script},
    support::{BrokerUnderTest, eventually},
};

const CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\n\
                      admin: {port: 0, tokenFile: FOLDER/token}\n\
                      credentials: {client: {directory: FOLDER/client}, system: {directory: FOLDER/system}}\n\
                      heartbeat: 1s\n";

fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, user, password) in [("client", "ann", "pa:ss"), ("system", "system", "sys:tem")] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("username"), user).unwrap();
        fs::write(folder.path().join(name).join("password"), password).unwrap();
    }
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    folder
}

/// `java` with one of the classes of `tests/clients/spring`, which are built first where they are not there.
pub(crate) async fn java(class: &str) -> Command {
    let setup = Command::new(script("spring/setup")).output().await.unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    let folder = PathBuf::from(String::from_utf8(setup.stdout).unwrap().trim());
    let mut command = Command::new("java");
    let path = format!("{}:{}", folder.join("classes").display(), folder.join("lib/*").display());
    command.args(["-XX:+UseSerialGC", "-Xmx256m", "-cp", &path, class]);
    command
}

#[tokio::test]
async fn springs_websocket_client_works() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let mut command = java("check.ClientCheck").await;
    command.arg(format!("ws://127.0.0.1:{}/chat", broker.websocket().port()));
    assert_ok(command).await;
}

#[tokio::test]
async fn springs_broker_relay_works_and_leaves_no_queue_behind() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let mut command = java("check.RelayCheck").await;
    command.args(["127.0.0.1", &broker.stomp().port().to_string()]);
    assert_ok(command).await;
    eventually("the queues of user destinations to vanish", async || {
        let stats = broker.admin("GET", "/websocket-stats").await;
        assert_eq!(stats.status, 200, "{}", stats.body);
        (!stats.body.contains("-user")).then_some(())
    })
    .await;
}

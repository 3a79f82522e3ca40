//! What the log of the process tells of sessions, and what it never tells.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::support::{Peer, Process, StompClient, stompbroker, within};

const PASSCODE: &str = "correct-horse";

/// A broker that knows `ann` of the role `client`, who may do everything below `/queue` and with reply queues.
fn start(folder: &Path, logging: &str) -> Process {
    Process::spawn(&mut command(folder, logging))
}

fn command(folder: &Path, logging: &str) -> Command {
    fs::create_dir_all(folder.join("client")).unwrap();
    fs::write(folder.join("client/username"), "ann").unwrap();
    fs::write(folder.join("client/password"), PASSCODE).unwrap();
    write_config(folder, logging);
    let mut command = stompbroker(&["run"]);
    command.env("STOMPBROKER_CONFIG", folder.join("broker.yaml"));
    command
}

fn write_config(folder: &Path, logging: &str) {
    let text = format!(
        "listeners: {{stomp: {{port: 0}}}}\nadmin: {{port: 0}}\ndrain: {{delay: 0s}}\n\
         credentials: {{client: {{directory: {}/client}}}}\n\
         authorization: {{rules: [{{actions: [Send, Subscribe], destinations: ['/queue/**', '/temp-queue/**', \
         '/reply-queue/**'], allow: {{authenticated: {{}}}}}}]}}\nlogging: {logging}\n",
        folder.display()
    );
    let new = folder.join("broker.yaml.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("broker.yaml")).unwrap();
}

async fn log_in(process: &Process) -> StompClient {
    let mut client = StompClient::connect(([127, 0, 0, 1], process.port).into()).await;
    client.log_in(&format!("login:ann\npasscode:{PASSCODE}\n")).await;
    client
}

async fn end(process: Process) -> String {
    process.signal("-TERM");
    let (code, log) = process.end().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

/// The lines with this message.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn each_step_of_a_session_is_told_with_the_same_fields_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), "{level: debug}");
    let mut client = log_in(&process).await;
    client.subscribe("0", "/queue/orders").await;
    client.send("/queue/orders", "the body is private").await;
    client.message().await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    client.send_frame("SEND\ndestination:/queue/bulk\ntransaction:t\n\nx").await;
    client.send_frame("COMMIT\ntransaction:t\n\n").await;
    client.send_frame("SUBSCRIBE\nid:1\ndestination:/topic/denied\n\n").await;
    client.frame().await.assert_error("Access refused");
    let log = end(process).await;

    let connected = &lines(&log, "connected")[0];
    let session = connected["session.id"].as_str().unwrap();
    let of_session = |line: &Value| assert_eq!((&line["session.id"], &line["user"]), (&session.into(), &"ann".into()));
    of_session(connected);
    assert!(connected["client.addr"].is_string() && connected["transport"] == "tcp", "{connected}");
    let subscribed = &lines(&log, "subscribed")[0];
    of_session(subscribed);
    assert_eq!((&subscribed["destination"], &subscribed["level"]), (&"/queue/orders".into(), &"INFO".into()));
    let sent = lines(&log, "sent");
    sent.iter().for_each(of_session);
    let destinations: Vec<_> = sent.iter().map(|line| line["destination"].as_str().unwrap()).collect();
    assert_eq!(destinations, ["/queue/orders", "/queue/bulk"]);
    assert_eq!(sent[0]["level"], "DEBUG");
    let closed = &lines(&log, "closed")[0];
    of_session(closed);
    assert_eq!((&closed["reason"], &closed["destination"]), (&"access_denied".into(), &"/topic/denied".into()));
    assert!(closed["error"].as_str().unwrap().contains("subscribe to"), "{closed}");
    for secret in [PASSCODE, "the body is private"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn the_secret_in_the_name_of_a_reply_queue_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), "{level: debug}");
    let (mut asking, mut answering) = (log_in(&process).await, log_in(&process).await);
    answering.subscribe("0", "/queue/questions").await;
    asking.send_frame("SEND\ndestination:/queue/questions\nreply-to:/temp-queue/me\n\n?").await;
    let reply_to = answering.frame().await.header("reply-to").unwrap().to_owned();
    answering.send(&reply_to, "!").await;
    asking.message().await;
    answering.send_frame(&format!("SUBSCRIBE\nid:1\ndestination:{reply_to}\n\n")).await;
    answering.frame().await;
    let log = end(process).await;
    let secret = reply_to.split('/').nth(2).unwrap();
    assert!(log.contains("/reply-queue/***/me") && !log.contains(secret), "{log}");
}

#[tokio::test]
async fn level_and_format_change_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), "{level: info}");
    let mut client = log_in(&process).await;
    client.send("/queue/before", "x").await;
    write_config(folder.path(), "{level: debug, format: text}");
    process.logs("is in force").await;
    // The line tells of the change just before it is made.
    let line = within("a line of the new form", async {
        loop {
            client.send("/queue/after", "x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(line) = process.find_log("/queue/after") {
                return line;
            }
        }
    })
    .await;
    assert!(line.contains("DEBUG") && serde_json::from_str::<Value>(&line).is_err(), "{line}");
    drop(client);
    assert!(!end(process).await.contains("/queue/before"), "level info has no lines of messages");
}

#[tokio::test]
async fn the_command_line_and_rust_log_win_over_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), "{level: trace, format: text}");
    let filter = "stompbroker::server=info,stompbroker::shutdown=info";
    let process = Process::spawn(command.args(["--log-format", "json"]).env("RUST_LOG", filter));
    log_in(&process).await.subscribe("0", "/queue/a").await;
    let log = end(process).await;
    assert!(
        lines(&log, "connected").is_empty() && !lines(&log, "shutting down; a second signal ends at once").is_empty(),
        "{log}"
    );
}

//! The sessions that `docs/recovery.md` recommends, over a broker that is killed and started again under them.

use std::{fs, net::TcpListener, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

use crate::support::{Process, clients, script, secrets, stompbroker};

const MESSAGES: u32 = 30;
/// After which messages the broker is killed.
const KILLS: [u32; 2] = [5, 15];
/// The client waits up to a few seconds before it connects again.
const PATIENCE: Duration = Duration::from_mins(2);

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn start(folder: &Path, stomp: u16, websocket: u16) -> Process {
    let (file, folder) = (folder.join("broker.yaml"), folder.display());
    let text = format!(
        "listeners: {{stomp: {{port: {stomp}}}, websocket: {{port: {websocket}}}}}\nadmin: {{port: 0}}\n\
         credentials: {{client: {{directory: {folder}/client}}}}\n\
         engine: {{embedded: {{persistence: {{directory: {folder}/store}}}}}}\n"
    );
    fs::write(&file, text).unwrap();
    Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file))
}

async fn wait_for(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == wanted {
                return true;
            }
        }
        false
    };
    let found = timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {wanted:?}"));
    assert!(found, "the client has ended without {wanted:?}");
}

/// Runs a client that publishes and receives its own messages, and takes the broker away from it.
async fn assert_recovers(command: impl FnOnce(u16, u16) -> Command) {
    let (folder, stomp, websocket) = (secrets(), free_port(), free_port());
    let mut broker = start(folder.path(), stomp, websocket);
    let mut command = command(stomp, websocket);
    let mut client = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    for sent in KILLS {
        wait_for(&mut lines, &format!("sent {sent}")).await;
        broker.kill();
        broker = start(folder.path(), stomp, websocket);
    }
    wait_for(&mut lines, "ok").await;
    assert!(timeout(PATIENCE, client.wait()).await.expect("the client ends").unwrap().success());
}

#[tokio::test]
async fn the_recommended_session_of_a_page_loses_nothing_when_the_broker_is_killed() {
    assert_recovers(|_, websocket| {
        let mut command = Command::new("node");
        command.arg(script("recovery.mjs")).arg(websocket.to_string()).arg(clients().join("node"));
        command.arg(MESSAGES.to_string());
        command
    })
    .await;
}

#[tokio::test]
async fn the_recommended_session_of_a_python_service_loses_nothing_when_the_broker_is_killed() {
    assert_recovers(|stomp, _| {
        let mut command = Command::new("python3");
        command.arg("-B").arg(script("recovery.py")).arg(stomp.to_string()).arg(MESSAGES.to_string());
        command.env("PYTHONPATH", clients().join("python"));
        command
    })
    .await;
}

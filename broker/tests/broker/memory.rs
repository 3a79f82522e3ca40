//! `limits.memory`, in a process of its own, for messages of other tests would count too.

use std::{fs, path::Path};

use crate::support::{Peer, Process, StompClient, eventually, stompbroker};

const CONFIG: &str = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\nauthentication: {anonymous: true}\n\
                      limits: {memory: 16Mi, messageSize: 1Mi}\n";

fn start(folder: &Path) -> Process {
    let file = folder.join("broker.yaml");
    fs::write(&file, CONFIG).unwrap();
    Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file))
}

async fn connect(process: &Process) -> StompClient {
    StompClient::connect(([127, 0, 0, 1], process.port).into()).await
}

/// Sends until something is refused; how many were taken, and the refusal.
async fn fill(process: &Process) -> (u32, String) {
    let frame = format!("SEND\ndestination:/queue/a\nreceipt:r\n\n{}", "x".repeat(1_000_000));
    let mut taken = 0;
    let mut client = connect(process).await;
    client.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
    loop {
        let answer = client.frame().await;
        match answer.command.as_str() {
            "ERROR" => return (taken, answer.text().to_owned()),
            "RECEIPT" => taken += 1,
            _ => {}
        }
        assert!(taken < 40, "nothing is ever refused");
        client.send_frame(&frame).await;
    }
}

#[tokio::test]
async fn at_the_bound_messages_and_connections_are_refused_until_consumers_have_made_room() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path());
    let mut consumer = connect(&process).await;
    consumer.log_in("").await;
    let (mut taken, refusal) = fill(&process).await;
    assert!(taken >= 8, "{taken}");
    assert_eq!(refusal, "one more message would pass limits.memory, which is 16Mi");
    // What the refused client had sent is gone; others fill the queue up.
    loop {
        let (more, refusal) = fill(&process).await;
        taken += more;
        if refusal.contains("limits.memory is 16Mi") {
            break;
        }
    }
    consumer.consume("0", "/queue/a").await;
    for _ in 0..taken {
        assert_eq!(consumer.message().await.len(), 1_000_000);
    }
    eventually("room again", async || {
        let mut client = connect(&process).await;
        client.send_frame("CONNECT\naccept-version:1.2\nhost:x\n\n").await;
        if client.frame().await.command != "CONNECTED" {
            return None;
        }
        client.send_frame("SEND\ndestination:/queue/b\nreceipt:r\n\nx").await;
        (client.frame().await.command == "RECEIPT").then_some(())
    })
    .await;
}

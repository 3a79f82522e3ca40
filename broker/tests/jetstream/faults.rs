//! NATS goes away, loses a server, refuses the login; a pod dies.

use crate::{
    nats::Nats,
    queues::{consume, send_safely, settle},
    support::{BrokerUnderTest, Peer, Process, StompClient, config, config_on, config_with, eventually, stompbroker},
};

async fn not_ready(broker: &BrokerUnderTest, words: &str) {
    eventually(&format!("{words:?} in /readyz"), || async {
        let answer = broker.admin("GET", "/readyz").await;
        (answer.status == 503 && answer.body.contains(words)).then_some(())
    })
    .await;
}

/// A client of a broker that may not have found NATS yet.
async fn logged_in(port: u16) -> StompClient {
    eventually("the broker to have found NATS", || async {
        let mut client = StompClient::connect(([127, 0, 0, 1], port).into()).await;
        client.log_in("").await;
        client.send_frame("SEND\ndestination:/topic/probe\nreceipt:r\n\n").await;
        (client.frame().await.command == "RECEIPT").then_some(client)
    })
    .await
}

#[tokio::test]
async fn what_a_dead_pod_held_comes_to_another_one() {
    let config = config("");
    let lives = BrokerUnderTest::start(&config);
    let mut client = lives.tcp_session().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    std::fs::write(&file, config.replace(", tokenFile: TOKEN", "")).unwrap();
    let mut dies = Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file));
    let mut lost = logged_in(dies.port).await;
    consume(&mut lost, "/queue/jobs", "").await;
    send_safely(&mut client, "/queue/jobs", "precious").await;
    assert_eq!(lost.frame().await.text(), "precious");
    dies.kill();
    consume(&mut client, "/queue/jobs", "").await;
    let frame = client.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("precious", Some("true")));
}

#[tokio::test]
async fn while_nats_is_away_sessions_are_told_so_and_what_was_confirmed_is_there_afterwards() {
    let mut nats = Nats::start("");
    let broker = BrokerUnderTest::start(&config_on(&nats, "p", ""));
    let mut client = broker.tcp_session().await;
    send_safely(&mut client, "/queue/jobs", "kept").await;
    nats.kill();
    client.frame().await.assert_error("Broker not available.");
    not_ready(&broker, "Unreachable").await;
    let mut early = StompClient::connect(broker.stomp()).await;
    early.log_in("").await;
    early.send("/topic/a", "").await;
    early.frame().await.assert_error("Broker not available.");
    nats.run();
    eventually("the broker to be ready", || async {
        (broker.admin("GET", "/readyz").await.status == 200).then_some(())
    })
    .await;
    let mut client = broker.tcp_session().await;
    client.consume("0", "/queue/jobs").await;
    assert_eq!(client.message().await, "kept");
}

#[tokio::test]
async fn a_login_is_used_and_a_wrong_one_is_the_reason_for_not_being_ready() {
    for (authorization, files) in [
        ("user: ann, password: \"s3cret\"", &[("username", "ann"), ("password", "s3cret\n")][..]),
        ("token: \"t0ken\"", &[("token", "t0ken")]),
    ] {
        let nats = Nats::start(&format!("authorization {{{authorization}}}"));
        let engine = format!("servers: ['{}'], credentials: {{directory: FOLDER}}", nats.url());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token-of-admin"), "").unwrap();
        for (file, value) in files {
            std::fs::write(folder.path().join(file), value).unwrap();
        }
        let engine = engine.replace("FOLDER", folder.path().to_str().unwrap());
        let right = BrokerUnderTest::start(&config_with(&engine, ""));
        send_safely(&mut right.tcp_session().await, "/queue/a", "").await;
        for (file, _) in files {
            std::fs::write(folder.path().join(file), "wrong").unwrap();
        }
        not_ready(&BrokerUnderTest::start(&config_with(&engine, "")), "AuthFailed").await;
    }
}

#[tokio::test]
async fn with_three_servers_one_of_which_dies_no_confirmed_message_is_lost() {
    const MESSAGES: usize = 300;
    let mut servers = Nats::cluster();
    let urls = servers.each_ref().map(|server| format!("'{}'", server.url())).join(", ");
    let brokers = [(); 3].map(|()| {
        let engine = format!("engine: {{jetStream: {{servers: [{urls}], queueStreams: 2, ackWait: 2s}}}}");
        BrokerUnderTest::start(&crate::any_broker::config(&engine))
    });
    for broker in &brokers {
        // Three servers have to find each other first.
        let serving = async {
            while broker.admin("GET", "/readyz").await.status != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        let patience = std::time::Duration::from_mins(1);
        assert!(tokio::time::timeout(patience, serving).await.is_ok(), "no broker serves within {patience:?}");
    }
    let mut confirmed = std::collections::BTreeSet::new();
    let mut worker = brokers[1].tcp_session().await;
    consume(&mut worker, "/queue/jobs", "").await;
    let mut sender = brokers[0].tcp_session().await;
    let mut next = 0;
    while confirmed.len() < MESSAGES {
        if confirmed.len() == MESSAGES / 3 && servers[0].is_running() {
            servers[0].kill();
        }
        sender.send_frame(&format!("SEND\ndestination:/queue/jobs\nreceipt:{next}\n\n{next}")).await;
        let answer = sender.frame().await;
        if answer.command == "RECEIPT" {
            confirmed.insert(next);
        } else {
            answer.assert_error("");
            sender = brokers[2].tcp_session().await;
        }
        next += 1;
    }
    let mut seen = std::collections::BTreeSet::new();
    while !confirmed.is_subset(&seen) {
        let frame = worker.frame().await;
        if frame.command == "ERROR" {
            worker = brokers[2].tcp_session().await;
            consume(&mut worker, "/queue/jobs", "").await;
            continue;
        }
        seen.insert(frame.text().parse().unwrap());
        settle(&mut worker, "ACK", &frame, "").await;
    }
}

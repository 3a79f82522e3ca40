//! NATS goes away, loses a server, refuses the login; a pod dies.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use crate::{
    nats::Nats,
    queues::{consume, send_safely, settle},
    support::{BrokerUnderTest, Peer, Process, StompClient, config, config_on, config_with, eventually, stompbroker},
};

pub(crate) async fn not_ready(broker: &BrokerUnderTest, words: &str) {
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
async fn a_transaction_whose_pod_died_before_it_was_in_its_queues_is_finished_by_another_one() {
    // What this user may do ends between the two steps: a transaction is safe, but reaches no queue.
    let nats = Nats::start(
        "authorization {users: [{user: living, password: p}, \
         {user: dying, password: p, permissions: {publish: {deny: [\"p.q.>\"]}}}]}",
    );
    let folder = tempfile::tempdir().unwrap();
    let config_of = |user: &str| {
        let logins = folder.path().join(user);
        std::fs::create_dir(&logins).unwrap();
        std::fs::write(logins.join("username"), user).unwrap();
        std::fs::write(logins.join("password"), "p").unwrap();
        let engine =
            format!("servers: ['{}'], prefix: p, credentials: {{directory: {}}}", nats.url(), logins.display());
        config_with(&engine, "")
    };
    let file = folder.path().join("broker.yaml");
    std::fs::write(&file, config_of("dying").replace(", tokenFile: TOKEN", "")).unwrap();
    let mut dies = Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file));
    let mut client = logged_in(dies.port).await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    let queues = ["/queue/a", "/queue/b"];
    for queue in queues {
        client.send_frame(&format!("SEND\ndestination:{queue}\ntransaction:t\n\nof the dead")).await;
    }
    client.send_frame("COMMIT\ntransaction:t\nreceipt:done\n\n").await;
    assert_eq!(client.frame().await.header("receipt-id"), Some("done"));
    dies.kill();

    let broker = BrokerUnderTest::start(&config_of("living"));
    let is_finished = async {
        // What is left alone is looked at after half a minute.
        while !broker.admin("GET", "/destinations").await.body.contains("\"unsettled\":1") {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let mut workers = Vec::new();
    for queue in queues {
        let mut worker = broker.tcp_session().await;
        consume(&mut worker, queue, "").await;
        workers.push(worker);
    }
    let patience = std::time::Duration::from_mins(3);
    assert!(tokio::time::timeout(patience, is_finished).await.is_ok(), "nothing within {patience:?}");
    for (worker, queue) in workers.iter_mut().zip(queues) {
        let frame = worker.frame().await;
        assert_eq!((frame.text(), frame.header("destination")), ("of the dead", Some(queue)));
        settle(worker, "ACK", &frame, "receipt:done\n").await;
        assert_eq!(worker.frame().await.header("receipt-id"), Some("done"), "once, and no more");
    }
}

/// The server that leads the one stream of queues.
async fn leader(servers: &[Nats; 3]) -> usize {
    eventually("a leader of the stream", || async {
        let client = async_nats::connect(servers[0].url()).await.ok()?;
        let stream = async_nats::jetstream::new(client).get_stream("stompbroker-queues-0").await.ok()?;
        let name = stream.cached_info().cluster.as_ref()?.leader.clone()?;
        servers.iter().position(|server| server.name() == name)
    })
    .await
}

#[tokio::test]
async fn when_the_leader_of_the_queues_is_killed_no_confirmed_message_is_lost_and_no_acknowledged_one_comes_again() {
    const MESSAGES: usize = 300;
    let mut servers = Nats::cluster();
    let urls = servers.each_ref().map(|server| format!("'{}'", server.url())).join(", ");
    let brokers = [(); 3].map(|()| {
        let engine = format!("engine: {{jetStream: {{servers: [{urls}], queueStreams: 1, ackWait: 2s}}}}");
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
    let leader = leader(&servers).await;
    let (sent, confirmed) = (Cell::new(false), RefCell::new(BTreeSet::new()));
    let sending = async {
        let mut sender = brokers[0].tcp_session().await;
        let mut next = 0;
        while confirmed.borrow().len() < MESSAGES {
            if confirmed.borrow().len() == MESSAGES / 3 && servers[leader].is_running() {
                servers[leader].kill();
            }
            sender.send_frame(&format!("SEND\ndestination:/queue/jobs\nreceipt:{next}\n\n{next}")).await;
            let answer = sender.frame().await;
            if answer.command == "RECEIPT" {
                confirmed.borrow_mut().insert(next);
            } else {
                answer.assert_error("");
                sender = brokers[2].tcp_session().await;
            }
            next += 1;
        }
        sent.set(true);
    };
    let working = async {
        let mut done = BTreeSet::<i32>::new();
        let mut worker = brokers[1].tcp_session().await;
        consume(&mut worker, "/queue/jobs", "").await;
        while !sent.get() || !confirmed.borrow().is_subset(&done) {
            let frame = worker.frame().await;
            match frame.command.as_str() {
                "MESSAGE" => {
                    let number = frame.text().parse().unwrap();
                    assert!(!done.contains(&number), "{number} comes after its acknowledgement was confirmed");
                    settle(&mut worker, "ACK", &frame, &format!("receipt:{number}\n")).await;
                }
                "RECEIPT" => {
                    done.insert(frame.header("receipt-id").unwrap().parse().unwrap());
                }
                _ => {
                    frame.assert_error("");
                    worker = brokers[2].tcp_session().await;
                    consume(&mut worker, "/queue/jobs", "").await;
                }
            }
        }
    };
    tokio::join!(sending, working);
}

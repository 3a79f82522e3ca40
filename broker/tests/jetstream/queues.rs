//! Queues in JetStream, over several pods.

use crate::support::{BrokerUnderTest, Frame, Peer, StompClient, config, pods};

/// Sends with a receipt and waits for it.
pub(crate) async fn send_safely(client: &mut StompClient, destination: &str, body: &str) {
    client.send_frame(&format!("SEND\ndestination:{destination}\nreceipt:r\n\n{body}")).await;
    let frame = client.frame().await;
    assert_eq!(frame.header("receipt-id"), Some("r"), "{frame:?}");
}

/// Subscribes so that each message has to be acknowledged.
pub(crate) async fn consume(client: &mut StompClient, destination: &str, headers: &str) {
    let frame = format!("SUBSCRIBE\nid:0\ndestination:{destination}\nack:client-individual\n{headers}\n");
    client.send_frame(&frame).await;
}

pub(crate) async fn settle(client: &mut StompClient, command: &str, message: &Frame, headers: &str) {
    client.send_frame(&format!("{command}\nid:{}\n{headers}\n", message.header("ack").unwrap())).await;
}

#[tokio::test]
async fn each_message_goes_to_one_consumer_of_one_pod() {
    let [here, there] = pods("");
    let mut sender = here.tcp_session().await;
    for number in 0..200 {
        sender.send_frame(&format!("SEND\ndestination:/queue/jobs\nreceipt:{number}\n\n{number}")).await;
    }
    for number in 0..200 {
        assert_eq!(sender.frame().await.header("receipt-id"), Some(&*number.to_string()));
    }
    let (mut first, mut second) = (here.tcp_session().await, there.tcp_session().await);
    for worker in [&mut first, &mut second] {
        consume(worker, "/queue/jobs", "prefetch-count:10\n").await;
    }
    let (mut by_first, mut by_second) = (Vec::new(), Vec::new());
    while by_first.len() + by_second.len() < 200 {
        tokio::select! {
            frame = first.frame() => {
                settle(&mut first, "ACK", &frame, "").await;
                by_first.push(frame.text().parse::<u32>().unwrap());
            }
            frame = second.frame() => {
                settle(&mut second, "ACK", &frame, "").await;
                by_second.push(frame.text().parse::<u32>().unwrap());
            }
        }
    }
    assert!(by_first.is_sorted() && by_second.is_sorted(), "out of order: {by_first:?} {by_second:?}");
    let mut all = [by_first, by_second].concat();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_given_back_is_in_its_old_place_and_marked() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    for body in ["a", "b", "c"] {
        send_safely(&mut client, "/queue/jobs", body).await;
    }
    consume(&mut client, "/queue/jobs", "prefetch-count:2\n").await;
    let (first, second) = (client.frame().await, client.frame().await);
    assert_eq!([first.text(), second.text()], ["a", "b"]);
    settle(&mut client, "NACK", &first, "").await;
    let again = client.frame().await;
    assert_eq!((again.text(), again.header("redelivered")), ("a", Some("true")));
    settle(&mut client, "ACK", &again, "receipt:done\n").await;
    let third = client.frame().await;
    let receipt = client.frame().await;
    let texts = [&third, &receipt].map(|frame| (frame.command.clone(), frame.text().to_owned()));
    assert!(texts.contains(&("MESSAGE".to_owned(), "c".to_owned())), "{texts:?}");
    assert!(texts.contains(&("RECEIPT".to_owned(), String::new())), "{texts:?}");
}

#[tokio::test]
async fn what_a_client_leaves_comes_to_another_pod_at_once() {
    let [here, there] = pods("");
    let (mut first, mut second) = (here.tcp_session().await, there.tcp_session().await);
    consume(&mut first, "/queue/jobs", "").await;
    send_safely(&mut second, "/queue/jobs", "precious").await;
    assert_eq!(first.frame().await.header("redelivered"), Some("false"));
    consume(&mut second, "/queue/jobs", "").await;
    drop(first);
    let frame = second.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("precious", Some("true")));
}

#[tokio::test]
async fn an_acknowledged_message_never_comes_again() {
    let [here, there] = pods("");
    let mut client = here.tcp_session().await;
    for body in ["a", "b"] {
        send_safely(&mut client, "/queue/jobs", body).await;
    }
    consume(&mut client, "/queue/jobs", "").await;
    let (first, second) = (client.frame().await, client.frame().await);
    settle(&mut client, "ACK", &first, "receipt:done\n").await;
    assert_eq!(client.frame().await.header("receipt-id"), Some("done"));
    drop((client, here));
    let mut client = there.tcp_session().await;
    consume(&mut client, "/queue/jobs", "").await;
    let frame = client.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), (second.text(), Some("true")));
}

#[tokio::test]
async fn what_a_slow_client_holds_comes_to_nobody_else() {
    let [here, there] = pods("");
    let (mut slow, mut other) = (here.tcp_session().await, there.tcp_session().await);
    consume(&mut slow, "/queue/jobs", "").await;
    send_safely(&mut other, "/queue/jobs", "slow").await;
    let held = slow.frame().await;
    consume(&mut other, "/queue/jobs", "").await;
    // Twice as long as JetStream waits for a sign of life.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    settle(&mut slow, "ACK", &held, "receipt:done\n").await;
    assert_eq!(slow.frame().await.header("receipt-id"), Some("done"));
    drop(slow);
    other.send("/queue/jobs", "next").await;
    assert_eq!(other.frame().await.text(), "next");
}

#[tokio::test]
async fn a_message_that_is_given_back_too_often_becomes_a_dead_letter() {
    let policy = "destinations: [{match: /queue/**, maxDeliveries: 2}]";
    let [here, there] = pods(policy);
    let (mut client, mut watcher) = (here.tcp_session().await, there.tcp_session().await);
    consume(&mut watcher, "/queue/dead-letter", "").await;
    send_safely(&mut client, "/queue/jobs", "poison").await;
    consume(&mut client, "/queue/jobs", "").await;
    for _ in 0..2 {
        let frame = client.frame().await;
        settle(&mut client, "NACK", &frame, "").await;
    }
    let letter = watcher.frame().await;
    assert_eq!(letter.text(), "poison");
    for (name, value) in [("dead-letter-reason", "max-deliveries"), ("dead-letter-destination", "/queue/jobs")] {
        assert_eq!(letter.header(name), Some(value), "{letter:?}");
    }
    client.send("/queue/jobs", "next").await;
    assert_eq!(client.frame().await.text(), "next", "the queue has forgotten what died");
}

#[tokio::test]
async fn a_delayed_message_does_not_come_before_its_time_and_holds_up_no_other() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/queue/jobs").await;
    client.send_frame("SEND\ndestination:/queue/jobs\nx-delay:1500\n\nlater").await;
    client.send("/queue/jobs", "now").await;
    assert_eq!(client.message().await, "now");
    let frame = client.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("later", Some("false")));
}

#[tokio::test]
async fn what_is_too_large_for_nats_is_refused_with_the_limit() {
    let broker = BrokerUnderTest::start(&config("limits: {messageSize: 16Mi}"));
    for destination in ["/queue/large", "/topic/large"] {
        let mut client = broker.tcp_session().await;
        client.send_frame(&format!("SEND\ndestination:{destination}\n\n{}", "x".repeat(8 << 20))).await;
        client.frame().await.assert_error("max_payload of NATS (8388608 octets");
    }
}

#[tokio::test]
async fn what_queues_of_nats_cannot_do_is_refused_in_words() {
    let broker = BrokerUnderTest::start(&config(""));
    for (headers, words) in [("selector:a = 1\n", "no selector"), ("exclusive:true\n", "no exclusive consumers")] {
        let mut client = broker.tcp_session().await;
        consume(&mut client, "/queue/jobs", headers).await;
        client.frame().await.assert_error(words);
    }
}

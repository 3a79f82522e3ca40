//! Messages from one client to another, within and across transports.

use crate::support::{BrokerUnderTest, Peer, StompClient, config};

#[tokio::test]
async fn a_message_reaches_subscribers_over_tcp_and_websocket_whichever_way_it_was_sent() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut tcp, mut browser) = (broker.tcp_session().await, broker.websocket_client().await);
    browser.log_in("").await;
    tcp.subscribe("a", "/topic/prices").await;
    browser.subscribe("b", "/topic/prices").await;

    tcp.send_frame("SEND\ndestination:/topic/prices\ncurrency:EUR\ncontent-type:text/plain\n\n42").await;
    browser.send("/topic/prices", "43").await;

    for frame in [tcp.frame().await, browser.frame().await] {
        assert_eq!((frame.command.as_str(), frame.text()), ("MESSAGE", "42"));
        assert_eq!(frame.header("destination"), Some("/topic/prices"));
        assert_eq!(frame.header("currency"), Some("EUR"));
    }
    assert_eq!((tcp.message().await, browser.message().await), ("43".to_owned(), "43".to_owned()));
}

#[tokio::test]
async fn messages_of_a_queue_wait_for_a_consumer_and_go_to_one_only() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut sender = broker.tcp_session().await;
    for number in 0..4 {
        sender.send_frame(&format!("SEND\ndestination:/queue/jobs\nreceipt:r{number}\n\njob {number}")).await;
        assert_eq!(sender.frame().await.header("receipt-id"), Some(&*format!("r{number}")));
    }
    let mut worker = broker.tcp_session().await;
    worker.consume("w", "/queue/jobs").await;
    for number in 0..4 {
        assert_eq!(worker.message().await, format!("job {number}"));
    }
    let mut late = broker.tcp_session().await;
    late.subscribe("l", "/queue/jobs").await;
    late.send_frame("DISCONNECT\nreceipt:bye\n\n").await;
    assert_eq!(late.frame().await.command, "RECEIPT", "nothing was left for a second consumer");
}

#[tokio::test]
async fn what_a_lost_client_has_not_acknowledged_goes_to_the_next_one() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut first = broker.tcp_session().await;
    first.send_frame("SUBSCRIBE\nid:0\ndestination:/queue/jobs\nack:client\n\n").await;
    first.send("/queue/jobs", "precious").await;
    assert_eq!(first.frame().await.header("redelivered"), Some("false"));
    drop(first);
    let mut second = broker.tcp_session().await;
    second.send_frame("SUBSCRIBE\nid:0\ndestination:/queue/jobs\nack:client\n\n").await;
    let message = second.frame().await;
    assert_eq!((message.text(), message.header("redelivered")), ("precious", Some("true")));
}

#[tokio::test]
async fn frames_may_arrive_octet_by_octet_and_many_at_once() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp().await;
    for octet in b"CONNECT\r\naccept-version:1.2\r\nhost:x\r\n\r\n\0" {
        client.write(&[*octet]).await;
    }
    assert_eq!(client.frame().await.command, "CONNECTED");
    let burst: Vec<_> = (0..2000).map(|number| format!("SEND\ndestination:/topic/a\n\n{number}\0\n")).collect();
    client.write(format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0\n\n{}", burst.concat()).as_bytes()).await;
    for number in 0..2000 {
        assert_eq!(client.message().await, number.to_string());
    }
}

#[tokio::test]
async fn a_large_message_passes_whole_in_both_directions() {
    let broker = BrokerUnderTest::start(&config("limits: {messageSize: 4Mi, sendBufferSize: 8Mi}"));
    let mut tcp = broker.tcp_session().await;
    let mut browser = broker.websocket_client().await;
    browser.log_in("").await;
    browser.subscribe("b", "/topic/large").await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    tcp.write(format!("SEND\ndestination:/topic/large\ncontent-length:{}\n\n", body.len()).as_bytes()).await;
    tcp.write(&body).await;
    tcp.write(b"\0").await;
    assert!(browser.frame().await.body == body, "the body has changed on its way");
}

#[tokio::test]
async fn versions_are_negotiated_over_the_wire() {
    let broker = BrokerUnderTest::start(&config(""));
    for (offer, agreed) in [("accept-version:1.0,1.1\n", "1.1"), ("accept-version:1.2,1.1,1.0\n", "1.2"), ("", "1.0")] {
        let mut client = StompClient::connect(broker.stomp()).await;
        client.send_frame(&format!("CONNECT\n{offer}host:x\n\n")).await;
        let connected = client.frame().await;
        assert_eq!(connected.command, "CONNECTED");
        assert!(connected.header("session").is_some(), "{connected:?}");
        assert_eq!(connected.header("version").unwrap_or("1.0"), agreed);
    }
}

#[tokio::test]
async fn sessions_have_ids_that_no_other_session_has() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut ids = std::collections::HashSet::new();
    for _ in 0..5 {
        let connected = broker.tcp().await.log_in("").await;
        assert!(ids.insert(connected.header("session").unwrap().to_owned()), "{connected:?}");
    }
}

#[tokio::test]
async fn a_subscription_without_its_own_sessions_messages_gets_those_of_others() {
    for header in ["no-local", "activemq.noLocal"] {
        let broker = BrokerUnderTest::start(&config(""));
        let (mut session, mut other) = (broker.tcp_session().await, broker.tcp_session().await);
        let subscribe = format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n{header}:true\nreceipt:done\n\n");
        session.send_frame(&subscribe).await;
        assert_eq!(session.frame().await.command, "RECEIPT");
        other.subscribe("0", "/topic/a").await;
        session.send("/topic/a", "own").await;
        assert_eq!(other.message().await, "own");
        other.send("/topic/a", "another's").await;
        assert_eq!(session.message().await, "another's");
    }
}

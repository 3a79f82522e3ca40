//! Durable subscriptions as clients of `RabbitMQ`, `ActiveMQ` and Artemis ask for them.

use crate::support::{BrokerUnderTest, Peer, StompClient, config};

/// Sends a frame with a receipt and waits for that.
pub(crate) async fn confirmed(client: &mut StompClient, frame: &str) {
    let (head, body) = frame.split_once("\n\n").unwrap_or((frame, ""));
    client.send_frame(&format!("{head}\nreceipt:done\n\n{body}")).await;
    let answer = client.frame().await;
    assert_eq!((answer.command.as_str(), answer.header("receipt-id")), ("RECEIPT", Some("done")), "{answer:?}");
}

/// Ends a session in order, so that all it held has been given back.
pub(crate) async fn disconnect(mut client: StompClient) {
    confirmed(&mut client, "DISCONNECT").await;
    client.end().await;
}

/// A client that calls itself so.
async fn client(broker: &BrokerUnderTest, client_id: &str) -> StompClient {
    let mut client = broker.tcp().await;
    client.log_in(&format!("client-id:{client_id}\n")).await;
    client
}

#[tokio::test]
async fn a_client_id_and_a_name_find_it_again_and_unsubscribe_with_the_name_deletes_it() {
    for header in ["activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name"] {
        let broker = BrokerUnderTest::start(&config(""));
        let subscribe = format!("SUBSCRIBE\nid:0\ndestination:/topic/*\n{header}:jobs");
        let mut ann = client(&broker, "ann").await;
        confirmed(&mut ann, &subscribe).await;
        confirmed(&mut ann, "UNSUBSCRIBE\nid:0").await;
        confirmed(&mut ann, "SEND\ndestination:/topic/a\n\n1").await;
        disconnect(ann).await;

        let mut bob = client(&broker, "bob").await;
        confirmed(&mut bob, &subscribe).await;
        let mut ann = client(&broker, "ann").await;
        ann.send_frame(&format!("{subscribe}\n\n")).await;
        assert_eq!(ann.message().await, "1");
        confirmed(&mut ann, &format!("UNSUBSCRIBE\nid:0\n{header}:jobs")).await;
        let destinations = broker.admin("GET", "/destinations").await.body;
        assert!(destinations.contains("/durable/bob:jobs/topic/*"), "{destinations}");
        assert!(!destinations.contains("/durable/ann:jobs/topic/*"), "{destinations}");
    }
}

#[tokio::test]
async fn a_client_id_that_is_connected_is_refused_in_place_of_connected() {
    let broker = BrokerUnderTest::start(&config(""));
    let first = client(&broker, "ann").await;
    let mut second = broker.tcp().await;
    second.send_frame("CONNECT\naccept-version:1.2\nhost:x\nclient-id:ann\n\n").await;
    second.frame().await.assert_error(r#"client-id "ann""#);
    second.end().await;
    disconnect(first).await;
    client(&broker, "ann").await;
}

#[tokio::test]
async fn a_header_without_what_it_needs_is_named() {
    let broker = BrokerUnderTest::start(&config(""));
    for (header, named) in [
        ("activemq.subscriptionName:jobs", "activemq.subscriptionName"),
        ("durable:yes", "durable"),
        ("durable:true\nauto-delete:true", "auto-delete"),
    ] {
        let mut client = broker.tcp_session().await;
        client.send_frame(&format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n{header}\n\n")).await;
        client.frame().await.assert_error(named);
    }
}

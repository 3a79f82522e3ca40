//! What only the embedded engine does, since it answers at once and all consumers are its own.

use tokio::io::AsyncWriteExt as _;

use crate::{
    durable::{confirmed, disconnect},
    support::{BrokerUnderTest, Peer, config},
};

#[tokio::test]
async fn a_browser_sees_what_is_in_a_queue_and_the_first_of_a_group_says_so_to_its_consumer() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    for body in ["1", "2"] {
        client.send_frame(&format!("SEND\ndestination:/queue/jobs\nJMSXGroupID:a\n\n{body}")).await;
    }
    client.send_frame("SUBSCRIBE\nid:b\ndestination:/queue/jobs\nbrowser:true\n\n").await;
    for (body, end) in [("1", None), ("2", None), ("", Some("end"))] {
        let frame = client.frame().await;
        assert_eq!((frame.command.as_str(), frame.text(), frame.header("browser")), ("MESSAGE", body, end));
        assert_eq!((frame.header("subscription"), frame.header("destination")), (Some("b"), Some("/queue/jobs")));
    }
    client.consume("c", "/queue/jobs").await;
    for (body, first) in [("1", Some("true")), ("2", None)] {
        let frame = client.frame().await;
        assert_eq!((frame.text(), frame.header("JMSXGroupFirstForConsumer")), (body, first));
        assert_eq!((frame.header("subscription"), frame.header("JMSXGroupID")), (Some("c"), Some("a")));
    }
}

#[tokio::test]
async fn a_durable_subscription_is_listed_while_nobody_consumes_from_it() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut session = broker.tcp_session().await;
    confirmed(&mut session, "SUBSCRIBE\nid:jobs\ndestination:/topic/a\ndurable:true").await;
    disconnect(session).await;
    assert!(broker.admin("GET", "/destinations").await.body.contains("/durable/jobs/topic/a"));
}

#[tokio::test]
async fn two_sessions_share_one_and_what_comes_while_both_are_away_waits_in_order() {
    let broker = BrokerUnderTest::start(&config(""));
    let subscribe = "SUBSCRIBE\nid:jobs\ndestination:/topic/a\ndurable:true\nauto-delete:false\nack:client-individual";
    let mut sender = broker.tcp_session().await;
    let mut sharing = [broker.tcp_session().await, broker.tcp_session().await];
    for session in &mut sharing {
        confirmed(session, subscribe).await;
    }
    for body in ["1", "2"] {
        confirmed(&mut sender, &format!("SEND\ndestination:/topic/a\n\n{body}")).await;
    }
    let [mut first, mut second] = sharing;
    let frames = [first.frame().await, second.frame().await];
    assert_eq!([frames[0].text(), frames[1].text()], ["1", "2"]);
    confirmed(&mut first, &format!("ACK\nid:{}", frames[0].header("ack").unwrap())).await;
    disconnect(first).await;
    disconnect(second).await;
    confirmed(&mut sender, "SEND\ndestination:/topic/a\n\n3").await;

    let mut session = broker.tcp_session().await;
    session.send_frame(&format!("{subscribe}\n\n")).await;
    for (body, redelivered) in [("2", "true"), ("3", "false")] {
        let frame = session.frame().await;
        let seen = (frame.text(), frame.header("redelivered"), frame.header("subscription"));
        assert_eq!(seen, (body, Some(redelivered), Some("jobs")));
        assert_eq!(frame.header("destination"), Some("/topic/a"));
    }
}

#[tokio::test]
async fn what_a_client_sent_before_it_closed_its_side_is_still_handled() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/queue/a\nreceipt:r\n\nlast words").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.frame().await.header("receipt-id"), Some("r"));
    client.end().await;
    let mut reader = broker.tcp_session().await;
    reader.consume("0", "/queue/a").await;
    assert_eq!(reader.message().await, "last words");
}

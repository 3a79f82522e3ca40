//! What only the embedded engine has for queues.

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

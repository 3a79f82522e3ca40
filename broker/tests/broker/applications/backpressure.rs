//! Order, how much is asked of an application at once, and what becomes of it when clients or the pod go.

use std::time::Duration;

use super::{broker_with, failure, listen_for_errors, receipt, with_application};
use crate::support::{Application, BrokerUnderTest, Peer, Reply, eventually};

#[tokio::test]
async fn the_requests_of_a_session_are_made_one_after_the_other() {
    let application = Application::held(|request| Reply::text(request.text().to_owned())).await;
    let broker = broker_with(&application, "reply: {destination: /user/queue/replies}");
    let mut client = broker.tcp_session().await;
    client.subscribe("r", "/user/queue/replies").await;
    for number in 0..20 {
        client.send("/app/a", &number.to_string()).await;
    }
    application.requests(1).await;
    let mut other = broker.tcp_session().await;
    other.send("/app/a", "other").await;
    application.requests(2).await;
    assert_eq!(application.received().len(), 2, "one of each session");
    application.answer(100);
    for number in 0..20 {
        assert_eq!(client.message().await, number.to_string());
    }
}

#[tokio::test]
async fn without_order_a_session_has_as_many_requests_as_the_application_takes() {
    let application = Application::held(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "ordered: false, concurrency: 3");
    let mut client = broker.tcp_session().await;
    for number in 0..5 {
        client.send_frame(&format!("SEND\ndestination:/app/a\nreceipt:{number}\n\n")).await;
    }
    application.requests(3).await;
    for gauge in ["in_flight{application=\"shop\"} 3", "waiting{application=\"shop\"} 2"] {
        let (name, value) = gauge.rsplit_once(' ').unwrap();
        let name = format!("stompbroker_application_requests_{name}");
        let value: u64 = value.parse().unwrap();
        eventually(gauge, async || (broker.metric(&name).await == value).then_some(())).await;
    }
    assert_eq!(application.received().len(), 3);
    application.answer(5);
    for number in 0..5 {
        receipt(&mut client, &number.to_string()).await;
    }
}

#[tokio::test]
async fn what_finds_too_many_waiting_is_refused_and_told() {
    let application = Application::held(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "concurrency: 1, waiting: 2");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    for number in 0..4 {
        client.send_frame(&format!("SEND\ndestination:/app/a\nreceipt:{number}\n\n")).await;
    }
    let told = failure(&mut client).await;
    assert_eq!((told.header("receipt-id"), told.text()), (Some("3"), "too many requests wait for the application"));
    application.answer(3);
    for number in 0..3 {
        receipt(&mut client, &number.to_string()).await;
    }
    assert_eq!(application.received().len(), 3);
}

#[tokio::test]
async fn a_client_that_is_faster_than_its_application_is_read_more_slowly_and_loses_nothing() {
    const MESSAGES: usize = 300;
    let application = Application::held(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    for number in 0..MESSAGES {
        client.send_frame(&format!("SEND\ndestination:/app/a\nreceipt:{number}\n\n")).await;
    }
    application.requests(1).await;
    let waiting = "stompbroker_application_requests_waiting{application=\"shop\"}";
    let waiting =
        eventually("requests to wait", async || Some(broker.metric(waiting).await).filter(|waiting| *waiting >= 63))
            .await;
    // What was read in one go is taken whole.
    assert!(waiting < 150, "{waiting} requests wait");
    application.answer(MESSAGES);
    for number in 0..MESSAGES {
        receipt(&mut client, &number.to_string()).await;
    }
}

#[tokio::test]
async fn what_was_accepted_is_done_though_its_client_has_gone() {
    let application = Application::held(|request| Reply::text(request.text().to_owned())).await;
    let broker = broker_with(&application, "reply: {destination: /topic/done}");
    let mut watcher = broker.tcp_session().await;
    watcher.subscribe("0", "/topic/done").await;
    let mut client = broker.tcp_session().await;
    client.send("/app/a", "1").await;
    client.send("/app/a", "2").await;
    application.requests(1).await;
    drop(client);
    let sessions = "stompbroker_sessions{transport=\"tcp\"}";
    eventually("the session to end", async || (broker.metric(sessions).await == 1).then_some(())).await;
    application.answer(2);
    assert_eq!((watcher.message().await, watcher.message().await), ("1".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn a_drain_waits_for_requests_within_its_deadline() {
    let application = Application::held(|_| Reply::status(204)).await;
    let config = with_application(&application, "timeout: 15s, retry: {attempts: 1}");
    let mut broker = BrokerUnderTest::start(&format!("{config}drain: {{delay: 0s, deadline: 15s}}\n"));
    let mut client = broker.tcp_session().await;
    client.send("/app/a", "x").await;
    application.requests(1).await;
    broker.shutdown.cancel();
    client.frame().await.assert_error("lets its sessions go");
    client.end().await;
    let phase = async || {
        let status = broker.admin("GET", "/status").await.json();
        (status["drain"]["connectionsLeft"] == 0).then(|| status["drain"]["phase"].clone())
    };
    assert_ne!(eventually("no connection to be left", phase).await, "drained");
    application.answer(1);
    broker.ended().await;
}

#[tokio::test]
async fn a_drain_gives_up_what_its_deadline_leaves() {
    let application = Application::held(|_| Reply::status(204)).await;
    let config = with_application(&application, "timeout: 1h");
    let mut broker = BrokerUnderTest::start(&format!("{config}drain: {{delay: 0s, deadline: 500ms}}\n"));
    let mut client = broker.tcp_session().await;
    client.send("/app/a", "x").await;
    application.requests(1).await;
    broker.shutdown.cancel();
    tokio::time::timeout(Duration::from_mins(1), broker.ended()).await.unwrap();
}

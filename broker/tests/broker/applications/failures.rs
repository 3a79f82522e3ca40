//! Requests that come to nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::TcpListener;

use super::{broker_with, failure, listen_for_errors, receipt};
use crate::support::{Application, BrokerUnderTest, Peer, Reply, config};

#[tokio::test]
async fn what_an_application_refuses_is_told_once_with_its_words_and_has_no_receipt() {
    let application = Application::start(|request| {
        let body = Bytes::from_static(b"{\"title\":\"sold out\"}");
        let refused = Reply { status: 409, content_type: Some("application/problem+json"), body };
        if request.path == "/orders" { refused } else { Reply::status(204) }
    })
    .await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send_frame("SEND\ndestination:/app/orders\ncorrelation-id:c\nreceipt:1\n\nx").await;
    let told = failure(&mut client).await;
    for (name, value) in [
        ("status", "409"),
        ("application", "shop"),
        ("request-destination", "/app/orders"),
        ("correlation-id", "c"),
        ("receipt-id", "1"),
        ("content-type", "application/problem+json"),
        ("reason", "the application has answered 409 Conflict"),
    ] {
        assert_eq!(told.header(name), Some(value), "{name}");
    }
    assert_eq!(told.text(), "{\"title\":\"sold out\"}");
    client.send_frame("SEND\ndestination:/app/other\nreceipt:2\n\nx").await;
    receipt(&mut client, "2").await;
    assert_eq!(application.received().len(), 2, "what is refused is not tried again");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_as_the_same_event() {
    let tries = AtomicUsize::new(0);
    let application = Application::start(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(503),
        1 => Reply::status(500),
        _ => Reply::status(204),
    })
    .await;
    let broker = broker_with(&application, "timeout: 15s, retry: {attempts: 3, backoff: 10ms}");
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/app/orders\nreceipt:1\n\nx").await;
    receipt(&mut client, "1").await;
    let received = application.received();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|request| request.header("ce-id") == received[0].header("ce-id")));
    assert_eq!(broker.metric("stompbroker_application_retries_total{application=\"shop\"}").await, 2);
}

#[tokio::test]
async fn the_tries_have_an_end_and_the_words_of_a_broken_application_are_not_passed_on() {
    let application = Application::start(|_| Reply { status: 500, ..Reply::text("stack trace") }).await;
    let broker = broker_with(&application, "timeout: 15s, retry: {attempts: 2, backoff: 10ms}");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/orders", "x").await;
    let told = failure(&mut client).await;
    assert_eq!(
        (told.header("status"), told.text()),
        (Some("500"), "the application has answered 500 Internal Server Error")
    );
    assert_eq!(application.received().len(), 2);
}

#[tokio::test]
async fn an_application_that_does_not_answer_is_given_up() {
    let application = Application::held(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "timeout: 300ms, retry: {attempts: 2, backoff: 10ms}");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/orders", "x").await;
    let told = failure(&mut client).await;
    assert_eq!((told.header("status"), told.text()), (None, "the application has not answered in time"));
    assert_eq!(application.received().len(), 2, "a try may take its share of the time");
}

#[tokio::test]
async fn an_application_that_is_not_there_is_told_without_where_it_should_be() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let broker = BrokerUnderTest::start(&config(&format!(
        "applications: [{{name: shop, prefix: /app, url: 'http://{nobody}', retry: {{attempts: 1}}}}]"
    )));
    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    listen_for_errors(&mut client).await;
    client.send("/app/orders", "x").await;
    assert_eq!(failure(&mut client).await.text(), "the application cannot be reached");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let application = Application::start(|_| Reply::status(307)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/orders", "x").await;
    assert_eq!(failure(&mut client).await.header("status"), Some("307"));
    assert_eq!(application.received().len(), 1);
}

#[tokio::test]
async fn an_answer_may_be_no_larger_than_a_message() {
    let application = Application::start(|_| Reply::text(vec![b'x'; 2000])).await;
    let config = super::with_application(&application, "reply: {destination: /topic/a}");
    let broker = BrokerUnderTest::start(&format!("{config}limits: {{messageSize: 1000}}\n"));
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/orders", "x").await;
    let told = failure(&mut client).await;
    assert!(told.text().contains("limits.messageSize"), "{told:?}");
}

//! Subscriptions that an application answers once.

use super::{broker_with, failure, listen_for_errors, receipt};
use crate::support::{Application, Peer, Reply, eventually};

#[tokio::test]
async fn a_subscription_is_answered_once_and_then_silent() {
    let application =
        Application::start(|request| if request.method == "GET" { Reply::text("now") } else { Reply::status(204) })
            .await;
    let broker = broker_with(&application, "");
    let mut client = broker.websocket_client().await;
    client.log_in("").await;
    client.consume("s", "/app/prices/EUR").await;
    let answer = client.frame().await;
    assert_eq!((answer.header("subscription"), answer.text()), (Some("s"), "now"));
    assert_eq!(
        (answer.header("destination"), answer.header("content-type")),
        (Some("/app/prices/EUR"), Some("text/plain"))
    );
    let request = &application.received()[0];
    assert_eq!((request.method.as_str(), request.path.as_str(), request.body.len()), ("GET", "/prices/EUR", 0));
    assert_eq!(request.header("ce-type"), Some("dev.stompbroker.subscribe"));
    client.send_frame("SEND\ndestination:/app/prices/EUR\nreceipt:1\n\nx").await;
    receipt(&mut client, "1").await;
    client.send_frame("UNSUBSCRIBE\nid:s\nreceipt:2\n\n").await;
    receipt(&mut client, "2").await;
}

#[tokio::test]
async fn an_answer_can_be_acknowledged_like_any_message() {
    let application = Application::start(|_| Reply::text("now")).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    client.send_frame("SUBSCRIBE\nid:s\ndestination:/app/a\nack:client\n\n").await;
    let answer = client.frame().await;
    let ack = answer.header("ack").unwrap();
    client.send_frame(&format!("ACK\nid:{ack}\nreceipt:1\n\n")).await;
    receipt(&mut client, "1").await;
}

#[tokio::test]
async fn an_answer_for_a_subscription_that_has_ended_reaches_no_other() {
    let application = Application::held(|request| Reply::text(request.path.clone())).await;
    let broker = broker_with(&application, "ordered: false");
    let mut client = broker.tcp_session().await;
    client.subscribe("a", "/app/old").await;
    application.requests(1).await;
    client.send_frame("UNSUBSCRIBE\nid:a\nreceipt:u\n\n").await;
    receipt(&mut client, "u").await;
    client.subscribe("b", "/app/new").await;
    application.requests(2).await;
    application.answer(2);
    let answer = client.frame().await;
    assert_eq!((answer.header("subscription"), answer.text()), (Some("b"), "/new"));
    let ended = "stompbroker_application_requests_total{application=\"shop\",outcome=\"ok\"}";
    eventually("both requests to end", async || (broker.metric(ended).await == 2).then_some(())).await;
    client.send_frame("SEND\ndestination:/topic/a\nreceipt:last\n\n").await;
    receipt(&mut client, "last").await;
}

#[tokio::test]
async fn a_subscription_that_is_not_answered_stays_and_its_failure_is_told() {
    let application = Application::start(|_| Reply::status(404)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.subscribe("s", "/app/a").await;
    assert_eq!(failure(&mut client).await.header("status"), Some("404"));
    client.send_frame("UNSUBSCRIBE\nid:s\nreceipt:1\n\n").await;
    receipt(&mut client, "1").await;
}

#[tokio::test]
async fn wildcards_name_no_destination_of_an_application() {
    let application = Application::start(|_| Reply::status(404)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    client.consume("s", "/app/*").await;
    client.frame().await.assert_error("without wildcards");
}

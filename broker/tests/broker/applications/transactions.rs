//! Messages for applications in transactions.

use super::{broker_with, failure, listen_for_errors, receipt};
use crate::support::{Application, Peer, Reply};

#[tokio::test]
async fn messages_of_a_transaction_are_posted_at_commit_in_order() {
    let application = Application::start(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/a").await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    client.send_frame("SEND\ndestination:/app/a\ntransaction:t\nreceipt:first\n\n1").await;
    client.send_frame("SEND\ndestination:/topic/a\ntransaction:t\n\nto the engine").await;
    client.send_frame("SEND\ndestination:/app/a\ntransaction:t\n\n2").await;
    client.send_frame("SEND\ndestination:/topic/a\n\nbefore").await;
    assert_eq!(client.message().await, "before");
    assert!(application.received().is_empty(), "nothing is posted before COMMIT");
    client.send_frame("COMMIT\ntransaction:t\nreceipt:c\n\n").await;
    let mut frames = vec![client.frame().await, client.frame().await, client.frame().await];
    // The message comes from the engine, whenever that has it.
    let message = frames.iter().position(|frame| frame.command == "MESSAGE").unwrap();
    assert_eq!(frames.remove(message).text(), "to the engine");
    let receipts: Vec<_> = frames.iter().filter_map(|frame| frame.header("receipt-id")).collect();
    assert_eq!(receipts, ["first", "c"]);
    let bodies: Vec<_> = application.received().iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(bodies, ["1", "2"]);
}

#[tokio::test]
async fn an_aborted_transaction_posts_nothing() {
    let application = Application::start(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    client.send_frame("SEND\ndestination:/app/a\ntransaction:t\n\n1").await;
    client.send_frame("ABORT\ntransaction:t\n\n").await;
    client.send_frame("SEND\ndestination:/app/a\nreceipt:1\n\nother").await;
    receipt(&mut client, "1").await;
    assert_eq!(application.received().len(), 1);
}

#[tokio::test]
async fn a_commit_of_which_something_fails_has_no_receipt() {
    let application =
        Application::start(|request| Reply::status(if request.text() == "bad" { 400 } else { 204 })).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    client.send_frame("SEND\ndestination:/app/a\ntransaction:t\n\nbad").await;
    client.send_frame("SEND\ndestination:/app/a\ntransaction:t\n\ngood").await;
    client.send_frame("COMMIT\ntransaction:t\nreceipt:c\n\n").await;
    assert_eq!(failure(&mut client).await.header("status"), Some("400"));
    client.send_frame("SEND\ndestination:/app/a\nreceipt:next\n\n").await;
    receipt(&mut client, "next").await;
    assert_eq!(application.received().len(), 3, "what comes after it is still posted");
}

//! What clients send to applications, against real HTTP servers.

mod backpressure;
mod failures;
mod reload;
mod replies;
mod requests;
mod subscriptions;
mod transactions;
mod trust;

use crate::support::{Application, BrokerUnderTest, Frame, Peer, config};

/// This application, and what more is said of it, as a key of the configuration.
pub(crate) fn key(application: &Application, more: &str) -> String {
    format!("applications:\n- {{name: shop, prefix: /app, url: '{}', {more}}}", application.url())
}

/// A configuration with this application, and what more is said of it.
pub(crate) fn with_application(application: &Application, more: &str) -> String {
    config(&key(application, more))
}

/// A broker with this application.
pub(crate) fn broker_with(application: &Application, more: &str) -> BrokerUnderTest {
    BrokerUnderTest::start(&with_application(application, more))
}

/// Subscribes to what tells of requests that failed.
pub(crate) async fn listen_for_errors(client: &mut impl Peer) {
    client.subscribe("errors", "/user/queue/errors").await;
}

/// The next frame, which must be a message about a request that failed.
pub(crate) async fn failure(client: &mut impl Peer) -> Frame {
    let frame = client.frame().await;
    assert_eq!(
        (frame.command.as_str(), frame.header("destination")),
        ("MESSAGE", Some("/user/queue/errors")),
        "{frame:?}"
    );
    frame
}

/// The next frame, which must be this RECEIPT.
pub(crate) async fn receipt(client: &mut impl Peer, id: &str) {
    let frame = client.frame().await;
    assert_eq!((frame.command.as_str(), frame.header("receipt-id")), ("RECEIPT", Some(id)), "{frame:?}");
}

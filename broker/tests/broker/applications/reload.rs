//! Applications come, go and change while clients stay connected.

use super::{key, receipt};
use crate::support::{Application, BrokerUnderTest, Peer, Reply, config};

#[tokio::test]
async fn live_sessions_use_the_applications_of_the_configuration_in_force() {
    let (first, second) =
        (Application::held(|_| Reply::status(204)).await, Application::start(|_| Reply::status(204)).await);
    let without = config("");
    let with = |application| format!("{without}{}", key(application, ""));
    let broker = BrokerUnderTest::start(&without);
    let (mut client, mut refused) = (broker.tcp_session().await, broker.tcp_session().await);
    refused.send("/app/a", "x").await;
    refused.frame().await.assert_error("/app/a");

    broker.write_config(&with(&first));
    broker.in_force().await;
    client.send_frame("SEND\ndestination:/app/a\nreceipt:1\n\nold").await;
    first.requests(1).await;

    broker.write_config(&with(&second));
    broker.in_force().await;
    client.send_frame("SEND\ndestination:/app/a\nreceipt:2\n\nnew").await;
    first.answer(1);
    receipt(&mut client, "1").await;
    receipt(&mut client, "2").await;
    assert_eq!((first.received()[0].text(), second.received()[0].text()), ("old", "new"));
    let status = broker.admin("GET", "/status").await.json();
    assert!(status["config"]["needsRestart"].as_array().is_none_or(Vec::is_empty), "{status}");

    broker.write_config(&without);
    broker.in_force().await;
    client.send("/app/a", "x").await;
    client.frame().await.assert_error("/app/a");
}

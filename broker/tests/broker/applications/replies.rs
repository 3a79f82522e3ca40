//! Where answers go.

use super::{broker_with, failure, listen_for_errors, receipt};
use crate::support::{Application, BrokerUnderTest, Peer, Reply, config};

async fn greeter() -> Application {
    Application::start(|request| Reply::text(format!("hello {}", request.text()))).await
}

#[tokio::test]
async fn a_reply_goes_to_all_who_subscribed_to_the_declared_topic() {
    let application = greeter().await;
    let broker = BrokerUnderTest::start(&config(&format!(
        "applications: [{{name: shop, prefix: '/app/rooms/{{room}}', url: '{}', reply: {{destination: \
         '/topic/rooms.{{room}}'}}}}]",
        application.url()
    )));
    let (mut sender, mut other) = (broker.tcp_session().await, broker.websocket_client().await);
    other.log_in("").await;
    other.subscribe("0", "/topic/rooms.7").await;
    sender.send_frame("SEND\ndestination:/app/rooms/7/greet\ncorrelation-id:c-1\nreceipt:1\n\nann").await;
    receipt(&mut sender, "1").await;
    let reply = other.frame().await;
    assert_eq!((reply.command.as_str(), reply.text()), ("MESSAGE", "hello ann"));
    for (name, value) in [("destination", "/topic/rooms.7"), ("content-type", "text/plain"), ("correlation-id", "c-1")]
    {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_reply_to_a_destination_of_the_user_is_for_the_session_that_sent_alone() {
    let application = greeter().await;
    let broker = broker_with(&application, "reply: {destination: /user/queue/replies}");
    let (mut sender, mut other) = (broker.websocket_client().await, broker.tcp_session().await);
    sender.log_in("").await;
    for client in [&mut other as &mut _] {
        client_subscribes(client).await;
    }
    sender.subscribe("r", "/user/queue/replies").await;
    sender.send("/app/greet", "ann").await;
    let reply = sender.frame().await;
    assert_eq!((reply.header("destination"), reply.text()), (Some("/user/queue/replies"), "hello ann"));
    other.send_frame("SEND\ndestination:/app/greet\nreceipt:1\n\nbob").await;
    let frames = [other.frame().await, other.frame().await];
    assert!(frames.iter().any(|frame| frame.text() == "hello bob"), "the first that it gets is its own: {frames:?}");
}

async fn client_subscribes(client: &mut impl Peer) {
    client.subscribe("r", "/user/queue/replies").await;
}

#[tokio::test]
async fn a_send_may_say_where_its_reply_goes() {
    let application = greeter().await;
    let broker = broker_with(&application, "reply: {destination: /topic/declared}");
    let mut client = broker.tcp_session().await;
    client.subscribe("own", "/user/queue/own").await;
    client.send_frame("SEND\ndestination:/app/greet\nreply-to:/user/queue/own\n\nbob").await;
    let reply = client.frame().await;
    assert_eq!((reply.header("subscription"), reply.text()), (Some("own"), "hello bob"));
}

#[tokio::test]
async fn a_reply_goes_nowhere_where_its_sender_may_not_send() {
    let application = greeter().await;
    let broker = BrokerUnderTest::start(&config(&format!(
        "applications: [{{name: shop, prefix: /app, url: '{}'}}]\nauthorization: {{rules: [{{actions: [Send], \
         destinations: ['/app/**'], allow: {{anyone: {{}}}}}}]}}",
        application.url()
    )));
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/app/greet\nreply-to:/topic/secret\n\nann").await;
    client.frame().await.assert_error("/topic/secret");
    assert!(application.received().is_empty());
}

#[tokio::test]
async fn without_a_body_nothing_is_sent_on() {
    let application =
        Application::start(|request| if request.path == "/quiet" { Reply::status(204) } else { Reply::text("x") })
            .await;
    let broker = broker_with(&application, "reply: {destination: /topic/replies}");
    let mut client = broker.tcp_session().await;
    client.subscribe("0", "/topic/replies").await;
    client.send("/app/quiet", "").await;
    client.send("/app/loud", "").await;
    assert_eq!(client.message().await, "x");
}

#[tokio::test]
async fn a_reply_that_the_engine_does_not_take_is_told() {
    let application = greeter().await;
    let broker = broker_with(&application, "reply: {destination: /nowhere}");
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/greet", "ann").await;
    let told = failure(&mut client).await;
    assert!(told.text().contains("its answer could not be sent on"), "{told:?}");
}

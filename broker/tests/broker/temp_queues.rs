//! Replies to temporary queues, as clients of `RabbitMQ` and of `ActiveMQ` ask for them.

use crate::{
    applications::broker_with,
    support::{Application, BrokerUnderTest, Peer, Reply, config},
};

#[tokio::test]
async fn a_reply_comes_to_the_queue_that_reply_to_named_without_a_subscribe() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut client, mut service) = (broker.tcp_session().await, broker.tcp_session().await);
    service.subscribe("0", "/queue/requests").await;
    for number in 0..2 {
        client.send_frame("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nquestion").await;
        let request = service.frame().await;
        let reply_to = request.header("reply-to").unwrap();
        assert!(reply_to.starts_with("/reply-queue/"), "{request:?}");
        service.send(reply_to, &format!("answer {number}")).await;
        let reply = client.frame().await;
        assert_eq!((reply.command.as_str(), reply.text()), ("MESSAGE", &*format!("answer {number}")));
        assert_eq!(reply.header("subscription"), Some("/temp-queue/answers"));
        assert_eq!(reply.header("destination"), Some(reply_to));
    }
}

#[tokio::test]
async fn a_subscription_of_ones_own_to_the_temporary_queue_gets_the_reply_under_its_id() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut client, mut service) = (broker.tcp_session().await, broker.tcp_session().await);
    service.subscribe("0", "/queue/requests").await;
    client.subscribe("mine", "/temp-queue/answers").await;
    client.send_frame("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nquestion").await;
    let request = service.frame().await;
    service.send(request.header("reply-to").unwrap(), "answer").await;
    let reply = client.frame().await;
    assert_eq!((reply.text(), reply.header("subscription")), ("answer", Some("mine")));
}

#[tokio::test]
async fn a_temporary_queue_needs_the_right_to_subscribe_to_it() {
    let rules = "authorization: {rules: [{actions: [Send], destinations: [/queue/**], allow: {anyone: {}}}]}";
    let broker = BrokerUnderTest::start(&config(rules));
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nquestion").await;
    client.frame().await.assert_error("/temp-queue/answers");
}

#[tokio::test]
async fn an_application_replies_to_the_temporary_queue_that_a_send_names() {
    let application = Application::start(|request| Reply::text(format!("hello {}", request.text()))).await;
    let broker = broker_with(&application, "reply: {destination: /topic/declared}");
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/app/greet\nreply-to:/temp-queue/mine\n\nann").await;
    let reply = client.frame().await;
    assert_eq!((reply.header("subscription"), reply.text()), (Some("/temp-queue/mine"), "hello ann"));
}

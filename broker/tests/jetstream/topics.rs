//! Topics, users and temporary queues over several pods.

use crate::support::{BrokerUnderTest, Peer, StompClient, config, eventually, pods};

#[tokio::test]
async fn a_message_reaches_subscribers_of_every_pod_by_name_and_by_pattern_each_once() {
    let [here, there] = pods("");
    let (mut sender, mut other) = (here.tcp_session().await, there.tcp_session().await);
    for (id, destination) in [("name", "/topic/prices.eu"), ("one", "/topic/prices.*"), ("rest", "/topic/prices/#")] {
        sender.subscribe(id, destination).await;
        other.subscribe(id, destination).await;
    }
    sender.send("/topic/prices.eu", "first").await;
    sender.send("/topic/prices.eu", "second").await;
    for client in [&mut sender, &mut other] {
        let mut seen = std::collections::BTreeMap::<String, Vec<String>>::new();
        for _ in 0..6 {
            let frame = client.frame().await;
            assert_eq!(frame.header("destination"), Some("/topic/prices.eu"));
            let subscription = frame.header("subscription").unwrap().to_owned();
            seen.entry(subscription).or_default().push(frame.text().to_owned());
        }
        assert!(seen.values().all(|bodies| bodies == &["first", "second"]), "{seen:?}");
    }
}

#[tokio::test]
async fn the_pattern_for_the_rest_covers_the_topic_itself() {
    let [here, there] = pods("");
    let (mut sender, mut watcher) = (here.tcp_session().await, there.tcp_session().await);
    watcher.subscribe("0", "/topic/a/**").await;
    // The same to every broker, so each gets each message once.
    let mut other = there.tcp_session().await;
    other.subscribe("0", "/topic/a.#").await;
    other.subscribe("1", "/topic/**/c").await;
    for topic in ["/topic/ab", "/topic/a", "/topic/a.b/c"] {
        sender.send(topic, topic).await;
    }
    assert_eq!([watcher.message().await, watcher.message().await], ["/topic/a", "/topic/a.b/c"]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = other.frame().await;
        seen.push((frame.header("subscription").unwrap().to_owned(), frame.text().to_owned()));
    }
    seen.sort();
    assert_eq!(
        seen,
        [("0", "/topic/a"), ("0", "/topic/a.b/c"), ("1", "/topic/a.b/c")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
}

#[tokio::test]
async fn names_that_nats_could_not_tell_apart_are_told_apart() {
    let [here, there] = pods("");
    let (mut sender, mut watcher) = (here.tcp_session().await, there.tcp_session().await);
    let topics =
        ["/topic/a.b", "/topic/a/b", "/topic/a b", "/topic/a*", "/topic/A", "/topic/é>", "/topic/a..b", "/topic/=2A"];
    for (id, topic) in topics.iter().enumerate() {
        watcher.subscribe(&id.to_string(), topic).await;
    }
    for topic in topics {
        sender.send(topic, topic).await;
    }
    for (id, topic) in topics.iter().enumerate() {
        let frame = watcher.frame().await;
        assert_eq!((frame.text(), frame.header("subscription")), (*topic, Some(&*id.to_string())));
        assert_eq!(frame.header("destination"), Some(*topic));
    }
}

#[tokio::test]
async fn headers_and_bodies_arrive_octet_by_octet_as_they_were_sent() {
    let [here, there] = pods("");
    let (mut sender, mut watcher) = (here.tcp_session().await, there.tcp_session().await);
    watcher.subscribe("topic", "/topic/a").await;
    watcher.subscribe("queue", "/queue/a").await;
    for destination in ["/topic/a", "/queue/a"] {
        let head = format!(
            "SEND\ndestination:{destination}\ncontent-length:4\n spaced : lead\\r\\n\\c\\\\trail \nempty:\nNats-Msg-Id:é\n\n"
        );
        sender.write(head.as_bytes()).await;
        sender.write(b"\0\xff\n\0\0").await;
        let frame = watcher.frame().await;
        assert_eq!(frame.body, b"\0\xff\n\0");
        for (name, value) in [(" spaced ", " lead\\r\\n\\c\\\\trail "), ("empty", ""), ("Nats-Msg-Id", "é")] {
            assert_eq!(frame.header(name), Some(value), "{frame:?}");
        }
    }
}

#[tokio::test]
async fn a_receipt_for_a_topic_comes_after_those_before_it() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut sender = broker.tcp_session().await;
    for number in 0..500 {
        let destination = if number % 2 == 0 { "/topic/a" } else { "/queue/a" };
        sender.send_frame(&format!("SEND\ndestination:{destination}\nreceipt:{number}\n\n")).await;
    }
    for number in 0..500 {
        assert_eq!(sender.frame().await.header("receipt-id"), Some(&*number.to_string()));
    }
}

#[tokio::test]
async fn a_reply_finds_the_temporary_queue_on_another_pod() {
    let [here, there] = pods("");
    let (mut client, mut service) = (here.tcp_session().await, there.tcp_session().await);
    service.subscribe("0", "/queue/requests").await;
    client.send_frame("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nquestion").await;
    let request = service.frame().await;
    service.send(request.header("reply-to").unwrap(), "answer").await;
    let reply = client.frame().await;
    assert_eq!((reply.text(), reply.header("subscription")), ("answer", Some("/temp-queue/answers")));
}

#[tokio::test]
async fn a_user_is_reached_on_whichever_pod_and_nobody_else_is() {
    let users = "userDestinations: {unresolvedTopic: /topic/nobody}";
    let [here, there] = pods(users);
    let (mut sender, mut watcher) = (here.tcp_session().await, there.tcp_session().await);
    let mut target = there.tcp().await;
    let session = target.log_in("").await.header("session").unwrap().to_owned();
    target.subscribe("0", "/user/queue/news").await;
    watcher.subscribe("0", "/topic/nobody").await;
    sender.send(&format!("/user/{session}/queue/news"), "for you").await;
    sender.send("/user/no.such-user/queue/news", "for nobody").await;
    let frame = target.frame().await;
    assert_eq!((frame.text(), frame.header("destination")), ("for you", Some("/user/queue/news")));
    let frame = watcher.frame().await;
    assert_eq!(
        (frame.text(), frame.header("simpOrigDestination")),
        ("for nobody", Some("/user/no.such-user/queue/news"))
    );
}

#[tokio::test]
async fn a_topic_that_nobody_here_wants_any_more_is_no_longer_sent_here() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut first, mut second) = (broker.tcp_session().await, broker.tcp_session().await);
    first.subscribe("0", "/topic/a").await;
    second.subscribe("0", "/topic/a").await;
    first.send_frame("UNSUBSCRIBE\nid:0\nreceipt:off\n\n").await;
    assert_eq!(first.frame().await.header("receipt-id"), Some("off"));
    first.send("/topic/a", "for the other").await;
    assert_eq!(second.message().await, "for the other");
    second.send_frame("UNSUBSCRIBE\nid:0\nreceipt:off\n\n").await;
    assert_eq!(second.frame().await.header("receipt-id"), Some("off"));
    second.subscribe("1", "/topic/a").await;
    first.send("/topic/a", "again").await;
    assert_eq!(second.message().await, "again");
}

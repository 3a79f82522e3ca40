//! Durable subscriptions that NATS keeps for all pods, and messages to topics that come later.

use crate::{
    durable::{confirmed, disconnect},
    queues::settle,
    support::{BrokerUnderTest, Peer, config, pods},
};

const SUBSCRIBE: &str = "SUBSCRIBE\nid:jobs\ndestination:/topic/a\ndurable:true\nack:client-individual";

#[tokio::test]
async fn what_comes_while_its_client_is_away_waits_for_it_on_whichever_pod_in_order() {
    let [here, there] = pods("");
    let mut client = here.tcp_session().await;
    confirmed(&mut client, SUBSCRIBE).await;
    disconnect(client).await;
    let mut sender = there.tcp_session().await;
    for number in 0..50 {
        sender.send_frame(&format!("SEND\ndestination:/topic/a\nreceipt:{number}\n\n{number}")).await;
    }
    for number in 0..50 {
        assert_eq!(sender.frame().await.header("receipt-id"), Some(&*number.to_string()));
    }
    let mut client = there.tcp_session().await;
    client.send_frame(&format!("{SUBSCRIBE}\n\n")).await;
    for number in 0..50 {
        let frame = client.frame().await;
        assert_eq!((frame.text(), frame.header("destination")), (&*number.to_string(), Some("/topic/a")));
        if number < 49 {
            settle(&mut client, "ACK", &frame, "").await;
        }
    }
    drop(client);
    let mut client = here.tcp_session().await;
    client.send_frame(&format!("{SUBSCRIBE}\n\n")).await;
    let frame = client.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("49", Some("true")), "only what was not acknowledged");
}

#[tokio::test]
async fn who_shares_one_over_pods_gets_each_message_once_and_ordinary_subscribers_get_all() {
    let [here, there] = pods("");
    let (mut first, mut second) = (here.tcp_session().await, there.tcp_session().await);
    for client in [&mut first, &mut second] {
        confirmed(client, SUBSCRIBE).await;
    }
    let mut ordinary = here.tcp_session().await;
    ordinary.subscribe("0", "/topic/a").await;
    for body in ["1", "2", "3", "4"] {
        confirmed(&mut ordinary, &format!("SEND\ndestination:/topic/b\n\n{body}")).await;
        ordinary.send("/topic/a", body).await;
        assert_eq!(ordinary.message().await, body);
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let frame = tokio::select! {
            frame = first.frame() => frame,
            frame = second.frame() => frame,
        };
        seen.push(frame.text().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn one_that_is_deleted_begins_anew_without_what_it_had() {
    let [here, there] = pods("");
    let mut client = here.tcp_session().await;
    confirmed(&mut client, SUBSCRIBE).await;
    client.send("/topic/a", "old").await;
    assert_eq!(client.message().await, "old");
    // Nothing is waited for: what follows comes after it.
    client.send_frame("UNSUBSCRIBE\nid:jobs\ndurable:true\n\n").await;
    confirmed(&mut client, SUBSCRIBE).await;
    confirmed(&mut there.tcp_session().await, "SEND\ndestination:/topic/a\n\nnew").await;
    assert_eq!(client.message().await, "new");
}

#[tokio::test]
async fn a_pattern_gets_only_its_own_topics_and_names_that_share_a_subject_are_told_apart() {
    let topics = "engine: {jetStream: {servers: ['URL'], prefix: PREFIX, replicas: 1, queueStreams: 1, \
                  durableTopics: {match: ['/topic/x/**']}}}";
    let (nats, prefix) = (crate::nats::Nats::shared(), crate::nats::Nats::prefix());
    let topics = topics.replace("URL", &nats.url()).replace("PREFIX", &prefix);
    let broker = BrokerUnderTest::start(&crate::any_broker::config(&topics));
    let mut client = broker.tcp_session().await;
    for (id, topic) in [("middle", "/topic/x/**/c"), ("dot", "/topic/x.b"), ("all", "/topic/x.#")] {
        confirmed(&mut client, &format!("SUBSCRIBE\nid:{id}\ndestination:{topic}\ndurable:true")).await;
    }
    let mut sender = broker.tcp_session().await;
    for topic in ["/topic/x/b", "/topic/x.b", "/topic/x.b.c", "/topic/x"] {
        confirmed(&mut sender, &format!("SEND\ndestination:{topic}\n\n{topic}")).await;
    }
    let mut seen = std::collections::BTreeMap::<String, Vec<String>>::new();
    for _ in 0..6 {
        let frame = client.frame().await;
        seen.entry(frame.header("subscription").unwrap().to_owned()).or_default().push(frame.text().to_owned());
    }
    let expected: [(&str, &[&str]); 3] = [
        ("all", &["/topic/x/b", "/topic/x.b", "/topic/x.b.c", "/topic/x"]),
        ("dot", &["/topic/x.b"]),
        ("middle", &["/topic/x.b.c"]),
    ];
    for (id, topics) in expected {
        assert_eq!(seen[id], topics, "{id}");
    }
}

#[tokio::test]
async fn a_transaction_reaches_durable_and_ordinary_subscribers_together() {
    let broker = BrokerUnderTest::start(&config(""));
    let (mut durable, mut ordinary) = (broker.tcp_session().await, broker.tcp_session().await);
    confirmed(&mut durable, SUBSCRIBE).await;
    ordinary.subscribe("0", "/topic/a").await;
    let mut sender = broker.tcp_session().await;
    sender.send_frame("BEGIN\ntransaction:t\n\n").await;
    for body in ["1", "2"] {
        sender.send_frame(&format!("SEND\ndestination:/topic/a\ntransaction:t\n\n{body}")).await;
    }
    confirmed(&mut sender, "COMMIT\ntransaction:t").await;
    for client in [&mut durable, &mut ordinary] {
        assert_eq!([client.message().await, client.message().await], ["1", "2"]);
    }
}

#[tokio::test]
async fn what_is_not_kept_is_refused_in_words() {
    let broker = BrokerUnderTest::start(&config(""));
    for (frame, words) in [
        ("SUBSCRIBE\nid:0\ndestination:/topic/a.b\ndurable:true", "engine.jetStream.durableTopics.match (/topic/*)"),
        ("SUBSCRIBE\nid:0\ndestination:/topic/a.*\ndurable:true", "engine.jetStream.durableTopics.match"),
        ("SUBSCRIBE\nid:0\ndestination:/topic/a\nx-queue-name:q", "add durable:true"),
        ("SUBSCRIBE\nid:0\ndestination:/topic/a\ndurable:true\nselector:a = 1", "no selector"),
    ] {
        let mut client = broker.tcp_session().await;
        client.send_frame(&format!("{frame}\n\n")).await;
        client.frame().await.assert_error(words);
    }
}

#[tokio::test]
async fn a_delayed_message_to_a_topic_comes_later_though_its_pod_has_gone() {
    let [here, there] = pods("");
    let mut watcher = there.tcp_session().await;
    for topic in ["/topic/a", "/topic/a.b"] {
        watcher.subscribe(topic, topic).await;
    }
    let mut sender = here.tcp_session().await;
    for topic in ["/topic/a", "/topic/a.b"] {
        confirmed(&mut sender, &format!("SEND\ndestination:{topic}\nx-delay:1500\n\nlater")).await;
        confirmed(&mut sender, &format!("SEND\ndestination:{topic}\n\nnow")).await;
    }
    drop((sender, here));
    let mut seen = [const { Vec::new() }; 2];
    for _ in 0..4 {
        let frame = watcher.frame().await;
        seen[usize::from(frame.header("destination") == Some("/topic/a.b"))].push(frame.text().to_owned());
    }
    assert_eq!(seen, [["now", "later"], ["now", "later"]]);
}

#[tokio::test]
async fn a_selector_of_a_topic_is_looked_at_by_the_pod_of_its_subscriber() {
    let [here, there] = pods("");
    let mut watcher = there.tcp_session().await;
    watcher.send_frame("SUBSCRIBE\nid:0\ndestination:/topic/a\nselector:region = 'eu'\nreceipt:done\n\n").await;
    assert_eq!(watcher.frame().await.header("receipt-id"), Some("done"));
    let mut sender = here.tcp_session().await;
    for (region, body) in [("us", "1"), ("eu", "2")] {
        sender.send_frame(&format!("SEND\ndestination:/topic/a\nregion:{region}\n\n{body}")).await;
    }
    assert_eq!(watcher.message().await, "2");
}

use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn subscribe(session: &mut Session, key: u32, to: &str, pairs: &[(&str, &str)]) -> Result<(), EngineError> {
    session.try_do(Operation::Subscribe(Subscription {
        key: SubscriptionKey(key),
        destination: to.into(),
        acknowledge: ByClient,
        prefetch: Some(2),
        headers: headers(pairs),
    }))
}

fn send(session: &mut Session, to: &str, body: &str, pairs: &[(&str, &str)]) -> Result<(), EngineError> {
    session.try_do(Operation::Send(message_with(to, body, headers(pairs))))
}

#[test]
fn a_queue_is_as_its_first_client_wants_it() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    subscribe(&mut consumer, 1, "/queue/a", &[("auto-delete", "true")]).unwrap();
    sender.send("/queue/a", "1");
    drop(consumer);
    assert_eq!(status(&engine, "/queue/a"), None, "auto-delete");

    let mut consumer = Session::open(&engine);
    subscribe(&mut consumer, 1, "/queue/b", &[("x-expires", "60000")]).unwrap();
    sender.send("/queue/b", "1");
    drop(consumer);
    engine.sweep(after(50));
    assert_eq!(status(&engine, "/queue/b"), Some((1, 0, 0)));
    engine.sweep(after(70));
    assert_eq!(status(&engine, "/queue/b"), None, "x-expires");

    send(&mut sender, "/queue/c", "1", &[("x-message-ttl", "60000")]).unwrap();
    sender.send("/queue/c", "2");
    engine.sweep(after(70));
    assert_eq!(status(&engine, "/queue/c"), None, "x-message-ttl");

    let mut consumer = Session::open(&engine);
    subscribe(&mut consumer, 1, "/queue/d", &[("x-delivery-limit", "2")]).unwrap();
    sender.send("/queue/d", "1");
    for _ in 0..2 {
        let given = consumer.receive();
        consumer.settle(&given, Settlement::Requeue);
    }
    assert_eq!(status(&engine, "/queue/dead-letter"), Some((1, 0, 0)), "x-delivery-limit");
}

#[test]
fn what_is_too_long_loses_its_oldest_but_not_what_can_be_delivered() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    subscribe(&mut consumer, 1, "/queue/a", &[("x-max-length", "2"), ("x-overflow", "drop-head")]).unwrap();
    for body in ["1", "2", "3", "4", "5"] {
        sender.send("/queue/a", body);
    }
    let given = consumer.receive();
    assert_eq!(given.iter().map(body).collect::<Vec<_>>(), ["1", "2"]);
    consumer.settle(&given, Settlement::Accept);
    assert_eq!(consumer.receive_bodies(), ["4", "5"]);

    let size = message("/queue/b", "1").size();
    let octets = (2 * size).to_string();
    sender.send("/queue/b", "1");
    subscribe(&mut consumer, 2, "/queue/c", &[]).unwrap();
    for body in ["2", "3"] {
        let mut other = Session::open(&engine);
        subscribe(&mut other, 1, "/queue/b", &[("x-max-length-bytes", &octets)]).unwrap();
        drop(other);
        sender.send("/queue/b", body);
    }
    assert_eq!(status(&engine, "/queue/b").map(|(depth, ..)| depth), Some(2));
}

#[test]
fn what_was_dropped_for_length_is_a_dead_letter_where_the_configuration_says_so() {
    let engine =
        engine_where(&[DestinationPolicy { dead_letter: Some("/queue/dead".to_owned()), ..policy("/queue/a") }]);
    let mut session = Session::open(&engine);
    for body in ["1", "2"] {
        send(&mut session, "/queue/a", body, &[("x-max-length", "1")]).unwrap();
    }
    session.subscribe(1, "/queue/dead", WhenWritten, 5);
    let given = session.receive();
    assert_eq!(given.iter().map(body).collect::<Vec<_>>(), ["1"]);
    assert_eq!(given[0].message.header("dead-letter-reason"), Some("max-length"));
}

#[test]
fn the_tighter_of_configuration_and_client_holds_also_when_the_configuration_changes() {
    let of = |seconds| {
        let ttl = Some(stompbroker_config::GoDuration::from_secs(seconds));
        DestinationPolicy { message_ttl: ttl, ..policy("/queue/**") }
    };
    let engine = engine_where(&[of(30)]);
    let mut session = Session::open(&engine);
    send(&mut session, "/queue/a", "1", &[("x-message-ttl", "60000")]).unwrap();
    engine.sweep(after(40));
    assert_eq!(status(&engine, "/queue/a"), None, "the configuration's is tighter");
    send(&mut session, "/queue/a", "1", &[("x-message-ttl", "60000"), ("x-delay", "0")]).unwrap();
    engine.set_policies(&[of(300)]);
    session.send("/queue/a", "2");
    engine.sweep(after(70));
    assert_eq!(status(&engine, "/queue/a"), None, "the client's is tighter");
}

#[test]
fn who_says_something_else_of_a_queue_is_refused_and_who_says_nothing_is_not() {
    let engine = engine();
    let mut session = Session::open(&engine);
    send(&mut session, "/queue/a", "1", &[("x-max-length", "5")]).unwrap();
    send(&mut session, "/queue/a", "2", &[("x-max-length", "5"), ("x-message-ttl", "60000")]).unwrap();
    session.send("/queue/a", "3");
    let error = subscribe(&mut session, 1, "/queue/a", &[("x-max-length", "6")]).unwrap_err().to_string();
    assert!(error.contains("x-max-length") && error.contains("\"6\"") && error.contains("\"5\""), "{error}");
    assert!(error.contains("leave"), "{error}");
    let commit = vec![
        Operation::Send(message("/queue/b", "1")),
        Operation::Send(message_with("/queue/a", "4", headers(&[("x-message-ttl", "1")]))),
    ];
    assert!(session.try_do(Operation::Commit(commit)).is_err());
    assert_eq!(status(&engine, "/queue/b"), None, "a transaction is refused as a whole");
    assert_eq!(status(&engine, "/queue/a"), Some((3, 0, 0)));
}

#[test]
fn what_no_queue_here_can_do_is_refused_with_the_remedy() {
    for (header, value, remedy) in [
        ("x-dead-letter-exchange", "", "destinations[].deadLetter"),
        ("x-dead-letter-routing-key", "a", "destinations[].deadLetter"),
        ("x-overflow", "reject-publish", "engine.embedded.queueSize"),
        ("x-queue-type", "stream", "durable subscription"),
        ("x-stream-offset", "first", "durable subscriptions"),
        ("x-max-length", "0", "at least 1"),
        ("x-expires", "soon", "milliseconds"),
        ("auto-delete", "maybe", "true or false"),
        ("x-queue-name", "b", "the destination names the queue"),
    ] {
        let engine = engine();
        let mut session = Session::open(&engine);
        let error = subscribe(&mut session, 1, "/queue/a", &[(header, value)]).unwrap_err().to_string();
        assert!(error.contains(header) && error.contains(&format!("{value:?}")), "{error}");
        assert!(error.contains(remedy), "{error}");
        assert_eq!(status(&engine, "/queue/a"), None);
    }
    let mut session = Session::open(&engine());
    let own = [("x-mine", "1"), ("x-queue-name", "a"), ("x-queue-type", "quorum"), ("x-max-priority", "9")];
    subscribe(&mut session, 1, "/queue/a", &own).unwrap();
    send(&mut session, "/topic/a", "1", &[("x-message-ttl", "what a topic does not read")]).unwrap();
}

#[test]
fn subscribers_of_a_topic_share_what_they_name_for_as_long_as_one_is_there() {
    let engine = engine();
    let (mut sender, mut one, mut two) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    let shared = [("x-queue-name", "jobs")];
    subscribe(&mut one, 1, "/topic/a", &shared).unwrap();
    subscribe(&mut two, 1, "/topic/a", &shared).unwrap();
    for body in ["1", "2", "3"] {
        sender.send("/topic/a", body);
    }
    assert_eq!((one.receive_bodies(), two.receive_bodies()), (vec!["1".into(), "3".into()], vec!["2".into()]));
    drop(one);
    assert_eq!(status(&engine, "/durable/jobs/topic/a"), Some((1, 2, 1)), "what came back waits for credit");
    drop(two);
    assert!(engine.destinations().is_empty());
    sender.send("/topic/a", "4");
    assert!(engine.destinations().is_empty(), "nobody feeds it any more");

    let mut durable = Session::open(&engine);
    subscribe(&mut durable, 1, "/topic/a", &[("x-queue-name", "jobs"), ("durable", "true")]).unwrap();
    drop(durable);
    sender.send("/topic/a", "5");
    assert_eq!(status(&engine, "/durable/jobs/topic/a"), Some((1, 0, 0)), "durable:true keeps it");
    let mut again = Session::open(&engine);
    subscribe(&mut again, 1, "/topic/a", &shared).unwrap();
    drop(again);
    assert_eq!(status(&engine, "/durable/jobs/topic/a"), Some((1, 0, 0)), "one who only shares it leaves it so");
}

#[test]
fn the_private_queue_of_a_topic_with_acknowledgements_is_bounded_too() {
    let engine = engine();
    let (mut sender, mut subscriber) = (Session::open(&engine), Session::open(&engine));
    subscribe(&mut subscriber, 1, "/topic/a", &[("x-max-length", "1")]).unwrap();
    for body in ["1", "2", "3", "4"] {
        sender.send("/topic/a", body);
    }
    let given = subscriber.receive();
    assert_eq!(given.iter().map(body).collect::<Vec<_>>(), ["1", "2"]);
    subscriber.settle(&given, Settlement::Accept);
    assert_eq!(subscriber.receive_bodies(), ["4"]);
}

use super::*;
use Acknowledge::{ByClient, WhenWritten};

#[test]
fn every_subscription_of_a_topic_gets_every_message() {
    let engine = engine();
    let (mut sender, mut one, mut two) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    sender.send("/topic/a", "early");
    one.subscribe(1, "/topic/a", WhenWritten, 1);
    one.subscribe(2, "/topic/a", WhenWritten, 1);
    two.subscribe(1, "/topic/a", WhenWritten, 1);
    two.subscribe(2, "/topic/b", WhenWritten, 1);
    sender.send("/topic/a", "1");
    sender.send("/topic/a", "2");
    let given: Vec<_> = one.receive().iter().map(|d| (d.subscription.0, body(d).to_owned(), d.tag)).collect();
    assert_eq!(given, [(1, "1".into(), None), (2, "1".into(), None), (1, "2".into(), None), (2, "2".into(), None)]);
    assert_eq!(two.receive_bodies(), ["1", "2"]);
    assert_eq!(status(&engine, "/topic/a"), Some((0, 0, 3)));
}

#[test]
fn what_is_sent_in_one_go_arrives_in_order_whatever_the_subscription() {
    let engine = engine();
    let (mut sender, mut receiver) = (Session::open(&engine), Session::open(&engine));
    receiver.subscribe(1, "/topic/a", WhenWritten, 9);
    receiver.subscribe(2, "/topic/a", ByClient, 1000);
    receiver.subscribe(3, "/topic/*", WhenWritten, 9);
    receiver.subscribe(4, "/topic/b", WhenWritten, 9);
    let numbers: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for number in &numbers {
        sender.half.submit(Operation::Send(message("/topic/a", number)), None);
    }
    sender.half.submit(Operation::Send(message("/topic/b", "other")), None);
    sender.half.flush();
    let received = receiver.receive();
    for key in [1, 2] {
        let of_key = received.iter().filter(|delivery| delivery.subscription.0 == key);
        assert_eq!(of_key.map(body).collect::<Vec<_>>(), numbers, "{key}");
    }
    let of_key = |key| received.iter().filter(move |delivery| delivery.subscription.0 == key).map(body);
    assert_eq!(of_key(3).next_back(), Some("other"));
    assert_eq!(of_key(3).count(), 201);
    assert_eq!(of_key(4).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn what_was_sent_before_a_subscription_does_not_come_to_it() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.half.submit(Operation::Send(message("/topic/a", "before")), None);
    session.subscribe(1, "/topic/a", WhenWritten, 9);
    session.half.submit(Operation::Send(message("/topic/a", "after")), None);
    session.half.flush();
    assert_eq!(session.receive_bodies(), ["after"]);
}

#[test]
fn what_was_sent_before_the_end_of_a_session_is_delivered() {
    let engine = engine();
    let (mut sender, mut receiver) = (Session::open(&engine), Session::open(&engine));
    receiver.subscribe(1, "/topic/a", WhenWritten, 9);
    sender.half.submit(Operation::Send(message("/topic/a", "last")), None);
    drop(sender);
    assert_eq!(receiver.receive_bodies(), ["last"]);
}

#[test]
fn an_unsubscribed_topic_delivers_no_more() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (key, destination, acknowledge) in [
        (1, "/topic/a", WhenWritten),
        (2, "/topic/*", WhenWritten),
        (3, "/topic/a", ByClient),
        (4, "/topic/#", ByClient),
    ] {
        session.subscribe(key, destination, acknowledge, 9);
        session.send("/topic/a", "1");
        assert_eq!(session.receive_bodies(), ["1"], "{destination}");
        session.unsubscribe(key);
        session.send("/topic/a", "2");
        assert_eq!(session.receive_bodies(), [""; 0], "{destination}");
        assert!(engine.destinations().is_empty());
    }
}

#[test]
fn wildcards_match_whole_segments_of_both_separators() {
    for (pattern, topic, matches) in [
        ("/topic/*", "/topic/a", true),
        ("/topic/*", "/topic/a/b", false),
        ("/topic/*", "/topic/a.b", false),
        ("/topic/a.*", "/topic/a/b", true),
        ("/topic/a/*", "/topic/a.b", true),
        ("/topic/*.c", "/topic/b.c", true),
        ("/topic/*.c", "/topic/b.d", false),
        ("/topic/**", "/topic/a/b.c", true),
        ("/topic/a/**", "/topic/a", true),
        ("/topic/a/#", "/topic/ab", false),
        ("/topic/a.>", "/topic/a.b.c", true),
        ("/topic/*/**", "/topic/a", true),
        ("/topic/C#", "/topic/Ca", false),
        ("/topic/C#", "/topic/C#", true),
        ("/topic/a.b", "/topic/a/b", false),
    ] {
        let engine = engine();
        let mut session = Session::open(&engine);
        session.subscribe(1, pattern, WhenWritten, 1);
        session.send(topic, "1");
        assert_eq!(session.receive().len(), usize::from(matches), "{pattern} {topic}");
    }
}

#[test]
fn overlapping_subscriptions_each_get_the_message_once() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (key, destination) in
        [(1, "/topic/a.b"), (2, "/topic/a.*"), (3, "/topic/*.b"), (4, "/topic/**"), (5, "/topic/x.*")]
    {
        session.subscribe(key, destination, WhenWritten, 1);
    }
    session.send("/topic/a.b", "1");
    let mut keys: Vec<u32> = session.receive().iter().map(|delivery| delivery.subscription.0).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2, 3, 4]);
}

#[test]
fn a_topic_with_acknowledgements_keeps_its_window() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    consumer.subscribe(1, "/topic/a", ByClient, 2);
    for body in ["1", "2", "3", "4"] {
        sender.send("/topic/a", body);
    }
    let given = consumer.receive();
    assert_eq!(given.iter().map(body).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(status(&engine, "/topic/a"), Some((2, 2, 1)));
    consumer.settle(&given[1..], Settlement::Accept);
    assert_eq!(consumer.receive_bodies(), ["3"]);
    consumer.settle(&given[..1], Settlement::Requeue);
    let again = consumer.receive();
    assert_eq!((body(&again[0]), again[0].redelivered, again.len()), ("1", true, 1));
}

#[test]
fn a_slow_reader_is_closed_once_and_nobody_else_notices() {
    let engine = engine();
    let size = message("/topic/a", "1").size();
    let (mut sender, mut fast) = (Session::open(&engine), Session::open(&engine));
    let mut slow = Session::with_capacity(&engine, size * 2);
    slow.subscribe(1, "/topic/a", WhenWritten, 1);
    slow.subscribe(2, "/queue/q", WhenWritten, 9);
    fast.subscribe(1, "/topic/a", WhenWritten, 1);
    for body in ["1", "2", "3", "4"] {
        sender.send("/topic/a", body);
    }
    sender.send("/queue/q", "kept");
    let why = slow.closed().unwrap();
    assert!(
        why.contains("slow consumer") && why.contains("/topic/a") && why.contains("limits.sendBufferSize"),
        "{why}"
    );
    assert_eq!(slow.receive_bodies(), ["1", "2"]);
    assert_eq!((fast.receive_bodies().len(), fast.closed()), (4, None));
    assert_eq!(status(&engine, "/queue/q"), Some((1, 0, 1)), "a closed session takes nothing from queues");
}

#[test]
fn who_never_acknowledges_a_topic_is_closed_when_the_bound_is_passed() {
    let engine = engine_with(2048, 1);
    let (mut sender, mut slow, mut fast) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    slow.subscribe(1, "/topic/*", ByClient, 1);
    fast.subscribe(1, "/topic/a", WhenWritten, 1);
    for _ in 0..4 {
        sender.send("/topic/a", &"x".repeat(600));
    }
    let why = slow.closed().unwrap();
    assert!(why.contains("2048") && why.contains("engine.embedded.queueSize") && why.contains("/topic/*"), "{why}");
    assert_eq!((fast.receive().len(), fast.closed()), (4, None));
}

#[test]
fn a_destination_that_is_none_fails_with_the_remedy() {
    let engine = engine();
    let mut session = Session::open(&engine);
    let error = session.try_do(Operation::Send(message("/app/queue/a", "1"))).unwrap_err();
    assert!(
        matches!(error, EngineError::UnknownDestination { .. }) && error.to_string().contains("/topic/..."),
        "{error}"
    );
    let (key, destination) = (SubscriptionKey(1), "/queue/*".into());
    let subscription = Subscription { key, destination, acknowledge: ByClient, prefetch: None, headers: vec![] };
    assert!(session.try_do(Operation::Subscribe(subscription)).is_err());
    assert!(engine.destinations().is_empty());
    assert_eq!(engine.ready(), Ok(()));
}

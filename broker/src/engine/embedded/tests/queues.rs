use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn redelivered(deliveries: &[Delivery]) -> Vec<(&str, bool)> {
    deliveries.iter().map(|delivery| (body(delivery), delivery.redelivered)).collect()
}

fn spring() -> Vec<Header> {
    vec![("simpOrigDestination".into(), "/user/queue/a".into())]
}

#[test]
fn messages_wait_in_order_for_a_consumer() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    for body in ["1", "2", "3"] {
        sender.send("/queue/a", body);
    }
    assert_eq!(status(&engine, "/queue/a"), Some((3, 0, 0)));
    consumer.subscribe(1, "/queue/a", ByClient, 2);
    assert_eq!(redelivered(&consumer.receive()), [("1", false), ("2", false)]);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 2, 1)));
}

#[test]
fn consumers_take_turns() {
    let engine = engine();
    let (mut sender, mut one, mut two) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    one.subscribe(1, "/queue/a", WhenWritten, 10);
    two.subscribe(1, "/queue/a", ByClient, 10);
    for body in ["1", "2", "3", "4"] {
        sender.send("/queue/a", body);
    }
    assert_eq!(
        (one.receive_bodies(), two.receive_bodies()),
        (vec!["1".into(), "3".into()], vec!["2".into(), "4".into()])
    );
}

#[test]
fn a_consumer_without_credit_gets_nothing_until_it_settles() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    for acknowledge in [ByClient, WhenWritten] {
        consumer.subscribe(1, "/queue/a", acknowledge, 1);
        sender.send("/queue/a", "1");
        sender.send("/queue/a", "2");
        let first = consumer.receive();
        assert_eq!(redelivered(&first), [("1", false)]);
        consumer.settle(&first, Settlement::Accept);
        let second = consumer.receive();
        assert_eq!(redelivered(&second), [("2", false)]);
        consumer.settle(&second, Settlement::Accept);
        assert_eq!(status(&engine, "/queue/a"), Some((0, 0, 1)));
    }
}

#[test]
fn prefetch_is_the_engines_when_the_subscription_says_none_or_zero() {
    let engine = engine_with(1 << 20, 3);
    let mut sender = Session::open(&engine);
    for _ in 0..9 {
        sender.send("/queue/a", "x");
    }
    for prefetch in [None, Some(0)] {
        let mut consumer = Session::open(&engine);
        let (key, destination) = (SubscriptionKey(1), "/queue/a".into());
        let subscription = Subscription { key, destination, acknowledge: ByClient, prefetch, headers: vec![] };
        consumer.try_do(Operation::Subscribe(subscription)).unwrap();
        assert_eq!(consumer.receive().len(), 3);
    }
}

#[test]
fn a_changed_configuration_counts_for_what_comes_next() {
    let engine = engine_with(1 << 20, 3);
    let mut sender = Session::open(&engine);
    sender.send("/queue/a", "1");
    engine.configure(&stompbroker_config::EmbeddedEngine {
        queue_size: stompbroker_config::ByteSize(1),
        prefetch: 3,
        ..Default::default()
    });
    assert!(sender.try_do(Operation::Send(message("/queue/a", "2"))).is_err());
}

#[test]
fn requeued_messages_come_back_first_in_their_old_order() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    for body in ["1", "2", "3", "4", "5"] {
        sender.send("/queue/a", body);
    }
    consumer.subscribe(1, "/queue/a", ByClient, 4);
    let given = consumer.receive();
    consumer.settle(&given[2..3], Settlement::Accept);
    assert_eq!(consumer.receive_bodies(), ["5"]);
    let backwards = [given[3].clone(), given[0].clone(), given[1].clone()];
    consumer.settle(&backwards, Settlement::Requeue);
    assert_eq!(redelivered(&consumer.receive()), [("1", true), ("2", true), ("4", true)]);
}

#[test]
fn a_rejected_message_is_gone() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    session.send("/queue/a", "1");
    let given = session.receive();
    session.settle(&given, Settlement::Reject);
    assert_eq!(status(&engine, "/queue/a"), Some((0, 0, 1)));
}

#[test]
fn a_lost_session_gives_back_everything_in_order() {
    let engine = engine();
    let (mut sender, mut lost, mut other) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    lost.subscribe(1, "/queue/a", ByClient, 2);
    lost.subscribe(2, "/queue/a", WhenWritten, 2);
    for body in ["1", "2", "3", "4", "5"] {
        sender.send("/queue/a", body);
    }
    let given = lost.receive();
    lost.settle(&given[..1], Settlement::Accept);
    other.subscribe(1, "/queue/a", ByClient, 3);
    drop(lost);
    assert_eq!(redelivered(&other.receive()), [("2", true), ("3", true), ("4", true)]);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 3, 1)));
}

#[test]
fn an_unsubscribe_gives_back_and_settling_late_changes_nothing() {
    let engine = engine();
    let (mut leaver, mut other) = (Session::open(&engine), Session::open(&engine));
    leaver.subscribe(1, "/queue/a", ByClient, 2);
    leaver.send("/queue/a", "1");
    let given = leaver.receive();
    leaver.unsubscribe(1);
    leaver.settle(&given, Settlement::Accept);
    other.subscribe(1, "/queue/a", ByClient, 2);
    assert_eq!(redelivered(&other.receive()), [("1", true)]);
    leaver.send("/queue/a", "2");
    assert_eq!(leaver.receive_bodies(), [""; 0]);
}

#[test]
fn a_key_that_is_used_again_gets_nothing_of_its_former_subscription() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 2);
    session.unsubscribe(1);
    session.subscribe(1, "/queue/b", ByClient, 2);
    session.send("/queue/a", "a");
    session.send("/queue/b", "b");
    assert_eq!(session.receive_bodies(), ["b"]);
}

#[test]
fn settling_twice_counts_once() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    session.send("/queue/a", "1");
    let given = session.receive();
    session.settle(&given, Settlement::Accept);
    session.settle(&given, Settlement::Requeue);
    session
        .try_do(Operation::Settle {
            subscription: SubscriptionKey(9),
            deliveries: vec![DeliveryTag(1)],
            settlement: Settlement::Accept,
        })
        .unwrap();
    assert_eq!(session.receive_bodies(), [""; 0]);
}

#[test]
fn a_full_queue_refuses_with_the_bound_by_name_and_value() {
    let engine = engine_with(2048, 1);
    let mut session = Session::open(&engine);
    session.send("/queue/a", &"x".repeat(1500));
    let error = session.try_do(Operation::Send(message("/queue/a", &"y".repeat(700)))).unwrap_err().to_string();
    assert!(error.contains("/queue/a") && error.contains("engine.embedded.queueSize (2Ki;"), "{error}");
    session.send("/queue/other", &"y".repeat(5000));
    session.subscribe(1, "/queue/a", ByClient, 1);
    assert!(session.try_do(Operation::Send(message("/queue/a", &"y".repeat(700)))).is_err(), "unsettled ones count");
    let given = session.receive();
    session.settle(&given, Settlement::Accept);
    session.send("/queue/a", &"y".repeat(700));
}

#[test]
fn all_queues_together_have_a_bound_too() {
    let engine = engine_with(2048, 1);
    let mut session = Session::open(&engine);
    for index in 0..4 {
        session.send(&format!("/queue/{index}"), &"x".repeat(1700));
    }
    let error = session.try_do(Operation::Send(message("/queue/new", &"y".repeat(1700)))).unwrap_err().to_string();
    assert!(error.contains("/queue/new") && error.contains("4 times"), "{error}");
    assert_eq!(status(&engine, "/queue/new"), None);
    session.subscribe(1, "/queue/0", ByClient, 1);
    let given = session.receive();
    session.settle(&given, Settlement::Accept);
    session.send("/queue/new", &"y".repeat(1700));
}

#[test]
fn queues_vanish_when_they_have_neither_messages_nor_consumers() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    consumer.subscribe(1, "/queue/a", ByClient, 1);
    consumer.unsubscribe(1);
    assert_eq!(status(&engine, "/queue/a"), None);
    sender.send("/queue/a", "1");
    consumer.subscribe(1, "/queue/a", ByClient, 1);
    drop(consumer);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)), "with a message it stays");
    let mut consumer = Session::open(&engine);
    consumer.subscribe(1, "/queue/a", ByClient, 1);
    let given = consumer.receive();
    consumer.settle(&given, Settlement::Accept);
    drop(consumer);
    assert!(engine.destinations().is_empty());
}

#[test]
fn a_queue_of_a_spring_session_vanishes_with_its_messages_when_its_consumers_are_gone() {
    let engine = engine();
    let (mut app, mut browser) = (Session::open(&engine), Session::open(&engine));
    let name = "/queue/a-user7f3b";
    let send = |app: &mut Session| app.try_do(Operation::Send(message_with(name, "1", spring()))).unwrap();
    send(&mut app);
    assert!(engine.destinations().is_empty(), "nobody will ever ask for it");
    browser.subscribe_with(1, name, ByClient, 1, spring());
    send(&mut app);
    app.send(name, "2");
    assert_eq!(browser.receive_bodies(), ["1"]);
    drop(browser);
    assert!(engine.destinations().is_empty());
}

#[test]
fn a_queue_that_only_looks_like_springs_keeps_its_messages() {
    let engine = engine();
    let (mut app, mut consumer) = (Session::open(&engine), Session::open(&engine));
    consumer.subscribe(1, "/queue/new-users", ByClient, 1);
    app.send("/queue/new-users", "1");
    drop(consumer);
    assert_eq!(status(&engine, "/queue/new-users"), Some((1, 0, 0)));
}

#[test]
fn a_consumer_with_a_full_mailbox_leaves_the_messages_to_others_and_goes_on_when_it_has_room() {
    let engine = engine();
    let size = message("/queue/a", "1").size();
    let mut slow = Session::with_capacity(&engine, size * 2);
    let (mut sender, mut other) = (Session::open(&engine), Session::open(&engine));
    slow.subscribe(1, "/queue/a", ByClient, 100);
    for body in ["1", "2", "3", "4"] {
        sender.send("/queue/a", body);
    }
    assert_eq!(status(&engine, "/queue/a"), Some((2, 2, 1)));
    assert_eq!(slow.receive_bodies(), ["1", "2"], "and without any acknowledgement:");
    assert_eq!(slow.receive_bodies(), ["3", "4"]);
    for body in ["5", "6", "7"] {
        sender.send("/queue/a", body);
    }
    other.subscribe(1, "/queue/a", ByClient, 100);
    assert_eq!(other.receive_bodies(), ["7"]);
    assert_eq!((slow.receive_bodies(), slow.closed()), (vec!["5".into(), "6".into()], None));
}

#[test]
fn operations_without_a_ticket_are_answered_only_when_they_fail() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.half.submit(Operation::Send(message("/queue/a", "1")), None);
    session.half.submit(Operation::Send(message("/nowhere", "1")), None);
    session.collect();
    assert!(
        matches!(&session.others[..], [Event::Failed { ticket: None, error: EngineError::UnknownDestination { .. } }]),
        "{:?}",
        session.others
    );
}

#[test]
fn a_lost_session_leaves_nothing_behind() {
    let engine = engine();
    let size = message("/queue/a", "1").size();
    let mut session = Session::with_capacity(&engine, size);
    session.subscribe(1, "/queue/a", ByClient, 9);
    session.subscribe(2, "/topic/a", ByClient, 9);
    session.subscribe(3, "/topic/*", WhenWritten, 9);
    for _ in 0..4 {
        session.send("/queue/a", "1");
    }
    let mailbox = Arc::downgrade(&session.mailbox);
    drop(session);
    assert!(mailbox.upgrade().is_none(), "somebody still holds the session's mailbox");
    assert_eq!(status(&engine, "/queue/a"), Some((4, 0, 0)));
    assert_eq!(engine.destinations().len(), 1);
}

#[test]
fn consumers_that_come_and_go_leave_no_trace_in_the_rota() {
    let engine = engine();
    let (mut stays, mut passes) = (Session::open(&engine), Session::open(&engine));
    stays.subscribe(1, "/queue/a", ByClient, 1);
    for _ in 0..100 {
        passes.subscribe(1, "/queue/a", ByClient, 1);
        passes.unsubscribe(1);
    }
    let rota = engine.shared.queues.with("/queue/a", |_, state| state.rota_len());
    assert_eq!(rota, 1);
}

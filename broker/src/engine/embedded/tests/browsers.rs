use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn browser(more: &[(&str, &str)]) -> Vec<Header> {
    let all = [("browser", "true")].iter().chain(more);
    all.map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// Bodies in order; `END` is the message that marks the end.
fn seen(deliveries: &[Delivery]) -> Vec<&str> {
    let is_end = |delivery: &&Delivery| delivery.message.header("browser") == Some("end");
    deliveries.iter().map(|delivery| Some(delivery).filter(is_end).map_or_else(|| body(delivery), |_| "END")).collect()
}

fn fill(engine: &EmbeddedEngine, bodies: &[&str]) {
    let mut sender = Session::open(engine);
    for body in bodies {
        sender.send("/queue/a", body);
    }
}

#[test]
fn a_browser_gets_copies_of_what_waits_and_then_the_end() {
    let engine = engine();
    fill(&engine, &["1", "2", "3"]);
    for acknowledge in [WhenWritten, ByClient] {
        let mut session = Session::open(&engine);
        session.subscribe_with(1, "/queue/a", acknowledge, 10, browser(&[]));
        let copies = session.receive();
        assert_eq!(seen(&copies), ["1", "2", "3", "END"]);
        assert!(copies.iter().all(|copy| !copy.redelivered && *copy.message.destination == *"/queue/a"));
        session.settle(&copies, Settlement::Accept);
        session.unsubscribe(1);
        assert_eq!(status(&engine, "/queue/a"), Some((3, 0, 0)));
    }
    let mut consumer = Session::open(&engine);
    consumer.subscribe(1, "/queue/a", ByClient, 10);
    let given = consumer.receive();
    assert_eq!(seen(&given), ["1", "2", "3"]);
    assert!(given.iter().all(|delivery| !delivery.redelivered), "a look is no delivery");
}

#[test]
fn what_a_browser_refuses_or_leaves_behind_stays_in_the_queue() {
    let engine = engine();
    fill(&engine, &["1", "2"]);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/queue/a", ByClient, 10, browser(&[]));
    let copies = session.receive();
    session.settle(&copies[..1], Settlement::Reject);
    session.settle(&copies[1..2], Settlement::Requeue);
    drop(session);
    assert_eq!(status(&engine, "/queue/a"), Some((2, 0, 0)));
    assert_eq!(status(&engine, "/queue/dead-letter"), None);
}

#[test]
fn a_browser_gets_no_more_than_its_credit_and_goes_on_when_it_has_more() {
    let engine = engine();
    fill(&engine, &["1", "2", "3", "4", "5"]);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/queue/a", ByClient, 2, browser(&[]));
    let first = session.receive();
    assert_eq!(seen(&first), ["1", "2"]);
    session.settle(&first[..1], Settlement::Accept);
    let second = session.receive();
    assert_eq!(seen(&second), ["3"]);
    session.settle(&[first[1].clone(), second[0].clone()], Settlement::Accept);
    let third = session.receive();
    assert_eq!(seen(&third), ["4", "5"]);
    session.settle(&third, Settlement::Accept);
    assert_eq!(seen(&session.receive()), ["END"]);
}

#[test]
fn a_browser_with_a_full_mailbox_goes_on_when_there_is_room() {
    let engine = engine();
    fill(&engine, &["1", "2", "3", "4", "5"]);
    let size = message("/queue/a", "1").size();
    let mut session = Session::with_capacity(&engine, 2 * size);
    session.subscribe_with(1, "/queue/a", WhenWritten, 100, browser(&[]));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(session.receive());
    }
    assert_eq!(seen(&all), ["1", "2", "3", "4", "5", "END"]);
    assert_eq!(session.closed(), None);
}

#[test]
fn a_browser_sees_neither_what_came_later_nor_what_has_been_taken() {
    let engine = engine();
    fill(&engine, &["1", "2", "3", "4"]);
    let (mut session, mut consumer) = (Session::open(&engine), Session::open(&engine));
    session.subscribe_with(1, "/queue/a", ByClient, 1, browser(&[]));
    consumer.subscribe(1, "/queue/a", ByClient, 2);
    let given = consumer.receive();
    assert_eq!(seen(&given), ["1", "2"]);
    let urgent = message_with("/queue/a", "urgent", vec![("priority".into(), "9".into())]);
    consumer.try_do(Operation::Send(urgent)).unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        let copies = session.receive();
        if !copies.is_empty() {
            session.settle(&copies, Settlement::Accept);
        }
        all.extend(copies);
    }
    assert_eq!(seen(&all), ["1", "3", "4", "END"]);
}

#[test]
fn a_browser_goes_by_priority_and_selector() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (body, priority, colour) in [("1", "1", "red"), ("2", "9", "red"), ("3", "9", "blue"), ("4", "1", "red")] {
        let headers = vec![("priority".into(), priority.into()), ("colour".into(), colour.into())];
        session.try_do(Operation::Send(message_with("/queue/a", body, headers))).unwrap();
    }
    session.subscribe_with(1, "/queue/a", WhenWritten, 10, browser(&[("selector", "colour = 'red'")]));
    assert_eq!(seen(&session.receive()), ["2", "1", "4", "END"]);
}

#[test]
fn a_queue_that_is_not_there_is_browsed_to_its_end_and_not_made() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/queue/a", WhenWritten, 10, browser(&[("x-expires", "1000")]));
    assert_eq!(seen(&session.receive()), ["END"]);
    assert!(engine.destinations().is_empty());
    session.subscribe(2, "/queue/a", WhenWritten, 10);
    session.send("/queue/a", "1");
    let given = session.receive();
    assert_eq!((seen(&given), given[0].subscription), (vec!["1"], SubscriptionKey(2)));
}

#[test]
fn a_browser_keeps_no_queue_that_goes_with_its_consumers() {
    let engine = engine_where(&[DestinationPolicy { auto_delete: true, ..policy("/queue/a") }]);
    let (mut session, mut consumer) = (Session::open(&engine), Session::open(&engine));
    consumer.subscribe(1, "/queue/a", ByClient, 1);
    fill(&engine, &["1", "2", "3"]);
    session.subscribe_with(1, "/queue/a", ByClient, 1, browser(&[]));
    let copies = session.receive();
    assert_eq!(seen(&copies), ["2"]);
    drop(consumer);
    assert!(engine.destinations().is_empty());
    session.settle(&copies, Settlement::Accept);
    assert_eq!(seen(&session.receive()), ["END"]);
}

#[test]
fn only_queues_are_browsed() {
    let mut session = Session::open(&engine());
    for (destination, headers) in [
        ("/topic/a", browser(&[])),
        ("/topic/*", browser(&[])),
        ("/topic/a", browser(&[("durable", "true"), ("id", "a")])),
        ("/user/queue/a", browser(&[])),
        ("/queue/a", vec![("browser".into(), "maybe".into())]),
    ] {
        let subscription = Subscription {
            key: SubscriptionKey(1),
            destination: destination.into(),
            acknowledge: WhenWritten,
            prefetch: None,
            headers,
        };
        let error = session.try_do(Operation::Subscribe(subscription)).unwrap_err().to_string();
        assert!(error.contains("the header browser must be"), "{destination}: {error}");
    }
}

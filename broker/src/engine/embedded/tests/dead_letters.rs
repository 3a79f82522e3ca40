use stompbroker_config::{GoDuration, Nack};

use super::*;
use Acknowledge::{ByClient, WhenWritten};

const DEAD: &str = "/queue/dead-letter";

/// What is in a queue: body, reason, where it died, how often it was delivered there.
fn letters(engine: &EmbeddedEngine, queue: &str) -> Vec<(String, String, String, String)> {
    let mut session = Session::open(engine);
    session.subscribe(9, queue, ByClient, 100);
    let letters = session.receive();
    letters
        .iter()
        .map(|letter| {
            assert_eq!(&*letter.message.destination, queue);
            let header = |name: &str| letter.message.header(name).unwrap().to_owned();
            let [reason, from, count] =
                ["reason", "destination", "deliveries"].map(|it| header(&format!("dead-letter-{it}")));
            (body(letter).to_owned(), reason, from, count)
        })
        .collect()
}

fn letter(body: &str, reason: &str, from: &str, count: &str) -> (String, String, String, String) {
    (body.into(), reason.into(), from.into(), count.into())
}

#[test]
fn a_rejected_message_is_a_dead_letter_with_the_reason() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 10);
    for body in ["1", "2", "3"] {
        session.send("/queue/a", body);
    }
    let given = session.receive();
    session.settle(&given[1..2], Settlement::Requeue);
    let again = session.receive();
    session.settle(&again, Settlement::Reject);
    session.settle(&given[..1], Settlement::Reject);
    assert_eq!(status(&engine, "/queue/a"), Some((0, 1, 1)));
    let expected = [letter("2", "rejected", "/queue/a", "2"), letter("1", "rejected", "/queue/a", "1")];
    assert_eq!(letters(&engine, DEAD), expected);
}

#[test]
fn a_message_is_delivered_as_often_as_it_may_be_and_no_more() {
    let dead_letter = Some("/queue/poison".to_owned());
    let engine = engine_where(&[DestinationPolicy { max_deliveries: Some(3), dead_letter, ..policy("/queue/a") }]);
    let mut sender = Session::open(&engine);
    sender.send("/queue/a", "1");
    sender.send("/queue/a", "2");
    let mut first = Session::open(&engine);
    first.subscribe(1, "/queue/a", ByClient, 1);
    let given = first.receive();
    first.settle(&given, Settlement::Nack);
    let again = first.receive();
    assert_eq!((body(&again[0]), again[0].redelivered), ("1", true));
    drop(first);
    let mut second = Session::open(&engine);
    second.subscribe(1, "/queue/a", ByClient, 1);
    assert_eq!(second.receive_bodies(), ["1"]);
    second.unsubscribe(1);
    assert_eq!(letters(&engine, "/queue/poison"), [letter("1", "max-deliveries", "/queue/a", "3")]);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
}

#[test]
fn by_default_twenty_deliveries_are_enough_and_0_is_any_number() {
    for (max_deliveries, left) in [(None, None), (Some(0), Some((0, 1, 1)))] {
        let engine = engine_where(&[DestinationPolicy { max_deliveries, ..policy("/queue/a") }]);
        let mut session = Session::open(&engine);
        session.subscribe(1, "/queue/a", ByClient, 1);
        session.send("/queue/a", "1");
        for _ in 0..20 {
            let given = session.receive();
            assert_eq!(given.len(), 1);
            session.settle(&given, Settlement::Requeue);
        }
        assert_eq!(status(&engine, "/queue/a").filter(|(_, unsettled, _)| *unsettled > 0), left);
        assert_eq!(status(&engine, DEAD).is_some(), left.is_none());
    }
}

#[test]
fn what_was_written_to_nobody_who_looks_at_it_does_not_count_as_delivered() {
    let engine = engine_where(&[DestinationPolicy { max_deliveries: Some(1), ..policy("/queue/a") }]);
    Session::open(&engine).send("/queue/a", "1");
    for _ in 0..3 {
        let mut session = Session::open(&engine);
        session.subscribe(1, "/queue/a", WhenWritten, 1);
        assert_eq!(session.receive_bodies(), ["1"]);
    }
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
}

#[test]
fn a_nack_does_what_the_destination_has_for_it_unless_it_says_so_itself() {
    let engine = engine_where(&[DestinationPolicy { nack: Nack::DeadLetter, ..policy("/queue/a") }]);
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    session.send("/queue/a", "1");
    let given = session.receive();
    session.settle(&given, Settlement::Requeue);
    let given = session.receive();
    session.settle(&given, Settlement::Nack);
    assert_eq!(letters(&engine, DEAD), [letter("1", "rejected", "/queue/a", "2")]);
}

#[test]
fn what_dies_where_dead_letters_go_or_is_to_be_discarded_is_dropped() {
    let discard = Some(DestinationPolicy::DISCARD.to_owned());
    let engine = engine_where(&[DestinationPolicy { dead_letter: discard, ..policy("/queue/a") }]);
    let mut session = Session::open(&engine);
    for queue in ["/queue/a", DEAD] {
        session.subscribe(1, queue, ByClient, 1);
        session.send(queue, "1");
        let given = session.receive();
        session.settle(&given, Settlement::Reject);
        session.unsubscribe(1);
    }
    assert!(engine.destinations().is_empty(), "{:?}", engine.destinations());
}

#[test]
fn topics_keep_what_was_refused_only_where_somebody_said_so() {
    let dead_letter = Some("/queue/refused".to_owned());
    let engine = engine_where(&[DestinationPolicy { dead_letter, ..policy("/topic/kept") }]);
    let mut session = Session::open(&engine);
    for topic in ["/topic/kept", "/topic/other"] {
        session.subscribe(1, topic, ByClient, 1);
        session.send(topic, "1");
        let given = session.receive();
        session.settle(&given, Settlement::Reject);
        session.unsubscribe(1);
    }
    assert_eq!(letters(&engine, "/queue/refused"), [letter("1", "rejected", "/topic/kept", "1")]);
    assert_eq!(status(&engine, DEAD), None);
}

#[test]
fn a_dead_letter_has_its_headers_but_no_time_of_its_own_and_says_only_its_last_death() {
    let engine = engine_where(&[
        DestinationPolicy { dead_letter: Some("/queue/b".into()), ..policy("/queue/a") },
        DestinationPolicy { dead_letter: Some("/queue/c".into()), ..policy("/queue/b") },
    ]);
    let mut session = Session::open(&engine);
    let headers = [("k", "v"), ("expiration", "60000"), ("dead-letter-reason", "forged"), ("priority", "7")];
    let headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
    session.try_do(Operation::Send(message_with("/queue/a", "1", headers))).unwrap();
    for queue in ["/queue/a", "/queue/b"] {
        session.subscribe(1, queue, ByClient, 1);
        let given = session.receive();
        session.settle(&given, Settlement::Reject);
        session.unsubscribe(1);
    }
    session.subscribe(1, "/queue/c", ByClient, 1);
    let given = session.receive();
    let headers: Vec<_> = given[0].message.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected = [
        ("k", "v"),
        ("priority", "7"),
        ("dead-letter-reason", "rejected"),
        ("dead-letter-destination", "/queue/b"),
        ("dead-letter-deliveries", "1"),
    ];
    assert_eq!(headers, expected);
    assert!(!given[0].redelivered);
}

#[test]
fn a_full_dead_letter_queue_does_not_keep_the_others_from_going_on() {
    let room = 2 * message(DEAD, "x").size() as u64 + 400;
    let engine = engine_with(room, 7);
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    for _ in 0..4 {
        session.send("/queue/a", "x");
        let given = session.receive();
        session.settle(&given, Settlement::Reject);
    }
    assert!((1..4).contains(&letters(&engine, DEAD).len()));
    assert_eq!(status(&engine, "/queue/a"), Some((0, 0, 1)));
}

#[test]
fn dead_letters_of_a_transaction_come_with_its_commit() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    session.send("/queue/a", "1");
    let given = session.receive();
    let settle = Operation::Settle {
        subscription: SubscriptionKey(1),
        deliveries: vec![given[0].tag.unwrap()],
        settlement: Settlement::Reject,
    };
    let refused = Operation::Send(message_with("/queue/b", "2", vec![("priority".into(), "x".into())]));
    session.try_do(Operation::Commit(vec![settle.clone(), refused])).unwrap_err();
    assert_eq!(status(&engine, DEAD), None);
    session.try_do(Operation::Commit(vec![settle, Operation::Send(message("/queue/b", "2"))])).unwrap();
    assert_eq!(letters(&engine, DEAD).len(), 1);
}

#[test]
fn what_nobody_may_have_any_more_is_a_dead_letter_where_somebody_said_so() {
    let kept = DestinationPolicy { dead_letter: Some(DEAD.into()), ..policy("/queue/a") };
    let engine = engine_where(&[
        kept.clone(),
        DestinationPolicy { message_ttl: Some(GoDuration::from_secs(60)), ..policy("/queue/b") },
    ]);
    let mut session = Session::open(&engine);
    let expired = |queue: &str| Operation::Send(message_with(queue, "1", vec![("expires".into(), "1".into())]));
    session.try_do(expired("/queue/a")).unwrap();
    session.try_do(expired("/queue/b")).unwrap();
    session.send("/queue/b", "2");
    engine.sweep(after(61));
    assert_eq!(letters(&engine, DEAD), [letter("1", "expired", "/queue/a", "0")]);
    assert_eq!((status(&engine, "/queue/a"), status(&engine, "/queue/b")), (None, None));
}

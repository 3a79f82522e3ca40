use stompbroker_config::GoDuration;

use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn with(destination: &str, body: &str, name: &str, value: &str) -> Operation {
    Operation::Send(message_with(destination, body, vec![(name.into(), value.into())]))
}

#[test]
fn what_has_expired_is_not_delivered() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.try_do(with("/queue/a", "expired", "expires", "1")).unwrap();
    session.try_do(with("/queue/a", "never", "expires", "0")).unwrap();
    session.try_do(with("/queue/a", "some time", "expiration", "3600000")).unwrap();
    session.try_do(with("/queue/a", "for ever", "expiration", "18446744073709551615")).unwrap();
    session.subscribe(1, "/queue/a", ByClient, 10);
    session.subscribe(2, "/topic/a", ByClient, 10);
    assert_eq!(session.receive_bodies(), ["never", "some time", "for ever"]);
    session.try_do(with("/topic/a", "expired", "expires", "1")).unwrap();
    assert_eq!(session.receive_bodies(), [""; 0]);
}

#[test]
fn what_expires_goes_although_nobody_asks_for_it_and_gives_its_room_back() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (body, millis) in [("1", "60000"), ("2", "7200000"), ("3", "60000")] {
        session.try_do(with("/queue/a", body, "expiration", millis)).unwrap();
    }
    session.send("/queue/a", "4");
    engine.sweep(after(59));
    assert_eq!(status(&engine, "/queue/a"), Some((4, 0, 0)));
    engine.sweep(after(61));
    assert_eq!(status(&engine, "/queue/a"), Some((2, 0, 0)));
    engine.sweep(after(7201));
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
}

#[test]
fn what_is_with_a_consumer_expires_only_when_it_comes_back() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 1);
    session.try_do(with("/queue/a", "1", "expiration", "60000")).unwrap();
    let given = session.receive();
    session.send("/queue/a", "2");
    engine.sweep(after(61));
    assert_eq!(status(&engine, "/queue/a"), Some((1, 1, 1)));
    session.unsubscribe(1);
    assert_eq!(given.len(), 1);
    assert_eq!(status(&engine, "/queue/a"), Some((2, 0, 0)));
    engine.sweep(after(62));
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
}

#[test]
fn the_policy_shortens_the_life_of_a_message_and_never_lengthens_it() {
    let message_ttl = Some(GoDuration::from_secs(60));
    let engine = engine_where(&[DestinationPolicy { message_ttl, ..policy("/queue/a") }]);
    let mut session = Session::open(&engine);
    session.send("/queue/a", "1");
    session.try_do(with("/queue/a", "2", "expiration", "7200000")).unwrap();
    session.try_do(with("/queue/a", "3", "expiration", "30000")).unwrap();
    engine.sweep(after(31));
    assert_eq!(status(&engine, "/queue/a"), Some((2, 0, 0)));
    engine.sweep(after(61));
    assert_eq!(status(&engine, "/queue/a"), None);
}

#[test]
fn delayed_messages_come_when_their_time_has_come_in_its_order() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 10);
    for (body, name, millis) in [
        ("1", "x-delay", "120000"),
        ("2", "AMQ_SCHEDULED_DELAY", "60000"),
        ("3", "x-delay", "60000"),
        ("4", "x-delay", "0"),
    ] {
        session.try_do(with("/queue/a", body, name, millis)).unwrap();
    }
    assert_eq!(session.receive_bodies(), ["4"]);
    assert_eq!(status(&engine, "/queue/a"), Some((3, 1, 1)));
    engine.sweep(after(61));
    assert_eq!(session.receive_bodies(), ["2", "3"]);
    engine.sweep(after(121));
    assert_eq!(session.receive_bodies(), ["1"]);
}

#[test]
fn a_time_may_be_given_in_place_of_a_delay() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 10);
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let at = |later: u64| (now.as_millis() + u128::from(later)).to_string();
    session.try_do(with("/queue/a", "later", "AMQ_SCHEDULED_TIME", &at(60_000))).unwrap();
    session.try_do(with("/queue/a", "past", "AMQ_SCHEDULED_TIME", "1")).unwrap();
    assert_eq!(session.receive_bodies(), ["past"]);
    engine.sweep(after(70));
    assert_eq!(session.receive_bodies(), ["later"]);
    for far in [at(u64::from(u32::MAX) * 2), "soon".to_owned()] {
        let error = session.try_do(with("/queue/a", "1", "AMQ_SCHEDULED_TIME", &far)).unwrap_err().to_string();
        assert!(
            error.contains("AMQ_SCHEDULED_TIME") && error.contains(&far) && error.contains("since 1970"),
            "{error}"
        );
    }
}

#[test]
fn delayed_messages_need_room_and_keep_their_queue_alive() {
    let size = message_with("/queue/a", "x", vec![("x-delay".into(), "60000".into())]).size() as u64;
    for destination in ["/queue/a", "/topic/a"] {
        let engine = engine_with(2 * size, 7);
        let mut session = Session::open(&engine);
        session.try_do(with(destination, "1", "x-delay", "60000")).unwrap();
        session.try_do(with(destination, "2", "x-delay", "60000")).unwrap();
        let error = session.try_do(with(destination, "3", "x-delay", "60000")).unwrap_err();
        assert!(matches!(error, EngineError::Full { .. }), "{error}");
        assert_eq!(status(&engine, destination), Some((2, 0, 0)));
        engine.sweep(after(61));
        session.subscribe(1, destination, ByClient, 10);
        let given = session.receive();
        if destination == "/queue/a" {
            session.settle(&given, Settlement::Accept);
        }
        session.try_do(with(destination, "4", "x-delay", "60000")).unwrap();
    }
}

#[test]
fn a_delayed_message_of_a_topic_reaches_who_is_subscribed_then() {
    let engine = engine();
    let (mut sender, mut early, mut late) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    early.subscribe(1, "/topic/a", WhenWritten, 10);
    let commit =
        Operation::Commit(vec![with("/topic/a", "1", "x-delay", "60000"), with("/topic/a", "2", "x-delay", "0")]);
    sender.try_do(commit).unwrap();
    assert_eq!(early.receive_bodies(), ["2"]);
    late.subscribe(1, "/topic/*", WhenWritten, 10);
    drop(early);
    engine.sweep(after(61));
    assert_eq!(late.receive_bodies(), ["1"]);
    assert_eq!(status(&engine, "/topic/a"), None);
}

#[test]
fn the_delay_of_a_message_in_a_transaction_counts_from_its_commit() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe(1, "/queue/a", ByClient, 10);
    let send = with("/queue/a", "1", "x-delay", "60000");
    session.try_do(Operation::Commit(vec![send, Operation::Send(message("/queue/a", "2"))])).unwrap();
    assert_eq!(session.receive_bodies(), ["2"]);
    engine.sweep(after(61));
    assert_eq!(session.receive_bodies(), ["1"]);
}

#[test]
fn times_that_are_none_are_refused_with_what_would_be_right() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (name, value, remedy) in [
        ("expiration", "0", "at least 1"),
        ("expiration", "-5", "at least 1"),
        ("expires", "tomorrow", "since 1970"),
        ("x-delay", "4294967296", "at most 4294967295"),
        ("AMQ_SCHEDULED_DELAY", "", "at most 4294967295"),
    ] {
        for destination in ["/queue/a", "/topic/a"] {
            let error = session.try_do(with(destination, "1", name, value)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(&format!("{value:?}")) && error.contains(remedy), "{error}");
        }
    }
    assert!(engine.destinations().is_empty());
}

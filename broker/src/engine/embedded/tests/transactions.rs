use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn send(destination: &str, body: &str) -> Operation {
    Operation::Send(message(destination, body))
}

#[test]
fn a_commit_applies_everything_in_order() {
    let engine = engine();
    let (mut session, mut watcher) = (Session::open(&engine), Session::open(&engine));
    watcher.subscribe(1, "/topic/t", WhenWritten, 1);
    watcher.subscribe(2, "/queue/out", WhenWritten, 9);
    session.subscribe(1, "/queue/in", ByClient, 1);
    session.send("/queue/in", "job");
    session.send("/queue/in", "next");
    let job = session.receive();
    let accept = Operation::Settle {
        subscription: SubscriptionKey(1),
        deliveries: vec![job[0].tag.unwrap()],
        settlement: Settlement::Accept,
    };
    let operations = vec![send("/queue/out", "1"), accept, send("/topic/t", "2"), send("/queue/out", "3")];
    session.try_do(Operation::Commit(operations)).unwrap();
    assert_eq!(watcher.receive_bodies(), ["1", "2", "3"]);
    assert_eq!(session.receive_bodies(), ["next"]);
}

#[test]
fn a_commit_with_one_full_queue_or_wrong_name_does_nothing_at_all() {
    let engine = engine_with(2048, 1);
    let (mut session, mut watcher) = (Session::open(&engine), Session::open(&engine));
    watcher.subscribe(1, "/topic/t", WhenWritten, 1);
    session.send("/queue/full", &"x".repeat(1500));
    let big = "y".repeat(700);
    for bad in [send("/queue/full", &big), send("/nowhere", "1")] {
        let operations = vec![send("/topic/t", "1"), send("/queue/new", "2"), bad, send("/queue/new", "3")];
        session.try_do(Operation::Commit(operations)).unwrap_err();
        assert_eq!(watcher.receive_bodies(), [""; 0]);
        assert_eq!(status(&engine, "/queue/new"), None, "and what was set aside is free again");
        assert_eq!(status(&engine, "/queue/full"), Some((1, 0, 0)));
    }
}

#[test]
fn the_messages_of_one_commit_count_together() {
    let engine = engine_with(2048, 1);
    let mut session = Session::open(&engine);
    let half = "x".repeat(900);
    let error = session
        .try_do(Operation::Commit(vec![send("/queue/a", &half), send("/queue/a", &half), send("/queue/a", &half)]))
        .unwrap_err();
    assert!(matches!(error, EngineError::Full { .. }), "{error}");
    assert!(engine.destinations().is_empty());
    session.try_do(Operation::Commit(vec![send("/queue/a", "1"), send("/queue/a", "2")])).unwrap();
    assert_eq!(status(&engine, "/queue/a"), Some((2, 0, 0)));
}

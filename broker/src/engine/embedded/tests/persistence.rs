//! Queues over a restart.

use std::{path::Path, time::Duration};

use stompbroker_config::{ByteSize, Persistence};

use super::*;

fn config(directory: &Path, size: u64) -> stompbroker_config::EmbeddedEngine {
    let persistence = Persistence { directory: directory.to_owned(), size: ByteSize(size) };
    stompbroker_config::EmbeddedEngine {
        queue_size: ByteSize(1 << 20),
        persistence: Some(persistence),
        ..Default::default()
    }
}

fn open(directory: &Path) -> EmbeddedEngine {
    EmbeddedEngine::open(&config(directory, 1 << 30)).unwrap()
}

fn persistent(destination: &str, body: &str) -> Operation {
    Operation::Send(message_with(destination, body, vec![("persistent".into(), "true".into())]))
}

impl Session {
    /// Submits an operation and waits for its answer, as long as the disk takes.
    #[track_caller]
    fn wait_for(&mut self, operation: Operation) -> Result<(), EngineError> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.half.submit(operation, Some(ticket));
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        loop {
            self.collect();
            match self.others.pop() {
                Some(Event::Completed(answered)) if answered == ticket => return Ok(()),
                Some(Event::Failed { ticket: Some(answered), error }) if answered == ticket => return Err(error),
                Some(other) => panic!("{other:?} instead of an answer to {ticket:?}"),
                None => assert!(std::time::Instant::now() < deadline, "no answer to {ticket:?}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    fn send_persistent(&mut self, destination: &str, body: &str) {
        self.wait_for(persistent(destination, body)).unwrap();
    }

    fn settlement(deliveries: &[Delivery], settlement: Settlement) -> Operation {
        let subscription = deliveries[0].subscription;
        let deliveries = deliveries.iter().map(|delivery| delivery.tag.unwrap()).collect();
        Operation::Settle { subscription, deliveries, settlement }
    }
}

/// What a queue holds, as its next consumer gets it.
fn contents(engine: &EmbeddedEngine, queue: &str) -> Vec<(String, bool)> {
    let mut session = Session::open(engine);
    session.subscribe(1, queue, Acknowledge::ByClient, 1000);
    session.receive().iter().map(|delivery| (body(delivery).to_owned(), delivery.redelivered)).collect()
}

#[test]
fn the_messages_of_a_group_have_one_consumer_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    for body in ["1", "2", "3"] {
        let headers = vec![("persistent".into(), "true".into()), ("JMSXGroupID".into(), "a".into())];
        session.wait_for(Operation::Send(message_with("/queue/a", body, headers))).unwrap();
    }
    drop(session);
    engine.close();
    drop(engine);
    let engine = open(folder.path());
    let (mut one, mut two) = (Session::open(&engine), Session::open(&engine));
    one.subscribe(1, "/queue/a", Acknowledge::ByClient, 1);
    two.subscribe(1, "/queue/a", Acknowledge::ByClient, 5);
    assert_eq!((one.receive_bodies(), two.receive_bodies()), (vec!["1".into()], vec![]));
    drop(one);
    assert_eq!(two.receive_bodies(), ["1", "2", "3"]);
}

#[test]
fn persistent_messages_of_queues_outlive_the_engine_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    session.send("/queue/a", "in memory");
    for number in 0..3 {
        session.send_persistent("/queue/a", &number.to_string());
    }
    session.send_persistent("/queue/b", "other");
    session.send_persistent("/topic/a", "nobody listens");
    drop(session);
    drop(engine);
    let engine = open(folder.path());
    let expected = ["0", "1", "2"].map(|body| (body.to_owned(), false));
    assert_eq!(contents(&engine, "/queue/a"), expected);
    assert_eq!(contents(&engine, "/queue/b"), [("other".to_owned(), false)]);
    assert_eq!(engine.destinations().keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["/queue/a", "/queue/b"]);
}

#[test]
fn what_was_settled_does_not_come_back_and_what_was_not_does_in_its_old_place() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    for number in 0..6 {
        session.send_persistent("/queue/a", &number.to_string());
    }
    session.subscribe(1, "/queue/a", Acknowledge::ByClient, 5);
    let deliveries = session.receive();
    session.wait_for(Session::settlement(&deliveries[1..2], Settlement::Accept)).unwrap();
    session.wait_for(Session::settlement(&deliveries[3..4], Settlement::Reject)).unwrap();
    session.unsubscribe(1);
    drop(session);
    drop(engine);
    let engine = open(folder.path());
    let expected = [("0", true), ("2", true), ("4", true), ("5", true)];
    assert_eq!(contents(&engine, "/queue/a"), expected.map(|(body, redelivered)| (body.to_owned(), redelivered)));
}

#[test]
fn a_dead_letter_is_in_its_new_queue_alone() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    for number in 0..3 {
        session.send_persistent("/queue/a", &number.to_string());
    }
    session.subscribe(1, "/queue/a", Acknowledge::ByClient, 3);
    let deliveries = session.receive();
    session.wait_for(Session::settlement(&deliveries[..2], Settlement::Reject)).unwrap();
    drop(session);
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(contents(&engine, "/queue/a"), [("2".to_owned(), true)]);
    assert_eq!(contents(&engine, "/queue/dead-letter"), ["0", "1"].map(|body| (body.to_owned(), false)));
}

#[test]
fn a_queue_of_springs_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    let headers: Vec<Header> = vec![("simpOrigDestination".into(), "/user/queue/a".into())];
    let queue = "/queue/a-user123";
    session.subscribe_with(1, queue, Acknowledge::ByClient, 1, headers.clone());
    let headers = [headers, vec![("persistent".into(), "true".into())]].concat();
    session.wait_for(Operation::Send(message_with(queue, "1", headers))).unwrap();
    assert_eq!(session.receive_bodies(), ["1"]);
    // Its end gives back what is unsettled, which a crash would leave in a store.
    std::mem::forget(session);
    engine.close();
    std::mem::forget(engine);
    assert_eq!(open(folder.path()).destinations().len(), 0);
}

#[test]
fn a_transaction_takes_out_and_puts_in_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    session.send_persistent("/queue/in", "work");
    session.subscribe(1, "/queue/in", Acknowledge::ByClient, 1);
    let work = session.receive();
    let settled = Session::settlement(&work, Settlement::Accept);
    let operations = vec![settled, persistent("/queue/out", "1"), persistent("/queue/out", "2")];
    session.wait_for(Operation::Commit(operations)).unwrap();
    drop(session);
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(contents(&engine, "/queue/in"), []);
    assert_eq!(contents(&engine, "/queue/out"), ["1", "2"].map(|body| (body.to_owned(), false)));
}

#[test]
fn a_store_without_room_refuses_persistent_messages_and_transactions_with_them_but_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(&config(folder.path(), 1 << 20)).unwrap();
    let mut session = Session::open(&engine);
    let refusal = session.wait_for(persistent("/queue/a", "1")).unwrap_err();
    assert!(matches!(refusal, EngineError::NotStored(_)), "{refusal}");
    assert!(refusal.to_string().contains("engine.embedded.persistence.size (1Mi)"), "{refusal}");
    let operations = vec![Operation::Send(message("/queue/b", "in memory")), persistent("/queue/a", "1")];
    session.wait_for(Operation::Commit(operations)).unwrap_err();
    session.send("/queue/a", "in memory");
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
    assert_eq!(status(&engine, "/queue/b"), None, "a transaction is refused as a whole");
    assert!(engine.store_status().unwrap().trouble.is_some());
}

#[test]
fn after_the_close_persistent_messages_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    engine.close();
    let mut session = Session::open(&engine);
    let refusal = session.wait_for(persistent("/queue/a", "1")).unwrap_err();
    assert!(matches!(refusal, EngineError::NotStored(_)), "{refusal}");
}

#[test]
fn the_order_of_a_queue_with_many_senders_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let mut session = Session::open(&engine);
            scope.spawn(move || {
                for number in 0..100 {
                    session.half.submit(persistent("/queue/a", &format!("{sender}-{number}")), None);
                }
            });
        }
    });
    let before: Vec<String> = contents(&engine, "/queue/a").into_iter().map(|(body, _)| body).collect();
    drop(engine);
    let after: Vec<String> = contents(&open(folder.path()), "/queue/a").into_iter().map(|(body, _)| body).collect();
    assert_eq!(before.len(), 400);
    assert_eq!(after, before);
}

#[test]
fn durable_subscriptions_and_their_persistent_messages_outlive_the_engine_until_they_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    for (key, topic) in [(1, "/topic/a"), (2, "/topic/*"), (3, "/topic/empty")] {
        let (key, headers) = (SubscriptionKey(key), durable::rabbit("jobs"));
        let (destination, acknowledge) = (topic.into(), Acknowledge::ByClient);
        let subscription = Subscription { key, destination, acknowledge, prefetch: None, headers };
        session.wait_for(Operation::Subscribe(subscription)).unwrap();
    }
    for key in 1..=3 {
        let subscription = SubscriptionKey(key);
        session.wait_for(Operation::Unsubscribe { subscription, headers: vec![] }).unwrap();
    }
    session.send("/topic/a", "in memory");
    session.send_persistent("/topic/a", "1");
    session.wait_for(Operation::Commit(vec![persistent("/topic/b", "2")])).unwrap();
    drop(session);
    drop(engine);

    let engine = open(folder.path());
    let (exact, wild, empty) = ("/durable/jobs/topic/a", "/durable/jobs/topic/*", "/durable/jobs/topic/empty");
    assert_eq!([exact, wild, empty].map(|name| status(&engine, name).unwrap().0), [1, 2, 0]);
    let mut session = Session::open(&engine);
    session.send_persistent("/topic/a", "3");
    session.send_persistent("/topic/empty", "4");
    session.subscribe_with(1, "/topic/*", Acknowledge::ByClient, 9, durable::rabbit("jobs"));
    assert_eq!(session.receive_bodies(), ["1", "2", "3", "4"]);
    let delete = Operation::Unsubscribe { subscription: SubscriptionKey(1), headers: durable::rabbit("jobs") };
    session.wait_for(delete).unwrap();
    drop(session);
    drop(engine);

    let engine = open(folder.path());
    assert_eq!([exact, empty].map(|name| status(&engine, name).unwrap().0), [2, 1]);
    assert_eq!(status(&engine, wild), None);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a", Acknowledge::ByClient, 9, durable::rabbit("jobs"));
    assert_eq!(session.receive_bodies(), ["1", "3"]);
}

#[test]
fn a_store_without_room_refuses_persistent_messages_of_topics_only_where_a_durable_subscription_is() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    let headers = durable::rabbit("jobs");
    let (key, destination) = (SubscriptionKey(1), "/topic/a".into());
    let subscription = Subscription { key, destination, acknowledge: Acknowledge::ByClient, prefetch: None, headers };
    session.wait_for(Operation::Subscribe(subscription)).unwrap();
    engine.close();
    session.wait_for(persistent("/topic/b", "1")).unwrap();
    let refusal = session.wait_for(persistent("/topic/a", "1")).unwrap_err();
    assert!(matches!(refusal, EngineError::NotStored(_)), "{refusal}");
    session.send("/topic/a", "in memory");
    assert_eq!(session.receive_bodies(), ["in memory"]);
}

/// A store as a crash now would leave it.
fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_durable_subscription_its_messages_and_its_deletion_are_on_the_disk_when_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut session = Session::open(&engine);
    let (key, headers) = (SubscriptionKey(1), durable::rabbit("jobs"));
    let (destination, acknowledge) = ("/topic/a".into(), Acknowledge::ByClient);
    let subscription = Subscription { key, destination, acknowledge, prefetch: None, headers: headers.clone() };
    session.wait_for(Operation::Subscribe(subscription)).unwrap();
    let subscribed = copy(folder.path());
    // The answer to the second message vouches for the first, which has none.
    session.half.submit(persistent("/topic/a", "1"), None);
    session.send_persistent("/topic/a", "2");
    let sent = copy(folder.path());
    session.wait_for(Operation::Unsubscribe { subscription: key, headers }).unwrap();
    let deleted = copy(folder.path());
    let depth = |folder: tempfile::TempDir| Some(status(&open(folder.path()), "/durable/jobs/topic/a")?.0);
    assert_eq!([subscribed, sent, deleted].map(depth), [Some(0), Some(2), None]);
}

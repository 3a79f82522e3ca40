use super::*;
use Acknowledge::{ByClient, WhenWritten};

#[test]
fn a_message_for_a_user_reaches_all_sessions_of_that_user_and_no_other() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut ann = [Session::open_as(&engine, "s-1", "ann"), Session::open_as(&engine, "s-2", "ann")];
    let mut bob = Session::open_as(&engine, "s-3", "bob");
    for session in ann.iter_mut().chain([&mut bob]) {
        session.subscribe(1, "/user/queue/a", WhenWritten, 1);
        session.subscribe(2, "/user/queue/b", WhenWritten, 1);
    }
    sender.send("/user/ann/queue/a", "1");
    for session in &mut ann {
        let given = session.receive();
        assert_eq!((given.len(), given[0].subscription.0, body(&given[0])), (1, 1, "1"));
        assert_eq!(&*given[0].message.destination, "/user/queue/a", "as it was subscribed to");
    }
    sender.send("/user/s-2/queue/b", "2");
    assert_eq!((ann[0].receive().len(), ann[1].receive_bodies()), (0, vec!["2".to_owned()]));
    assert_eq!(bob.receive().len(), 0);
}

#[test]
fn names_that_look_alike_are_not_mixed_up() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut slashed = Session::open_as(&engine, "s-1", "a/b");
    let mut plain = Session::open_as(&engine, "s-2", "a");
    let mut anonymous = Session::open_as(&engine, "s-3", "");
    slashed.subscribe(1, "/user/c", WhenWritten, 1);
    plain.subscribe(1, "/user/b/c", WhenWritten, 1);
    anonymous.subscribe(1, "/user/a/b/c", WhenWritten, 1);
    sender.send("/user/a%2Fb/c", "1");
    sender.send("/user/a/b/c", "2");
    assert_eq!((slashed.receive_bodies(), plain.receive_bodies()), (vec!["1".to_owned()], vec!["2".to_owned()]));
    assert_eq!(anonymous.receive().len(), 0);
}

#[test]
fn nothing_is_left_of_a_destination_of_a_user_when_its_session_has_ended() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    for acknowledge in [WhenWritten, ByClient] {
        let mut ann = Session::open_as(&engine, "s-1", "ann");
        ann.subscribe(1, "/user/queue/a", acknowledge, 5);
        sender.send("/user/ann/queue/a", "1");
        assert_eq!(status(&engine, "/user/queue/a").map(|(_, _, consumers)| consumers), Some(1), "counted once");
        ann.subscribe(2, "/user/queue/b", acknowledge, 5);
        ann.unsubscribe(2);
        drop(ann);
        assert!(engine.destinations().is_empty());
    }
    assert_eq!(engine.unresolved_messages(), Some(0));
    sender.send("/user/ann/queue/a", "2");
    assert_eq!(engine.unresolved_messages(), Some(1));
    assert!(engine.destinations().is_empty());
}

#[test]
fn what_reaches_no_session_goes_to_the_topic_for_that() {
    let engine = engine();
    engine.set_user_destinations(&stompbroker_config::UserDestinations {
        prefix: "/me/".to_owned(),
        unresolved_topic: Some("/topic/unresolved-user".to_owned()),
    });
    let mut session = Session::open(&engine);
    session.subscribe(1, "/topic/unresolved-user", WhenWritten, 1);
    session.send("/me/ann/queue/a", "1");
    let given = session.receive();
    assert_eq!(&*given[0].message.destination, "/topic/unresolved-user");
    assert_eq!(given[0].message.header("simpOrigDestination"), Some("/me/ann/queue/a"));
    assert!(session.try_do(Operation::Send(message("/user/ann/queue/a", "1"))).is_err(), "not the prefix any more");
}

#[test]
fn a_transaction_reaches_users_when_it_is_committed() {
    let engine = engine();
    let (mut sender, mut ann) = (Session::open(&engine), Session::open_as(&engine, "s-1", "ann"));
    ann.subscribe(1, "/user/queue/a", WhenWritten, 1);
    let sends = ["/user/ann/queue/a", "/user/nobody/queue/a"].map(|to| Operation::Send(message(to, to)));
    sender.try_do(Operation::Commit(sends.into())).unwrap();
    assert_eq!(ann.receive_bodies(), ["/user/ann/queue/a"]);
}

#[test]
fn wildcards_reach_no_user() {
    let engine = engine();
    let mut session = Session::open_as(&engine, "s-1", "ann");
    let error = session.try_do(Operation::Send(message("/user/ann/*", "1"))).unwrap_err();
    assert!(error.to_string().contains("one destination of one user"), "{error}");
    let (key, destination) = (SubscriptionKey(1), "/user/**".into());
    let subscription = Subscription { key, destination, acknowledge: ByClient, prefetch: None, headers: vec![] };
    let error = session.try_do(Operation::Subscribe(subscription)).unwrap_err();
    assert!(error.to_string().contains("whole name"), "{error}");
}

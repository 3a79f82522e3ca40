use super::*;
use Acknowledge::ByClient;

fn prioritised(body: &str, priority: &str) -> Operation {
    Operation::Send(message_with("/queue/a", body, vec![("priority".into(), priority.into())]))
}

#[test]
fn higher_priorities_go_first_and_each_keeps_its_order() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    for (body, priority) in [("a", "0"), ("b", "9"), ("c", "4"), ("d", "9"), ("e", "0"), ("f", "12")] {
        sender.try_do(prioritised(body, priority)).unwrap();
    }
    sender.send("/queue/a", "g");
    consumer.subscribe(1, "/queue/a", ByClient, 10);
    assert_eq!(consumer.receive_bodies(), ["b", "d", "f", "c", "g", "a", "e"]);
}

#[test]
fn what_is_given_back_is_in_its_old_place_among_all_priorities() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (body, priority) in [("a", "4"), ("b", "9"), ("c", "4"), ("d", "9"), ("e", "9")] {
        session.try_do(prioritised(body, priority)).unwrap();
    }
    session.subscribe(1, "/queue/a", ByClient, 4);
    let given = session.receive();
    session.settle(&given[1..], Settlement::Requeue);
    assert_eq!(session.receive_bodies(), ["d", "e", "a"]);
}

#[test]
fn a_priority_that_is_no_number_is_refused_and_a_transaction_with_one_does_nothing() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for bad in ["", "high", "-1", "4.0"] {
        let commit = Operation::Commit(vec![prioritised("good", "1"), prioritised("bad", bad)]);
        for operation in [prioritised("bad", bad), commit] {
            let error = session.try_do(operation).unwrap_err().to_string();
            assert!(
                error.contains("priority") && error.contains(&format!("{bad:?}")) && error.contains("0 to 9"),
                "{error}"
            );
        }
    }
    assert_eq!(status(&engine, "/queue/a"), None);
}

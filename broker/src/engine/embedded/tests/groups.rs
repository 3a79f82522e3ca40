use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use super::*;
use crate::engine::embedded::queue::Group;
use Acknowledge::{ByClient, WhenWritten};

/// Ids of groups that share no place in a queue.
pub(super) fn group_ids(count: usize) -> Vec<String> {
    let mut places = BTreeMap::new();
    for id in (0..).map(|number| format!("group-{number}")) {
        if places.len() == count {
            break;
        }
        places.entry(format!("{:?}", Group::of(&id).unwrap().place())).or_insert(id);
    }
    places.into_values().collect()
}

fn of_group(body: &str, group: &str) -> Operation {
    Operation::Send(message_with("/queue/a", body, vec![("JMSXGroupID".into(), group.into())]))
}

fn in_group(body: &str, group: &str, seq: &str) -> Operation {
    let headers = vec![("JMSXGroupID".into(), group.into()), ("JMSXGroupSeq".into(), seq.into())];
    Operation::Send(message_with("/queue/a", body, headers))
}

fn consumer(engine: &EmbeddedEngine, prefetch: u32) -> Session {
    let mut session = Session::open(engine);
    session.subscribe(1, "/queue/a", ByClient, prefetch);
    session
}

fn is_first(delivery: &Delivery) -> bool {
    delivery.message.header("JMSXGroupFirstForConsumer") == Some("true")
}

#[test]
fn the_messages_of_a_group_go_to_one_consumer_and_groups_are_dealt_out_in_turn() {
    let engine = engine();
    let ids = group_ids(2);
    let (mut sender, mut one, mut two) = (Session::open(&engine), consumer(&engine, 10), consumer(&engine, 10));
    for (body, group) in [("a1", 0), ("b1", 1), ("a2", 0), ("a3", 0), ("b2", 1)] {
        sender.try_do(of_group(body, &ids[group])).unwrap();
    }
    assert_eq!(one.receive_bodies(), ["a1", "a2", "a3"]);
    assert_eq!(two.receive_bodies(), ["b1", "b2"]);
    sender.send("/queue/a", "free");
    assert_eq!(one.receive_bodies().len() + two.receive_bodies().len(), 1, "what is of no group goes to anybody");
}

#[test]
fn what_waits_for_the_consumer_of_its_group_is_passed_by_others() {
    let engine = engine();
    let ids = group_ids(2);
    let (mut sender, mut one, mut two) = (Session::open(&engine), consumer(&engine, 1), consumer(&engine, 10));
    for (body, group) in [("a1", 0), ("b1", 1), ("a2", 0), ("a3", 0), ("b2", 1)] {
        sender.try_do(of_group(body, &ids[group])).unwrap();
    }
    sender.send("/queue/a", "free");
    let first = one.receive();
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["a1"]);
    assert_eq!(two.receive_bodies(), ["b1", "b2", "free"]);
    one.settle(&first, Settlement::Accept);
    assert_eq!(one.receive_bodies(), ["a2"]);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 4, 2)));
}

#[test]
fn messages_that_wait_before_there_are_consumers_are_dealt_out_by_group() {
    let engine = engine();
    let ids = group_ids(2);
    let mut sender = Session::open(&engine);
    for (body, group) in [("a1", 0), ("a2", 0), ("b1", 1), ("a3", 0), ("b2", 1)] {
        sender.try_do(of_group(body, &ids[group])).unwrap();
    }
    let (mut one, mut two) = (consumer(&engine, 2), consumer(&engine, 10));
    assert_eq!(one.receive_bodies(), ["a1", "a2"]);
    assert_eq!(two.receive_bodies(), ["b1", "b2"]);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 4, 2)));
}

#[test]
fn a_group_moves_in_order_when_its_consumer_goes() {
    let engine = engine();
    let ids = group_ids(2);
    let (mut sender, one, mut two) = (Session::open(&engine), consumer(&engine, 2), consumer(&engine, 10));
    for (body, group) in [("a1", 0), ("b1", 1), ("a2", 0), ("a3", 0), ("a4", 0)] {
        sender.try_do(of_group(body, &ids[group])).unwrap();
    }
    assert_eq!(two.receive_bodies(), ["b1"]);
    drop(one);
    let moved = two.receive();
    assert_eq!(moved.iter().map(body).collect::<Vec<_>>(), ["a1", "a2", "a3", "a4"]);
    let redelivered: Vec<bool> = moved.iter().map(|delivery| delivery.redelivered).collect();
    assert_eq!(redelivered, [true, true, false, false]);
}

#[test]
fn what_is_given_back_goes_to_the_same_consumer_again() {
    let engine = engine();
    let (mut sender, mut one, mut two) = (Session::open(&engine), consumer(&engine, 2), consumer(&engine, 10));
    for body in ["a1", "a2", "a3"] {
        sender.try_do(of_group(body, "a")).unwrap();
    }
    let given = one.receive();
    one.settle(&given, Settlement::Requeue);
    assert_eq!(one.receive_bodies(), ["a1", "a2"]);
    assert_eq!(two.receive_bodies(), [""; 0]);
}

#[test]
fn a_negative_number_closes_the_group_also_for_what_waits_already() {
    let engine = engine();
    let (mut sender, mut one, mut two) = (Session::open(&engine), consumer(&engine, 1), consumer(&engine, 10));
    sender.try_do(in_group("a1", "a", "1")).unwrap();
    sender.try_do(in_group("a2", "a", "-1")).unwrap();
    sender.try_do(in_group("a3", "a", "1")).unwrap();
    let first = one.receive();
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["a1"]);
    assert_eq!(two.receive_bodies(), [""; 0]);
    one.settle(&first, Settlement::Accept);
    assert_eq!(one.receive_bodies(), ["a2"]);
    assert_eq!(two.receive_bodies(), ["a3"]);
}

#[test]
fn a_number_that_is_none_is_refused_by_name() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let error = sender.try_do(in_group("1", "a", "last")).unwrap_err().to_string();
    assert!(error.contains("JMSXGroupSeq") && error.contains("\"last\"") && error.contains("closes"), "{error}");
    sender.try_do(in_group("1", "", "-1")).unwrap();
}

#[test]
fn the_first_message_of_a_group_says_so_to_each_consumer() {
    let engine = engine();
    let ids = group_ids(2);
    let (mut sender, mut one) = (Session::open(&engine), consumer(&engine, 10));
    for (body, group) in [("a1", 0), ("b1", 1), ("a2", 0)] {
        sender.try_do(of_group(body, &ids[group])).unwrap();
    }
    sender.send("/queue/a", "free");
    assert_eq!(one.receive().iter().map(is_first).collect::<Vec<_>>(), [true, true, false, false]);
    drop(one);
    let mut two = consumer(&engine, 10);
    assert_eq!(two.receive().iter().map(is_first).collect::<Vec<_>>(), [true, true, false, false]);
    sender.try_do(in_group("a3", &ids[0], "-1")).unwrap();
    sender.try_do(of_group("a4", &ids[0])).unwrap();
    assert_eq!(two.receive().iter().map(is_first).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn an_exclusive_consumer_takes_over_all_groups() {
    let engine = engine();
    let (mut sender, mut plain) = (Session::open(&engine), consumer(&engine, 1));
    sender.try_do(of_group("a1", "a")).unwrap();
    sender.try_do(of_group("a2", "a")).unwrap();
    let mut exclusive = Session::open(&engine);
    exclusive.subscribe_with(1, "/queue/a", ByClient, 10, vec![("exclusive".into(), "true".into())]);
    sender.try_do(of_group("a3", "a")).unwrap();
    assert_eq!(plain.receive_bodies(), ["a1"]);
    assert_eq!(exclusive.receive_bodies(), ["a2", "a3"]);
}

#[test]
fn what_the_consumer_of_a_group_does_not_select_waits_until_it_goes() {
    let engine = engine();
    let coloured = |body: &str, colour: &str| {
        let headers = vec![("JMSXGroupID".into(), "a".into()), ("colour".into(), colour.into())];
        Operation::Send(message_with("/queue/a", body, headers))
    };
    let (mut sender, mut red) = (Session::open(&engine), Session::open(&engine));
    red.subscribe_with(1, "/queue/a", ByClient, 10, vec![("selector".into(), "colour = 'red'".into())]);
    sender.try_do(coloured("1", "red")).unwrap();
    sender.try_do(coloured("2", "blue")).unwrap();
    let mut any = consumer(&engine, 10);
    sender.try_do(coloured("3", "red")).unwrap();
    assert_eq!((red.receive_bodies(), any.receive_bodies()), (vec!["1".into(), "3".into()], vec![]));
    red.unsubscribe(1);
    assert_eq!(any.receive_bodies(), ["1", "2", "3"]);
}

#[test]
fn within_a_group_priorities_hold() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    for (body, priority) in [("1", "1"), ("2", "9"), ("3", "1")] {
        let headers = vec![("JMSXGroupID".into(), "a".into()), ("priority".into(), priority.into())];
        sender.try_do(Operation::Send(message_with("/queue/a", body, headers))).unwrap();
    }
    assert_eq!(consumer(&engine, 10).receive_bodies(), ["2", "1", "3"]);
}

#[test]
fn consumers_of_a_shared_durable_subscription_have_groups_and_subscribers_of_a_topic_do_not() {
    let engine = engine();
    let (mut sender, mut alone) = (Session::open(&engine), Session::open(&engine));
    let (mut one, mut two) = (Session::open(&engine), Session::open(&engine));
    for session in [&mut one, &mut two] {
        let headers = vec![("id".into(), "jobs".into()), ("durable".into(), "true".into())];
        session.subscribe_with(1, "/topic/a", ByClient, 10, headers);
    }
    alone.subscribe(1, "/topic/a", ByClient, 10);
    for body in ["1", "2"] {
        let headers = vec![("JMSXGroupID".into(), "a".into())];
        sender.try_do(Operation::Send(message_with("/topic/a", body, headers))).unwrap();
    }
    assert_eq!((one.receive_bodies().len(), two.receive_bodies().len()), (2, 0));
    let given = alone.receive();
    assert!(given.len() == 2 && !given.iter().any(is_first), "{given:?}");
}

#[test]
fn more_groups_than_places_share_them_and_none_has_two_consumers() {
    let engine = engine_with(1 << 26, 7);
    let (mut sender, mut one, mut two) = (Session::open(&engine), consumer(&engine, 60_000), consumer(&engine, 60_000));
    for number in 0..10_000 {
        sender.try_do(of_group("x", &format!("g{}", number % 5000))).unwrap();
    }
    let groups = |session: &mut Session| -> BTreeSet<String> {
        let given = session.receive();
        given.iter().map(|delivery| delivery.message.header("JMSXGroupID").unwrap().to_owned()).collect()
    };
    let (of_one, of_two) = (groups(&mut one), groups(&mut two));
    assert!(of_one.is_disjoint(&of_two));
    assert_eq!(of_one.len() + of_two.len(), 5000);
    assert!(of_one.len() > 500 && of_two.len() > 500, "both have work");
}

/// Consumes until all is done; checks that no other consumer holds messages of the groups whose messages it holds, and that
/// those of each group come in order.
fn consume(engine: &EmbeddedEngine, index: u64, done: &AtomicBool, holders: &[AtomicU64], last: &[AtomicU64]) -> u64 {
    let (mut round, mut accepted) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        round += 1;
        let mut session = Session::with_capacity(engine, 3000);
        let acknowledge = if round % 2 == 0 { ByClient } else { WhenWritten };
        session.subscribe(1, "/queue/a", acknowledge, 4);
        for _ in 0..50 {
            let deliveries = session.receive();
            if deliveries.is_empty() {
                thread::yield_now();
            }
            let mut held: HashMap<usize, Vec<Delivery>> = HashMap::new();
            for delivery in deliveries {
                let group: usize = delivery.message.header("JMSXGroupID").unwrap().parse().unwrap();
                held.entry(group).or_default().push(delivery);
            }
            for (group, deliveries) in held {
                assert_eq!(holders[group].swap(index + 1, Ordering::SeqCst), 0, "two consumers hold group {group}");
                for delivery in &deliveries {
                    let number: u64 = body(delivery).parse().unwrap();
                    assert_eq!(last[group].swap(number, Ordering::SeqCst) + 1, number, "order of group {group}");
                }
                accepted += deliveries.len() as u64;
                holders[group].store(0, Ordering::SeqCst);
                session.settle(&deliveries, Settlement::Accept);
            }
        }
    }
    accepted
}

#[test]
fn a_group_has_one_consumer_at_a_time_and_keeps_its_order_while_consumers_come_and_go() {
    const GROUPS: usize = 12;
    const MESSAGES: u64 = 400;
    let engine = Arc::new(engine_where(&[DestinationPolicy { max_deliveries: Some(0), ..policy("/queue/**") }]));
    let done = AtomicBool::new(false);
    let [holders, last] = [(); 2].map(|()| (0..GROUPS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
    let accepted: u64 = thread::scope(|scope| {
        let consumers: Vec<_> = (0..4)
            .map(|index| {
                let (engine, done, holders, last) = (&engine, &done, &holders, &last);
                scope.spawn(move || {
                    let _end = super::stress::EndsOthers(done);
                    consume(engine, index, done, holders, last)
                })
            })
            .collect();
        let mut sender = Session::open(&engine);
        for number in 1..=MESSAGES {
            for group in 0..GROUPS {
                sender.try_do(of_group(&number.to_string(), &group.to_string())).unwrap();
            }
        }
        let finished = || last.iter().all(|last| last.load(Ordering::Relaxed) == MESSAGES);
        while !finished() && !done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum()
    });
    assert_eq!(accepted, MESSAGES * GROUPS as u64);
}

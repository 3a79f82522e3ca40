//! Against a real `RabbitMQ`: one of the tests' own, or the one that `STOMPBROKER_TEST_RABBITMQ=host:port,user,password` names.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use stompbroker::{
    engine::{Acknowledge, EngineError, Event, Operation, Settlement, Subscription, SubscriptionKey},
    message::Message,
};
use stompbroker_config::{
    GoDuration, HeartbeatPair, Multiplex, RelayEngine, Upstream as Configured, admin::UpstreamState,
};

use crate::{
    harness::{Harness, Session, send},
    servers::{Kind, LOGIN, Server},
};

/// Which connections sessions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each its own.
    Own,
    /// One for all.
    Shared,
}

/// Each test in both modes.
macro_rules! in_both_modes {
    ($($test:ident),* $(,)?) => {
        mod own {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Mode::Own).await;
            })*
        }
        mod shared {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Mode::Shared).await;
            })*
        }
    };
}

in_both_modes! {
    what_is_sent_with_a_receipt_arrives_in_order_and_is_settled,
    what_is_not_settled_comes_back_to_another_session,
    a_transaction_is_seen_when_its_commit_is_confirmed,
    ending_a_subscription_while_messages_flow_ends_no_session,
    two_sessions_with_durable_subscriptions_of_their_own_each_get_every_message,
    a_durable_subscription_waits_for_its_client_until_it_is_unsubscribed_as_durable,
    what_rabbitmq_refuses_reaches_the_client_as_its_error,
    a_wrong_password_and_a_missing_virtual_host_are_told_apart,
    heart_beats_keep_an_idle_relay_connected,
    what_an_ended_subscription_has_left_unsettled_goes_back_to_the_queue,
    what_a_session_leaves_unsettled_does_not_wait_for_the_others_of_its_connection,
}

const VARIABLE: &str = "STOMPBROKER_TEST_RABBITMQ";

/// The `RabbitMQ` of all these tests, as the variable would name it.
fn own() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start(Kind::RabbitMq));
    format!("{},{},{}", server.address(), LOGIN.0, LOGIN.1)
}

/// A relay to the `RabbitMQ`.
fn rabbitmq(mode: Mode, change: impl FnOnce(&mut RelayEngine)) -> Harness {
    let text = std::env::var(VARIABLE).unwrap_or_else(|_| own());
    let mut parts = text.splitn(3, ',');
    let mut part = || parts.next().expect("host:port,user,password");
    let (address, user, password) = (part(), part(), part());
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let upstream = Configured { host: host.to_owned(), port: port.parse().unwrap(), zone: None };
    Harness::start_with(vec![upstream], |relay| {
        for directory in [&relay.system_credentials.directory, &relay.client_credentials.directory] {
            std::fs::write(directory.join("username"), user).unwrap();
            std::fs::write(directory.join("password"), password).unwrap();
        }
        relay.connect_timeout = GoDuration::from_secs(10);
        // A busy machine is silent for longer than those of other tests allow.
        relay.heartbeat = HeartbeatPair::default();
        relay.multiplex = (mode == Mode::Shared).then_some(Multiplex { connections: 1 });
        change(relay);
    })
}

/// A queue that no other test uses, also none of an earlier run.
fn queue() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("/queue/relay-test-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Subscribes; messages that wait already may come before the completion.
fn subscribe(session: &mut Session, key: u32, destination: &str, headers: &[(&str, &str)]) {
    // A queue of a test goes away by itself when nobody has used it for a minute.
    let headers = headers.iter().chain(&[("x-expires", "60000")]);
    let subscription = Subscription {
        key: SubscriptionKey(key),
        destination: destination.into(),
        acknowledge: Acknowledge::ByClient,
        prefetch: Some(10),
        headers: headers.map(|&(name, value)| (name.into(), value.into())).collect(),
    };
    session.submit(Operation::Subscribe(subscription), 1000 + u64::from(key));
}

/// The next delivery, whatever else is completed before it.
async fn next(session: &mut Session) -> (String, bool, Operation) {
    let delivery = loop {
        match session.event().await {
            Event::Delivery(delivery) => break delivery,
            Event::Completed(_) => {}
            other => panic!("expected a delivery, got {other:?}"),
        }
    };
    session.mailbox.release(delivery.message.size());
    let settle = Operation::Settle {
        subscription: delivery.subscription,
        deliveries: vec![delivery.tag.unwrap()],
        settlement: Settlement::Accept,
    };
    (String::from_utf8(delivery.message.body.to_vec()).unwrap(), delivery.redelivered, settle)
}

fn instead(settle: Operation, settlement: Settlement) -> Operation {
    match settle {
        Operation::Settle { subscription, deliveries, .. } => {
            Operation::Settle { subscription, deliveries, settlement }
        }
        other => other,
    }
}

async fn what_is_sent_with_a_receipt_arrives_in_order_and_is_settled(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut session, queue) = (harness.session(), queue());
    subscribe(&mut session, 1, &queue, &[]);
    session.completed(1001).await;
    for (number, body) in (0..).zip(["a", "b", "c"]) {
        session.send(&queue, body, Some(number));
    }
    let mut arrived = Vec::new();
    let mut completed = 0;
    while arrived.len() < 3 || completed < 3 {
        match session.event().await {
            Event::Completed(ticket) => {
                assert_eq!(ticket.0, completed);
                completed += 1;
            }
            Event::Delivery(delivery) => {
                assert_eq!(*delivery.message.destination, *queue);
                arrived.push(delivery.message.body.clone());
                let deliveries = vec![delivery.tag.unwrap()];
                let settlement = Settlement::Accept;
                let operation = Operation::Settle { subscription: SubscriptionKey(1), deliveries, settlement };
                session.engine.submit(operation, None);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(arrived, ["a", "b", "c"]);
    harness.stop().await;
}

async fn what_is_not_settled_comes_back_to_another_session(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut first, mut second, queue) = (harness.session(), harness.session(), queue());
    subscribe(&mut first, 1, &queue, &[]);
    first.completed(1001).await;
    for body in ["kept", "returned"] {
        first.send(&queue, body, None);
    }
    let (body, redelivered, settle) = next(&mut first).await;
    assert_eq!((&*body, redelivered), ("kept", false));
    first.submit(settle, 1);
    assert_eq!(next(&mut first).await.0, "returned");
    drop(first);
    subscribe(&mut second, 1, &queue, &[]);
    for settlement in [Settlement::Requeue, Settlement::Reject] {
        let (body, redelivered, settle) = next(&mut second).await;
        assert_eq!((&*body, redelivered), ("returned", true));
        second.engine.submit(instead(settle, settlement), None);
    }
    second.engine.submit(send(&queue, b"last".to_vec()), None);
    assert_eq!(next(&mut second).await.0, "last", "what was rejected is gone");
    harness.stop().await;
}

async fn a_transaction_is_seen_when_its_commit_is_confirmed(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut session, queue) = (harness.session(), queue());
    subscribe(&mut session, 1, &queue, &[]);
    session.completed(1001).await;
    session.send(&queue, "before", None);
    let (_, _, settle) = next(&mut session).await;
    session.submit(Operation::Commit(vec![send(&queue, b"within".to_vec()), settle]), 1);
    let mut seen = (false, false);
    while seen != (true, true) {
        match session.event().await {
            Event::Completed(_) => seen.0 = true,
            Event::Delivery(delivery) => {
                assert_eq!(&delivery.message.body[..], b"within");
                seen.1 = true;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    harness.stop().await;
}

async fn ending_a_subscription_while_messages_flow_ends_no_session(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut session, queue) = (harness.session(), queue());
    for round in 0..5 {
        subscribe(&mut session, 1, &queue, &[]);
        for _ in 0..100 {
            session.send(&queue, "flood", None);
        }
        session.unsubscribe(1, &[], round);
        session.send(&queue, "mark", Some(500 + round));
        loop {
            match session.event().await {
                Event::Delivery(delivery) => session.mailbox.release(delivery.message.size()),
                Event::Completed(ticket) if ticket.0 == 500 + round => break,
                Event::Completed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    harness.stop().await;
}

async fn two_sessions_with_durable_subscriptions_of_their_own_each_get_every_message(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let topic = queue().replace("/queue/", "/topic/");
    let mut sessions = Vec::new();
    for id in ["ann", "bob"] {
        let mut session = harness.session_of(Some("ann-1"));
        // auto-delete only cleans up after the test; the queue still has the name of the subscription.
        subscribe(&mut session, 1, &topic, &[("id", id), ("durable", "true"), ("auto-delete", "true")]);
        session.completed(1001).await;
        sessions.push(session);
    }
    let mut sender = harness.session();
    sender.send(&topic, "to all", Some(1));
    sender.completed(1).await;
    for session in &mut sessions {
        assert_eq!(next(session).await.0, "to all");
    }
    harness.stop().await;
}

async fn a_durable_subscription_waits_for_its_client_until_it_is_unsubscribed_as_durable(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let topic = queue().replace("/queue/", "/topic/");
    let durable = [("id", "ann"), ("durable", "true"), ("auto-delete", "false")];
    let mut sender = harness.session();
    for (ticket, expected) in [(1, None), (2, Some("while away")), (3, None)] {
        let mut session = harness.session_of(Some("ann-1"));
        subscribe(&mut session, 1, &topic, &durable);
        match expected {
            Some(body) => assert_eq!(next(&mut session).await.0, body),
            None => session.completed(1001).await,
        }
        // The second time, what came is left unsettled and goes with the queue.
        let headers = &durable[..if expected.is_some() { 2 } else { 0 }];
        session.unsubscribe(1, headers, ticket);
        loop {
            match session.event().await {
                Event::Completed(done) if done.0 == ticket => break,
                Event::Completed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        drop(session);
        sender.send(&topic, "while away", Some(ticket));
        sender.completed(ticket).await;
    }
    harness.stop().await;
}

async fn what_rabbitmq_refuses_reaches_the_client_as_its_error(mode: Mode) {
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let mut session = harness.session();
    session.subscribe(1, "/topic/a/b", Acknowledge::WhenWritten, Some(1));
    let error = EngineError::Upstream("Invalid destination".into());
    session.failed(Some(1), error.clone()).await;
    // On a shared connection it is refused before; the session ends itself.
    if mode == Mode::Own {
        session.closed(error).await;
    }
    harness.stop().await;
}

async fn a_wrong_password_and_a_missing_virtual_host_are_told_apart(mode: Mode) {
    let harness = rabbitmq(mode, |relay| {
        std::fs::write(relay.system_credentials.directory.join("password"), "wrong").unwrap();
    });
    harness.sees(UpstreamState::AuthFailed).await;
    harness.stop().await;
    let harness = rabbitmq(mode, |relay| relay.virtual_host = Some("nowhere".to_owned()));
    harness.sees(UpstreamState::VhostMissing).await;
    harness.stop().await;
}

async fn heart_beats_keep_an_idle_relay_connected(mode: Mode) {
    let harness = rabbitmq(mode, |relay| {
        let period = GoDuration::from_secs(1);
        relay.heartbeat = HeartbeatPair { send: period, receive: period };
    });
    harness.connected().await;
    let (mut session, queue) = (harness.session(), queue());
    subscribe(&mut session, 1, &queue, &[]);
    session.completed(1001).await;
    // RabbitMQ raises the period to one second and closes after two or three of silence.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(harness.status().connected && session.is_quiet());
    session.send(&queue, "still here", None);
    assert_eq!(next(&mut session).await.0, "still here");
    harness.stop().await;
}

/// A message to a queue that goes away as those of [`subscribe`] do.
fn expiring(queue: &str, body: Vec<u8>) -> Operation {
    let headers = vec![("x-expires".into(), "60000".into())];
    Operation::Send(Arc::new(Message::new("m".into(), queue.into(), headers, body.into(), true)))
}

/// Reads bodies until there are `count` different ones.
async fn bodies(session: &mut Session, count: usize) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    while found.len() < count {
        let (body, _, settle) = next(session).await;
        found.insert(body);
        session.engine.submit(settle, None);
    }
    found
}

async fn what_an_ended_subscription_has_left_unsettled_goes_back_to_the_queue(mode: Mode) {
    const COUNT: usize = 200;
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut first, mut second, queue) = (harness.session(), harness.session(), queue());
    subscribe(&mut first, 1, &queue, &[]);
    first.completed(1001).await;
    for number in 0..COUNT {
        second.engine.submit(expiring(&queue, number.to_string().into_bytes()), None);
    }
    next(&mut first).await;
    // Messages are on their way in both directions.
    first.unsubscribe(1, &[], 2);
    loop {
        match first.event().await {
            Event::Delivery(delivery) => first.mailbox.release(delivery.message.size()),
            Event::Completed(ticket) if ticket.0 == 2 => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    // The first session, and with it the connection, lives on.
    subscribe(&mut second, 1, &queue, &[]);
    assert_eq!(bodies(&mut second, COUNT).await.len(), COUNT);
    subscribe(&mut first, 1, &queue, &[]);
    first.completed(1001).await;
    harness.stop().await;
}

async fn what_a_session_leaves_unsettled_does_not_wait_for_the_others_of_its_connection(mode: Mode) {
    const COUNT: usize = 100;
    let harness = rabbitmq(mode, |_| {});
    harness.connected().await;
    let (mut leaving, mut staying, queue) = (harness.session(), harness.session(), queue());
    for number in 0..COUNT {
        staying.engine.submit(expiring(&queue, number.to_string().into_bytes()), None);
    }
    staying.submit(expiring(&queue, b"last".to_vec()), 1);
    staying.completed(1).await;
    subscribe(&mut leaving, 1, &queue, &[]);
    while !matches!(leaving.event().await, Event::Delivery(_)) {}
    drop(leaving);
    subscribe(&mut staying, 1, &queue, &[]);
    assert_eq!(bodies(&mut staying, COUNT + 1).await.len(), COUNT + 1);
    harness.stop().await;
}

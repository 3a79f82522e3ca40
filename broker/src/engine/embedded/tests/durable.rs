use std::time::{Duration, Instant};

use stompbroker_config::{DestinationPolicy, GoDuration};

use super::*;
use Acknowledge::{ByClient, WhenWritten};

const NAME: &str = "/durable/jobs/topic/a";

pub(super) fn headers(headers: &[(&str, &str)]) -> Vec<Header> {
    headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

pub(super) fn rabbit(id: &str) -> Vec<Header> {
    headers(&[("id", id), ("durable", "true"), ("auto-delete", "false")])
}

/// A session of the client that calls itself so.
fn client(engine: &EmbeddedEngine, client_id: &str) -> Session {
    let info = SessionInfo { id: "s".into(), user: "u".into(), virtual_host: None, client_id: Some(client_id.into()) };
    Session::with_info(engine, ROOMY, &info)
}

impl Session {
    #[track_caller]
    fn delete(&mut self, key: u32, headers: Vec<Header>) {
        self.try_do(Operation::Unsubscribe { subscription: SubscriptionKey(key), headers }).unwrap();
    }
}

#[test]
fn messages_wait_in_order_while_nobody_is_there_and_those_not_acknowledged_come_again() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    for number in 0..3 {
        sender.send("/topic/a", &number.to_string());
    }
    let deliveries = session.receive();
    session.settle(&deliveries[..1], Settlement::Accept);
    drop(session);
    sender.send("/topic/a", "3");
    sender.send("/topic/b", "of another topic");
    assert_eq!(status(&engine, NAME), Some((3, 0, 0)));

    let mut session = Session::open(&engine);
    session.subscribe_with(7, "/topic/a", ByClient, 9, rabbit("jobs"));
    sender.send("/topic/a", "4");
    let deliveries = session.receive();
    let seen: Vec<_> = deliveries.iter().map(|delivery| (body(delivery), delivery.redelivered)).collect();
    assert_eq!(seen, [("1", true), ("2", true), ("3", false), ("4", false)]);
    assert!(deliveries.iter().all(|delivery| &*delivery.message.destination == "/topic/a"));
}

#[test]
fn sessions_that_name_the_same_one_share_it_and_ordinary_subscriptions_get_everything() {
    let engine = engine();
    let mut ordinary = Session::open(&engine);
    ordinary.subscribe(1, "/topic/a", WhenWritten, 9);
    let mut sharing = [Session::open(&engine), Session::open(&engine)];
    for session in &mut sharing {
        session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    }
    for number in 0..4 {
        ordinary.send("/topic/a", &number.to_string());
    }
    assert_eq!(sharing.each_mut().map(Session::receive_bodies), [["0", "2"], ["1", "3"]]);
    assert_eq!(ordinary.receive_bodies(), ["0", "1", "2", "3"]);
    assert_eq!(status(&engine, NAME), Some((0, 4, 2)));
    assert_eq!(status(&engine, "/topic/a"), Some((0, 0, 1)));
}

#[test]
fn wildcards_and_aliases_can_be_durable_too() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a.*", WhenWritten, 9, rabbit("wild"));
    session.subscribe_with(2, "/exchange/amq.topic/a.b", WhenWritten, 9, rabbit("alias"));
    session.unsubscribe(1);
    session.unsubscribe(2);
    for topic in ["/topic/a.b", "/topic/a/c", "/topic/b"] {
        session.send(topic, topic);
    }
    assert_eq!(status(&engine, "/durable/wild/topic/a.*"), Some((2, 0, 0)));
    assert_eq!(status(&engine, "/durable/alias/topic/a.b"), Some((1, 0, 0)));
    session.subscribe_with(1, "/topic/a.*", WhenWritten, 9, rabbit("wild"));
    assert_eq!(session.receive_bodies(), ["/topic/a.b", "/topic/a/c"]);
}

#[test]
fn only_an_unsubscribe_that_says_so_deletes_it() {
    let engine = engine();
    let mut session = client(&engine, "c");
    for (subscribe, delete) in [
        (rabbit("jobs"), headers(&[("durable", "true")])),
        (rabbit("jobs"), headers(&[("persistent", "true")])),
        (headers(&[("activemq.subscriptionName", "n")]), headers(&[("activemq.subscriptionName", "n")])),
        (headers(&[("durable-subscription-name", "n")]), headers(&[("durable-subscriber-name", "n")])),
    ] {
        session.subscribe_with(1, "/topic/a", ByClient, 9, subscribe.clone());
        session.send("/topic/a", "1");
        session.unsubscribe(1);
        assert_eq!(engine.destinations().len(), 1, "{subscribe:?}");
        session.subscribe_with(1, "/topic/a", ByClient, 9, subscribe.clone());
        session.delete(1, delete);
        session.send("/topic/a", "for nobody");
        assert_eq!(engine.destinations(), [].into(), "{subscribe:?}");
        session.receive();
    }
    assert_eq!(engine.shared.topics.fed(), 0);
}

#[test]
fn one_that_is_deleted_while_others_share_it_goes_with_the_last_of_them() {
    let engine = engine();
    let mut sharing = [Session::open(&engine), Session::open(&engine)];
    for session in &mut sharing {
        session.subscribe_with(1, "/topic/a", ByClient, 1, rabbit("jobs"));
    }
    let [first, second] = &mut sharing;
    first.delete(1, rabbit("jobs"));
    first.send("/topic/a", "1");
    first.send("/topic/a", "2");
    assert_eq!(second.receive_bodies(), ["1"]);
    second.unsubscribe(1);
    assert_eq!(engine.destinations(), [].into());

    second.subscribe_with(1, "/topic/a", ByClient, 1, rabbit("jobs"));
    second.unsubscribe(1);
    first.send("/topic/a", "3");
    assert_eq!(status(&engine, NAME), Some((1, 0, 0)), "a new one under the old name stays");
}

#[test]
fn what_is_too_much_pushes_out_the_oldest_and_refuses_no_sender() {
    let size = message("/topic/a", "0").size();
    let engine = engine_with(3 * size as u64, 7);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    session.unsubscribe(1);
    for number in 0..5 {
        session.send("/topic/a", &number.to_string());
    }
    assert_eq!(engine.dropped_messages(), Some(2));
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    assert_eq!(session.receive_bodies(), ["2", "3", "4"]);
    session.send("/topic/a", "finds all room taken by what is unsettled");
    assert_eq!(engine.dropped_messages(), Some(3));
}

#[test]
fn what_is_missing_is_an_error_that_names_the_header() {
    let engine = engine();
    let mut session = Session::open(&engine);
    let mut refusal = |to: &str, headers: Vec<Header>| {
        let (key, acknowledge, prefetch) = (SubscriptionKey(1), WhenWritten, None);
        let subscription = Subscription { key, destination: to.into(), acknowledge, prefetch, headers };
        session.try_do(Operation::Subscribe(subscription)).unwrap_err().to_string()
    };
    let text = refusal("/topic/a", headers(&[("id", "0"), ("durable-subscription-name", "n")]));
    assert!(text.contains("durable-subscription-name") && text.contains("client-id"), "{text}");
    let text = refusal("/topic/a", headers(&[("durable", "true")]));
    assert!(text.contains("durable") && text.contains("header id"), "{text}");
    for own in ["/user/topic/a", "/temp-topic/a"] {
        let text = refusal(own, rabbit("jobs"));
        assert!(text.contains(own) && text.contains("header durable"), "{text}");
    }
    assert_eq!(engine.destinations(), [].into());
}

#[test]
fn a_client_id_is_one_sessions_until_it_ends() {
    let engine = engine();
    let first = client(&engine, "c");
    let info = SessionInfo { id: "s".into(), user: "u".into(), virtual_host: None, client_id: Some("c".into()) };
    let mailbox = Arc::new(Mailbox::new(ROOMY));
    let Err(refusal) = engine.open(&info, Arc::clone(&mailbox)) else { panic!("two sessions have one client-id") };
    assert!(refusal.to_string().contains(r#""c""#), "{refusal}");
    drop(first);
    assert!(engine.open(&info, mailbox).is_ok());
}

#[test]
fn one_that_nobody_consumes_from_for_too_long_goes_by_the_policy_of_its_topic() {
    let engine = engine();
    let expires = Some(GoDuration::from_secs(60));
    let policy =
        DestinationPolicy { r#match: "/topic/**".to_owned(), auto_delete: true, expires, ..Default::default() };
    engine.set_policies(&[policy]);
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    session.subscribe_with(2, "/topic/b", ByClient, 9, rabbit("jobs"));
    session.unsubscribe(1);
    session.send("/topic/a", "1");
    engine.sweep(Instant::now());
    assert_eq!(status(&engine, NAME), Some((1, 0, 0)));
    engine.sweep(Instant::now() + Duration::from_secs(61));
    assert_eq!(engine.destinations().keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["/durable/jobs/topic/b"]);
    assert_eq!(engine.shared.topics.fed(), 1);
}

#[test]
fn what_expires_while_nobody_is_there_is_gone_and_what_is_refused_becomes_a_dead_letter() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    session.unsubscribe(1);
    let expiring = message_with("/topic/a", "1", headers(&[("expiration", "5000")]));
    session.try_do(Operation::Send(expiring)).unwrap();
    session.send("/topic/a", "2");
    engine.sweep(Instant::now() + Duration::from_secs(6));
    assert_eq!(status(&engine, NAME), Some((1, 0, 0)));
    session.subscribe_with(1, "/topic/a", ByClient, 9, rabbit("jobs"));
    let deliveries = session.receive();
    assert_eq!(body(&deliveries[0]), "2");
    session.settle(&deliveries, Settlement::Reject);
    assert_eq!(status(&engine, DestinationPolicy::DEFAULT_DEAD_LETTER), Some((1, 0, 0)));
}

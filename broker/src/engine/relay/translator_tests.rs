use bytes::Bytes;

use super::*;
use crate::engine::relay::bell::SeatId;

fn translator(version: Version, dialect: Dialect) -> Translator {
    Translator::new(Agreement { version, dialect, send: None, receive: None }, None, 0, 7)
}

fn rabbit() -> Translator {
    translator(Version::V1_2, Dialect::RabbitMq)
}

fn subscription(key: u32, acknowledge: Acknowledge, headers: &[(&str, &str)]) -> Subscription {
    Subscription {
        key: SubscriptionKey(key),
        destination: "/queue/a".into(),
        acknowledge,
        prefetch: None,
        headers: headers.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
    }
}

fn send(body: &'static [u8], content_length: bool, headers: &[(&str, &str)]) -> Operation {
    let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    let message = Message::new("m".into(), "/queue/a".into(), headers, Bytes::from_static(body), content_length);
    Operation::Send(Arc::new(message))
}

fn settle(tag: DeliveryTag, settlement: Settlement) -> Operation {
    Operation::Settle { subscription: SubscriptionKey(1), deliveries: vec![tag], settlement }
}

fn written(translator: &mut Translator, operation: &Operation, ticket: Option<u64>) -> String {
    let mut out = Vec::new();
    translator.operation(operation, ticket.map(Ticket), Instant::now(), &mut out);
    String::from_utf8(out).unwrap().replace('\0', "^@")
}

fn message(headers: &[(&str, &str)]) -> Frame {
    let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    Frame { command: Command::Message, headers, body: Bytes::from_static(b"body") }
}

fn delivered(translator: &mut Translator, ack: &str) -> DeliveryTag {
    let frame = message(&[("subscription", "1"), ("message-id", ack), ("ack", ack), ("destination", "/queue/a")]);
    translator.message(frame).unwrap().delivery.tag.unwrap()
}

#[test]
fn a_send_keeps_whether_the_client_gave_its_length() {
    let mut translator = rabbit();
    assert_eq!(
        written(&mut translator, &send(b"hi", false, &[("a", "b"), ("receipt", "theirs")]), None),
        "SEND\ndestination:/queue/a\na:b\n\nhi^@"
    );
    assert_eq!(
        written(&mut translator, &send(b"hi", true, &[("message-id", "forged"), ("user-id", "ann")]), Some(3)),
        "SEND\ndestination:/queue/a\nreceipt:0\ncontent-length:2\n\nhi^@"
    );
    assert!(written(&mut translator, &send(b"a\0b", false, &[]), None).contains("content-length:3\n"));
}

#[test]
fn what_a_queue_or_its_groups_go_by_is_the_upstreams_to_read() {
    let mut translator = rabbit();
    let group = [("JMSXGroupID", "a"), ("JMSXGroupSeq", "-1"), ("x-message-ttl", "1000")];
    assert_eq!(
        written(&mut translator, &send(b"hi", false, &group), None),
        "SEND\ndestination:/queue/a\nJMSXGroupID:a\nJMSXGroupSeq:-1\nx-message-ttl:1000\n\nhi^@"
    );
    let queue = [("browser", "true"), ("x-expires", "1000"), ("x-max-length", "5"), ("auto-delete", "true")];
    let asked =
        written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::WhenWritten, &queue)), None);
    for (name, value) in queue {
        assert!(asked.contains(&format!("\n{name}:{value}\n")), "{asked}");
    }
}

#[test]
fn a_subscription_with_client_acknowledgement_is_never_unbounded() {
    let mut translator = rabbit();
    let automatic = subscription(1, Acknowledge::WhenWritten, &[("selector", "x > 1"), ("receipt", "theirs")]);
    assert_eq!(
        written(&mut translator, &Operation::Subscribe(automatic), None),
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\nselector:x > 1\n\n^@"
    );
    let own =
        Subscription { prefetch: Some(5), ..subscription(2, Acknowledge::ByClient, &[("prefetch-count", "900")]) };
    assert_eq!(
        written(&mut translator, &Operation::Subscribe(own), Some(1)),
        "SUBSCRIBE\nid:2\ndestination:/queue/a\nack:client-individual\nreceipt:0\nprefetch-count:5\n\n^@"
    );
    let silent = written(&mut translator, &Operation::Subscribe(subscription(3, Acknowledge::ByClient, &[])), None);
    assert!(silent.contains("prefetch-count:100\n") && !silent.contains("activemq"), "{silent}");
    let mut activemq = super::tests::translator(Version::V1_2, Dialect::ActiveMq);
    let told = written(&mut activemq, &Operation::Subscribe(subscription(3, Acknowledge::ByClient, &[])), None);
    assert!(told.contains("activemq.prefetchSize:100\n"), "{told}");
}

#[test]
fn a_durable_subscription_keeps_the_clients_own_id() {
    let mut translator = rabbit();
    let durable = subscription(1, Acknowledge::ByClient, &[("id", "2"), ("durable", "true")]);
    let frame = written(&mut translator, &Operation::Subscribe(durable), None);
    assert!(frame.starts_with("SUBSCRIBE\nid:2\n") && frame.contains("durable:true\n"), "{frame}");
    let other = subscription(2, Acknowledge::ByClient, &[("id", "x")]);
    let frame = written(&mut translator, &Operation::Subscribe(other), None);
    assert!(frame.starts_with("SUBSCRIBE\nid:2-\n"), "{frame}");
    let tag = |translator: &mut Translator, id| {
        translator.message(message(&[("subscription", id)])).unwrap().delivery.subscription
    };
    assert_eq!(tag(&mut translator, "2"), SubscriptionKey(1));
    assert_eq!(tag(&mut translator, "2-"), SubscriptionKey(2));
    let headers = vec![("id".into(), "2".into()), ("durable".into(), "true".into())];
    let unsubscribe = Operation::Unsubscribe { subscription: SubscriptionKey(1), headers };
    let frame = written(&mut translator, &unsubscribe, None);
    assert_eq!(frame, "UNSUBSCRIBE\nid:2\nreceipt:0\ndurable:true\n\n^@", "durable:true deletes it upstream");
}

#[test]
fn a_message_becomes_a_delivery_without_the_upstreams_own_headers() {
    let mut translator = rabbit();
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), None);
    let delivery = translator
        .message(message(&[
            ("subscription", "1"),
            ("message-id", "T_1@@session-Zx_-9@@4"),
            ("ack", "T_1@@session-Zx_-9@@4"),
            ("destination", "/queue/a%2Fb"),
            ("redelivered", "true"),
            ("content-length", "4"),
            ("receipt", "0"),
            ("transaction", "1"),
            ("priority", "5"),
            ("priority", "9"),
        ]))
        .unwrap()
        .delivery;
    assert!(delivery.redelivered && delivery.message.content_length);
    assert_eq!(&*delivery.message.id, "T_1@@session-Zx_-9@@4");
    assert_eq!(&*delivery.message.destination, "/queue/a%2Fb");
    assert_eq!(delivery.message.headers, [("priority".into(), "5".into())]);
    assert_eq!(&delivery.message.body[..], b"body");
}

#[test]
fn an_upstreams_message_id_that_needs_escapes_is_replaced_but_acknowledged_as_it_was() {
    let mut translator = translator(Version::V1_1, Dialect::ActiveMq);
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), None);
    let frame = message(&[("subscription", "1"), ("message-id", "ID:host-1:2"), ("ack", "not in 1.1")]);
    let delivery = translator.message(frame).unwrap().delivery;
    assert!(is_plain(&delivery.message.id), "{}", delivery.message.id);
    assert_eq!(
        written(&mut translator, &settle(delivery.tag.unwrap(), Settlement::Accept), None),
        "ACK\nmessage-id:ID\\chost-1\\c2\nsubscription:1\n\n^@"
    );
}

#[test]
fn what_is_settled_when_written_has_no_tag_and_what_nobody_waits_for_is_no_delivery() {
    let mut translator = rabbit();
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::WhenWritten, &[])), None);
    assert_eq!(translator.message(message(&[("subscription", "1"), ("ack", "x")])).unwrap().delivery.tag, None);
    assert!(translator.message(message(&[("subscription", "/temp-queue/x")])).is_none());
    assert!(translator.message(message(&[])).is_none());
}

#[test]
fn each_settlement_has_its_frame_and_is_written_once() {
    let mut translator = rabbit();
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), None);
    for (settlement, frame) in [
        (Settlement::Accept, "ACK\nid:t\n\n^@"),
        (Settlement::Requeue, "NACK\nid:t\nrequeue:true\n\n^@"),
        (Settlement::Reject, "NACK\nid:t\nrequeue:false\n\n^@"),
    ] {
        let tag = delivered(&mut translator, "t");
        assert_eq!(written(&mut translator, &settle(tag, settlement), None), frame);
        assert_eq!(written(&mut translator, &settle(tag, settlement), None), "");
    }
}

#[test]
fn the_receipt_of_several_settlements_stands_on_the_last() {
    let mut translator = rabbit();
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), None);
    let deliveries = vec![delivered(&mut translator, "x"), delivered(&mut translator, "y")];
    let operation = Operation::Settle { subscription: SubscriptionKey(1), deliveries, settlement: Settlement::Accept };
    assert_eq!(written(&mut translator, &operation, Some(9)), "ACK\nid:x\n\n^@ACK\nid:y\nreceipt:0\n\n^@");
    assert_eq!(written(&mut translator, &operation, Some(10)), "", "nothing left to settle");
    assert_eq!(translator.completed(), None);
    translator.ledger.confirm("0");
    assert_eq!([translator.completed(), translator.completed()], [Some(Ticket(9)), Some(Ticket(10))]);
}

#[test]
fn a_transaction_is_written_whole_and_confirmed_by_its_commit() {
    let mut translator = rabbit();
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), None);
    let tag = delivered(&mut translator, "x");
    let commit = Operation::Commit(vec![send(b"hi", false, &[]), settle(tag, Settlement::Accept)]);
    assert_eq!(
        written(&mut translator, &commit, Some(1)),
        "BEGIN\ntransaction:1\n\n^@SEND\ndestination:/queue/a\ntransaction:1\n\nhi^@\
         ACK\nid:x\ntransaction:1\n\n^@COMMIT\ntransaction:1\nreceipt:0\n\n^@"
    );
    assert!(written(&mut translator, &Operation::Commit(vec![]), None).contains("transaction:2"));
}

#[test]
fn an_unsubscribe_ends_with_its_receipt_and_a_subscription_of_the_same_name_waits_for_it() {
    let mut translator = rabbit();
    let again = Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[]));
    written(&mut translator, &again, None);
    let tag = delivered(&mut translator, "x");
    let unsubscribe = Operation::Unsubscribe { subscription: SubscriptionKey(1), headers: Vec::new() };
    assert_eq!(written(&mut translator, &unsubscribe, None), "UNSUBSCRIBE\nid:1\nreceipt:0\n\n^@");
    assert!(translator.must_wait(&again));
    assert!(translator.message(message(&[("subscription", "1")])).is_some(), "on its way before the end");
    assert_eq!(written(&mut translator, &settle(tag, Settlement::Accept), None), "", "too late");
    translator.ledger.confirm("0");
    assert_eq!(translator.completed(), None);
    assert!(!translator.must_wait(&again));
    assert!(translator.message(message(&[("subscription", "1")])).is_none());
    assert_eq!(written(&mut translator, &unsubscribe, Some(4)), "");
    assert_eq!(translator.completed(), Some(Ticket(4)));
}

#[test]
fn a_late_delivery_of_an_ended_subscription_is_no_error_of_the_session() {
    let mut translator = rabbit();
    let error = |headers: &[(&str, &str)]| Frame { command: Command::Error, ..message(headers) };
    let late = error(&[("message", "Subscription not found")]);
    assert!(!translator.is_harmless(&late), "nothing has ended yet");
    written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::WhenWritten, &[])), None);
    written(&mut translator, &Operation::Unsubscribe { subscription: SubscriptionKey(1), headers: Vec::new() }, None);
    assert!(translator.is_harmless(&late));
    assert!(!translator.is_harmless(&error(&[("message", "Subscription not found"), ("receipt-id", "4")])));
    assert!(!translator.is_harmless(&error(&[("message", "Unknown destination")])));
}

#[test]
fn no_header_names_a_queue_that_the_rules_have_not_seen() {
    let mut translator = rabbit();
    let smuggled = [
        ("x-queue-name", "secret"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "secret"),
        ("x-message-ttl", "5"),
    ];
    let subscribe = Operation::Subscribe(subscription(1, Acknowledge::WhenWritten, &smuggled));
    for operation in [subscribe, send(b"", false, &smuggled)] {
        let frame = written(&mut translator, &operation, None);
        assert!(!frame.contains("secret") && !frame.contains("dead-letter"), "{frame}");
        assert!(frame.contains("x-message-ttl:5\n"), "{frame}");
    }
}

fn shared() -> Translator {
    Translator::new(
        Agreement { version: Version::V1_2, dialect: Dialect::RabbitMq, send: None, receive: None },
        Some(SeatId(7)),
        40,
        9,
    )
}

#[test]
fn on_a_shared_connection_every_name_tells_whose_it_is() {
    let mut translator = shared();
    assert_eq!(
        written(&mut translator, &Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[])), Some(1)),
        "SUBSCRIBE\nid:7-1\ndestination:/queue/a\nack:client-individual\nreceipt:7-0\nprefetch-count:100\n\n^@"
    );
    let commit = Operation::Commit(vec![send(b"", false, &[])]);
    assert!(written(&mut translator, &commit, None).starts_with("BEGIN\ntransaction:7-1\n"));
    assert!(written(&mut translator, &send(b"", false, &[]), None).contains("receipt:7-2\n"), "whom an ERROR is about");
    translator.confirm("8-0");
    translator.confirm("0");
    assert_eq!(translator.completed(), None);
    translator.confirm("7-0");
    assert_eq!(translator.completed(), Some(Ticket(1)));
    assert_eq!(translator.failed("7-1"), None, "it has no ticket");
}

#[test]
fn on_a_shared_connection_the_upstream_sends_no_more_than_the_session_has_taken() {
    let mut translator = shared();
    let automatic = Operation::Subscribe(subscription(1, Acknowledge::WhenWritten, &[]));
    let frame = written(&mut translator, &automatic, None);
    assert!(frame.contains("ack:client-individual\n") && frame.contains("prefetch-count:64\n"), "{frame}");
    let incoming = translator.message(message(&[("subscription", "7-1"), ("ack", "t")])).unwrap();
    assert_eq!(incoming.delivery.tag, None);
    let mut out = Vec::new();
    translator.handed_over(incoming.own, &mut out);
    translator.handed_over(incoming.own, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "ACK\nid:t\n\n\0");
}

#[test]
fn what_is_left_of_a_queue_is_told_in_the_order_of_delivery_and_what_is_left_of_a_topic_is_not() {
    let mut translator = shared();
    let mut topic = subscription(2, Acknowledge::ByClient, &[]);
    topic.destination = "/topic/a".into();
    for subscription in [subscription(1, Acknowledge::ByClient, &[]), topic] {
        written(&mut translator, &Operation::Subscribe(subscription), None);
    }
    for (id, ack) in [("7-1", "x"), ("7-2", "y"), ("7-1", "z")] {
        translator.message(message(&[("subscription", id), ("ack", ack)])).unwrap();
    }
    let mut out = Vec::new();
    translator.leave(Instant::now(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap().matches("UNSUBSCRIBE").count(), 2);
    assert_eq!(translator.take_leftovers(), []);
    for receipt in ["7-0", "7-1", "7-2", "7-3"] {
        translator.confirm(receipt);
    }
    assert_eq!(translator.completed(), None);
    let leftover = Leftover { subscription: "7-1".into(), names: vec!["x".into(), "z".into()] };
    assert_eq!((translator.take_leftovers(), translator.ledger.len()), (vec![leftover], 0));
}

#[test]
fn a_session_that_moves_subscribes_again_to_what_lives() {
    let mut translator = shared();
    for key in [3, 1, 2] {
        let subscription = subscription(key, Acknowledge::ByClient, &[("x", "y")]);
        written(&mut translator, &Operation::Subscribe(subscription), None);
    }
    let unsubscribe = Operation::Unsubscribe { subscription: SubscriptionKey(2), headers: Vec::new() };
    written(&mut translator, &unsubscribe, None);
    let again: Vec<_> = translator.subscribe_again().iter().map(|again| (again.key.0, again.headers.len())).collect();
    assert_eq!((again, translator.deliveries()), (vec![(1, 1), (3, 1)], 40));
}

#[test]
fn what_would_end_a_shared_connection_or_needs_one_of_its_own_is_refused_before() {
    let wrong = |destination: &str| {
        let mut subscription = subscription(1, Acknowledge::ByClient, &[]);
        subscription.destination = destination.into();
        Operation::Subscribe(subscription)
    };
    let durable = Operation::Subscribe(subscription(1, Acknowledge::ByClient, &[("id", "x"), ("durable", "true")]));
    for operation in
        [wrong("/topic/a/b"), wrong("/queue/"), durable.clone(), Operation::Commit(vec![wrong("/topic/a/b")])]
    {
        assert!(shared().refuses(&operation).is_some(), "{operation:?}");
        assert_eq!(rabbit().refuses(&operation), None);
    }
    assert_eq!(shared().refuses(&wrong("/topic/a.b")), None);
    assert!(shared().refuses(&durable).unwrap().to_string().contains("client-id"));
}

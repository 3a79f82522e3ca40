//! ACK and NACK.

use super::*;
use crate::trace::Step;

/// How a client of each version names a delivery.
fn naming(version: Version, message: &Frame) -> String {
    match version {
        Version::V1_2 => format!("id:{}\n", message.header("ack").unwrap()),
        Version::V1_1 => format!(
            "message-id:{}\nsubscription:{}\n",
            message.header("message-id").unwrap(),
            message.header("subscription").unwrap()
        ),
        Version::V1_0 => format!("message-id:{}\n", message.header("message-id").unwrap()),
    }
}

fn send_ack(peer: &mut Peer, command: &str, message: &Frame, more: &str) {
    let naming = naming(peer.session.version().unwrap(), message);
    peer.send(&format!("{command}\n{naming}{more}\n"));
}

#[test]
fn auto_deliveries_are_settled_when_they_are_written_and_a_batch_at_a_time() {
    let mut peer = Peer::live(Version::V1_2);
    let (a, b) = (peer.subscribe("a", "auto"), peer.subscribe("b", "auto"));
    for (key, tag) in [(a, 1), (b, 2), (a, 3), (b, 4), (a, 5)] {
        peer.deliver(key, &format!("m{tag}"), Some(tag), false);
    }
    assert_eq!(peer.frames().len(), 5);
    assert_eq!(peer.settled(), [(a, vec![1, 3, 5], Settlement::Accept), (b, vec![2, 4], Settlement::Accept)]);
    peer.deliver(a, "m6", None, false);
    assert!(peer.operations().is_empty(), "without a tag there is nothing to settle");
}

#[test]
fn steps_of_traced_messages_are_noted_where_messages_are_traced() {
    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (traced, header, noted) in [(true, SAMPLED, 2), (true, "00-nonsense", 0), (false, SAMPLED, 0)] {
        let mut peer = Peer::live_with(Version::V1_2, Settings { traced, ..settings() });
        let key = peer.subscribe("a", "client-individual");
        let headers = vec![("traceparent".into(), header.into())];
        let message = Arc::new(Message::new("m1".into(), "/queue/a".into(), headers, "x".into(), true));
        let tag = Some(DeliveryTag(1));
        peer.event(Event::Delivery(Delivery { subscription: SubscriptionKey(key), message, tag, redelivered: false }));
        let frame = peer.frame();
        send_ack(&mut peer, "NACK", &frame, "");
        let steps: Vec<_> = peer.effects.steps.iter().map(|(step, message)| (*step, &*message.id)).collect();
        let all = [(Step::Deliver, "m1"), (Step::Settle(Settlement::Nack), "m1")];
        assert_eq!(steps, all[..noted], "{header} {traced}");
    }
}

#[test]
fn gathered_settlements_do_not_pass_other_operations() {
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("a", "auto");
    peer.deliver(key, "m1", Some(1), false);
    peer.send("SEND\ndestination:/queue/b\n\n");
    peer.deliver(key, "m2", Some(2), false);
    assert!(matches!(&peer.operations()[..], [Operation::Settle { .. }, Operation::Send(_), Operation::Settle { .. }]));
}

#[test]
fn acks_of_one_read_settle_together_but_none_passes_a_nack_or_one_with_a_receipt() {
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("a", "client-individual");
    let messages = peer.deliver_all(key, 1..=6);
    for (message, (command, more)) in
        messages.iter().zip([("ACK", ""), ("ACK", ""), ("NACK", ""), ("ACK", ""), ("ACK", "receipt:r\n"), ("ACK", "")])
    {
        send_ack(&mut peer, command, message, more);
    }
    assert_eq!(
        peer.settled(),
        [
            (key, vec![1, 2], Settlement::Accept),
            (key, vec![3], Settlement::Nack),
            (key, vec![4], Settlement::Accept),
            (key, vec![5], Settlement::Accept),
            (key, vec![6], Settlement::Accept),
        ]
    );
}

#[test]
fn client_deliveries_wait_for_their_ack() {
    for version in Version::ALL {
        for mode in ["client", "client-individual"] {
            let mut peer = Peer::live(version);
            let key = peer.subscribe("s", mode);
            let messages = peer.deliver_all(key, [1]);
            assert!(peer.operations().is_empty(), "{version:?} {mode}");
            send_ack(&mut peer, "ACK", &messages[0], "");
            assert_eq!(peer.settled(), [(key, vec![1], Settlement::Accept)], "{version:?} {mode}");
        }
    }
}

#[test]
fn client_mode_is_cumulative_within_the_subscription_only() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let (a, b) = (peer.subscribe("a", "client"), peer.subscribe("b", "client"));
        let first = peer.deliver_all(a, [1, 2]);
        peer.deliver_all(b, [3]);
        let second = peer.deliver_all(a, [4, 5]);
        send_ack(&mut peer, "ACK", &second[0], "");
        assert_eq!(peer.settled(), [(a, vec![1, 2, 4], Settlement::Accept)], "{version:?}");
        send_ack(&mut peer, "ACK", &second[1], "");
        assert_eq!(peer.settled(), [(a, vec![5], Settlement::Accept)], "{version:?}");
        send_ack(&mut peer, "ACK", &first[0], "");
        assert_eq!(peer.error().header("message"), Some("Message not found"), "{version:?}");
    }
}

#[test]
fn client_individual_settles_exactly_one() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let key = peer.subscribe("s", "client-individual");
        let messages = peer.deliver_all(key, [1, 2, 3]);
        send_ack(&mut peer, "ACK", &messages[1], "");
        assert_eq!(peer.settled(), [(key, vec![2], Settlement::Accept)]);
        send_ack(&mut peer, "NACK", &messages[2], "");
        assert_eq!(peer.settled(), [(key, vec![3], Settlement::Nack)]);
        send_ack(&mut peer, "ACK", &messages[0], "");
        assert_eq!(peer.settled(), [(key, vec![1], Settlement::Accept)]);
    }
}

#[test]
fn nack_requeues_unless_it_says_otherwise() {
    for version in Version::ALL {
        for (header, settlement) in
            [("", Settlement::Nack), ("requeue:true\n", Settlement::Requeue), ("requeue:false\n", Settlement::Reject)]
        {
            let mut peer = Peer::live(version);
            let key = peer.subscribe("s", "client");
            let messages = peer.deliver_all(key, [1, 2]);
            send_ack(&mut peer, "NACK", &messages[1], header);
            assert_eq!(peer.settled(), [(key, vec![1, 2], settlement)], "{version:?} {header}");
        }
    }
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("s", "client");
    let messages = peer.deliver_all(key, [1]);
    send_ack(&mut peer, "NACK", &messages[0], "requeue:maybe\n");
    assert!(body(&peer.error()).contains("requeue"));
}

#[test]
fn a_missing_header_is_named_for_the_version() {
    for command in ["ACK", "NACK"] {
        for (version, headers, wanted) in [
            (Version::V1_2, "message-id:m1\nsubscription:s\n", "the header id, which is the ack header of the MESSAGE"),
            (Version::V1_1, "subscription:s\n", "the header message-id"),
            (Version::V1_1, "message-id:m1\n", "the header subscription"),
            (Version::V1_0, "id:m1\n", "the header message-id"),
        ] {
            let mut peer = Peer::live(version);
            let key = peer.subscribe("s", "client");
            peer.deliver_all(key, [1]);
            peer.send(&format!("{command}\nreceipt:r\n{headers}\n"));
            let error = peer.error();
            assert_eq!(error.header("message"), Some("Missing header"));
            assert_eq!(error.header("receipt-id"), Some("r"));
            assert!(body(&error).contains(wanted) && body(&error).contains(command), "{}", body(&error));
            assert!(body(&error).contains(version.as_str()));
        }
    }
}

#[test]
fn an_unknown_or_settled_name_is_an_error() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let key = peer.subscribe("s", "client");
        let messages = peer.deliver_all(key, [1]);
        send_ack(&mut peer, "ACK", &messages[0], "");
        peer.operations();
        send_ack(&mut peer, "ACK", &messages[0], "receipt:r\n");
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Message not found"), "{version:?}");
        assert_eq!(error.header("receipt-id"), Some("r"));
        assert!(peer.operations().is_empty());
    }
    for id in [
        "m1",
        "",
        "-",
        "0",
        "0-1",
        "{s}-0-2",
        "{s}-1-1",
        "{s}-0-0",
        "{s}-0",
        "{s}-0-99999999999999999999",
        "{s}-4294967296-1",
        "0-0-1",
    ] {
        let mut peer = Peer::live(Version::V1_2);
        let key = peer.subscribe("s", "client");
        let messages = peer.deliver_all(key, [1]);
        let (session, _) = messages[0].header("ack").unwrap().split_once('-').unwrap();
        let id = id.replace("{s}", session);
        peer.send(&format!("ACK\nid:{id}\n\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Message not found"), "{id}");
        assert!(body(&error).contains(&format!("{id:?}")));
    }
    for naming in ["message-id:m1\nsubscription:other\n", "message-id:m2\nsubscription:s\n"] {
        let mut peer = Peer::live(Version::V1_1);
        let key = peer.subscribe("s", "client");
        peer.deliver_all(key, [1]);
        peer.send(&format!("ACK\n{naming}\n"));
        assert_eq!(peer.error().header("message"), Some("Message not found"), "{naming}");
    }
}

#[test]
fn an_ack_without_any_subscription_is_an_error() {
    for (version, naming) in
        [(Version::V1_2, "id:0-1"), (Version::V1_1, "message-id:m\nsubscription:s"), (Version::V1_0, "message-id:m")]
    {
        let mut peer = Peer::live(version);
        peer.send(&format!("ACK\n{naming}\n\n"));
        assert_eq!(peer.error().header("message"), Some("Message not found"), "{version:?}");
    }
}

#[test]
fn an_ack_for_an_auto_subscription_is_ignored() {
    for (version, naming) in [
        (Version::V1_2, "id:m1"),
        (Version::V1_2, "id:m1\nsubscription:s"),
        (Version::V1_1, "message-id:m1\nsubscription:s"),
        (Version::V1_0, "message-id:m1"),
    ] {
        for command in ["ACK", "NACK"] {
            let mut peer = Peer::live(version);
            let key = peer.subscribe("s", "auto");
            peer.deliver_all(key, [1]);
            peer.operations();
            peer.send(&format!("{command}\n{naming}\nreceipt:r\n\n"));
            assert_eq!(peer.frame().header("receipt-id"), Some("r"), "{version:?} {naming}");
            assert!(peer.operations().is_empty());
        }
    }
}

#[test]
fn a_late_ack_for_an_ended_subscription_is_tolerated() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let key = peer.subscribe("s", "client");
        let messages = peer.deliver_all(key, [1, 2]);
        peer.send("UNSUBSCRIBE\nid:s\n\n");
        peer.operations();
        send_ack(&mut peer, "ACK", &messages[0], "receipt:r1\n");
        assert_eq!(peer.frame().header("receipt-id"), Some("r1"), "{version:?}");
        assert!(peer.operations().is_empty(), "the engine has requeued it");

        // Also when the id and the key are another subscription's by now.
        assert_eq!(peer.subscribe("s", "client"), key);
        let next = peer.deliver_all(key, [3]);
        send_ack(&mut peer, "ACK", &messages[1], "receipt:r2\n");
        assert_eq!(peer.frame().header("receipt-id"), Some("r2"), "{version:?}");
        assert!(peer.operations().is_empty());
        send_ack(&mut peer, "ACK", &next[0], "");
        assert_eq!(peer.settled(), [(key, vec![3], Settlement::Accept)]);
    }
}

#[test]
fn in_1_0_the_subscription_may_be_named_too() {
    let mut peer = Peer::live(Version::V1_0);
    let (a, b) = (peer.subscribe("a", "client"), peer.subscribe("b", "client"));
    peer.deliver(a, "same", Some(1), false);
    peer.deliver(b, "same", Some(2), false);
    peer.send("ACK\nmessage-id:same\nsubscription:b\n\n");
    assert_eq!(peer.settled(), [(b, vec![2], Settlement::Accept)]);
    peer.send("ACK\nmessage-id:same\n\n");
    assert_eq!(peer.settled(), [(a, vec![1], Settlement::Accept)]);
}

#[test]
fn in_1_0_the_delivery_that_was_written_first_is_meant() {
    let mut peer = Peer::live(Version::V1_0);
    let (a, b) = (peer.subscribe("a", "client"), peer.subscribe("b", "client"));
    peer.deliver(b, "same", Some(1), false);
    peer.deliver(a, "same", Some(2), false);
    peer.send("ACK\nmessage-id:same\n\n");
    assert_eq!(peer.settled(), [(b, vec![1], Settlement::Accept)]);
}

#[test]
fn a_redelivered_message_can_be_acknowledged_again() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let key = peer.subscribe("s", "client");
        let first = peer.deliver_all(key, [1]);
        send_ack(&mut peer, "NACK", &first[0], "");
        peer.operations();
        peer.deliver(key, "m1", Some(2), true);
        let again = peer.frame();
        assert_eq!(again.header("message-id"), first[0].header("message-id"));
        send_ack(&mut peer, "ACK", &again, "");
        assert_eq!(peer.settled(), [(key, vec![2], Settlement::Accept)], "{version:?}");
    }
}

#[test]
fn deliveries_that_the_engine_keeps_no_account_of_can_be_acknowledged_all_the_same() {
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("s", "client");
    peer.deliver(key, "m1", None, false);
    let message = peer.frame();
    send_ack(&mut peer, "ACK", &message, "receipt:r\n");
    assert_eq!(peer.frame().header("receipt-id"), Some("r"));
    assert!(peer.operations().is_empty());
}

#[test]
fn an_ack_header_of_an_earlier_session_settles_nothing() {
    let mut earlier = Peer::live(Version::V1_2);
    let mut peer = Peer::live(Version::V1_2);
    peer.session = Session::new("s-2".into(), Arc::new(settings()), peer.now);
    peer.decoder = Decoder::new(peer.session.decode_limits());
    peer.send("CONNECT\naccept-version:1.2\n\n");
    peer.log_in("anna");
    peer.frames();
    let (key, same) = (earlier.subscribe("s", "client"), peer.subscribe("s", "client"));
    let stale = earlier.deliver_all(key, [1]);
    peer.deliver_all(same, [1]);
    send_ack(&mut peer, "ACK", &stale[0], "");
    assert_eq!(peer.error().header("message"), Some("Message not found"));
    assert!(peer.operations().is_empty());
}

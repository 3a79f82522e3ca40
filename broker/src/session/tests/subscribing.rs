//! SUBSCRIBE, UNSUBSCRIBE and MESSAGE.

use super::*;
use crate::engine::Acknowledge;

#[test]
fn a_subscription_reaches_the_engine_with_all_that_it_needs() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send(
        "SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\nreceipt:r\nlogin:a\npasscode:b\nselector:x = 1\nselector:y\n\n",
    );
    let subscription = peer.subscribed();
    assert_eq!(&*subscription.destination, "/queue/a");
    assert_eq!(subscription.acknowledge, Acknowledge::ByClient);
    assert_eq!(subscription.prefetch, None);
    let headers = [("id".into(), "s".into()), ("selector".into(), "x = 1".into())];
    assert_eq!(subscription.headers, headers, "what is passed on, the name of a durable subscription included");
    assert_eq!(peer.session.subscriptions(), 1);
}

#[test]
fn ack_modes_say_who_settles() {
    for (ack, acknowledge) in [
        ("", Acknowledge::WhenWritten),
        ("ack:auto\n", Acknowledge::WhenWritten),
        ("ack:client\n", Acknowledge::ByClient),
        ("ack:client-individual\n", Acknowledge::ByClient),
    ] {
        for version in Version::ALL {
            let mut peer = Peer::live(version);
            peer.send(&format!("SUBSCRIBE\nid:s\ndestination:/queue/a\n{ack}\n"));
            assert_eq!(peer.subscribed().acknowledge, acknowledge, "{ack} {version:?}");
        }
    }
}

#[test]
fn any_other_ack_mode_is_an_error_that_names_the_right_ones() {
    for ack in ["Auto", "individual", "", "none"] {
        let mut peer = Peer::live(Version::V1_2);
        peer.send(&format!("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:{ack}\n\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Invalid header"));
        assert!(body(&error).contains("auto, client or client-individual"));
    }
}

#[test]
fn a_subscription_needs_a_destination_and_from_1_1_on_an_id() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        peer.send("SUBSCRIBE\nid:s\nreceipt:r\n\n");
        assert_eq!(peer.error().header("message"), Some("Missing destination"));
    }
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = Peer::live(version);
        peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Missing header"));
        assert!(body(&error).contains("needs the header id"));
    }
    let mut peer = Peer::live(Version::V1_0);
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
    assert_eq!(&*peer.subscribed().destination, "/queue/a");
}

#[test]
fn ids_are_unique_in_a_session() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        peer.subscribe("s", "auto");
        peer.send("SUBSCRIBE\nid:s\ndestination:/queue/b\nreceipt:r\n\n");
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Duplicated subscription identifier"));
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn in_1_0_the_destination_names_a_subscription_without_an_id() {
    let mut peer = Peer::live(Version::V1_0);
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
    let key = peer.subscribed().key;
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\n\n");
    assert_ne!(peer.subscribed().key, key, "one with an id is another one");
    peer.send("UNSUBSCRIBE\ndestination:/queue/a\n\n");
    assert!(matches!(&peer.operations()[..], [Operation::Unsubscribe { subscription, .. }] if *subscription == key));
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
    assert_eq!(peer.error().header("message"), Some("Duplicated subscription identifier"));
}

#[test]
fn in_1_0_unsubscribe_may_name_the_destination_of_a_subscription_with_an_id() {
    let mut peer = Peer::live(Version::V1_0);
    let key = peer.subscribe("s", "auto");
    peer.send("UNSUBSCRIBE\ndestination:/queue/a\n\n");
    assert!(matches!(&peer.operations()[..], [Operation::Unsubscribe { subscription, .. }] if subscription.0 == key));
}

#[test]
fn the_other_headers_of_unsubscribe_go_on_to_the_engine() {
    let mut peer = Peer::live(Version::V1_2);
    peer.subscribe("s", "auto");
    peer.send("UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:r\n\n");
    let operations = peer.operations();
    let [Operation::Unsubscribe { headers, .. }] = &operations[..] else { panic!("{operations:?}") };
    assert_eq!(headers[..], [("id".into(), "s".into()), ("durable".into(), "true".into())]);
}

#[test]
fn unsubscribe_needs_a_known_id() {
    for (version, headers, message) in [
        (Version::V1_2, "id:other\n", "Subscription not found"),
        (Version::V1_2, "destination:/queue/a\n", "Missing header"),
        (Version::V1_1, "", "Missing header"),
        (Version::V1_0, "", "Missing header"),
        (Version::V1_0, "destination:/queue/b\n", "Subscription not found"),
    ] {
        let mut peer = Peer::live(version);
        peer.subscribe("s", "auto");
        peer.send(&format!("UNSUBSCRIBE\nreceipt:r\n{headers}\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some(message), "{version:?} {headers}");
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn a_message_names_its_subscription_and_destination_and_is_unique() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        let key = peer.subscribe("s", "auto");
        peer.deliver(key, "m1", None, false);
        let frame = peer.frame();
        assert_eq!(frame.command.as_str(), "MESSAGE");
        assert_eq!(
            names(&frame),
            ["subscription", "redelivered", "message-id", "destination", "content-length"],
            "{version:?}"
        );
        assert_eq!(frame.header("subscription"), Some("s"));
        assert_eq!(frame.header("message-id"), Some("m1"));
        assert_eq!(frame.header("destination"), Some("/queue/a"));
        assert_eq!(frame.header("redelivered"), Some("false"));
        assert_eq!((frame.header("content-length"), body(&frame)), (Some("2"), "m1".to_owned()));
    }
}

#[test]
fn only_1_2_messages_that_the_client_settles_carry_ack() {
    for version in Version::ALL {
        for mode in ["auto", "client", "client-individual"] {
            let mut peer = Peer::live(version);
            let key = peer.subscribe("s", mode);
            peer.deliver(key, "m1", Some(1), true);
            let frame = peer.frame();
            let expected = version == Version::V1_2 && mode != "auto";
            assert_eq!(frame.header("ack").is_some(), expected, "{version:?} {mode}");
            assert_eq!(frame.header("redelivered"), Some("true"));
        }
    }
}

#[test]
fn a_1_0_subscription_without_an_id_gets_messages_without_one() {
    let mut peer = Peer::live(Version::V1_0);
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\n");
    let key = peer.subscribed().key.0;
    peer.deliver(key, "m1", None, false);
    assert_eq!(peer.frame().header("subscription"), None);
}

#[test]
fn each_receiver_gets_the_escapes_of_its_own_version() {
    let headers = vec![("a:b".into(), "c\nd\re\\".into())];
    let message = Arc::new(Message::new("m".into(), "/topic/x:y".into(), headers, "z".into(), true));
    for (version, expected) in [
        (Version::V1_2, "s\\c1|/topic/x\\cy|a\\cb:c\\nd\\re\\\\\n"),
        (Version::V1_1, "s\\c1|/topic/x\\cy|a\\cb:c\\nd\re\\\\\n"),
        (Version::V1_0, "s:1|/topic/x:y|"),
    ] {
        let mut peer = Peer::live(version);
        let id = if version == Version::V1_0 { "s:1" } else { "s\\c1" };
        peer.send(&format!("SUBSCRIBE\nid:{id}\ndestination:/topic/*\n\n"));
        let subscription = peer.subscribed().key;
        peer.event(Event::Delivery(Delivery {
            subscription,
            message: Arc::clone(&message),
            tag: None,
            redelivered: false,
        }));
        let parts: Vec<_> = expected.split('|').collect();
        assert_eq!(
            peer.text(),
            format!(
                "MESSAGE\nsubscription:{}\nredelivered:false\nmessage-id:m\ndestination:{}\n{}content-length:1\n\nz\0",
                parts[0], parts[1], parts[2]
            )
        );
    }
}

#[test]
fn a_broadcast_is_written_as_its_messages_one_by_one() {
    let messages = ["m1", "m2"]
        .map(|id| Arc::new(Message::new(id.into(), "/topic/a".into(), Vec::new(), id.to_owned().into(), true)));
    for version in Version::ALL {
        let mut texts = Vec::new();
        for together in [true, false] {
            let mut peer = Peer::live(version);
            peer.send("SUBSCRIBE\nid:s\ndestination:/topic/a\n\n");
            let subscription = peer.subscribed().key;
            if together {
                peer.event(Event::Broadcast(subscription, Arc::new(Batch::new(messages.to_vec()))));
            } else {
                for message in messages.iter().cloned() {
                    peer.event(Event::Delivery(Delivery { subscription, message, tag: None, redelivered: false }));
                }
            }
            texts.push(peer.text());
        }
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0].matches("MESSAGE\nsubscription:s\n").count(), 2, "{}", texts[0]);
    }
}

#[test]
fn a_body_with_nul_arrives_whole() {
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("s", "auto");
    let message = Message::new("m".into(), "/queue/a".into(), Vec::new(), (&b"a\0b"[..]).into(), false);
    peer.event(Event::Delivery(Delivery {
        subscription: SubscriptionKey(key),
        message: Arc::new(message),
        tag: None,
        redelivered: false,
    }));
    assert_eq!(&peer.frame().body[..], b"a\0b");
}

#[test]
fn prefetch_is_read_in_the_words_of_several_brokers() {
    for (headers, prefetch) in [
        ("prefetch-count:5\n", Some(5)),
        ("activemq.prefetchSize:1\n", Some(1)),
        ("activemq.prefetchSize:1\nprefetch-count:7\n", Some(7)),
        ("prefetch-count:0\n", None),
        ("prefetch-count:4294967295\n", Some(65_535)),
        ("prefetch-count:99999999999999999999\n", Some(65_535)),
        ("", None),
    ] {
        let mut peer = Peer::live(Version::V1_2);
        peer.send(&format!("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n{headers}\n"));
        assert_eq!(peer.subscribed().prefetch, prefetch, "{headers}");
    }
}

#[test]
fn prefetch_has_no_effect_on_auto() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nprefetch-count:1\n\n");
    assert_eq!(peer.subscribed().prefetch, None);
}

#[test]
fn a_prefetch_that_is_no_number_is_an_error() {
    for value in ["-1", "x", ""] {
        let mut peer = Peer::live(Version::V1_2);
        peer.send(&format!("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\nprefetch-count:{value}\n\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Invalid header"));
        assert!(body(&error).contains("prefetch-count"));
    }
}

#[test]
fn the_number_of_subscriptions_is_limited_and_ended_ones_do_not_count() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.subscriptions_per_session = 2));
    peer.subscribe("a", "auto");
    peer.subscribe("b", "auto");
    peer.send("UNSUBSCRIBE\nid:a\n\n");
    peer.operations();
    peer.subscribe("c", "auto");
    assert_eq!(peer.session.subscriptions(), 2);
    peer.send("SUBSCRIBE\nid:d\ndestination:/queue/a\nreceipt:r\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Limit exceeded"));
    assert_eq!(error.header("receipt-id"), Some("r"));
    assert!(body(&error).contains("limits.subscriptionsPerSession, which is 2"));
    assert_eq!(peer.end_reason(), Some(CloseReason::LimitExceeded));
}

#[test]
fn a_subscription_that_the_rules_deny_ends_the_session() {
    let settings = ruled("[{actions: [Subscribe], destinations: [/topic/a], allow: {anyone: {}}}]");
    let mut peer = Peer::live_with(Version::V1_2, settings);
    peer.send("SUBSCRIBE\nid:s\ndestination:/topic/b\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Access refused"));
    assert!(body(&error).contains("subscribe to \"/topic/b\""));
    assert_eq!(peer.end_reason(), Some(CloseReason::AccessDenied));
    assert!(peer.operations().is_empty());
}

#[test]
fn after_unsubscribe_nothing_of_it_is_written_and_nothing_is_settled() {
    let mut peer = Peer::live(Version::V1_2);
    peer.obliging = false;
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\n\n");
    let key = peer.subscribed().key.0;
    peer.send("UNSUBSCRIBE\nid:s\n\n");
    peer.operations();
    peer.deliver(key, "m1", Some(1), false);
    assert_eq!(peer.text(), "");
    assert!(peer.operations().is_empty(), "the engine requeues what was under way");
}

#[test]
fn a_key_is_used_again_only_after_the_engine_has_let_go_of_it() {
    let mut peer = Peer::live(Version::V1_2);
    peer.obliging = false;
    peer.send("SUBSCRIBE\nid:a\ndestination:/queue/a\n\n");
    let first = peer.subscribed().key;
    peer.send("UNSUBSCRIBE\nid:a\n\n");
    let [Some(ticket)] = peer.tickets()[..] else { panic!() };
    peer.send("SUBSCRIBE\nid:b\ndestination:/queue/a\n\n");
    assert_ne!(peer.subscribed().key, first, "deliveries of the old one may still come");
    for ticket in 1..=ticket.0 {
        peer.event(Event::Completed(Ticket(ticket)));
    }
    peer.send("SUBSCRIBE\nid:c\ndestination:/queue/a\n\n");
    assert_eq!(peer.subscribed().key, first);
}

#[test]
fn a_delivery_for_a_key_that_never_was_is_ignored() {
    let mut peer = Peer::live(Version::V1_2);
    peer.deliver(7, "m1", Some(1), false);
    assert_eq!(peer.text(), "");
    assert!(peer.session.is_live());
}

#[test]
fn rules_that_change_end_a_session_whose_subscription_they_deny() {
    let mut peer = Peer::live(Version::V1_2);
    peer.subscribe("s:1", "auto");
    let allowing = ruled("[{actions: [Subscribe], destinations: [/queue/**], allow: {anyone: {}}}]");
    peer.session.on_settings(Arc::new(allowing), &mut peer.client, &mut peer.effects);
    assert!(peer.session.is_live());
    peer.session.on_settings(Arc::new(ruled("[]")), &mut peer.client, &mut peer.effects);
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Access refused"));
    assert_eq!(error.header("subscription"), Some("s:1"));
    assert_eq!(peer.end_reason(), Some(CloseReason::AccessDenied));
}

//! SEND.

use super::*;

fn sent(peer: &mut Peer) -> Arc<Message> {
    match &peer.operations()[..] {
        [Operation::Send(message)] => Arc::clone(message),
        other => panic!("{other:?} {}", peer.text()),
    }
}

#[test]
fn a_message_carries_destination_body_and_the_users_headers() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        peer.send("SEND\ndestination:/queue/a\ncontent-type:text/plain\nx:1\n\nhello");
        let message = sent(&mut peer);
        assert_eq!(&*message.destination, "/queue/a");
        assert_eq!(&message.body[..], b"hello");
        assert_eq!(message.headers, [("content-type".into(), "text/plain".into()), ("x".into(), "1".into())]);
        assert!(!message.content_length);
        assert_eq!(peer.text(), "", "no answer without a receipt");
    }
}

#[test]
fn what_the_broker_says_itself_or_keeps_for_itself_is_stripped() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send(
        "SEND\ndestination:/queue/a\nreceipt:r\nlogin:anna\npasscode:p\ncontent-length:2\nmessage-id:forged\n\
         subscription:forged\nack:forged\nredelivered:true\nJMSXUserID:root\nJMSXGroupFirstForConsumer:true\ntimestamp:1\nkept:yes\n\nhi",
    );
    let message = sent(&mut peer);
    assert_eq!(message.headers, [("timestamp".into(), "1".into()), ("kept".into(), "yes".into())]);
    assert!(message.content_length, "engines may want to know that it was given");
    assert_ne!(&*message.id, "forged");
}

#[test]
fn only_the_first_of_a_repeated_header_goes_on() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\nk:1\ndestination:/queue/a\ndestination:/queue/b\nk:2\nl:3\n\n");
    let message = sent(&mut peer);
    assert_eq!(&*message.destination, "/queue/a");
    assert_eq!(message.headers, [("k".into(), "1".into()), ("l".into(), "3".into())]);
}

#[test]
fn message_ids_are_unique_and_need_no_escapes() {
    let mut peer = Peer::live(Version::V1_2);
    let mut ids = Vec::new();
    for _ in 0..3 {
        peer.send("SEND\ndestination:/queue/a\n\n");
        ids.push(sent(&mut peer).id.clone());
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    for id in ids {
        assert!(id.starts_with("s-1-"), "the session's id makes it unique in the cluster: {id}");
        assert!(id.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"@._-".contains(&octet)), "{id}");
    }
}

#[test]
fn a_send_without_destination_is_an_error() {
    for headers in ["", "destination:\n"] {
        let mut peer = Peer::live(Version::V1_2);
        peer.send(&format!("SEND\nreceipt:r\n{headers}\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Missing destination"));
        assert_eq!(error.header("receipt-id"), Some("r"));
        assert!(peer.operations().is_empty());
    }
}

#[test]
fn the_destination_is_exactly_what_was_written() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\\cb/ \u{e9}%2F.x \n\n");
    assert_eq!(&*sent(&mut peer).destination, "/queue/a:b/ \u{e9}%2F.x ");
}

#[test]
fn a_destination_that_the_rules_deny_ends_the_session() {
    let settings = ruled("[{actions: [Send], destinations: [/queue/a], allow: {anyone: {}}}]");
    let mut peer = Peer::live_with(Version::V1_2, settings);
    peer.send("SEND\ndestination:/queue/a\n\n");
    assert_eq!(peer.operations().len(), 1);
    peer.send("SEND\ndestination:/queue/b\nreceipt:r\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Access refused"));
    assert_eq!(error.header("receipt-id"), Some("r"));
    assert_eq!(body(&error), "the destination rules do not let user \"anna\" send to \"/queue/b\"");
    assert_eq!(peer.end_reason(), Some(CloseReason::AccessDenied));
    assert!(peer.operations().is_empty());
}

#[test]
fn a_user_id_must_be_the_senders_own() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nuser-id:anna\n\n");
    assert_eq!(sent(&mut peer).header("user-id"), Some("anna"));
    peer.send("SEND\ndestination:/queue/a\nuser-id:root\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Invalid header"));
    assert!(body(&error).contains("user-id") && body(&error).contains("\"root\""));
}

#[test]
fn a_message_larger_than_the_limit_is_refused_with_the_limits_name_and_value() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.message_size = "1Ki".parse().unwrap()));
    peer.send(&format!("SEND\ndestination:/queue/a\nreceipt:r\ncontent-length:1025\n\n{}", "x".repeat(1025)));
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Message too large"));
    assert_eq!(error.header("receipt-id"), Some("r"));
    assert!(body(&error).contains("1025 octets") && body(&error).contains("1024"), "{}", body(&error));
    assert!(body(&error).contains("limits.messageSize"));
    assert_eq!(peer.end_reason(), Some(CloseReason::LimitExceeded));
}

#[test]
fn other_limits_of_a_frame_hold_too() {
    let settings = limited(|limits| {
        limits.headers = 3;
        limits.header_size = "64".parse().unwrap();
    });
    let mut peer = Peer::live_with(Version::V1_2, settings.clone());
    peer.send("SEND\na:1\nb:2\nc:3\nd:4\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Limit exceeded"));
    assert!(body(&error).contains("limits.headers"));

    let mut peer = Peer::live_with(Version::V1_2, settings);
    peer.send(&format!("SEND\na:{}\n\n", "x".repeat(64)));
    assert!(body(&peer.error()).contains("limits.headerSize"));
}

#[test]
fn only_send_may_have_a_body() {
    for command in ["SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT"] {
        for version in [Version::V1_1, Version::V1_2] {
            let mut peer = Peer::live(version);
            peer.send(&format!("{command}\nid:1\ndestination:/queue/a\ntransaction:t\nreceipt:r\n\nbody"));
            let error = peer.error();
            assert_eq!(error.header("message"), Some("Body not allowed"), "{command}");
            assert_eq!(error.header("receipt-id"), Some("r"));
            assert!(body(&error).contains(command));
        }
    }
    let mut peer = Peer::new();
    peer.send("CONNECT\naccept-version:1.2\n\nbody");
    assert_eq!(peer.error().header("message"), Some("Body not allowed"));
}

#[test]
fn a_1_0_session_ignores_such_a_body() {
    let mut peer = Peer::live(Version::V1_0);
    peer.send("SUBSCRIBE\ndestination:/queue/a\n\nbody");
    assert_eq!(&*peer.subscribed().destination, "/queue/a");
}

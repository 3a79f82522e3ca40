//! BEGIN, COMMIT, ABORT, and what happens in between.

use super::*;

/// A live 1.2 session with a `client-individual` subscription `s` and these deliveries, and transaction `t` open.
fn in_transaction(mode: &str, tags: impl IntoIterator<Item = u64>) -> (Peer, u32, Vec<Frame>) {
    let mut peer = Peer::live(Version::V1_2);
    let key = peer.subscribe("s", mode);
    let messages = peer.deliver_all(key, tags);
    peer.send("BEGIN\ntransaction:t\n\n");
    (peer, key, messages)
}

fn ack(message: &Frame, more: &str) -> String {
    format!("ACK\nid:{}\n{more}\n", message.header("ack").unwrap())
}

/// The operations of the one COMMIT that was asked for.
fn committed(peer: &mut Peer) -> Vec<Operation> {
    match &peer.operations()[..] {
        [Operation::Commit(operations)] => operations.clone(),
        other => panic!("{other:?} {}", peer.text()),
    }
}

#[test]
fn nothing_is_seen_before_commit_and_then_all_at_once_in_order() {
    let (mut peer, key, messages) = in_transaction("client-individual", [1, 2]);
    peer.send("SEND\ndestination:/queue/x\ntransaction:t\n\none");
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send("SEND\ndestination:/queue/y\ntransaction:t\nk:v\n\ntwo");
    peer.send(&format!("NACK\nid:{}\ntransaction:t\nrequeue:false\n\n", messages[1].header("ack").unwrap()));
    assert!(peer.operations().is_empty());
    peer.send("COMMIT\ntransaction:t\n\n");
    let operations = committed(&mut peer);
    let [Operation::Send(one), accept, Operation::Send(two), reject] = &operations[..] else {
        panic!("{operations:?}")
    };
    assert_eq!((&one.body[..], &two.body[..]), (&b"one"[..], &b"two"[..]));
    assert_eq!(two.headers, [("k".into(), "v".into())], "the transaction header does not go on");
    assert_eq!(settle(accept), (key, vec![1], Settlement::Accept));
    assert_eq!(settle(reject), (key, vec![2], Settlement::Reject));
}

#[test]
fn what_stands_outside_is_not_held_up() {
    let (mut peer, _, _) = in_transaction("client", []);
    peer.send("SEND\ndestination:/queue/x\ntransaction:t\n\ninside");
    peer.send("SEND\ndestination:/queue/x\n\noutside");
    assert!(matches!(&peer.operations()[..], [Operation::Send(message)] if &message.body[..] == b"outside"));
}

#[test]
fn abort_drops_the_messages_and_gives_the_acks_back() {
    let (mut peer, key, messages) = in_transaction("client-individual", [1]);
    peer.send("SEND\ndestination:/queue/x\ntransaction:t\n\n");
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send("ABORT\ntransaction:t\n\n");
    assert!(peer.operations().is_empty());
    peer.send(&ack(&messages[0], ""));
    assert_eq!(peer.settled(), [(key, vec![1], Settlement::Accept)]);
}

#[test]
fn an_aborted_ack_can_be_made_again_in_another_transaction() {
    let (mut peer, key, messages) = in_transaction("client", [1, 2]);
    peer.send(&ack(&messages[1], "transaction:t\n"));
    peer.send("ABORT\ntransaction:t\n\n");
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send(&ack(&messages[1], "transaction:t\n"));
    peer.send("COMMIT\ntransaction:t\n\n");
    assert_eq!(committed(&mut peer).iter().map(settle).collect::<Vec<_>>(), [(key, vec![1, 2], Settlement::Accept)]);
}

#[test]
fn what_a_transaction_has_acknowledged_is_nobody_elses() {
    let (mut peer, key, messages) = in_transaction("client", [1, 2, 3]);
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send(&ack(&messages[2], ""));
    assert_eq!(peer.settled(), [(key, vec![2, 3], Settlement::Accept)], "a cumulative ACK leaves it out");
    peer.send("COMMIT\ntransaction:t\n\n");
    assert_eq!(committed(&mut peer).iter().map(settle).collect::<Vec<_>>(), [(key, vec![1], Settlement::Accept)]);

    let (mut peer, _, messages) = in_transaction("client-individual", [1]);
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send(&ack(&messages[0], ""));
    assert_eq!(peer.error().header("message"), Some("Message not found"));
}

#[test]
fn a_committed_ack_is_settled_for_good() {
    let (mut peer, _, messages) = in_transaction("client-individual", [1]);
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send("COMMIT\ntransaction:t\n\n");
    peer.send(&ack(&messages[0], ""));
    assert_eq!(peer.error().header("message"), Some("Message not found"));
}

#[test]
fn an_ack_of_a_subscription_that_ends_before_commit_is_left_out() {
    let (mut peer, key, messages) = in_transaction("client", [1]);
    peer.send(&ack(&messages[0], "transaction:t\n"));
    peer.send("UNSUBSCRIBE\nid:s\n\n");
    peer.operations();
    assert_eq!(peer.subscribe("new", "client"), key, "the key is another subscription's now");
    peer.send("COMMIT\ntransaction:t\nreceipt:r\n\n");
    assert!(peer.operations().is_empty());
    assert_eq!(peer.frame().header("receipt-id"), Some("r"));
}

#[test]
fn the_id_of_an_open_transaction_cannot_be_begun_again_and_that_of_an_ended_one_can() {
    let (mut peer, ..) = in_transaction("client", []);
    peer.send("COMMIT\ntransaction:t\n\n");
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("ABORT\ntransaction:t\n\n");
    peer.send("BEGIN\ntransaction:t\n\n");
    assert!(peer.session.is_live());
    peer.send("BEGIN\ntransaction:t\nreceipt:r\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Transaction already open"));
    assert_eq!(error.header("receipt-id"), Some("r"));
}

#[test]
fn a_transaction_that_is_not_open_is_an_error_for_every_frame() {
    for version in Version::ALL {
        for frame in [
            "COMMIT\ntransaction:other\n",
            "ABORT\ntransaction:other\n",
            "SEND\ndestination:/queue/a\ntransaction:other\n",
            "SEND\ndestination:/queue/a\ntransaction:\n",
        ] {
            let mut peer = Peer::live(version);
            peer.send("BEGIN\ntransaction:t\n\n");
            peer.send(&format!("{frame}receipt:r\n\n"));
            let error = peer.error();
            assert_eq!(error.header("message"), Some("Transaction not found"), "{frame}");
            assert_eq!(error.header("receipt-id"), Some("r"));
            assert!(peer.operations().is_empty());
        }
    }
    for command in ["ACK", "NACK"] {
        let (mut peer, _, messages) = in_transaction("client", [1]);
        peer.send(&format!("{command}\nid:{}\ntransaction:other\n\n", messages[0].header("ack").unwrap()));
        assert_eq!(peer.error().header("message"), Some("Transaction not found"));
    }
}

#[test]
fn the_transaction_header_is_required() {
    for command in ["BEGIN", "COMMIT", "ABORT"] {
        for header in ["", "transaction:\n"] {
            let mut peer = Peer::live(Version::V1_2);
            peer.send(&format!("{command}\n{header}\n"));
            let error = peer.error();
            assert_eq!(error.header("message"), Some("Missing header"));
            assert!(body(&error).contains("needs the header transaction"));
        }
    }
}

#[test]
fn open_transactions_are_limited() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.transactions_per_session = 2));
    for id in ["a", "b"] {
        peer.send(&format!("BEGIN\ntransaction:{id}\n\n"));
    }
    peer.send("COMMIT\ntransaction:a\n\n");
    peer.send("BEGIN\ntransaction:c\n\n");
    assert!(peer.session.is_live());
    peer.send("BEGIN\ntransaction:d\n\n");
    let error = peer.error();
    assert!(body(&error).contains("limits.transactionsPerSession, which is 2"));
    assert_eq!(peer.end_reason(), Some(CloseReason::LimitExceeded));
}

#[test]
fn the_frames_of_a_transaction_are_limited() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.frames_per_transaction = 2));
    peer.send("BEGIN\ntransaction:t\n\n");
    for _ in 0..2 {
        peer.send("SEND\ndestination:/queue/a\ntransaction:t\n\n");
    }
    assert!(peer.session.is_live());
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\n\n");
    assert!(body(&peer.error()).contains("limits.framesPerTransaction, which is 2"));
}

#[test]
fn the_octets_of_open_transactions_are_limited_together() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.transaction_size = "10Ki".parse().unwrap()));
    let large = "x".repeat(6_000);
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("BEGIN\ntransaction:u\n\n");
    peer.send(&format!("SEND\ndestination:/queue/a\ntransaction:t\n\n{large}"));
    peer.send("ABORT\ntransaction:t\n\n");
    peer.send(&format!("SEND\ndestination:/queue/a\ntransaction:u\n\n{large}"));
    assert!(peer.session.is_live(), "what was aborted does not count");
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send(&format!("SEND\ndestination:/queue/a\ntransaction:t\n\n{large}"));
    assert!(body(&peer.error()).contains("limits.transactionSize, which is 10Ki"));
}

#[test]
fn one_message_always_fits_a_transaction() {
    let mut peer = Peer::live_with(Version::V1_2, limited(|limits| limits.transaction_size = "1Ki".parse().unwrap()));
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send(&format!("SEND\ndestination:/queue/a\ntransaction:t\n\n{}", "x".repeat(6_000)));
    peer.send("COMMIT\ntransaction:t\n\n");
    assert_eq!(committed(&mut peer).len(), 1);
}

#[test]
fn rules_hold_inside_a_transaction_too() {
    let mut peer = Peer::live_with(Version::V1_2, ruled("[]"));
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\n\n");
    assert_eq!(peer.error().header("message"), Some("Access refused"));
}

#[test]
fn disconnect_aborts() {
    let (mut peer, ..) = in_transaction("client", []);
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\n\n");
    peer.send("DISCONNECT\nreceipt:bye\n\n");
    assert_eq!(peer.frame().header("receipt-id"), Some("bye"));
    assert!(peer.operations().is_empty());
}

#[test]
fn a_committed_ack_leaves_nothing_behind() {
    let mut peer = Peer::live(Version::V1_1);
    let key = peer.subscribe("s", "client");
    peer.deliver_all(key, [1]);
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("ACK\nmessage-id:m1\nsubscription:s\ntransaction:t\n\n");
    peer.send("COMMIT\ntransaction:t\n\n");
    peer.send("UNSUBSCRIBE\nid:s\n\n");
    peer.send("ACK\nmessage-id:m1\nsubscription:s\n\n");
    assert_eq!(peer.error().header("message"), Some("Message not found"), "nothing was unsettled when it ended");
}

//! RECEIPT and DISCONNECT.

use super::*;

fn receipts(peer: &mut Peer) -> Vec<String> {
    peer.frames()
        .iter()
        .map(|frame| {
            assert_eq!(frame.command.as_str(), "RECEIPT", "{frame:?}");
            assert_eq!(names(frame), ["receipt-id"]);
            frame.header("receipt-id").unwrap().to_owned()
        })
        .collect()
}

fn waiting(version: Version) -> Peer {
    let mut peer = Peer::live(version);
    peer.obliging = false;
    peer
}

#[test]
fn every_frame_but_connect_can_have_a_receipt() {
    for version in Version::ALL {
        let mut peer = Peer::live(version);
        for (frame, receipt) in [
            ("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:auto\n", "subscribe"),
            ("SEND\ndestination:/queue/a\n", "send"),
            ("BEGIN\ntransaction:t\n", "begin"),
            ("ACK\nid:m\nmessage-id:m\nsubscription:s\n", "ack"),
            ("NACK\nid:m\nmessage-id:m\nsubscription:s\n", "nack"),
            ("COMMIT\ntransaction:t\n", "commit"),
            ("BEGIN\ntransaction:t\n", "begin-again"),
            ("ABORT\ntransaction:t\n", "abort"),
            ("UNSUBSCRIBE\nid:s\n", "unsubscribe"),
            ("DISCONNECT\n", "disconnect"),
        ] {
            peer.send(&format!("{frame}receipt:{receipt}\n\n"));
            peer.operations();
            assert_eq!(receipts(&mut peer), [receipt], "{version:?}");
        }
    }
}

#[test]
fn a_receipt_comes_only_after_the_engine_has_taken_the_message() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:r\n\n");
    assert_eq!(peer.text(), "");
    let [Some(ticket)] = peer.tickets()[..] else { panic!() };
    peer.event(Event::Completed(ticket));
    assert_eq!(receipts(&mut peer), ["r"]);
}

#[test]
fn without_a_receipt_no_answer_is_asked_for() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\n\n");
    assert_eq!(peer.tickets(), [None]);
}

#[test]
fn receipts_keep_the_order_of_their_frames() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.send("BEGIN\ntransaction:t\nreceipt:2\n\n");
    peer.send("SEND\ndestination:/queue/a\nreceipt:3\n\n");
    let tickets: Vec<_> = peer.tickets().into_iter().flatten().collect();
    peer.event(Event::Completed(tickets[1]));
    assert_eq!(peer.text(), "", "the first is still missing");
    peer.event(Event::Completed(tickets[0]));
    assert_eq!(receipts(&mut peer), ["1", "2", "3"]);
}

#[test]
fn receipts_inside_a_transaction_come_at_its_commit_before_that_of_commit() {
    let mut peer = waiting(Version::V1_2);
    peer.send("BEGIN\ntransaction:t\nreceipt:begin\n\n");
    assert_eq!(receipts(&mut peer), ["begin"]);
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\nreceipt:1\n\n");
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\nreceipt:2\n\n");
    peer.send("SEND\ndestination:/queue/a\nreceipt:outside\n\n");
    peer.send("COMMIT\ntransaction:t\nreceipt:commit\n\n");
    assert_eq!(peer.text(), "");
    for ticket in peer.tickets().into_iter().flatten() {
        peer.event(Event::Completed(ticket));
    }
    assert_eq!(receipts(&mut peer), ["outside", "1", "2", "commit"]);
}

#[test]
fn an_aborted_frame_has_no_receipt() {
    let mut peer = waiting(Version::V1_2);
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\nreceipt:1\n\n");
    peer.send("ABORT\ntransaction:t\nreceipt:abort\n\n");
    assert_eq!(receipts(&mut peer), ["abort"]);
}

#[test]
fn receipt_ids_are_escaped_for_the_version() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:a\\cb\\n\n\n");
    assert_eq!(peer.text(), "RECEIPT\nreceipt-id:a\\cb\\n\n\n\0");
}

#[test]
fn a_client_that_is_owed_too_much_has_to_wait() {
    let mut peer = waiting(Version::V1_2);
    for receipt in 0..1024 {
        assert!(peer.session.accepts_frames(), "{receipt}");
        peer.send(&format!("SEND\ndestination:/queue/a\nreceipt:{receipt}\n\n"));
    }
    assert!(!peer.session.accepts_frames());
    let first = peer.tickets()[0].unwrap();
    peer.event(Event::Completed(first));
    assert!(peer.session.accepts_frames());
}

#[test]
fn disconnect_without_a_receipt_closes_at_once_and_without_an_error() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("DISCONNECT\n\n");
    assert_eq!(peer.text(), "");
    assert_eq!(peer.effects.close, Some(Close::new(CloseReason::Disconnect, None)));
    assert!(peer.session.is_closed());
}

#[test]
fn the_receipt_of_disconnect_comes_after_all_others_and_then_the_end() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.send("DISCONNECT\nreceipt:bye\n\n");
    assert_eq!((peer.text(), peer.end_reason()), (String::new(), None));
    let ticket = peer.tickets()[0].unwrap();
    peer.event(Event::Completed(ticket));
    assert_eq!(receipts(&mut peer), ["1", "bye"]);
    assert_eq!(peer.effects.close, Some(Close::new(CloseReason::Disconnect, None)));
}

#[test]
fn after_disconnect_frames_deliveries_and_garbage_are_ignored() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:auto\n\n");
    let key = peer.effects.operations.len();
    assert_eq!(key, 1);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.send("DISCONNECT\nreceipt:bye\n\n");
    let tickets = peer.tickets();
    peer.send("SEND\ndestination:/queue/b\n\n");
    peer.deliver(0, "m", Some(1), false);
    peer.send("GARBAGE\n\n");
    assert!(peer.operations().is_empty());
    assert_eq!((peer.text(), peer.end_reason()), (String::new(), None));
    for ticket in tickets.into_iter().flatten() {
        peer.event(Event::Completed(ticket));
    }
    assert_eq!(receipts(&mut peer), ["1", "bye"]);
}

#[test]
fn an_engine_that_never_answers_does_not_hold_up_disconnect_for_ever() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.send("DISCONNECT\nreceipt:bye\n\n");
    assert_eq!(peer.session.next_tick(), Some(peer.now + Duration::from_secs(30)));
    peer.pass(Duration::from_secs(30));
    assert_eq!(peer.text(), "", "no receipt that would be a lie");
    assert_eq!(peer.end_reason(), Some(CloseReason::Disconnect));
}

#[test]
fn a_client_that_closes_its_side_gets_the_receipts_that_it_is_owed_and_then_the_end() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.close_side();
    peer.close_side();
    assert_eq!((peer.text(), peer.end_reason()), (String::new(), None));
    let ticket = peer.tickets()[0].unwrap();
    peer.event(Event::Completed(ticket));
    assert_eq!(receipts(&mut peer), ["1"]);
    assert_eq!(peer.effects.close, Some(Close::new(CloseReason::ClientClosed, None)));
}

#[test]
fn a_client_that_closes_its_side_and_is_owed_no_receipt_is_let_go_at_once() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SUBSCRIBE\nid:s\ndestination:/queue/a\n\n");
    peer.close_side();
    assert_eq!(peer.end_reason(), Some(CloseReason::ClientClosed));
}

#[test]
fn an_engine_that_never_answers_does_not_hold_up_a_closed_side_for_ever() {
    let mut peer = waiting(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.close_side();
    assert_eq!(peer.session.next_tick(), Some(peer.now + Duration::from_secs(30)));
    peer.pass(Duration::from_secs(30));
    assert_eq!((peer.text(), peer.end_reason()), (String::new(), Some(CloseReason::ClientClosed)));
}

//! How sessions end that their client did not end.

use super::*;

fn not_available() -> EngineError {
    EngineError::NotAvailable
}

#[test]
fn an_operation_that_fails_ends_the_session_with_the_receipt_of_its_frame() {
    let mut peer = Peer::live(Version::V1_2);
    peer.obliging = false;
    peer.send("SEND\ndestination:/queue/a\nreceipt:1\n\n");
    peer.send("SEND\ndestination:/queue/b\nreceipt:2\n\n");
    let ticket = peer.tickets()[1];
    peer.event(Event::Failed { ticket, error: not_available() });
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Broker not available."), "Spring's relay uses these words");
    assert_eq!(error.header("receipt-id"), Some("2"));
    assert_eq!(error.header("subscription"), None);
    assert_eq!(peer.end_reason(), Some(CloseReason::EngineFailure));
}

#[test]
fn a_commit_that_fails_names_its_own_receipt() {
    let mut peer = Peer::live(Version::V1_2);
    peer.obliging = false;
    peer.send("BEGIN\ntransaction:t\n\n");
    peer.send("SEND\ndestination:/queue/a\ntransaction:t\nreceipt:inner\n\n");
    peer.send("COMMIT\ntransaction:t\nreceipt:commit\n\n");
    let ticket = peer.tickets()[0];
    peer.event(Event::Failed { ticket, error: not_available() });
    assert_eq!(peer.error().header("receipt-id"), Some("commit"));
}

#[test]
fn a_subscription_that_fails_is_named() {
    let mut peer = Peer::live(Version::V1_2);
    peer.obliging = false;
    peer.send("SUBSCRIBE\nid:s\ndestination:/nowhere\n\n");
    let ticket = peer.tickets()[0];
    let error =
        EngineError::UnknownDestination { destination: "/nowhere".into(), remedy: "use /topic or /queue".into() };
    peer.event(Event::Failed { ticket, error });
    let error = peer.error();
    assert_eq!(error.header("subscription"), Some("s"));
    assert_eq!(error.header("message"), Some("Unknown destination"));
    assert!(body(&error).contains("/nowhere") && body(&error).contains("use /topic or /queue"));
}

#[test]
fn an_operation_without_a_ticket_may_fail_too() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\n\n");
    let error = EngineError::Full { destination: "/queue/a".into(), limit: "engine.embedded.queueSize, 64Mi".into() };
    peer.event(Event::Failed { ticket: None, error });
    let error = peer.error();
    assert_eq!((error.header("message"), error.header("receipt-id")), (Some("Queue is full"), None));
}

#[test]
fn an_engine_that_lets_go_ends_the_session_for_its_own_reason() {
    for (error, message, reason) in [
        (not_available(), "Broker not available.", CloseReason::EngineFailure),
        (EngineError::SlowConsumer("too much".into()), "Slow consumer", CloseReason::SlowConsumer),
        (EngineError::Upstream("bad".into()), "Upstream error", CloseReason::EngineFailure),
    ] {
        let mut peer = Peer::live(Version::V1_2);
        peer.event(Event::Closed(error));
        assert_eq!(peer.error().header("message"), Some(message));
        assert_eq!(peer.end_reason(), Some(reason));
    }
}

#[test]
fn a_client_that_takes_nothing_is_told_why_it_is_let_go() {
    let mut peer = Peer::live(Version::V1_2);
    peer.session.on_slow_consumer(&mut peer.client, &mut peer.effects);
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Slow consumer"));
    assert!(body(&error).contains("limits.sendTimeout, which is 10s"));
    assert_eq!(peer.end_reason(), Some(CloseReason::SlowConsumer));
}

#[test]
fn draining_tells_every_client_to_connect_again() {
    for mut peer in [Peer::new(), Peer::live(Version::V1_0), Peer::live(Version::V1_2)] {
        peer.session.on_drain(&mut peer.client, &mut peer.effects);
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Broker is draining"));
        assert!(body(&error).contains("connect again"));
        assert_eq!(peer.end_reason(), Some(CloseReason::Drained));
    }
}

#[test]
fn a_session_ends_once() {
    let mut peer = Peer::live(Version::V1_2);
    peer.session.on_drain(&mut peer.client, &mut peer.effects);
    peer.error();
    peer.session.on_slow_consumer(&mut peer.client, &mut peer.effects);
    peer.event(Event::Closed(not_available()));
    peer.deliver(0, "m", None, false);
    peer.pass(Duration::from_hours(1));
    assert_eq!(peer.text(), "");
    assert_eq!(peer.end_reason(), Some(CloseReason::Drained));
}

#[test]
fn what_was_asked_before_an_error_is_still_done() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\ndestination:/queue/a\n\n\0BOGUS\n\n");
    assert_eq!(peer.operations().len(), 1);
    assert_eq!(peer.end_reason(), Some(CloseReason::ProtocolError));
}

#[test]
fn broken_octets_end_the_session_with_the_receipt_that_was_read() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SEND\nreceipt:r\ndestination:/queue/a\\t\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Malformed frame"));
    assert_eq!(error.header("receipt-id"), Some("r"));
    assert!(body(&error).contains("header line 2") && body(&error).contains("\\t"));
    assert_eq!(peer.end_reason(), Some(CloseReason::ProtocolError));
}

#[test]
fn who_it_was_and_how_it_spoke_is_known_after_the_end() {
    let mut peer = Peer::live(Version::V1_1);
    peer.send("DISCONNECT\n\n");
    assert_eq!(peer.session.version(), Some(Version::V1_1));
    assert_eq!(&*peer.session.principal().unwrap().user, "anna");
}

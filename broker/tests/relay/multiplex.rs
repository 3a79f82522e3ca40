//! Sessions that share connections to the upstream: none knows of the others, whatever they do.

use stompbroker::{
    engine::{Acknowledge, EngineError, Event, Operation, Settlement, SubscriptionKey},
    stomp::{Command, Frame},
};
use stompbroker_config::Multiplex;

use crate::{
    harness::{Harness, MAILBOX, Session, configured},
    upstream::{Manner, Peer, Upstream},
};

/// A relay whose sessions share `connections` to an upstream.
async fn sharing(connections: u16) -> (Upstream, Peer, Harness) {
    let mut upstream = Upstream::start(Manner::Accept("0,0")).await;
    let harness = Harness::start_with(vec![configured(upstream.address, None)], |relay| {
        relay.multiplex = Some(Multiplex { connections });
    });
    let system = upstream.system().await;
    harness.connected().await;
    (upstream, system, harness)
}

/// Has the session subscribe, confirms it, and returns what the upstream knows the subscription by.
async fn subscribed(session: &mut Session, peer: &mut Peer, destination: &str, acknowledge: Acknowledge) -> String {
    session.subscribe(1, destination, acknowledge, Some(1));
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    session.completed(1).await;
    frame.header("id").unwrap().to_owned()
}

/// Two sessions on one connection, each subscribed.
async fn neighbours(upstream: &mut Upstream, harness: &Harness) -> (Peer, [(Session, String); 2]) {
    let (mut first, mut second) = (harness.session(), harness.session());
    first.subscribe(1, "/topic/a", Acknowledge::WhenWritten, Some(1));
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    first.completed(1).await;
    let name = subscribed(&mut second, &mut peer, "/topic/a", Acknowledge::WhenWritten).await;
    (peer, [(first, frame.header("id").unwrap().to_owned()), (second, name)])
}

/// The session has its subscription again on a new connection, and goes on there.
async fn assert_moves(upstream: &mut Upstream, session: &mut Session) {
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    session.send("/queue/a", "goes on", Some(5));
    let frame = peer.expect(Command::Send).await;
    peer.confirm(&frame).await;
    session.completed(5).await;
}

fn receipt(frame: &Frame) -> &str {
    frame.header("receipt").unwrap()
}

#[tokio::test]
async fn a_thousand_sessions_use_no_more_connections_than_allowed() {
    const SESSIONS: u64 = 1_000;
    let (mut upstream, _system, harness) = sharing(4).await;
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| harness.session()).collect();
    for session in &mut sessions {
        session.send("/queue/a", "hello", Some(1));
    }
    // Each connection confirms what comes, until all sessions have their answer.
    let mut peers = Vec::new();
    for _ in 0..4 {
        let mut peer = upstream.client().await;
        peers.push(tokio::spawn(async move {
            loop {
                let frame = peer.expect(Command::Send).await;
                peer.confirm(&frame).await;
            }
        }));
    }
    for session in &mut sessions {
        session.completed(1).await;
    }
    assert_eq!(harness.status().client_connections, 4);
    assert!(!upstream.has_client());
    for peer in peers {
        peer.abort();
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_slow_client_does_not_hold_up_its_neighbour() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(mut slow, slow_name), (mut quick, quick_name)]) = neighbours(&mut upstream, &harness).await;
    let body = vec![b'x'; MAILBOX / 8];
    for number in 0..32 {
        peer.message(&slow_name, &format!("slow-{number}"), &body).await;
    }
    peer.message(&quick_name, "quick", b"hello").await;
    assert_eq!(&*quick.delivery().await.message.id, "quick");
    // What the slow one has no room for is not acknowledged, so that the upstream sends no more than its window.
    let mut acknowledged = Vec::new();
    while acknowledged.last().map(String::as_str) != Some("quick") {
        acknowledged.push(peer.expect(Command::Ack).await.header("id").unwrap().to_owned());
    }
    assert!(acknowledged.len() < 16, "{acknowledged:?}");
    for number in 0..32 {
        assert_eq!(*slow.delivery().await.message.id, *format!("slow-{number}"));
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_client_that_overflows_its_window_is_expelled_alone() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(mut slow, slow_name), (mut quick, quick_name)]) = neighbours(&mut upstream, &harness).await;
    let body = vec![b'x'; 1 << 20];
    for number in 0..8 {
        peer.message(&slow_name, &number.to_string(), &body).await;
    }
    let error = loop {
        match slow.event().await {
            Event::Closed(error) => break error,
            Event::Delivery(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    };
    assert!(matches!(error, EngineError::SlowConsumer(_)), "{error:?}");
    drop(slow);
    let frame = loop {
        // Acknowledgements of what it had taken come first.
        let frame = peer.next().await;
        if frame.command == Command::Unsubscribe {
            break frame;
        }
    };
    assert_eq!(frame.header("id"), Some(&*slow_name));
    peer.confirm(&frame).await;
    peer.message(&quick_name, "quick", b"hello").await;
    assert_eq!(&*quick.delivery().await.message.id, "quick");
    harness.stop().await;
}

#[tokio::test]
async fn a_session_that_leaves_ends_its_subscriptions_and_not_its_neighbours() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(leaving, name), (mut staying, staying_name)]) = neighbours(&mut upstream, &harness).await;
    drop(leaving);
    let frame = peer.expect(Command::Unsubscribe).await;
    assert_eq!(frame.header("id"), Some(&*name));
    peer.confirm(&frame).await;
    peer.message(&staying_name, "m", b"hello").await;
    staying.delivery().await;
    peer.expect(Command::Ack).await;
    drop(staying);
    let frame = peer.expect(Command::Unsubscribe).await;
    peer.confirm(&frame).await;
    let frame = peer.expect(Command::Disconnect).await;
    peer.confirm(&frame).await;
    harness.no_connections().await;
    harness.stop().await;
}

#[tokio::test]
async fn an_error_ends_whom_it_may_be_about_and_moves_the_others() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(mut guilty, _), (mut other, _)]) = neighbours(&mut upstream, &harness).await;
    guilty.send("/queue/a", "what the upstream objects to", None);
    peer.expect(Command::Send).await;
    peer.send(Command::Error, &[("message", "access_refused")], b"").await;
    drop(peer);
    guilty.closed(EngineError::Upstream("access_refused".into())).await;

    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    assert_eq!(frame.header("destination"), Some("/topic/a"));
    peer.confirm(&frame).await;
    peer.message(frame.header("id").unwrap(), "m", b"hello").await;
    assert_eq!(&other.delivery().await.message.body[..], b"hello");
    peer.expect(Command::Ack).await;
    other.send("/queue/a", "goes on", Some(5));
    let frame = peer.expect(Command::Send).await;
    peer.confirm(&frame).await;
    other.completed(5).await;
    harness.stop().await;
}

#[tokio::test]
async fn an_error_that_names_a_receipt_ends_only_the_session_of_that() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(mut guilty, _), (mut other, _)]) = neighbours(&mut upstream, &harness).await;
    guilty.send("/queue/a", "bad", Some(2));
    let bad = peer.expect(Command::Send).await;
    peer.send(Command::Error, &[("message", "no"), ("receipt-id", receipt(&bad))], b"").await;
    let error = EngineError::Upstream("no".into());
    guilty.failed(Some(2), error.clone()).await;
    guilty.closed(error).await;
    assert_moves(&mut upstream, &mut other).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_fails_what_it_has_not_confirmed_and_moves_the_others() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut peer, [(mut waiting, _), (mut idle, _)]) = neighbours(&mut upstream, &harness).await;
    waiting.send("/queue/a", "lost?", Some(2));
    peer.expect(Command::Send).await;
    drop(peer);
    waiting.failed(Some(2), EngineError::NotAvailable).await;
    waiting.closed(EngineError::NotAvailable).await;
    assert_moves(&mut upstream, &mut idle).await;
    harness.stop().await;
}

#[tokio::test]
async fn acknowledgements_of_deliveries_from_before_the_move_change_nothing() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let mut session = harness.session();
    session.subscribe(1, "/queue/a", Acknowledge::ByClient, None);
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    peer.message(frame.header("id").unwrap(), "before", b"b").await;
    let before = session.delivery().await;
    drop(peer);
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    peer.message(frame.header("id").unwrap(), "after", b"a").await;
    let after = session.delivery().await;
    let settle = |delivery: &stompbroker::engine::Delivery| Operation::Settle {
        subscription: SubscriptionKey(1),
        deliveries: vec![delivery.tag.unwrap()],
        settlement: Settlement::Accept,
    };
    session.submit(settle(&before), 1);
    session.submit(settle(&after), 2);
    let frame = peer.expect(Command::Ack).await;
    assert_eq!(frame.header("id"), Some("after"));
    peer.confirm(&frame).await;
    session.completed(1).await;
    session.completed(2).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_session_with_a_client_id_has_a_connection_of_its_own() {
    let (mut upstream, _system, harness) = sharing(1).await;
    let (mut one, mut other) = (harness.session(), harness.session_of(Some("ann-1")));
    one.send("/queue/a", "shared", None);
    let shared = upstream.client().await;
    other.send("/queue/a", "own", None);
    let own = upstream.client().await;
    assert_eq!([shared.connect.header("client-id"), own.connect.header("client-id")], [None, Some("ann-1")]);
    harness.stop().await;
}

#[tokio::test]
async fn the_loss_of_the_upstream_ends_all_sessions_of_all_connections() {
    let (mut upstream, system, harness) = sharing(2).await;
    let mut sessions = [harness.session(), harness.session(), harness.session()];
    let mut peers = Vec::new();
    for session in &mut sessions {
        session.send("/queue/a", "hello", None);
    }
    for _ in 0..2 {
        peers.push(upstream.client().await);
    }
    drop(system);
    for session in &mut sessions {
        session.closed(EngineError::NotAvailable).await;
    }
    harness.no_connections().await;
    harness.stop().await;
}

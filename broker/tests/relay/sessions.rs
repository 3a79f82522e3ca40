//! Sessions: their connections upstream, what is relayed on them, and how they end.

use stompbroker::{
    engine::{Acknowledge, DeliveryTag, EngineError, Operation, Settlement, SubscriptionKey},
    stomp::Command,
};
use stompbroker_config::admin::UpstreamState;

use crate::{
    harness::{Harness, Session, configured, send},
    upstream::{Manner, Peer, Upstream},
};

async fn serving() -> (Upstream, Peer, Harness) {
    let mut upstream = Upstream::start(Manner::Accept("0,0")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let system = upstream.system().await;
    harness.connected().await;
    (upstream, system, harness)
}

/// A session with a subscription to `/queue/a`, acknowledged by the client.
async fn subscribed(upstream: &mut Upstream, harness: &Harness) -> (Session, Peer) {
    let mut session = harness.session();
    session.subscribe(1, "/queue/a", Acknowledge::ByClient, Some(1));
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Subscribe).await;
    peer.confirm(&frame).await;
    session.completed(1).await;
    (session, peer)
}

fn settle(tag: DeliveryTag, settlement: Settlement) -> Operation {
    Operation::Settle { subscription: SubscriptionKey(1), deliveries: vec![tag], settlement }
}

#[tokio::test]
async fn a_session_connects_with_its_first_operation_and_the_client_credentials() {
    let (mut upstream, system, harness) = serving().await;
    let idle = harness.session();
    let mut session = harness.session();
    session.send("/queue/a", "hello", Some(1));
    let mut peer = upstream.client().await;
    assert_eq!((peer.connect.header("login"), peer.connect.header("passcode")), (Some("cli"), Some("c:lient")));
    assert_eq!(peer.connect.header("host"), None, "the client's host goes no further");
    assert_eq!(peer.connect.header("client-id"), Some("ann-1"), "it names durable subscriptions there");
    assert_eq!(system.connect.header("client-id"), None);
    let frame = peer.expect(Command::Send).await;
    assert_eq!((frame.header("destination"), &frame.body[..]), (Some("/queue/a"), &b"hello"[..]));
    assert_eq!(harness.status().client_connections, 1);
    assert!(!upstream.has_client(), "the idle session has no connection");
    drop(idle);
    peer.confirm(&frame).await;
    session.completed(1).await;
    harness.stop().await;
}

#[tokio::test]
async fn receipts_complete_the_operations_in_their_order() {
    let (mut upstream, _system, harness) = serving().await;
    let mut session = harness.session();
    for ticket in 1..=3 {
        session.send("/queue/a", "x", Some(ticket));
    }
    session.send("/queue/a", "no receipt asked for", None);
    let mut peer = upstream.client().await;
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(peer.expect(Command::Send).await);
    }
    assert_eq!(peer.expect(Command::Send).await.header("receipt"), None);
    for frame in frames.iter().rev() {
        peer.confirm(frame).await;
    }
    for ticket in 1..=3 {
        session.completed(ticket).await;
    }
    assert!(session.is_quiet());
    harness.stop().await;
}

#[tokio::test]
async fn messages_are_delivered_and_settled_as_the_client_says() {
    let (mut upstream, _system, harness) = serving().await;
    let (mut session, mut peer) = subscribed(&mut upstream, &harness).await;
    for (ack, settlement, command, requeue) in [
        ("t1", Settlement::Accept, Command::Ack, None),
        ("t2", Settlement::Requeue, Command::Nack, Some("true")),
        ("t3", Settlement::Reject, Command::Nack, Some("false")),
    ] {
        peer.message("1", ack, b"body").await;
        let delivery = session.delivery().await;
        assert_eq!((&*delivery.message.id, &delivery.message.body[..]), (ack, &b"body"[..]));
        session.submit(settle(delivery.tag.unwrap(), settlement), 7);
        let frame = peer.expect(command).await;
        assert_eq!((frame.header("id"), frame.header("requeue")), (Some(ack), requeue));
        peer.confirm(&frame).await;
        session.completed(7).await;
    }
    session.unsubscribe(1, &[], 8);
    let frame = peer.expect(Command::Unsubscribe).await;
    peer.message("1", "late", b"").await;
    peer.send(Command::Error, &[("message", "Subscription not found")], b"").await;
    peer.confirm(&frame).await;
    session.delivery().await;
    session.completed(8).await;
    // RabbitMQ takes back nothing by itself, and only for an id that is subscribed.
    assert_eq!(peer.expect(Command::Subscribe).await.header("id"), Some("1"));
    assert_eq!(peer.expect(Command::Nack).await.header("id"), Some("late"));
    peer.expect(Command::Unsubscribe).await;
    peer.message("1", "too late", b"").await;
    session.submit(send("/queue/a", vec![]), 9);
    let frame = peer.expect(Command::Send).await;
    peer.confirm(&frame).await;
    session.completed(9).await;
    harness.stop().await;
}

#[tokio::test]
async fn the_loss_of_the_upstream_fails_what_it_has_not_confirmed_and_ends_the_session() {
    let (mut upstream, system, harness) = serving().await;
    let (mut session, mut peer) = subscribed(&mut upstream, &harness).await;
    session.send("/queue/a", "confirmed", Some(2));
    let frame = peer.expect(Command::Send).await;
    peer.confirm(&frame).await;
    session.completed(2).await;
    session.send("/queue/a", "not confirmed", Some(3));
    peer.expect(Command::Send).await;
    upstream.become_(Manner::Close);
    drop(system);
    session.failed(Some(3), EngineError::NotAvailable).await;
    session.closed(EngineError::NotAvailable).await;
    session.send("/queue/a", "too late", Some(4));
    session.failed(Some(4), EngineError::NotAvailable).await;
    harness.sees(UpstreamState::Unreachable).await;
    let mut another = harness.session();
    another.send("/queue/a", "nobody there", None);
    another.failed(None, EngineError::NotAvailable).await;

    upstream.become_(Manner::Accept("0,0"));
    let _system = upstream.system().await;
    harness.connected().await;
    another.send("/queue/a", "back again", Some(1));
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Send).await;
    peer.confirm(&frame).await;
    another.completed(1).await;
    harness.stop().await;
}

#[tokio::test]
async fn the_loss_of_its_own_connection_ends_only_that_session() {
    let (mut upstream, _system, harness) = serving().await;
    let (mut lost, peer) = subscribed(&mut upstream, &harness).await;
    let (mut other, mut other_peer) = subscribed(&mut upstream, &harness).await;
    lost.send("/queue/a", "x", Some(2));
    drop(peer);
    lost.failed(Some(2), EngineError::NotAvailable).await;
    lost.closed(EngineError::NotAvailable).await;
    other_peer.message("1", "t", b"").await;
    other.delivery().await;
    harness.stop().await;
}

#[tokio::test]
async fn an_error_of_the_upstream_reaches_the_client_in_one_line() {
    let (mut upstream, _system, harness) = serving().await;
    let mut session = harness.session();
    session.send("/queue/a", "x", Some(1));
    session.send("/queue/a", "y", Some(2));
    let mut peer = upstream.client().await;
    peer.expect(Command::Send).await;
    let second = peer.expect(Command::Send).await;
    let headers =
        [("message", "Unknown destination\nat org.internal.X"), ("receipt-id", second.header("receipt").unwrap())];
    peer.send(Command::Error, &headers, b"internals").await;
    let error = EngineError::Upstream("Unknown destination".into());
    session.failed(Some(2), error.clone()).await;
    session.failed(Some(1), error.clone()).await;
    session.closed(error).await;
    peer.closed().await;
    harness.no_connections().await;
    harness.stop().await;
}

#[tokio::test]
async fn refused_client_credentials_show_in_the_status_but_not_to_the_client() {
    let (mut upstream, _system, harness) = serving().await;
    upstream.become_(Manner::RefuseClients("Bad CONNECT", "Access refused for user 'cli'"));
    let mut session = harness.session();
    session.send("/queue/a", "x", Some(1));
    session.failed(Some(1), EngineError::NotAvailable).await;
    session.closed(EngineError::NotAvailable).await;
    let status = harness.status();
    assert!(status.connected);
    assert_eq!(status.upstreams[0].state, UpstreamState::AuthFailed);
    let message = status.upstreams[0].message.as_deref().unwrap();
    assert!(message.contains("clientCredentials") && message.contains("Access refused"), "{message}");

    upstream.become_(Manner::Accept("0,0"));
    let mut session = harness.session();
    session.send("/queue/a", "x", None);
    upstream.client().await.expect(Command::Send).await;
    harness.sees(UpstreamState::Connected).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_destination_outside_the_prefixes_is_refused_after_all_that_came_before_it() {
    let (mut upstream, _system, harness) = serving().await;
    let error = |destination: &str| EngineError::UnknownDestination {
        destination: destination.into(),
        remedy: "those that begin with /topic, /queue are relayed".into(),
    };
    let mut session = harness.session();
    session.send("/app/x", "x", Some(1));
    session.failed(Some(1), error("/app/x")).await;
    session.send("/queue/a", "x", Some(2));
    session.submit(Operation::Commit(vec![send("/topic/a", vec![]), send("/topics", vec![])]), 3);
    let mut peer = upstream.client().await;
    let frame = peer.expect(Command::Send).await;
    assert!(session.is_quiet());
    peer.confirm(&frame).await;
    session.completed(2).await;
    session.failed(Some(3), error("/topics")).await;
    drop(session);
    peer.expect(Command::Disconnect).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_session_that_ends_still_sends_what_it_was_asked_to_and_says_disconnect() {
    let (mut upstream, _system, harness) = serving().await;
    upstream.become_(Manner::StallClients);
    let mut session = harness.session();
    for _ in 0..50 {
        session.send("/queue/a", "last words", None);
    }
    drop(session);
    upstream.become_(Manner::Accept("0,0"));
    let mut peer = upstream.client().await;
    for _ in 0..50 {
        peer.expect(Command::Send).await;
    }
    let frame = peer.expect(Command::Disconnect).await;
    peer.confirm(&frame).await;
    assert!(peer.closed().await.is_empty());
    harness.no_connections().await;
    harness.stop().await;
}

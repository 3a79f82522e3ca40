//! Bounds: a slow client, a slow upstream, and what happens when either recovers.

use std::time::Duration;

use stompbroker::{
    engine::{Acknowledge, Event},
    stomp::Command,
};
use tokio::time::timeout;

use crate::{
    harness::{Harness, MAILBOX, configured, send},
    upstream::{Manner, PATIENCE, Upstream},
};

/// More than the buffers of two sockets hold.
const FLOOD: usize = 20_000;
const BODY: [u8; 1000] = [b'x'; 1000];

#[tokio::test]
async fn a_slow_client_slows_the_upstream_down_and_loses_nothing() {
    let mut upstream = Upstream::start(Manner::Accept("300,0")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let mut system = upstream.system().await;
    harness.connected().await;
    // The system connection lives on heart-beats all the while.
    let beating = tokio::spawn(async move {
        loop {
            system.beat().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut session = harness.session();
    session.subscribe(1, "/queue/a", Acknowledge::WhenWritten, None);
    let mut peer = upstream.client().await;
    peer.expect(Command::Subscribe).await;
    let mut flood = tokio::spawn(async move {
        for number in 0..FLOOD {
            peer.message("1", &number.to_string(), &BODY).await;
        }
        peer
    });
    // Longer than the silence that the connection bears while it reads.
    assert!(timeout(Duration::from_secs(2), &mut flood).await.is_err(), "the upstream is held up");
    assert!(session.mailbox.octets() <= MAILBOX, "{} octets wait", session.mailbox.octets());
    for number in 0..FLOOD {
        assert_eq!(*session.delivery().await.message.id, *number.to_string());
    }
    let _peer = timeout(PATIENCE, flood).await.unwrap().unwrap();
    assert!(session.is_quiet());
    beating.abort();
    harness.stop().await;
}

#[tokio::test]
async fn a_session_gone_while_its_mailbox_is_full_leaves_no_connection_behind() {
    let mut upstream = Upstream::start(Manner::Accept("0,0")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _system = upstream.system().await;
    harness.connected().await;
    let mut session = harness.session();
    session.subscribe(1, "/queue/a", Acknowledge::WhenWritten, None);
    let mut peer = upstream.client().await;
    peer.expect(Command::Subscribe).await;
    for number in 0..200 {
        peer.message("1", &number.to_string(), &BODY).await;
    }
    session.delivery().await;
    drop(session);
    let frame = peer.expect(Command::Disconnect).await;
    peer.confirm(&frame).await;
    peer.closed().await;
    harness.no_connections().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_slow_upstream_makes_the_session_stop_and_go_on_without_a_loss() {
    let mut upstream = Upstream::start(Manner::Accept("0,0")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _system = upstream.system().await;
    harness.connected().await;
    upstream.become_(Manner::StallClients);
    let mut session = harness.session();
    let mut submitted = 0_usize;
    while session.engine.is_ready() {
        assert!(submitted < 100_000, "the queue has no bound");
        session.engine.submit(send("/queue/a", submitted.to_string().into_bytes()), None);
        submitted += 1;
    }
    upstream.become_(Manner::Accept("0,0"));
    let mut peer = upstream.client().await;
    for number in 0..submitted {
        assert_eq!(peer.expect(Command::Send).await.body, number.to_string());
    }
    assert!(matches!(session.event().await, Event::Ready));
    assert!(session.engine.is_ready() && session.is_quiet());
    harness.stop().await;
}

#[tokio::test]
async fn operations_that_the_upstream_does_not_confirm_make_the_session_stop() {
    let mut upstream = Upstream::start(Manner::Accept("0,0")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _system = upstream.system().await;
    harness.connected().await;
    let mut session = harness.session();
    let mut submitted = 0;
    while session.engine.is_ready() {
        assert!(submitted < 100_000, "unconfirmed operations have no bound");
        session.submit(send("/queue/a", Vec::new()), submitted);
        submitted += 1;
        tokio::task::yield_now().await;
    }
    let mut peer = upstream.client().await;
    let mut completed = 0;
    while completed < submitted {
        let frame = peer.expect(Command::Send).await;
        peer.confirm(&frame).await;
        completed += 1;
    }
    for ticket in 0..submitted {
        match session.event().await {
            Event::Ready => session.completed(ticket).await,
            Event::Completed(found) => assert_eq!(found.0, ticket),
            other => panic!("unexpected {other:?}"),
        }
    }
    harness.stop().await;
}

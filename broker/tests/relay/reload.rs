//! Changes of the configuration while sessions are connected.

use stompbroker::{
    engine::{Acknowledge, EngineError},
    stomp::Command,
};
use stompbroker_config::admin::UpstreamState;

use crate::{
    harness::{Harness, Session, configured},
    upstream::{Manner, Peer, Upstream},
};

const ACCEPT: Manner = Manner::Accept("0,0");

async fn subscribed(upstream: &mut Upstream, harness: &Harness) -> (Session, Peer) {
    let mut session = harness.session();
    session.subscribe(1, "/queue/a", Acknowledge::WhenWritten, None);
    let mut peer = upstream.client().await;
    peer.expect(Command::Subscribe).await;
    (session, peer)
}

/// The session still gets its messages.
async fn lives(session: &mut Session, peer: &mut Peer) {
    peer.message("1", "still", b"here").await;
    assert_eq!(&*session.delivery().await.message.id, "still");
}

#[tokio::test]
async fn changed_prefixes_and_credentials_cut_nothing() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _system = upstream.system().await;
    harness.connected().await;
    let (mut session, mut peer) = subscribed(&mut upstream, &harness).await;
    std::fs::write(harness.credentials.path().join("cli/password"), "rotated").unwrap();
    harness.reload(|relay| relay.destination_prefixes = vec!["/app".to_owned()]);
    let mut fresh = harness.session();
    // The new prefixes are in force as soon as they are refused no more.
    while {
        fresh.send("/app/a", "x", None);
        !fresh.is_quiet()
    } {
        fresh = harness.session();
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.client().await.connect.header("passcode"), Some("rotated"));
    lives(&mut session, &mut peer).await;
    assert!(harness.status().connected);
    harness.stop().await;
}

#[tokio::test]
async fn a_new_upstream_in_the_own_zone_is_moved_to_without_cutting_sessions() {
    let mut far = Upstream::start(ACCEPT).await;
    let mut near = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(far.address, Some("b"))]);
    let mut far_system = far.system().await;
    harness.connected().await;
    let (mut session, mut peer) = subscribed(&mut far, &harness).await;
    let added = configured(near.address, Some("a"));
    harness.reload(|relay| relay.upstreams.push(added));
    let _near_system = near.system().await;
    let frame = far_system.expect(Command::Disconnect).await;
    far_system.confirm(&frame).await;
    harness
        .eventually("at home", |status| {
            status.connected
                && status.upstreams[0].port == near.address.port()
                && status.upstreams[0].state == UpstreamState::Connected
                && status.upstreams[1].state == UpstreamState::Idle
        })
        .await;
    lives(&mut session, &mut peer).await;
    let _ = subscribed(&mut near, &harness).await;
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_taken_away_ends_its_sessions_and_no_others() {
    let mut goes = Upstream::start(ACCEPT).await;
    let mut stays = Upstream::start(ACCEPT).await;
    let (gone, kept) = (configured(goes.address, Some("b")), configured(stays.address, Some("a")));
    let harness = Harness::start(vec![gone.clone()]);
    let _system = goes.system().await;
    harness.connected().await;
    let (mut ends, _peer) = subscribed(&mut goes, &harness).await;
    harness.reload(|relay| relay.upstreams = vec![gone, kept.clone()]);
    let _system = stays.system().await;
    harness.eventually("moved", |status| status.upstreams[1].state == UpstreamState::Idle).await;
    let (mut session, mut peer) = subscribed(&mut stays, &harness).await;
    harness.reload(|relay| relay.upstreams = vec![kept]);
    ends.closed(EngineError::NotAvailable).await;
    lives(&mut session, &mut peer).await;
    harness.stop().await;
}

#[tokio::test]
async fn another_virtual_host_ends_all_sessions_and_connects_anew() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _old = upstream.system().await;
    harness.connected().await;
    let (mut session, _peer) = subscribed(&mut upstream, &harness).await;
    harness.reload(|relay| relay.virtual_host = Some("other".to_owned()));
    session.closed(EngineError::NotAvailable).await;
    let system = upstream.system().await;
    assert_eq!(system.connect.header("host"), Some("other"));
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn changed_heart_beats_renew_the_system_connection_but_cut_no_session() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let _old = upstream.system().await;
    harness.connected().await;
    let (mut session, mut peer) = subscribed(&mut upstream, &harness).await;
    harness.reload(|relay| relay.heartbeat.send.0 *= 2);
    let system = upstream.system().await;
    assert_eq!(system.connect.header("heart-beat"), Some("600,300"));
    lives(&mut session, &mut peer).await;
    harness.stop().await;
}

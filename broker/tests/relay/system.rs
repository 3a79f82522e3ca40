//! The system connection: what it says, what it notices, and how it comes back.

use stompbroker::{
    engine::{Engine, EngineError},
    stomp::Command,
};
use stompbroker_config::{Upstream as Configured, admin::UpstreamState};

use crate::{
    harness::{Harness, configured},
    upstream::{Manner, Peer, Upstream},
};

const ACCEPT: Manner = Manner::Accept("0,0");

#[tokio::test]
async fn it_logs_in_with_the_system_credentials_and_no_host() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let peer = upstream.system().await;
    let header = |name| peer.connect.header(name);
    assert_eq!(header("accept-version"), Some("1.1,1.2"));
    assert_eq!((header("login"), header("passcode")), (Some("sys"), Some("first")));
    assert_eq!((header("heart-beat"), header("host")), (Some("300,300"), None));
    harness.connected().await;
    assert_eq!(harness.relay.ready(), Ok(()));
    assert_eq!(harness.status().upstreams[0].state, UpstreamState::Connected);
    harness.stop().await;
}

#[tokio::test]
async fn the_virtual_host_is_named_when_one_is_configured() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness =
        Harness::start_with(vec![configured(upstream.address, None)], |relay| relay.virtual_host = Some("a:b".into()));
    assert_eq!(upstream.system().await.connect.header("host"), Some("a:b"));
    harness.stop().await;
}

#[tokio::test]
async fn every_way_to_fail_has_its_name_and_readiness_tells_it() {
    for (manner, state, text) in [
        (Manner::Refuse("Bad CONNECT", "Access refused for user 'sys'"), UpstreamState::AuthFailed, "Access refused"),
        (Manner::Refuse("Bad CONNECT", "Virtual host 'x' access denied"), UpstreamState::VhostMissing, "Virtual host"),
        (Manner::Refuse("Broker is busy", ""), UpstreamState::ProtocolError, "Broker is busy"),
        (Manner::Garbage("HTTP/1.1 400 Bad Request\r\n\r\n"), UpstreamState::ProtocolError, "not STOMP"),
        (Manner::Garbage("CONNECTED\nversion:1.0\n\n\0"), UpstreamState::ProtocolError, "1.0"),
        (Manner::Close, UpstreamState::Unreachable, "closed"),
        (Manner::Silence, UpstreamState::Unreachable, "did not answer CONNECT within 2s"),
    ] {
        let upstream = Upstream::start(manner.clone()).await;
        let harness = Harness::start(vec![configured(upstream.address, None)]);
        harness.sees(state).await;
        let reason = harness.relay.ready().unwrap_err();
        assert!(reason.contains(text) && reason.contains(&upstream.address.to_string()), "{manner:?}: {reason}");
        assert!(!reason.contains("first"), "no secret: {reason}");
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_port_that_nobody_listens_on_are_told_apart() {
    let address = Upstream::start(ACCEPT).await.stop().await;
    let unknown = Configured { host: "upstream.invalid".to_owned(), port: 61613, zone: None };
    let harness = Harness::start(vec![unknown, configured(address, None)]);
    harness.sees(UpstreamState::DnsFailed).await;
    harness.eventually("unreachable", |status| status.upstreams[1].state == UpstreamState::Unreachable).await;
    let reason = harness.relay.ready().unwrap_err();
    assert!(reason.contains("upstream.invalid") && reason.contains("refused"), "{reason}");
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_that_refuses_the_client_credentials_does_not_serve() {
    let mut upstream = Upstream::start(Manner::RefuseClients("Bad CONNECT", "Access refused for user 'cli'")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    harness.sees(UpstreamState::AuthFailed).await;
    let reason = harness.relay.ready().unwrap_err();
    assert!(reason.contains("clientCredentials") && reason.contains("user 'cli'"), "{reason}");
    upstream.system().await.expect(Command::Disconnect).await;
    upstream.become_(ACCEPT);
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn missing_credentials_are_named_by_their_file_and_read_again_at_each_try() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start_with(vec![configured(upstream.address, None)], |relay| {
        std::fs::remove_file(relay.system_credentials.directory.join("password")).unwrap();
    });
    harness.sees(UpstreamState::AuthFailed).await;
    assert!(harness.relay.ready().unwrap_err().contains("password"));
    std::fs::write(harness.credentials.path().join("sys/password"), "second\n").unwrap();
    assert_eq!(upstream.system().await.connect.header("passcode"), Some("second"));
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn heart_beats_are_sent_and_silence_ends_the_connection() {
    let mut upstream = Upstream::start(Manner::Accept("300,300")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let mut peer = upstream.system().await;
    for count in 1..=6 {
        peer.beat().await;
        peer.beats(count).await;
    }
    assert!(harness.status().connected, "it hears and is heard");
    harness.eventually("lost", |status| !status.connected).await;
    let reason = harness.relay.ready().unwrap_err();
    assert!(reason.contains("silent"), "{reason}");
    let mut again = upstream.system().await;
    again.beat().await;
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn it_tries_until_the_upstream_takes_it_and_again_after_a_loss() {
    let mut upstream = Upstream::start(Manner::Refuse("Bad CONNECT", "Access refused")).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    harness.sees(UpstreamState::AuthFailed).await;
    upstream.become_(ACCEPT);
    let peer = upstream.system().await;
    harness.connected().await;
    drop(peer);
    harness.sees(UpstreamState::Unreachable).await;
    let _peer = upstream.system().await;
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn an_error_of_the_upstream_is_the_reason_of_the_loss() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let mut peer = upstream.system().await;
    harness.connected().await;
    upstream.become_(Manner::Silence);
    peer.send(Command::Error, &[("message", "shutting down")], b"").await;
    harness.sees(UpstreamState::ProtocolError).await;
    assert!(harness.relay.ready().unwrap_err().contains("shutting down"));
    peer.closed().await;
    harness.stop().await;
}

#[tokio::test]
async fn the_own_zone_comes_first_and_another_one_serves_when_it_is_lost() {
    let mut far = Upstream::start(ACCEPT).await;
    let mut near = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(far.address, Some("b")), configured(near.address, Some("a"))]);
    let peer = near.system().await;
    harness.connected().await;
    let order: Vec<_> = harness.status().upstreams.iter().map(|upstream| upstream.port).collect();
    assert_eq!(order, [near.address.port(), far.address.port()]);
    near.become_(Manner::Close);
    drop(peer);
    let _peer = far.system().await;
    harness
        .eventually("served by the other", |status| {
            status.connected && status.upstreams[1].state == UpstreamState::Connected
        })
        .await;
    assert_ne!(harness.status().upstreams[0].state, UpstreamState::Connected);
    harness.stop().await;
}

#[tokio::test]
async fn a_stop_says_disconnect_on_every_connection_and_ends_the_sessions() {
    let mut upstream = Upstream::start(ACCEPT).await;
    let harness = Harness::start(vec![configured(upstream.address, None)]);
    let system = upstream.system().await;
    harness.connected().await;
    let mut session = harness.session();
    session.send("/queue/a", "x", Some(1));
    let mut client = upstream.client().await;
    client.expect(Command::Send).await;
    let leave = |mut peer: Peer| async move {
        let frame = peer.expect(Command::Disconnect).await;
        peer.confirm(&frame).await;
        assert!(peer.closed().await.is_empty());
    };
    tokio::join!(leave(system), leave(client), harness.stop());
    session.failed(Some(1), EngineError::NotAvailable).await;
    session.closed(EngineError::NotAvailable).await;
}

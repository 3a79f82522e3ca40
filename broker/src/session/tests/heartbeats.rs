//! Heart-beats of a live session.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn agreed(version: Version, heartbeat: &str) -> Peer {
    let mut peer = Peer::new();
    peer.send(&format!("CONNECT\naccept-version:{}\nheart-beat:{heartbeat}\n\n", version.as_str()));
    peer.log_in("anna");
    peer.frame();
    peer
}

#[test]
fn a_client_that_wants_heartbeats_gets_them_on_a_fixed_tick() {
    let mut peer = agreed(Version::V1_2, "0,10000");
    let key = peer.subscribe("s", "auto");
    for _ in 0..3 {
        assert_eq!(peer.session.next_tick(), Some(peer.now + 7 * SECOND));
        peer.pass(6 * SECOND);
        peer.deliver(key, "m", None, false);
        assert_eq!(peer.client.heartbeats, 0);
        peer.pass(SECOND);
        assert_eq!(std::mem::take(&mut peer.client.heartbeats), 1, "whatever else was sent");
    }
}

#[test]
fn the_longer_wish_counts() {
    let peer = agreed(Version::V1_1, "0,60000");
    assert_eq!(peer.session.next_tick(), Some(peer.now + 42 * SECOND));
    let peer = agreed(Version::V1_1, "0,1");
    assert_eq!(peer.session.next_tick(), Some(peer.now + 7 * SECOND));
}

#[test]
fn without_agreement_there_are_none() {
    for peer in [agreed(Version::V1_2, "0,0"), agreed(Version::V1_0, "1000,1000"), Peer::live(Version::V1_2)] {
        assert_eq!(peer.session.next_tick(), None);
    }
}

#[test]
fn a_client_that_promised_life_and_is_silent_is_let_go() {
    let mut peer = agreed(Version::V1_2, "10000,0");
    assert_eq!(peer.session.next_tick(), Some(peer.now + 30 * SECOND));
    peer.pass(29 * SECOND);
    assert!(peer.session.is_live());
    peer.session.on_received(peer.now);
    peer.pass(29 * SECOND);
    assert!(peer.session.is_live(), "any octet counts");
    peer.pass(SECOND);
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Heart-beat timeout"));
    assert!(body(&error).contains("30s"));
    assert_eq!(peer.end_reason(), Some(CloseReason::HeartbeatTimeout));
}

#[test]
fn a_client_with_a_long_period_has_twice_of_it() {
    let peer = agreed(Version::V1_2, "60000,0");
    assert_eq!(peer.session.next_tick(), Some(peer.now + 120 * SECOND));
}

#[test]
fn a_client_that_promised_nothing_may_be_silent() {
    let mut peer = agreed(Version::V1_2, "0,10000");
    peer.pass(3600 * SECOND);
    assert!(peer.session.is_live());
}

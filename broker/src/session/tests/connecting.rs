//! CONNECT and CONNECTED.

use super::*;

fn offer(headers: &str) -> Peer {
    let mut peer = Peer::new();
    peer.send(&format!("CONNECT\n{headers}\n"));
    peer
}

#[test]
fn the_highest_common_version_is_agreed_on() {
    for (headers, version) in [
        ("", Version::V1_0),
        ("accept-version:1.0\n", Version::V1_0),
        ("accept-version:1.1,1.2\n", Version::V1_2),
        ("accept-version:1.1,1.0\n", Version::V1_1),
        ("accept-version:1.2, 1.1 ,1.0\n", Version::V1_2),
        ("accept-version:2.0,1.1,banana\n", Version::V1_1),
    ] {
        let mut peer = offer(headers);
        peer.log_in("anna");
        assert_eq!(peer.session.version(), Some(version), "{headers:?}");
        assert_eq!(peer.frame().header("version"), Some(version.as_str()), "{headers:?}");
    }
}

#[test]
fn without_a_common_version_the_error_lists_ours() {
    for list in ["2.0", "", "1.3,0.9"] {
        let mut peer = offer(&format!("accept-version:{list}\n"));
        let error = peer.error();
        assert_eq!(error.header("version"), Some("1.0,1.1,1.2"));
        assert_eq!(error.header("message"), Some("Version mismatch"));
        assert!(body(&error).contains("1.0,1.1,1.2"));
        assert_eq!(peer.end_reason(), Some(CloseReason::ProtocolError));
        assert!(peer.effects.login.is_none());
    }
}

#[test]
fn stomp_means_connect() {
    let mut peer = Peer::new();
    peer.send("STOMP\naccept-version:1.2\n\n");
    peer.log_in("anna");
    assert_eq!(peer.frame().command.as_str(), "CONNECTED");
    assert!(peer.session.is_live());
}

#[test]
fn connected_says_version_session_server_heartbeat_and_user() {
    for version in Version::ALL {
        let mut peer = offer(&format!("accept-version:{}\n", version.as_str()));
        peer.log_in("anna:b\\c");
        let frame = peer.frame();
        assert_eq!(frame.header("session"), Some("s-1"));
        assert_eq!(frame.header("server"), Some(concat!("Stompbroker/", env!("CARGO_PKG_VERSION"))));
        let heartbeat = if version == Version::V1_0 { "0,0" } else { "10000,10000" };
        assert_eq!(frame.header("heart-beat"), Some(heartbeat));
        assert_eq!(frame.header("user-name"), Some("anna:b\\c"), "CONNECTED is not escaped");
    }
}

#[test]
fn an_anonymous_session_has_no_user_name() {
    let mut peer = offer("accept-version:1.2\n");
    peer.log_in("");
    assert_eq!(peer.frame().header("user-name"), None);
    assert!(!peer.session.principal().unwrap().is_authenticated());
}

#[test]
fn a_user_name_cannot_forge_headers_of_connected() {
    let mut peer = offer("accept-version:1.2\n");
    peer.log_in("anna\nsession:forged");
    assert_eq!(names(&peer.frame()), ["version", "session", "server", "heart-beat"]);
}

#[test]
fn the_login_is_handed_on_as_it_was_written() {
    let mut peer = offer("accept-version:1.2\nlogin:an:na\npasscode: a\\c:b\nAuthorization:Bearer x\nhost:v\n");
    let login = peer.effects.login.clone().unwrap();
    assert_eq!(login.login.as_deref(), Some("an:na"));
    assert_eq!(login.passcode.as_deref(), Some(" a\\c:b"));
    assert_eq!(login.authorization.as_deref(), Some("Bearer x"));
    assert_eq!(peer.session.virtual_host(), Some("v"));
    peer.log_in("anna");
    assert_eq!(peer.session.virtual_host(), Some("v"));
}

#[test]
fn a_1_0_client_may_pad_its_login() {
    let peer = offer("login: anna\npasscode: secret\n");
    let login = peer.effects.login.unwrap();
    assert_eq!((login.login.as_deref(), login.passcode.as_deref()), (Some("anna"), Some("secret")));
}

#[test]
fn host_is_never_required() {
    for version in ["1.1", "1.2"] {
        let mut peer = offer(&format!("accept-version:{version}\n"));
        peer.log_in("anna");
        assert_eq!(peer.session.virtual_host(), None);
        assert!(peer.session.is_live());
    }
}

#[test]
fn nothing_is_said_and_no_frame_is_welcome_while_the_login_is_decided() {
    let mut peer = offer("accept-version:1.2\n");
    assert_eq!(peer.text(), "");
    assert!(!peer.session.accepts_frames() && !peer.session.is_live());
    peer.log_in("anna");
    assert!(peer.session.accepts_frames() && peer.session.is_live());
}

#[test]
fn a_refused_login_ends_with_an_error_that_shows_nothing() {
    let mut peer = offer("accept-version:1.2\nlogin:anna\npasscode:topsecret\n");
    peer.refuse_login();
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Bad CONNECT"));
    assert!(!body(&error).contains("anna") && !body(&error).contains("topsecret"));
    assert_eq!(peer.end_reason(), Some(CloseReason::LoginRefused));
}

#[test]
fn a_session_ends_with_what_its_user_logged_in_with() {
    let mut peer = offer("accept-version:1.2\n");
    let before = peer.now + Duration::from_secs(7);
    let expires_at = before + Duration::from_millis(1);
    peer.log_in_as(Principal { expires_at: Some(expires_at), ..principal("anna") });
    assert_eq!(peer.frame().command.as_str(), "CONNECTED");
    assert_eq!(peer.session.next_tick(), Some(expires_at));
    peer.session.on_tick(before, &mut peer.client, &mut peer.effects);
    assert!(peer.session.is_live());
    peer.session.on_tick(expires_at, &mut peer.client, &mut peer.effects);
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Token expired"));
    assert!(body(&error).contains("connect again"));
    assert_eq!(peer.end_reason(), Some(CloseReason::LoginExpired));
}

#[test]
fn an_expired_token_is_refused_by_its_own_name() {
    let mut peer = offer("accept-version:1.2\n");
    peer.session.on_login(Err(LoginRefused::TokenExpired), peer.now, &mut peer.client, &mut peer.effects);
    assert_eq!(peer.error().header("message"), Some("Token expired"));
}

#[test]
fn a_receipt_on_connect_is_ignored() {
    let mut peer = offer("accept-version:1.2\nreceipt:r\n");
    peer.log_in("anna");
    assert_eq!(peer.frame().command.as_str(), "CONNECTED");

    let mut peer = offer("accept-version:9\nreceipt:r\n");
    assert_eq!(peer.error().header("receipt-id"), None);
}

#[test]
fn any_other_first_frame_is_an_error() {
    for command in ["SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT"] {
        let mut peer = Peer::new();
        peer.send(&format!("{command}\ndestination:/queue/a\nreceipt:r:1\n\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Not connected"), "{command}");
        assert_eq!(error.header("receipt-id"), Some("r:1"));
        assert!(body(&error).contains(command));
        assert_eq!(peer.end_reason(), Some(CloseReason::ProtocolError));
        assert!(peer.operations().is_empty());
    }
}

#[test]
fn a_second_connect_is_an_error() {
    for command in ["CONNECT", "STOMP"] {
        let mut peer = Peer::live(Version::V1_2);
        peer.send(&format!("{command}\naccept-version:1.2\nreceipt:r\n\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Already connected"));
        assert_eq!(error.header("receipt-id"), None);
    }
}

#[test]
fn frames_of_servers_are_refused_from_clients() {
    for command in ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"] {
        for mut peer in [Peer::new(), Peer::live(Version::V1_2)] {
            peer.send(&format!("{command}\n\n"));
            let error = peer.error();
            assert_eq!(error.header("message"), Some("Bad command"));
            assert!(body(&error).contains(command));
        }
    }
}

#[test]
fn an_unknown_command_is_named() {
    let mut peer = Peer::live(Version::V1_2);
    peer.send("SENDX\n\n");
    let error = peer.error();
    assert_eq!(error.header("message"), Some("Bad command"));
    assert!(body(&error).contains("could not interpret command \"SENDX\""));
}

#[test]
fn a_malformed_heart_beat_is_an_error() {
    for value in ["x", "-5,5", "1,2,3", "5", "", ",", "1,", "1.5,2", "99999999999,1"] {
        let mut peer = offer(&format!("accept-version:1.2\nheart-beat:{value}\n"));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Invalid header"), "{value:?}");
        assert!(body(&error).contains(&format!("{value:?}")) && body(&error).contains("10000,10000"));
    }
    let mut peer = offer("heart-beat:x\n");
    peer.log_in("anna");
    assert!(peer.session.is_live(), "1.0 knows no such header");
}

#[test]
fn a_client_that_does_not_connect_in_time_is_let_go() {
    let seconds = Duration::from_secs;
    for headers in [None, Some("accept-version:1.2\n")] {
        let mut peer = headers.map_or_else(Peer::new, offer);
        assert_eq!(peer.session.next_tick(), Some(peer.now + seconds(10)));
        peer.pass(seconds(9));
        assert_eq!(peer.text(), "");
        peer.pass(seconds(1));
        let error = peer.error();
        assert_eq!(error.header("message"), Some("Login timeout"));
        assert!(body(&error).contains("limits.loginTimeout, which is 10s"));
        assert_eq!(peer.end_reason(), Some(CloseReason::LoginTimeout));
    }
}

#[test]
fn a_large_frame_is_refused_before_the_login_and_taken_after_it() {
    let large = "x".repeat(20_000);
    let mut peer = Peer::new();
    peer.send(&format!("SEND\ndestination:/queue/a\n\n{large}"));
    let error = peer.error();
    assert!(body(&error).contains("16384 octets (limits.unauthenticatedFrameSize"), "{}", body(&error));
    assert_eq!(peer.end_reason(), Some(CloseReason::LimitExceeded));

    let mut peer = Peer::live(Version::V1_2);
    peer.send(&format!("SEND\ndestination:/queue/a\n\n{large}"));
    assert_eq!(peer.operations().len(), 1);
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
    assert!(size_of::<super::super::live::Live>() <= 400, "{}", size_of::<super::super::live::Live>());
}

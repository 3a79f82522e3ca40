//! Who gets in.

use std::{
    fs,
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use tempfile::TempDir;

use crate::support::{BrokerUnderTest, Peer};

const CONFIG: &str = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\ncredentials: {system: {directory: FOLDER/system}, \
                      client: {directory: FOLDER/client}}\n";

fn secret(folder: &Path, name: &str, username: &str, password: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("username"), username).unwrap();
    fs::write(folder.join(name).join("password"), password).unwrap();
}

fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "system", "spring", "s:ecret");
    secret(folder.path(), "client", "browser", "cl13nt");
    folder
}

#[tokio::test]
async fn a_good_login_is_let_in_and_named() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    for (login, passcode) in [("spring", "s:ecret"), ("browser", "cl13nt")] {
        let connected = broker.tcp().await.log_in(&format!("login:{login}\npasscode:{passcode}\n")).await;
        assert_eq!(connected.header("user-name"), Some(login));
    }
}

#[tokio::test]
async fn a_bad_login_is_refused_late_without_holding_up_others_and_without_saying_what_was_wrong() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let begun = Instant::now();
    let mut refused = Vec::new();
    for headers in ["login:spring\npasscode:cl13nt\n", "login:nobody\npasscode:s:ecret\n", ""] {
        let mut client = broker.tcp().await;
        client.send_frame(&format!("CONNECT\naccept-version:1.2\nhost:x\n{headers}\n")).await;
        refused.push(client);
    }
    broker.tcp().await.log_in("login:spring\npasscode:s:ecret\n").await;
    let mut texts = Vec::new();
    for client in &mut refused {
        let error = client.frame().await;
        error.assert_error("login");
        texts.push(error.text().to_owned());
        client.end().await;
    }
    assert!(begun.elapsed().as_millis() >= 1000, "guessing must be slow");
    assert!(texts.iter().all(|text| *text == texts[0] && !text.contains("s:ecret")), "{texts:?}");
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_refused\"}").await, 3);
    assert_eq!(broker.metric("stompbroker_sessions_opened_total{transport=\"tcp\"}").await, 1);
}

#[tokio::test]
async fn a_connection_that_does_not_log_in_is_closed() {
    let broker = BrokerUnderTest::start(&format!("{CONFIG}limits: {{loginTimeout: 300ms}}\n").replace(
        "credentials: {system: {directory: FOLDER/system}, client: {directory: FOLDER/client}}",
        "authentication: {anonymous: true}",
    ));
    let mut client = broker.tcp().await;
    client.write(b"CONN").await;
    client.frame().await.assert_error("limits.loginTimeout");
    client.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_timeout\"}").await, 1);
}

const ISSUER_SECRET: &[u8] = b"known to the issuer and to us only";

/// A folder with the issuer's keys in `keys.json`.
fn issuer_keys() -> TempDir {
    let folder = secrets();
    let key = BASE64_URL_SAFE_NO_PAD.encode(ISSUER_SECRET);
    fs::write(folder.path().join("keys.json"), format!(r#"{{"keys": [{{"kty": "oct", "k": "{key}"}}]}}"#)).unwrap();
    folder
}

const JWT_CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\n\
    admin: {port: 0}\ncredentials: {client: {directory: FOLDER/client}}\n\
    authentication:\n  jwt:\n    - {issuer: me, audiences: [stomp], jwksFile: FOLDER/keys.json, clockSkew: 0s}\n\
    authorization:\n  rules:\n    - {actions: [Subscribe], destinations: [/topic/admin], allow: {roles: [ADMIN]}}\n\
    \x20   - {actions: [Subscribe], destinations: ['/topic/of/{user}'], allow: {authenticated: {}}}\n";

/// A token of this user that is valid for some seconds.
fn token(user: &str, roles: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiry = now.checked_add_signed(seconds).unwrap();
    let claims = format!(r#"{{"iss": "me", "aud": "stomp", "sub": "{user}", "roles": "{roles}", "exp": {expiry}}}"#);
    let [header, claims] = [r#"{"alg": "HS256"}"#, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ISSUER_SECRET), message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn a_token_logs_in_with_its_user_and_roles_as_header_or_passcode_over_both_transports() {
    let broker = BrokerUnderTest::start_in(issuer_keys(), JWT_CONFIG);
    let token = token("ann", "USER ADMIN", 600);
    let mut client = broker.tcp().await;
    let connected = client.log_in(&format!("Authorization:Bearer {token}\n")).await;
    assert_eq!(connected.header("user-name"), Some("ann"));
    client.subscribe("1", "/topic/admin").await;
    client.subscribe("2", "/topic/of/ann").await;
    let mut browser = broker.websocket_client().await;
    let connected = browser.log_in(&format!("login:whoever\npasscode:{token}\n")).await;
    assert_eq!(connected.header("user-name"), Some("ann"));
    broker.tcp().await.log_in("login:browser\npasscode:cl13nt\n").await;
}

#[tokio::test]
async fn a_tokens_roles_and_name_open_nothing_else() {
    let broker = BrokerUnderTest::start_in(issuer_keys(), JWT_CONFIG);
    for destination in ["/topic/admin", "/topic/of/bob"] {
        let mut client = broker.tcp().await;
        client.log_in(&format!("Authorization:Bearer {}\n", token("ann", "USER", 600))).await;
        client.consume("1", destination).await;
        client.frame().await.assert_error("destination rules");
        client.end().await;
    }
}

#[tokio::test]
async fn a_token_that_is_forged_or_expired_is_refused() {
    let broker = BrokerUnderTest::start_in(issuer_keys(), JWT_CONFIG);
    let genuine = token("ann", "USER", 600);
    for (token, words) in [
        (token("ann", "USER", -60), "expired"),
        (format!("{}x", token("ann", "USER", 600)), "token was refused"),
        (genuine[..genuine.len() - 3].to_owned(), "token was refused"),
    ] {
        let mut client = broker.tcp().await;
        client.send_frame(&format!("CONNECT\naccept-version:1.2\nhost:x\nAuthorization:Bearer {token}\n\n")).await;
        let error = client.frame().await;
        error.assert_error(words);
        assert!(!error.text().contains(&token), "{}", error.text());
        client.end().await;
    }
}

#[tokio::test]
async fn a_session_ends_when_its_token_does() {
    let broker = BrokerUnderTest::start_in(issuer_keys(), JWT_CONFIG);
    let mut client = broker.tcp().await;
    client.log_in(&format!("Authorization:Bearer {}\n", token("ann", "USER", 5))).await;
    let error = client.frame().await;
    assert_eq!(error.header("message"), Some("Token expired"));
    client.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_expired\"}").await, 1);
}

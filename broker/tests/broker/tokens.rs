//! Logging in with tokens of an issuer.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{BrokerUnderTest, Peer, eventually};

const ISSUER_SECRET: &[u8] = b"known to the issuer and to us only";

/// A folder with the issuer's keys in `keys.json`.
fn issuer_keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder, ISSUER_SECRET);
    folder
}

fn write_key(folder: &TempDir, secret: &[u8]) {
    let key = BASE64_URL_SAFE_NO_PAD.encode(secret);
    fs::write(folder.path().join("keys.json"), format!(r#"{{"keys": [{{"kty": "oct", "k": "{key}"}}]}}"#)).unwrap();
}

const CLAIMS_RULES: &str = "authorization:\n  rules:\n    - {actions: [Subscribe], destinations: ['/topic/{claim.tenant}/**'], \
    allow: {authenticated: {}}}\n";

const JWT_CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\n\
    admin: {port: 0}\n\
    authentication:\n  jwt:\n    - {issuer: me, audiences: [stomp], jwksFile: FOLDER/keys.json, clockSkew: 0s}\n\
    authorization:\n  rules:\n    - {actions: [Subscribe], destinations: [/topic/admin], allow: {roles: [ADMIN]}}\n\
    \x20   - {actions: [Subscribe], destinations: ['/topic/of/{user}'], allow: {authenticated: {}}}\n";

/// A token of this user that is valid for some seconds, with the signature still to come.
fn unsigned(algorithm: &str, user: &str, roles: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiry = now.checked_add_signed(seconds).unwrap();
    let claims = format!(r#"{{"iss": "me", "aud": "stomp", "sub": "{user}", "roles": "{roles}", "exp": {expiry}}}"#);
    let header = format!(r#"{{"alg": "{algorithm}"}}"#);
    [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn token(user: &str, roles: &str, seconds: i64) -> String {
    let message = unsigned("HS256", user, roles, seconds);
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

#[tokio::test]
async fn fetched_keys_survive_a_reload_though_the_issuer_is_away() {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let key = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "x": "{key}"}}]}}"#);
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = issuer.local_addr().unwrap();
    // Answers once and is gone.
    let answer_once = tokio::spawn(async move {
        let (mut stream, _) = issuer.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
        stream.write_all((head + &keys).as_bytes()).await.unwrap();
    });
    let config = JWT_CONFIG.replace("jwksFile: FOLDER/keys.json", &format!("jwksUrl: 'http://{address}/keys'"));
    let broker = BrokerUnderTest::start(&config.replace("admin: {port: 0}", "admin: {port: 0, tokenFile: TOKEN}"));
    let message = unsigned("EdDSA", "ann", "USER", 600);
    let headers =
        format!("Authorization:Bearer {message}.{}\n", BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())));
    broker.tcp().await.log_in(&headers).await;
    answer_once.await.unwrap();
    let before = broker.admin("GET", "/config-hash").await.body;
    broker.write_config(&config.replace("admin: {port: 0}", "admin: {port: 0, tokenFile: TOKEN}\nheartbeat: 5s"));
    eventually("the reload", || async { (broker.admin("GET", "/config-hash").await.body != before).then_some(()) })
        .await;
    broker.tcp().await.log_in(&headers).await;
}

#[tokio::test]
async fn a_changed_file_of_keys_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder, b"what the issuer has used until now");
    let broker = BrokerUnderTest::start_in(folder, JWT_CONFIG);
    write_key(&broker.folder, ISSUER_SECRET);
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:Bearer {}\n\n", token("ann", "USER", 600));
    eventually("the new key to count", || async {
        let mut client = broker.tcp().await;
        client.send_frame(&connect).await;
        (client.frame().await.command == "CONNECTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_may_come_in_the_header_that_is_configured() {
    let config = JWT_CONFIG.replace("authentication:\n", "authentication:\n  tokenHeader: X-Token\n");
    let broker = BrokerUnderTest::start_in(issuer_keys(), &config);
    for scheme in ["", "Bearer "] {
        let connected = broker.tcp().await.log_in(&format!("X-Token:{scheme}{}\n", token("ann", "USER", 600))).await;
        assert_eq!(connected.header("user-name"), Some("ann"));
    }
    let mut client = broker.tcp().await;
    client.send_frame("CONNECT\naccept-version:1.2\nhost:x\nX-Token:forged\n\n").await;
    client.frame().await.assert_error("token was refused");
}

/// A token with one more claim.
fn token_of(tenant: &str) -> String {
    let message = unsigned("HS256", "ann", &format!("USER\", \"tenant\": \"{tenant}"), 600);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ISSUER_SECRET), message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn a_claim_opens_what_is_of_its_value_and_nothing_beyond() {
    let (before, _) = JWT_CONFIG.split_once("authorization:").unwrap();
    let broker = BrokerUnderTest::start_in(issuer_keys(), &format!("{before}{CLAIMS_RULES}"));
    let mut client = broker.tcp().await;
    client.log_in(&format!("Authorization:Bearer {}\n", token_of("red"))).await;
    client.subscribe("1", "/topic/red/a").await;
    client.consume("2", "/topic/blue/a").await;
    client.frame().await.assert_error("destination rules");
    for (tenant, destination) in
        [("*", "/topic/blue/a"), ("*", "/topic/*/a"), ("a/b", "/topic/a/b"), ("**", "/topic/**")]
    {
        let mut client = broker.tcp().await;
        client.log_in(&format!("Authorization:Bearer {}\n", token_of(tenant))).await;
        client.consume("1", destination).await;
        client.frame().await.assert_error("destination rules");
    }
    let mut without = broker.tcp().await;
    without.log_in(&format!("Authorization:Bearer {}\n", token("ann", "USER", 600))).await;
    without.consume("1", "/topic//a").await;
    without.frame().await.assert_error("");
}

#[tokio::test]
async fn a_subscription_that_new_rules_deny_stops_and_other_sessions_go_on() {
    let broker = BrokerUnderTest::start_in(issuer_keys(), JWT_CONFIG);
    let mut admin = broker.tcp().await;
    admin.log_in(&format!("Authorization:Bearer {}\n", token("ann", "ADMIN", 600))).await;
    admin.subscribe("1", "/topic/admin").await;
    let mut own = broker.tcp().await;
    own.log_in(&format!("Authorization:Bearer {}\n", token("bob", "USER", 600))).await;
    own.subscribe("1", "/topic/of/bob").await;
    broker.write_config(&JWT_CONFIG.replace("roles: [ADMIN]", "roles: [OWNER]"));
    admin.frame().await.assert_error("/topic/admin");
    admin.end().await;
    own.subscribe("2", "/topic/of/bob").await;
}

//! Every way to log in to NATS, and what is told when it fails.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    any_broker::Authority,
    faults::not_ready,
    nats::Nats,
    queues::send_safely,
    support::{BrokerUnderTest, config_with},
};

/// Files that a pod logs in with.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn engine(nats: &Nats, scheme: &str, more: &str) -> String {
    format!("servers: ['{}']{more}", nats.url().replace("nats://", scheme))
}

fn credentials(folder: &TempDir) -> String {
    format!(", credentials: {{directory: {}}}", folder.path().display())
}

/// A broker serves queues over NATS with this engine.
async fn serves(engine: &str) {
    let broker = BrokerUnderTest::start(&config_with(engine, ""));
    send_safely(&mut broker.tcp_session().await, "/queue/a", "").await;
}

/// A broker with this engine is not ready for this reason.
async fn fails(engine: &str, reason: &str) {
    not_ready(&BrokerUnderTest::start(&config_with(engine, "")), reason).await;
}

#[tokio::test]
async fn a_user_or_a_token_is_used_and_a_wrong_one_is_the_reason_for_not_being_ready() {
    for (authorization, right, wrong) in [
        (
            "user: ann, password: \"s3cret\"",
            &[("username", "ann"), ("password", "s3cret\n")][..],
            &[("username", "ann"), ("password", "wrong")][..],
        ),
        ("token: \"t0ken\"", &[("token", "t0ken")], &[("token", "wrong")]),
    ] {
        let nats = Nats::start(&format!("authorization {{{authorization}}}"));
        serves(&engine(&nats, "nats://", &credentials(&folder(right)))).await;
        fails(&engine(&nats, "nats://", &credentials(&folder(wrong))), "AuthFailed").await;
        fails(&engine(&nats, "nats://", ""), "AuthFailed").await;
    }
}

#[tokio::test]
async fn an_nkey_signs_what_the_server_asks_and_another_one_does_not_do() {
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let nats = Nats::start(&format!("authorization {{users: [{{nkey: {}}}]}}", known.public_key()));
    let (right, wrong) = (folder(&[("nkey", &known.seed().unwrap())]), folder(&[("nkey", &unknown.seed().unwrap())]));
    serves(&engine(&nats, "nats://", &credentials(&right))).await;
    fails(&engine(&nats, "nats://", &credentials(&wrong)), "AuthFailed").await;
}

/// A claim of NATS about `subject`, signed.
fn signed(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut nats: Value) -> String {
    nats["type"] = kind.into();
    nats["version"] = 2.into();
    let claims = json!({
        "jti": "of the test", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": kind,
        "sub": subject.public_key(), "nats": nats,
    });
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(json!({"typ": "JWT", "alg": "ed25519-nkey"})), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

/// A file as NATS's own tools make it.
fn creds(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let jwt = signed(account, &user, "user", json!({"subs": -1, "data": -1, "payload": -1}));
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().unwrap()
    )
}

#[tokio::test]
async fn creds_of_an_account_are_used_and_those_of_an_account_that_is_not_there_are_refused() {
    let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let limits = |storage: i64| {
        json!({"limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": -1, "consumer": -1,
        }})
    };
    let nats = Nats::start(&format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{{}: {}, {}: {}}}",
        signed(&operator, &operator, "operator", json!({})),
        system.public_key(),
        account.public_key(),
        signed(&operator, &account, "account", limits(-1)),
        system.public_key(),
        signed(&operator, &system, "account", limits(0)),
    ));
    let (right, wrong) =
        (folder(&[("creds", &creds(&account))]), folder(&[("creds", &creds(&KeyPair::new_account()))]));
    serves(&engine(&nats, "nats://", &credentials(&right))).await;
    fails(&engine(&nats, "nats://", &credentials(&wrong)), "AuthFailed").await;
    fails(&engine(&nats, "nats://", &credentials(&folder(&[("creds", "no creds")]))), "AuthFailed").await;
}

/// Where `ca.crt` is, and `tls.crt` with `tls.key` if there is an authority for them.
fn tls(trusted: &Authority, shown: Option<&Authority>) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(shown) = shown {
        shown.issue(folder.path());
    }
    trusted.write_certificate(&folder.path().join("ca.crt"));
    let more = format!(", tls: {{directory: {}}}", folder.path().display());
    (folder, more)
}

fn server_tls(folder: &Path, more: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "tls {{cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\"{more}}}",
        file("tls.crt"),
        file("tls.key"),
        file("ca.crt")
    )
}

#[tokio::test]
async fn tls_needs_a_trusted_server_and_whatever_certificate_the_server_wants() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (server, _) = tls(&ours, Some(&ours));
    let open = Nats::start(&server_tls(server.path(), ""));
    let (_a, trusting) = tls(&ours, None);
    let (_b, mistaken) = tls(&other, None);
    serves(&engine(&open, "tls://", &trusting)).await;
    serves(&engine(&open, "nats://", &trusting)).await;
    fails(&engine(&open, "tls://", &mistaken), "TlsFailed").await;
    fails(&engine(&open, "tls://", ""), "TlsFailed").await;

    let mutual = Nats::start(&server_tls(server.path(), ", verify: true"));
    let (_c, known) = tls(&ours, Some(&ours));
    let (_d, unknown) = tls(&ours, Some(&other));
    serves(&engine(&mutual, "tls://", &known)).await;
    fails(&engine(&mutual, "tls://", &trusting), "TlsFailed").await;
    fails(&engine(&mutual, "tls://", &unknown), "TlsFailed").await;
    fails(&engine(Nats::shared(), "tls://", &trusting), "TlsFailed").await;
}

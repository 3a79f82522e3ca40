//! Tokens as issuers make them, and keys as they publish them, over real sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use stompbroker_config::JwtIssuer;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{Issuer, Issuers, Keys, published::Pace, published::PublishedKeys};
use crate::security::{LoginRefused, Principal};

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "stomp";
const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &[u8] = b"a shared secret of enough octets";

fn encode(octets: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An issuer's key pair.
enum Signer {
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hs256,
}

impl Signer {
    fn es256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    fn public(&self, id: &str) -> Value {
        match self {
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": encode(x), "y": encode(y)})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(pair.public_key())}),
            Self::Hs256 => json!({"kty": "oct", "kid": id, "k": encode(SECRET)}),
        }
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match self {
            Self::Es256(pair) => encode(pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap()),
            Self::Ed25519(pair) => encode(pair.sign(message.as_bytes())),
            Self::Hs256 => encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes())),
        };
        format!("{message}.{signature}")
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": id}), claims)
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["other", AUDIENCE], "sub": "ann", "roles": ["ADMIN"], "exp": now() + 600})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn config(source: &Value) -> JwtIssuer {
    let mut config = json!({"issuer": ISSUER, "audiences": [AUDIENCE], "clockSkew": "5s"});
    config.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// Issuers whose keys are in a file.
fn from_file(keys: &[Value]) -> (tempfile::TempDir, Issuers) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set(keys)).unwrap();
    let issuers = Issuers::new(&[config(&json!({ "jwksFile": file }))]).unwrap();
    (folder, issuers)
}

async fn verify(issuers: &Issuers, token: &str) -> Result<Principal, LoginRefused> {
    tokio::time::timeout(PATIENCE, issuers.verify(token)).await.expect("the login was not decided")
}

#[tokio::test]
async fn a_genuine_token_gives_user_roles_and_expiry() {
    for signer in [Signer::es256(), Signer::ed25519(), Signer::Hs256] {
        let (_folder, issuers) = from_file(&[signer.public("k1")]);
        let principal = verify(&issuers, &signer.sign("k1", &claims())).await.unwrap();
        assert_eq!((&*principal.user, &*principal.roles[0], principal.roles.len()), ("ann", "ADMIN", 1));
        assert!(principal.expires_at.is_some());
    }
}

#[tokio::test]
async fn a_token_with_other_claims_than_are_wanted_is_refused() {
    let signer = Signer::es256();
    let (_folder, issuers) = from_file(&[signer.public("k1")]);
    for (claims, refused) in [
        (with("iss", "https://else.example.com"), LoginRefused::Token),
        (without("iss"), LoginRefused::Token),
        (with("iss", json!([ISSUER])), LoginRefused::Token),
        (with("aud", "other"), LoginRefused::Token),
        (without("aud"), LoginRefused::Token),
        (with("exp", now() - 60), LoginRefused::TokenExpired),
        (with("exp", "never"), LoginRefused::Token),
        (without("exp"), LoginRefused::Token),
        (with("nbf", now() + 60), LoginRefused::Token),
        (with("nbf", "now"), LoginRefused::Token),
        (with("sub", ""), LoginRefused::Token),
        (without("sub"), LoginRefused::Token),
    ] {
        assert_eq!(verify(&issuers, &signer.sign("k1", &claims)).await, Err(refused), "{claims}");
    }
    for claims in [with("exp", now() - 2), with("nbf", now() + 2), with("aud", AUDIENCE), without("roles")] {
        assert!(verify(&issuers, &signer.sign("k1", &claims)).await.is_ok(), "{claims}");
    }
}

#[tokio::test]
async fn only_a_signature_of_the_right_key_by_its_own_algorithm_counts() {
    let (ours, other) = (Signer::es256(), Signer::es256());
    let (_folder, issuers) = from_file(&[ours.public("k1"), Signer::ed25519().public("k2")]);
    let good = ours.sign("k1", &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let public = ours.public("k1")["x"].as_str().unwrap().to_owned();
    let confused = {
        let message = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"k1"}"#), encode(claims().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes())))
    };
    for token in [
        other.sign("k1", &claims()),
        ours.sign("k2", &claims()),
        ours.sign_as(&json!({"alg": "none"}), &claims()),
        ours.sign_as(&json!({"alg": "none", "kid": "k1"}), &claims()),
        ours.sign_as(&json!({"alg": "EdDSA", "kid": "k1"}), &claims()),
        ours.sign_as(&json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}), &claims()),
        confused,
        format!("{message}."),
        format!("{message}.{}", &signature[..20]),
        message.to_owned(),
        format!("{good}.x"),
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(verify(&issuers, &token).await, Err(LoginRefused::Token), "{token}");
    }
    assert!(verify(&issuers, &ours.sign_as(&json!({"alg": "ES256"}), &claims())).await.is_ok(), "without a key id");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let refused = |source: &Value| {
        let (index, key, error) = Issuers::new(&[config(source)]).unwrap_err();
        (index, key, error.to_string())
    };
    let (index, key, error) = refused(&json!({ "jwksFile": file }));
    assert_eq!((index, key), (0, "jwksFile"));
    assert!(error.contains("cannot read") && error.contains("keys.json"), "{error}");
    std::fs::write(&file, "{}").unwrap();
    assert!(refused(&json!({ "jwksFile": file })).2.contains("JSON Web Key Set"));
    let (_, key, error) = refused(&json!({"jwksUrl": "https://id.example.com/keys", "caFile": file}));
    assert_eq!(key, "caFile");
    assert!(error.contains("keys.json") && error.contains("no certificate"), "{error}");
}

/// An issuer's web server, answering every request with `body` after `status`.
struct Publisher {
    address: String,
    requests: Arc<AtomicUsize>,
    answer: Arc<Mutex<(String, String)>>,
    _tasks: JoinSet<()>,
}

impl Publisher {
    async fn start(acceptor: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Mutex::new(("200 OK".to_owned(), key_set(&[]))));
        let (counter, shown) = (Arc::clone(&requests), Arc::clone(&answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = shown.lock().clone();
                match &acceptor {
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            respond(stream, answer).await;
                        }
                    }
                    None => respond(stream, answer).await,
                }
            }
        });
        Self { address, requests, answer, _tasks: tasks }
    }

    fn publish(&self, keys: &[Value]) {
        *self.answer.lock() = ("200 OK".to_owned(), key_set(keys));
    }

    /// From now on the answer is not 200, with the keys nevertheless.
    fn fail(&self, status: &str) {
        status.clone_into(&mut self.answer.lock().0);
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn issuers(&self, pace: Pace) -> Issuers {
        let url = format!("http://{}/keys?x=1", self.address);
        issuers(&url, None, pace).unwrap()
    }
}

async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, (status, body): (String, String)) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => request.push(octet),
            Err(_) => return,
        }
    }
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn issuers(url: &str, authorities: Option<&[u8]>, pace: Pace) -> Result<Issuers, String> {
    super::signatures::install();
    let keys = Keys::Published(PublishedKeys::new(url, authorities, pace)?);
    Ok(Issuers(vec![Arc::new(Issuer { config: config(&json!({ "jwksUrl": url })), keys })]))
}

const NO_PAUSE: Pace = Pace { pause: Duration::ZERO, ..Pace::USUAL };

#[tokio::test]
async fn published_keys_are_fetched_once_and_again_for_an_unknown_one() {
    let (old, new) = (Signer::es256(), Signer::ed25519());
    let publisher = Publisher::start(None).await;
    let issuers = publisher.issuers(NO_PAUSE);
    publisher.publish(&[old.public("old")]);
    for _ in 0..3 {
        assert!(verify(&issuers, &old.sign("old", &claims())).await.is_ok());
    }
    assert_eq!(publisher.requests(), 1);
    publisher.publish(&[old.public("old"), new.public("new")]);
    assert!(verify(&issuers, &new.sign("new", &claims())).await.is_ok());
    assert_eq!(publisher.requests(), 2);
}

#[tokio::test]
async fn made_up_key_ids_do_not_make_us_ask_again_and_again() {
    let signer = Signer::es256();
    let publisher = Publisher::start(None).await;
    let issuers = publisher.issuers(Pace::USUAL);
    publisher.publish(&[signer.public("k1")]);
    for id in ["a", "b", "c"] {
        assert_eq!(verify(&issuers, &signer.sign(id, &claims())).await, Err(LoginRefused::Token), "{id}");
    }
    assert!(verify(&issuers, &signer.sign("k1", &claims())).await.is_ok());
    assert_eq!(publisher.requests(), 1);
}

#[tokio::test]
async fn logins_at_once_share_one_fetch_and_survive_the_one_that_began_it() {
    let signer = Signer::es256();
    let publisher = Publisher::start(None).await;
    let issuers = publisher.issuers(Pace::USUAL);
    publisher.publish(&[signer.public("k1")]);
    let token = signer.sign("k1", &claims());
    let mut gone = Box::pin(issuers.verify(&token));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    let all = futures::future::join_all((0..10).map(|_| verify(&issuers, &token))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(publisher.requests(), 1);
}

#[tokio::test]
async fn known_keys_stay_in_use_while_the_issuer_fails() {
    let signer = Signer::es256();
    let publisher = Publisher::start(None).await;
    let issuers = publisher.issuers(Pace { max_age: Duration::ZERO, ..NO_PAUSE });
    let token = signer.sign("k1", &claims());
    publisher.publish(&[signer.public("k1")]);
    publisher.fail("500 Internal Server Error");
    assert_eq!(verify(&issuers, &token).await, Err(LoginRefused::KeysNotAvailable));
    publisher.publish(&[signer.public("k1")]);
    assert!(verify(&issuers, &token).await.is_ok());
    publisher.publish(&[Signer::es256().public("k2")]);
    publisher.fail("302 Found");
    assert!(verify(&issuers, &token).await.is_ok());
    publisher.publish(&[Signer::es256().public("k2")]);
    assert_eq!(verify(&issuers, &token).await, Err(LoginRefused::Token), "withdrawn keys are not");
    assert_eq!(publisher.requests(), 4);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let pace = Pace { deadline: Duration::from_millis(50), ..Pace::USUAL };
    let token = Signer::es256().sign("k1", &claims());
    let decided = verify(&issuers(&url, None, pace).unwrap(), &token).await;
    assert_eq!(decided, Err(LoginRefused::KeysNotAvailable));
}

#[tokio::test]
async fn shared_secrets_that_are_published_are_not_accepted() {
    let publisher = Publisher::start(None).await;
    publisher.publish(&[Signer::Hs256.public("k1")]);
    let decided = verify(&publisher.issuers(NO_PAUSE), &Signer::Hs256.sign("k1", &claims())).await;
    assert_eq!(decided, Err(LoginRefused::KeysNotAvailable));
}

#[tokio::test]
async fn over_tls_only_an_issuer_of_a_trusted_authority_is_believed() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let publisher = Publisher::start(Some(tokio_rustls::TlsAcceptor::from(Arc::new(server)))).await;
    let signer = Signer::es256();
    publisher.publish(&[signer.public("k1")]);
    let (url, token) = (format!("https://{}/keys", publisher.address), signer.sign("k1", &claims()));
    let pem = made.cert.pem();
    let trusting = issuers(&url, Some(pem.as_bytes()), Pace::USUAL).unwrap();
    assert!(verify(&trusting, &token).await.is_ok());
    let public = issuers(&url, None, Pace::USUAL).unwrap();
    assert_eq!(verify(&public, &token).await, Err(LoginRefused::KeysNotAvailable));
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_an_unchanged_issuer() {
    let signer = Signer::es256();
    let publisher = Publisher::start(None).await;
    let before = publisher.issuers(Pace::USUAL);
    publisher.publish(&[signer.public("k1")]);
    let token = signer.sign("k1", &claims());
    assert!(verify(&before, &token).await.is_ok());
    let mut after = publisher.issuers(Pace::USUAL);
    after.adopt(&before);
    drop(before);
    publisher.fail("503 Service Unavailable");
    assert!(verify(&after, &token).await.is_ok());
    assert_eq!(publisher.requests(), 1);
}

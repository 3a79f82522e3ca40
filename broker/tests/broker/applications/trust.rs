//! How an application can trust what it is told: client certificates, and signatures.

use std::{fs, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::{failure, listen_for_errors, receipt, with_application};
use crate::support::{Application, Authority, BrokerUnderTest, Peer, Reply, config, within};

/// A server of this authority that asks for certificates of `clients`.
fn mutual_tls(authority: &Authority, clients: &Authority, folder: &TempDir) -> TlsAcceptor {
    let files = folder.path().join("server");
    authority.issue(&files);
    let certificate = CertificateDer::from_pem_file(files.join("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.join("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn the_broker_shows_its_certificate_and_takes_up_a_new_one() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let acceptor = mutual_tls(&authority, &clients, &folder);
    let application = Application::over_tls(acceptor, |_| Reply::status(204)).await;
    authority.write_certificate(&folder.path().join("ca.crt"));
    strangers.issue(&folder.path().join("own"));
    let url = format!("https://{}", application.address);
    let broker = BrokerUnderTest::start_in(
        folder,
        &config(&format!(
            "applications: [{{name: shop, prefix: /app, url: '{url}', retry: {{attempts: 1}}, tls: {{caFile: \
             FOLDER/ca.crt, directory: FOLDER/own, serverName: broker.test}}}}]"
        )),
    );
    let mut client = broker.tcp_session().await;
    listen_for_errors(&mut client).await;
    client.send("/app/a", "x").await;
    assert_eq!(failure(&mut client).await.text(), "the application cannot be reached");
    assert!(application.received().is_empty());

    clients.issue(&broker.folder.path().join("own"));
    within("the new certificate to be taken up", async {
        loop {
            client.send_frame("SEND\ndestination:/app/a\nreceipt:1\n\nx").await;
            if client.frame().await.command == "RECEIPT" {
                return;
            }
        }
    })
    .await;
}

/// The claims of a token, if it was signed with this key.
fn verified(token: &str, key: &str) -> Option<serde_json::Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &signature).ok()?;
    let (head, payload) = signed.split_once('.').unwrap();
    let head: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    assert_eq!(head, serde_json::json!({"alg": "HS256", "typ": "JWT"}));
    Some(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap())
}

#[tokio::test]
async fn requests_are_signed_with_the_key_of_the_file_as_it_is() {
    let (old, new) = ("old-0123456789-0123456789-0123456789", "new-0123456789-0123456789-0123456789");
    let application = Application::start(|_| Reply::status(204)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    fs::write(folder.path().join("key"), format!("{old}\n")).unwrap();
    let config = with_application(&application, "signature: {keyFile: FOLDER/key}");
    let broker = BrokerUnderTest::start_in(folder, &config);
    let mut client = broker.tcp().await;
    let session = client.log_in("").await.header("session").unwrap().to_owned();
    client.send_frame("SEND\ndestination:/app/a\nreceipt:1\n\nhello").await;
    receipt(&mut client, "1").await;
    let token = |at: usize| {
        let received = application.received();
        let authorization = received[at].header("authorization").unwrap();
        authorization.strip_prefix("Bearer ").unwrap().to_owned()
    };
    let claims = verified(&token(0), old).unwrap();
    let digest = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(application.received()[0].header("content-digest"), Some(digest));
    for (claim, value) in [
        ("iss", "/stompbroker"),
        ("aud", "shop"),
        ("sid", &*session),
        ("jti", &*format!("{session}-1")),
        ("htm", "POST"),
        ("htu", "/a"),
        ("content_digest", digest),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert!(claims.get("sub").is_none(), "an anonymous session has no subject");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);

    fs::write(broker.folder.path().join("key"), new).unwrap();
    within("the new key to be in force", async {
        loop {
            client.send_frame("SEND\ndestination:/app/a\nreceipt:1\n\nhello").await;
            receipt(&mut client, "1").await;
            if verified(&token(application.received().len() - 1), new).is_some() {
                return;
            }
        }
    })
    .await;
    assert_eq!(verified(&token(0), new), None);
}

//! Upstreams that speak TLS: whom the relay trusts, what it shows, and what it says when they do not agree.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use stompbroker::engine::Engine as _;
use stompbroker_config::{UpstreamTls, admin::UpstreamState};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    harness::{Harness, configured},
    upstream::{Manner, Upstream},
};

const ACCEPT: Manner = Manner::Accept("0,0");

/// An authority with a certificate for `broker.test` and 127.0.0.1, and a folder for all files.
struct World {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.issue(&folder.path().join("server"));
        authority.write_certificate(&folder.path().join("ca.crt"));
        Self { authority, folder }
    }

    /// What the upstream goes by; `asks` for a certificate of its clients if it is told to.
    fn acceptor(&self, asks: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let server = self.folder.path().join("server");
        let chain = vec![CertificateDer::from_pem_file(server.join("tls.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(server.join("tls.key")).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }

    fn trusting(&self) -> UpstreamTls {
        UpstreamTls { ca_file: Some(self.folder.path().join("ca.crt")), ..UpstreamTls::default() }
    }

    /// Puts a certificate for the broker where it looks for one.
    fn show(&self, folder: &Path) {
        let shown = self.authority.client("relay", "urn:relay");
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tls.crt"), shown.certificate.pem()).unwrap();
        fs::write(folder.join("tls.key"), shown.key.serialize_pem()).unwrap();
    }
}

/// A relay to this upstream.
fn relay_to(upstream: &Upstream, tls: Option<UpstreamTls>) -> Harness {
    Harness::start_with(vec![configured(upstream.address, None)], |relay| relay.tls = tls)
}

/// Waits for `TlsFailed` and returns what `/readyz` says.
async fn refusal(harness: &Harness) -> String {
    harness.sees(UpstreamState::TlsFailed).await;
    harness.relay.ready().unwrap_err()
}

#[tokio::test]
async fn messages_pass_over_tls_and_large_ones_too() {
    let world = World::new();
    let mut upstream = Upstream::start_tls(world.acceptor(false), ACCEPT).await;
    let harness = relay_to(&upstream, Some(world.trusting()));
    harness.connected().await;
    let mut session = harness.session();
    let body = vec![b'x'; 300_000];
    session.submit(crate::harness::send("/queue/a", body.clone()), 1);
    let mut peer = upstream.client().await;
    let frame = peer.expect(stompbroker::stomp::Command::Send).await;
    assert_eq!(frame.body.len(), body.len());
    peer.confirm(&frame).await;
    session.completed(1).await;
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_of_an_authority_that_is_not_trusted_is_refused_until_it_is() {
    let world = World::new();
    let upstream = Upstream::start_tls(world.acceptor(false), ACCEPT).await;
    let ca_file = world.folder.path().join("ca.crt");
    Authority::new().write_certificate(&ca_file);
    let harness = relay_to(&upstream, Some(world.trusting()));
    let reason = refusal(&harness).await;
    assert!(reason.contains("not trusted") && reason.contains("tls.caFile"), "{reason}");
    world.authority.write_certificate(&ca_file);
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_the_way_out() {
    let world = World::new();
    let upstream = Upstream::start_tls(world.acceptor(false), ACCEPT).await;
    let other = UpstreamTls { server_name: Some("other.test".to_owned()), ..world.trusting() };
    let harness = relay_to(&upstream, Some(other));
    let reason = refusal(&harness).await;
    assert!(reason.contains("\"other.test\"") && reason.contains("tls.serverName"), "{reason}");
    harness.reload(|relay| relay.tls.as_mut().unwrap().server_name = Some("broker.test".to_owned()));
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_that_wants_a_certificate_gets_the_one_of_the_folder() {
    let world = World::new();
    let upstream = Upstream::start_tls(world.acceptor(true), ACCEPT).await;
    let harness = relay_to(&upstream, Some(world.trusting()));
    let reason = refusal(&harness).await;
    assert!(reason.contains("certificate") && reason.contains("tls.directory"), "{reason}");
    let shown = world.folder.path().join("shown");
    world.show(&shown);
    harness.reload(|relay| relay.tls.as_mut().unwrap().directory = Some(shown));
    harness.connected().await;
    harness.stop().await;
}

#[tokio::test]
async fn tls_on_one_side_only_is_told_from_an_upstream_that_is_away() {
    let world = World::new();
    let plain = Upstream::start(Manner::Garbage("ERROR\n\n")).await;
    let harness = relay_to(&plain, None);
    harness.eventually("tried", |status| status.upstreams[0].message.is_some()).await;
    harness.reload(|relay| relay.tls = Some(world.trusting()));
    let reason = refusal(&harness).await;
    assert!(reason.contains("engine.relay.tls"), "{reason}");
    harness.stop().await;

    let secure = Upstream::start_tls(world.acceptor(false), ACCEPT).await;
    let harness = relay_to(&secure, None);
    let reason = refusal(&harness).await;
    assert!(reason.contains("speaks TLS") && reason.contains("set engine.relay.tls"), "{reason}");
    harness.stop().await;
}

#[tokio::test]
async fn a_file_that_is_missing_is_named_and_read_again_at_each_try() {
    let world = World::new();
    let upstream = Upstream::start_tls(world.acceptor(false), ACCEPT).await;
    let ca_file = world.folder.path().join("later.crt");
    let harness = relay_to(&upstream, Some(UpstreamTls { ca_file: Some(ca_file.clone()), ..UpstreamTls::default() }));
    let reason = refusal(&harness).await;
    assert!(reason.contains("tls.caFile") && reason.contains("later.crt"), "{reason}");
    world.authority.write_certificate(&ca_file);
    harness.connected().await;
    harness.stop().await;
}

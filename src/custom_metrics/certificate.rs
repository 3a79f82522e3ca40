//! The serving certificate of this replica, in its memory only, and what TLS is spoken with.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};

use super::authority::{self, Authority};
use crate::pki::{DAY, set_validity};

/// Days for which a certificate is good.
const DAYS: u64 = 30;
/// Seconds after which a new one is made.
pub(super) const RENEWED_AFTER: i64 = 20 * DAY;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// No certificate can be made.
    #[error("failed to make a serving certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key are none that can be served with.
    #[error("failed to serve with the certificate that was made")]
    Serve(#[from] rustls::Error),
    /// The authorities of the front proxy are none.
    #[error("failed to use the authorities of the front proxy")]
    Verify(#[from] VerifierBuilderError),
}

/// TLS with a new certificate for `host`, to be spoken only with who has a certificate of one of `clients`.
pub(super) fn tls(
    authority: &Authority,
    host: &str,
    clients: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<ServerConfig, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, now, DAYS);
    let issuer_params = authority::params();
    let certificate = params.signed_by(&key, &Issuer::from_params(&issuer_params, &authority.key))?;
    let mut roots = RootCertStore::empty();
    for client in clients {
        roots.add(client.clone())?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

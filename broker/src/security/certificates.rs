//! Certificates (X.509): whom to trust, until when one is valid, and who its owner is. Pure.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use stompbroker_config::CertificateName;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::Principal;

/// The one cryptography library of this process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The authorities in a PEM text.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(|error| format!("it has an unusable certificate: {error}"))?;
    }
    Ok(roots)
}

/// The certificates in a PEM text; at least one.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is no PEM file: {error}"))?;
    if chain.is_empty() { Err("it has no certificate in PEM form".to_owned()) } else { Ok(chain) }
}

/// The private key in a PEM text.
///
/// # Errors
/// What is wrong with the text, without any part of it.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // The error of the library is not repeated: it could quote the file.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it has no private key in PEM form".to_owned())
}

/// How to connect with TLS to a server that these authorities vouch for, or the public ones.
///
/// # Errors
/// What is wrong with the certificate that is to be shown.
pub(crate) fn client(
    authorities: Option<RootCertStore>,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, String> {
    let roots = authorities.unwrap_or_else(|| webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS cannot be set up: {error}"))?.with_root_certificates(roots);
    match shown {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the certificate does not fit its private key, or cannot be used: {error}")),
    }
}

/// From when to when a certificate is valid, in seconds since 1970; none when it cannot be read.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The owner of a certificate that has been verified, by the name that is asked for; none when it has no usable one. What
/// the certificate is a login for ends with it.
pub(crate) fn owner(certificate: &[u8], name: CertificateName) -> Option<Principal> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let user = user(&certificate, name)?;
    // A name goes into CONNECTED, where nothing can be escaped.
    if user.is_empty() || user.contains(char::is_control) {
        return None;
    }
    let expires_at = instant(certificate.validity().not_after.timestamp());
    Some(Principal { user: user.into(), roles: Arc::from([]), claims: None, expires_at })
}

fn user<'a>(certificate: &'a X509Certificate<'_>, name: CertificateName) -> Option<&'a str> {
    if name == CertificateName::CommonName {
        return certificate.subject().iter_common_name().next()?.as_str().ok();
    }
    let alternatives = &certificate.subject_alternative_name().ok()??.value.general_names;
    alternatives.iter().find_map(|alternative| match (name, alternative) {
        (CertificateName::DnsName, GeneralName::DNSName(name))
        | (CertificateName::EmailAddress, GeneralName::RFC822Name(name))
        | (CertificateName::Uri, GeneralName::URI(name)) => Some(*name),
        _ => None,
    })
}

/// The instant of a date in seconds since 1970; none when it is too far away to ever come.
fn instant(date: i64) -> Option<Instant> {
    let date = Duration::from_secs(u64::try_from(date).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Instant::now().checked_add(date.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: &str, alternatives: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = alternatives;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_owner_is_the_name_that_is_asked_for() {
        let certificate = certificate(
            "ann",
            vec![
                SanType::URI("spiffe://cluster/ns/a/sa/b".try_into().unwrap()),
                SanType::DnsName("a.example.com".try_into().unwrap()),
                SanType::DnsName("b.example.com".try_into().unwrap()),
                SanType::Rfc822Name("ann@example.com".try_into().unwrap()),
            ],
        );
        for (name, user) in [
            (CertificateName::CommonName, "ann"),
            (CertificateName::DnsName, "a.example.com"),
            (CertificateName::EmailAddress, "ann@example.com"),
            (CertificateName::Uri, "spiffe://cluster/ns/a/sa/b"),
        ] {
            let owner = owner(&certificate, name).unwrap();
            assert_eq!((&*owner.user, owner.roles.len()), (user, 0));
        }
    }

    #[test]
    fn a_certificate_without_a_usable_name_is_nobodys() {
        for (common_name, name) in [
            ("ann", CertificateName::Uri),
            ("", CertificateName::CommonName),
            ("ann\nrole:x", CertificateName::CommonName),
        ] {
            assert_eq!(owner(&certificate(common_name, Vec::new()), name), None, "{common_name:?}");
        }
        assert_eq!(owner(b"no certificate", CertificateName::CommonName), None);
    }

    #[test]
    fn what_a_certificate_is_a_login_for_ends_with_it() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ann");
        params.not_before = rcgen::date_time_ymd(1970, 1, 2);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(validity(certificate.der()), Some((86_400, 1_577_836_800)));
        let owner = owner(certificate.der(), CertificateName::CommonName).unwrap();
        assert!(owner.expires_at.unwrap() <= Instant::now());
    }

    #[test]
    fn what_is_no_certificate_says_so() {
        assert!(chain(b"").unwrap_err().contains("no certificate"));
        assert!(
            authorities(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap_err().contains("PEM")
        );
    }
}

//! What the operator's own authorities share: how long certificates are good, and those of NATS servers.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::observed::Validity;

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;
/// Days for which the authority of NATS servers is good.
const AUTHORITY_DAYS: u64 = 3650;
/// Days for which the certificate of NATS servers is good.
const SERVER_DAYS: u64 = 365;
/// It is renewed so many days before its end.
const MARGIN: i64 = 90;

/// From an hour ago, for clocks that are slow, until so many days from `now`.
pub(crate) fn set_validity(params: &mut CertificateParams, now: Timestamp, days: u64) {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = now - Duration::from_hours(1);
    params.not_after = now + Duration::from_secs(days * DAY.unsigned_abs());
}

/// The certificates of the NATS servers of one broker, PEM.
pub(crate) struct NatsCertificates {
    pub(crate) authority: String,
    pub(crate) authority_key: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

impl NatsCertificates {
    /// New certificates for `hosts`, by the authority with this key, or by a new one.
    ///
    /// The authority is the same as long as its key is: what has an earlier certificate of it trusts what is signed now, and
    /// the other way round, so that servers can be given new certificates one after the other.
    pub(crate) fn make(
        broker: &str,
        hosts: &[String],
        authority_key: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, rcgen::Error> {
        let authority_key = authority_key.map_or_else(KeyPair::generate, KeyPair::from_pem)?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, format!("NATS of {broker}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut authority, now, AUTHORITY_DAYS);
        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(hosts)?;
        server.distinguished_name.push(DnType::CommonName, format!("NATS server of {broker}"));
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Servers connect to each other as clients.
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        server.use_authority_key_identifier_extension = true;
        set_validity(&mut server, now, SERVER_DAYS);
        Ok(Self {
            authority: authority.self_signed(&authority_key)?.pem(),
            server: server.signed_by(&server_key, &Issuer::from_params(&authority, &authority_key))?.pem(),
            authority_key: authority_key.serialize_pem(),
            server_key: server_key.serialize_pem(),
        })
    }
}

/// When the first certificate of a PEM file is good; absent when there is none that can be read.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let der = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    let time = |time: i64| Timestamp::from_second(time).ok();
    let validity = parsed.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Validity { not_before: time(not_before)?, not_after: time(not_after)? })
}

/// Whether this certificate of a NATS server is for all of `hosts` and good for long enough.
pub(crate) fn is_current(certificate: &[u8], hosts: &[String], now: Timestamp) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(certificate) else { return false };
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
    let lasts = parsed.validity().not_after.timestamp() > now.as_second() + MARGIN * DAY;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let has = |host: &String| names.iter().any(|name| matches!(name, GeneralName::DNSName(name) if name == host));
    lasts && hosts.iter().all(has)
}

#[cfg(test)]
mod tests {
    use rustls::{
        RootCertStore,
        client::verify_server_name,
        server::{ParsedCertificate, WebPkiClientVerifier},
    };

    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn hosts() -> Vec<String> {
        ["trading-nats.markets.svc", "*.trading-nats-peers.markets.svc.cluster.local"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_certificate_is_renewed_for_other_hosts_and_three_months_before_its_end() {
        let made = NatsCertificates::make("trading", &hosts(), None, now()).unwrap();
        let is_current =
            |hosts: &[String], time: &str| is_current(made.server.as_bytes(), hosts, time.parse().unwrap());
        assert!(is_current(&hosts(), "2026-10-01T00:00:00Z"));
        assert!(!is_current(&hosts(), "2026-10-10T00:00:00Z"));
        assert!(!is_current(&["other.markets.svc".to_owned()], "2026-01-03T00:00:00Z"));
        assert!(!super::is_current(b"spoilt", &hosts(), now()));
    }

    #[test]
    fn a_renewed_certificate_is_trusted_by_who_knows_the_authority_from_before_and_the_other_way_round() {
        let before = NatsCertificates::make("trading", &hosts(), None, now()).unwrap();
        let later = "2026-11-02T03:04:05Z".parse().unwrap();
        let after = NatsCertificates::make("trading", &hosts(), Some(&before.authority_key), later).unwrap();
        assert_ne!(before.server, after.server);
        for (authority, server, time) in [
            (&before.authority, &after.server, later),
            (&after.authority, &before.server, later),
            (&after.authority, &after.server, later),
        ] {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            let server = CertificateDer::from_pem_slice(server.as_bytes()).unwrap();
            let seconds = u64::try_from(time.as_second()).unwrap();
            let time = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            verifier.verify_client_cert(&server, &[], time).unwrap();
            let name = "trading-nats-0.trading-nats-peers.markets.svc.cluster.local".try_into().unwrap();
            verify_server_name(&ParsedCertificate::try_from(&server).unwrap(), &name).unwrap();
        }
    }
}

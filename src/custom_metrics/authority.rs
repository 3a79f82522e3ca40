//! The authority that vouches for the serving certificates of all replicas. Its key is in one Secret, which the chart makes
//! and the first replica fills; each replica makes its own certificate with it. So nothing has to be told to kube-apiserver
//! when a certificate is renewed.

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{Api, api::PostParams};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tracing::info;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    FIELD_MANAGER,
    pki::{DAY, set_validity},
};

/// Key of the certificate in the Secret.
const CERTIFICATE: &str = "tls.crt";
/// Key of the private key in the Secret.
const KEY: &str = "tls.key";
/// Days for which a new authority is good.
const DAYS: u64 = 3650;
/// It is replaced so many days before its end.
const MARGIN: i64 = 365;

/// An authority.
pub(super) struct Authority {
    /// Its certificate, PEM.
    pub(super) certificate: String,
    /// Its key.
    pub(super) key: KeyPair,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    /// The Secret cannot be read.
    #[error("failed to read the Secret {name}")]
    Read {
        name: String,
        #[source]
        source: kube::Error,
    },
    /// There is no Secret.
    #[error("the Secret {0} does not exist; create it empty, as the chart does with customMetrics.enabled")]
    Missing(String),
    /// The Secret cannot be written.
    #[error("failed to write the Secret {name}")]
    Write {
        name: String,
        #[source]
        source: kube::Error,
    },
    /// There is no randomness, or no certificate can be made.
    #[error("failed to make an authority")]
    Make(#[source] rcgen::Error),
}

impl Authority {
    /// The authority in the Secret called `name`, which is filled when it holds none that is good for long enough.
    pub(super) async fn ensure(secrets: &Api<Secret>, name: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        let found = secrets.get_opt(name).await;
        let found = found.map_err(|source| AuthorityError::Read { name: name.to_owned(), source })?;
        let mut secret = found.ok_or_else(|| AuthorityError::Missing(name.to_owned()))?;
        if let Some(authority) = Self::of(&secret, now) {
            return Ok(authority);
        }
        let made = Self::make(now).map_err(AuthorityError::Make)?;
        let data = secret.data.get_or_insert_default();
        data.insert(CERTIFICATE.to_owned(), ByteString(made.certificate.clone().into_bytes()));
        data.insert(KEY.to_owned(), ByteString(made.key.serialize_pem().into_bytes()));
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        // With the resourceVersion that was read: of two replicas one fills it, and the other reads it next time.
        let written = secrets.replace(name, &parameters, &secret).await;
        written.map_err(|source| AuthorityError::Write { name: name.to_owned(), source })?;
        info!(secret = name, "made a new authority for the serving certificates");
        Ok(made)
    }

    /// The authority in `secret`, unless there is none, it is spoilt, or it ends soon.
    fn of(secret: &Secret, now: Timestamp) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let (certificate, key) = (text(CERTIFICATE)?, KeyPair::from_pem(&text(KEY)?).ok()?);
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let lasts = parsed.validity().not_after.timestamp() > now.as_second() + MARGIN * DAY;
        let fits = parsed.public_key().raw == key.subject_public_key_info();
        (lasts && fits).then_some(Self { certificate, key })
    }

    pub(super) fn make(now: Timestamp) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params();
        set_validity(&mut params, now, DAYS);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key })
    }
}

/// What every authority of ours is called and may do.
pub(super) fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "custom metrics of stompbroker-operator");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(certificate: &Authority, key: &Authority) -> Secret {
        let data = [(CERTIFICATE, certificate.certificate.clone()), (KEY, key.key.serialize_pem())];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn an_authority_is_kept_until_a_year_before_its_end() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let made = Authority::make(now).unwrap();
        let kept = Authority::of(&secret(&made, &made), "2034-12-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(kept.certificate, made.certificate);
        assert!(Authority::of(&secret(&made, &made), "2035-02-01T00:00:00Z".parse().unwrap()).is_none());
    }

    #[test]
    fn what_is_spoilt_or_empty_is_no_authority() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let (one, other) = (Authority::make(now).unwrap(), Authority::make(now).unwrap());
        assert!(Authority::of(&secret(&one, &other), now).is_none(), "key and certificate do not fit");
        assert!(Authority::of(&Secret::default(), now).is_none());
    }
}

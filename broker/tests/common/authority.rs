//! An authority of the test's own: certificates for servers, and for clients that trust it.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) certificate: rcgen::Certificate,
}

/// What a client shows.
pub(crate) struct ClientCertificate {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Writes its own certificate.
    pub(crate) fn write_certificate(&self, file: &Path) {
        fs::write(file, self.certificate.pem()).unwrap();
    }

    /// Writes a new certificate for the broker, with its key, as Kubernetes mounts them; returns the certificate.
    pub(crate) fn issue(&self, folder: &Path) -> Vec<u8> {
        let mut params = CertificateParams::new(["broker.test".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        certificate.der().to_vec()
    }

    /// A certificate for a client of this name.
    pub(crate) fn client(&self, common_name: &str, uri: &str) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        ClientCertificate { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

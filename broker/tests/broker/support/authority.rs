//! An authority of the test's own: certificates for the broker, and for clients that trust it.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::within;

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// What a client shows.
pub(crate) struct ClientCertificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
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

    /// Connects with TLS, trusting only this authority.
    pub(crate) async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        self.try_connect(address, None, &[]).await.unwrap()
    }

    /// The same with a certificate to show and protocols (ALPN) to offer.
    pub(crate) async fn try_connect(
        &self,
        address: SocketAddr,
        client: Option<&ClientCertificate>,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        self.try_over(stream, client, protocols).await
    }

    /// Makes the handshake over a connection on which something else has come before it.
    pub(crate) async fn over(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        self.try_over(stream, None, &[]).await.unwrap()
    }

    async fn try_over(
        &self,
        stream: TcpStream,
        client: Option<&ClientCertificate>,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::try_from(client.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![client.certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("broker.test").unwrap();
        within("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }
}

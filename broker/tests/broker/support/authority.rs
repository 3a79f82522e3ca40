//! Connections over TLS to the broker, trusted by an authority of the test's own.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::within;
pub(crate) use crate::authority::{Authority, ClientCertificate};

impl Authority {
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

//! Certificates of a listener, read from files, and the handshakes made with them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use stompbroker_config::{CertificateName, ListenerTls, Listeners};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::TlsStream;
use crate::security::certificates;

/// What browsers may offer for WebSocket: its upgrade is one of HTTP/1.1.
const HTTP: &[u8] = b"http/1.1";

/// The share of a certificate's life that is its end: issuers customarily renew at two thirds, so one that has less than a
/// fifth left is not being renewed.
const LATE: i64 = 5;

/// What a listener needs to speak TLS.
pub struct TlsServer {
    acceptor: TlsAcceptor,
    has_own_port: bool,
    login: Option<CertificateName>,
    /// From when to when the certificate is valid, in seconds since 1970.
    validity: Option<(i64, i64)>,
}

/// The listeners that have TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsServers {
    /// STOMP over TCP.
    pub(crate) stomp: Option<Arc<TlsServer>>,
    /// STOMP over WebSocket.
    pub(crate) websocket: Option<Arc<TlsServer>>,
}

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct TlsError {
    /// The key below the listener's `tls` that names the file.
    pub key: &'static str,
    file: PathBuf,
    problem: String,
}

impl TlsServers {
    /// Reads the certificates of all listeners.
    ///
    /// # Errors
    /// The listener's name and what is wrong.
    pub(crate) fn read(listeners: &Listeners) -> Result<Self, (&'static str, TlsError)> {
        let mut servers = Self::default();
        for (listener, _, tls) in listeners.tls() {
            let (server, protocols) = match listener {
                "websocket" => (&mut servers.websocket, vec![HTTP.to_vec()]),
                _ => (&mut servers.stomp, Vec::new()),
            };
            *server = Some(Arc::new(TlsServer::read(tls, protocols).map_err(|error| (listener, error))?));
        }
        Ok(servers)
    }

    /// When the certificate of each listener ends to be valid, in seconds since 1970.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = (&'static str, i64)> {
        self.validities().map(|(listener, (_, end))| (listener, end))
    }

    /// Words for each certificate that has expired, or should have been replaced by now.
    pub(crate) fn warnings(&self, now: SystemTime) -> impl Iterator<Item = String> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()).cast_signed();
        self.validities().filter_map(move |(listener, (begin, end))| {
            let left = end.saturating_sub(now);
            let is_late = left < end.saturating_sub(begin) / LATE;
            is_late.then(|| match left {
                ..=0 => format!("the certificate of listeners.{listener}.tls has expired; replace it"),
                _ => {
                    format!("the certificate of listeners.{listener}.tls expires in {} hours; replace it", left / 3600)
                }
            })
        })
    }

    fn validities(&self) -> impl Iterator<Item = (&'static str, (i64, i64))> {
        let named = [("stomp", &self.stomp), ("websocket", &self.websocket)];
        named.into_iter().filter_map(|(listener, server)| Some((listener, server.as_ref()?.validity?)))
    }
}

impl TlsServer {
    fn read(config: &ListenerTls, protocols: Vec<Vec<u8>>) -> Result<Self, TlsError> {
        let (certificate_file, key) = config.certificate_file();
        let refuse = |problem| TlsError { key, file: certificate_file.clone(), problem };
        let chain = certificates::chain(&read(key, &certificate_file)?).map_err(refuse)?;
        let validity = chain.first().and_then(|certificate| certificates::validity(certificate));
        let private_key = private_key(config)?;

        let builder =
            ServerConfig::builder_with_provider(certificates::provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| refuse(format!("TLS cannot be set up: {error}")))?;
        let builder = match authorities(config)? {
            None => builder.with_no_client_auth(),
            Some((roots, clients)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), certificates::provider());
                let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError {
                    key: CA_FILE,
                    file: clients.ca_file.clone(),
                    problem: format!("it cannot be used: {error}"),
                })?)
            }
        };
        let mut tls = builder.with_single_cert(chain, private_key).map_err(|error| {
            refuse(format!("the certificate does not fit its private key, or cannot be used: {error}"))
        })?;
        tls.alpn_protocols = protocols;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            has_own_port: config.port.is_some(),
            login: config.client_certificates.as_ref().and_then(|clients| clients.login),
            validity,
        })
    }

    /// Whether it speaks on a port of its own, beside the listener's unencrypted one.
    pub(crate) const fn has_own_port(&self) -> bool {
        self.has_own_port
    }

    /// Makes the handshake with a client. Has no deadline of its own.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        Ok(TlsStream::new(self.acceptor.accept(stream).await?, self.login))
    }
}

const CA_FILE: &str = "clientCertificates.caFile";

fn private_key(config: &ListenerTls) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (file, key) = config.key_file();
    certificates::private_key(&read(key, &file)?).map_err(|problem| TlsError { key, file, problem })
}

type Clients = stompbroker_config::ClientCertificates;

fn authorities(config: &ListenerTls) -> Result<Option<(RootCertStore, &Clients)>, TlsError> {
    let Some(clients) = &config.client_certificates else { return Ok(None) };
    let roots = certificates::authorities(&read(CA_FILE, &clients.ca_file)?).map_err(|problem| TlsError {
        key: CA_FILE,
        file: clients.ca_file.clone(),
        problem,
    })?;
    Ok(Some((roots, clients)))
}

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError { key, file: file.to_owned(), problem: format!("cannot be read: {error}") })
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("validity", &self.validity).finish_non_exhaustive()
    }
}

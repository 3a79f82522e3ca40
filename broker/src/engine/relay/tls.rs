//! What connections to upstreams are encrypted with, and what it means when that fails.
//!
//! The files are read at each connect, so that a new certificate needs no restart.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, ClientConfig, pki_types::ServerName};
use stompbroker_config::{UpstreamTls, admin::UpstreamState};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::failure::Failure;
use crate::security::{TlsFiles, TlsRefusal};

/// Begin of what a server that speaks TLS answers to a CONNECT without it: an alert.
pub(super) const ALERT: u8 = 21;

/// The last configuration of the client's side and the files that it was made of, kept so that sessions of TLS can be
/// resumed.
#[derive(Default)]
pub(super) struct Clients(Mutex<Option<([u8; 32], Arc<ClientConfig>)>>);

impl Clients {
    /// Makes the handshake with an upstream. Has no deadline of its own.
    pub(super) async fn connect(
        self: &Arc<Self>,
        config: &UpstreamTls,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |text: String| Failure::new(UpstreamState::TlsFailed, text);
        let (clients, files) = (self.clone(), config.clone());
        let client = match tokio::task::spawn_blocking(move || clients.read(&files)).await {
            Ok(client) => client.map_err(|(key, problem)| failed(format!("engine.relay.tls.{key}: {problem}")))?,
            Err(error) => return Err(failed(format!("cannot read the files of engine.relay.tls: {error}"))),
        };
        let wanted = config.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(wanted.to_owned())
            .map_err(|_| failed(format!("{wanted:?} is no name that a certificate could have; set tls.serverName")))?;
        let connector = TlsConnector::from(client);
        connector.connect(name, stream).await.map_err(|error| match explain(&error, wanted) {
            Some(text) => failed(text),
            None if is_eof(&error) => failed(format!("the upstream ended the TLS handshake; {NO_TLS}")),
            None => Failure::unreachable("the connection broke during the TLS handshake", &error),
        })
    }

    fn read(&self, config: &UpstreamTls) -> Result<Arc<ClientConfig>, TlsRefusal> {
        let files = TlsFiles::read(config)?;
        let digest = files.digest();
        let mut last = self.0.lock();
        if let Some((_, client)) = last.as_ref().filter(|(of, _)| *of == digest) {
            return Ok(client.clone());
        }
        let client = Arc::new(files.client()?);
        *last = Some((digest, client.clone()));
        Ok(client)
    }
}

/// Checks the files that a configuration names.
///
/// # Errors
/// The key, and what is wrong.
pub(crate) fn check(config: &UpstreamTls) -> Result<(), (&'static str, String)> {
    TlsFiles::read(config)?.client().map(drop)
}

/// What there is to do where one side speaks TLS and the other does not.
pub(super) const NO_TLS: &str = "if it speaks no TLS on this port, give the port that does, or remove engine.relay.tls";

/// What an error of TLS means and what there is to do; none for errors of the connection below it. An upstream that
/// refuses the broker's certificate says so only after the handshake, so any read or write may bring one.
pub(super) fn explain(error: &io::Error, wanted: &str) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let text = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its authority is not trusted; put that authority into the file of engine.relay.tls.caFile".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("it is not for {wanted:?}; set engine.relay.tls.serverName to a name that it is for")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "it has expired; renew it at the upstream".to_owned()
            }
            other => format!("it cannot be used: {other:?}"),
        },
        rustls::Error::AlertReceived(alert) => return Some(refused(*alert)),
        rustls::Error::InvalidMessage(_) => {
            return Some(format!("the upstream answers something that is not TLS; {NO_TLS}"));
        }
        other => return Some(format!("no agreement on TLS: {other}")),
    };
    Some(format!("the upstream's certificate is refused: {text}"))
}

fn refused(alert: AlertDescription) -> String {
    let about = "put a certificate that it trusts into the folder of engine.relay.tls.directory";
    match alert {
        AlertDescription::CertificateRequired => format!("the upstream wants a certificate of the broker; {about}"),
        AlertDescription::HandshakeFailure
        | AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            format!("the upstream refuses the broker's certificate, or wants one ({alert:?}); {about}")
        }
        other => format!("the upstream refuses the TLS handshake: {other:?}"),
    }
}

fn is_eof(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

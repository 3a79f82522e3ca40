//! TLS of a listener.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS of a listener. A changed certificate counts for new connections without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Name of a Secret of type `kubernetes.io/tls` in the same namespace: `tls.crt` and `tls.key`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// Port that speaks TLS beside the unencrypted one. Absent: the listener's own port speaks TLS, and nothing is
    /// unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1024, max = 65535))]
    pub port: Option<u16>,
    /// Certificates that clients show. Absent: none are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

/// Certificates that clients show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificates {
    /// Name of a Secret in the same namespace whose key `ca.crt` has the authorities that they are trusted by; it may be the
    /// one with the listener's own certificate.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// Whether a client without a certificate is refused by the TLS handshake.
    #[serde(default)]
    pub required: bool,
    /// What of a certificate is the name of the user that a CONNECT without a login logs in as. Absent: a certificate is
    /// no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<CertificateName>,
}

/// What of a certificate is the user's name: the common name of its subject, or its first alternative name of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CertificateName {
    /// The common name of its subject.
    CommonName,
    /// A DNS name.
    DnsName,
    /// An e-mail address.
    EmailAddress,
    /// A URI, such as a SPIFFE id.
    Uri,
}

//! TLS of a listener.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{rules, scalars};

/// TLS of a listener: exactly one of secretName and issuerRef. A changed certificate counts for new connections without a
/// restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::one_source_of_the_certificate(),
    validation = rules::certificate_fields_have_an_issuer(),
    validation = rules::certificate_is_renewed_in_its_time()
)]
pub struct ListenerTls {
    /// Name of a Secret of type `kubernetes.io/tls` in the same namespace: `tls.crt` and `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// Who issues the certificate, as cert-manager refers to it. The operator keeps a Certificate, and cert-manager puts what
    /// it issues and renews into the Secret of the same name, such as `chat-stomp-tls` for the listener stomp of chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerReference>,
    /// With issuerRef: the names that the certificate is for. Empty: those of the Service within the cluster and those of
    /// spec.exposure. Public authorities issue none for names within a cluster: name the others here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dns_names: Vec<String>,
    /// With issuerRef: how long the certificate is good. Absent: cert-manager's default, 2160h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub duration: Option<GoDuration>,
    /// With issuerRef: how long before its end it is renewed. Absent: cert-manager's default, a third of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub renew_before: Option<GoDuration>,
    /// Port that speaks TLS beside the unencrypted one. Absent: the listener's own port speaks TLS, and nothing is
    /// unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1024, max = 65535))]
    pub port: Option<u16>,
    /// Certificates that clients show. Absent: none are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

/// Who issues certificates, as cert-manager refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its kind: Issuer of the same namespace, ClusterIssuer, or a kind of somebody else's group.
    #[serde(default = "issuer_kind")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Group of its kind.
    #[serde(default = "issuer_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
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

fn issuer_kind() -> String {
    "Issuer".to_owned()
}

fn issuer_group() -> String {
    "cert-manager.io".to_owned()
}

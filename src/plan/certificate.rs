//! Certificate of cert-manager: the certificate of a listener whose spec names an issuer.

use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{
    Settings,
    custom::{CustomKind, CustomObject},
    metadata, names, service,
};
use crate::{
    api::{Exposure, IssuerReference, ListenerTls},
    validate::ValidatedBroker,
};

/// A Certificate.
pub type Certificate = CustomObject<CertificateKind>;

/// The kind of Certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateKind;

impl CustomKind for CertificateKind {
    type Status = CertificateStatus;

    const GROUP: &'static str = "cert-manager.io";
    const KIND: &'static str = "Certificate";
    const PLURAL: &'static str = "certificates";
    const VERSION: &'static str = "v1";
}

/// What a Certificate is to do; of cert-manager's fields those that we write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateSpec {
    /// Where certificate and key are put.
    secret_name: String,
    /// Whom it is for.
    dns_names: Vec<String>,
    /// Who issues it.
    issuer_ref: IssuerReference,
    /// How long it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<GoDuration>,
    /// How long before its end it is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_before: Option<GoDuration>,
    /// Its key.
    private_key: PrivateKey,
    /// What it may be used for.
    usages: [&'static str; 2],
}

/// The key of a certificate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateKey {
    /// Kind of the key.
    algorithm: &'static str,
    /// Whether a renewed certificate has a new one.
    rotation_policy: &'static str,
}

/// What cert-manager says of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// What holds.
    #[serde(default)]
    pub conditions: Vec<CertificateCondition>,
}

/// A condition as cert-manager writes it, whose reason and message may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: String,
    /// Of which form of the Certificate it speaks; absent for the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why, in one word.
    #[serde(default)]
    pub reason: String,
    /// Why, for people.
    #[serde(default)]
    pub message: String,
}

/// The Certificates of listeners whose spec names an issuer.
pub(super) fn certificates(broker: &ValidatedBroker, settings: &Settings) -> Vec<Certificate> {
    let listeners = broker.listeners.tls();
    listeners.filter_map(|(listener, tls)| certificate(broker, listener, tls, settings)).collect()
}

fn certificate(
    broker: &ValidatedBroker,
    listener: &str,
    tls: &ListenerTls,
    settings: &Settings,
) -> Option<Certificate> {
    let ListenerTls { issuer_ref, dns_names, duration, renew_before, .. } = tls;
    let issuer_ref = issuer_ref.clone()?;
    let name = names::certificate(&broker.name, listener);
    let dns_names = if dns_names.is_empty() { hosts(broker, listener, settings) } else { dns_names.clone() };
    let metadata = metadata::shared(broker, name.as_str());
    let spec = CertificateSpec {
        secret_name: name,
        dns_names,
        issuer_ref,
        duration: *duration,
        renew_before: *renew_before,
        private_key: PrivateKey { algorithm: "ECDSA", rotation_policy: "Always" },
        usages: ["digital signature", "server auth"],
    };
    Some(Certificate::new(metadata, &spec))
}

/// The names that clients know a listener by: within the cluster those of the Service, outside those of `spec.exposure`.
fn hosts(broker: &ValidatedBroker, listener: &str, settings: &Settings) -> Vec<String> {
    let (name, namespace) = (&broker.name, &broker.namespace);
    let inside = [
        service::host(broker, settings),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}"),
        name.clone(),
    ];
    let Exposure { service: _, ingress, http_route, tls_route } = broker.spec.exposure.clone().unwrap_or_default();
    let outside = if listener == "stomp" {
        tls_route.map(|route| route.hostnames).unwrap_or_default()
    } else {
        let route = http_route.map(|route| route.hostnames).unwrap_or_default();
        ingress.map(|ingress| ingress.host).into_iter().chain(route).collect()
    };
    let mut hosts: Vec<_> = inside.into_iter().chain(outside).collect();
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

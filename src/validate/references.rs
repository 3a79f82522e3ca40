//! What a spec refers to.

use crate::{
    api::{Listeners, NatsLogin, RabbitmqClusterReference, SecretReference, StompBroker, StompBrokerSpec},
    observed::{Observed, SecretView},
    plan::names,
    status::{ConditionType, Reason, awaited},
    validate::SpecError,
};

/// Keys of every Secret that holds a login.
pub const LOGIN_KEYS: [&str; 2] = ["username", "password"];
/// Keys of a Secret with a certificate.
pub const TLS_KEYS: [&str; 2] = [stompbroker_config::TLS_CERTIFICATE_FILE, stompbroker_config::TLS_KEY_FILE];
/// Keys of a Secret with authorities.
pub const CA_KEYS: [&str; 1] = ["ca.crt"];
/// Keys of a Secret with what requests to an application are signed with.
pub const APPLICATION_KEYS: [&str; 1] = ["key"];
/// Keys of a Secret with users.
pub const USERS_KEYS: [&str; 1] = ["users.yaml"];
/// Keys of a Secret with the keys of an issuer of tokens.
pub const JWKS_KEYS: [&str; 1] = ["jwks.json"];

/// Keys that our own Secrets with logins have besides while they are rotated.
pub fn further_login_keys() -> impl Iterator<Item = &'static str> {
    stompbroker_config::LOGIN_FILES.into_iter().filter(|key| !LOGIN_KEYS.contains(key))
}

/// The field by which RabbitMQ's own operator's Secret is found.
const CLUSTER: &str = "spec.engine.relay.rabbitmqClusterRef.name";

/// Keys of a Secret with a login for NATS.
pub const fn nats_login_keys(kind: NatsLogin) -> &'static [&'static str] {
    match kind {
        NatsLogin::Password => &LOGIN_KEYS,
        NatsLogin::Token => &["token"],
        NatsLogin::NKey => &["nkey"],
        NatsLogin::Creds => &["creds"],
    }
}

/// A field that names a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Path of the field.
    pub field: String,
    /// Name of the Secret.
    pub secret_name: String,
    /// The keys that it must have.
    pub keys: &'static [&'static str],
    /// Kind and name of who issues the certificate in it; absent when the Secret is the user's own.
    pub issuer: Option<String>,
}

impl SecretUse {
    /// Whether it has a certificate with its key.
    pub fn is_certificate(&self) -> bool {
        self.keys == TLS_KEYS
    }
}

/// The Secrets that a spec names, in the order of its fields; the same Secret may come twice.
pub fn referenced_secrets(broker: &StompBroker) -> Vec<SecretUse> {
    let spec = &broker.spec;
    let relay = spec.engine.as_ref().and_then(|engine| engine.relay.as_ref());
    let cluster = relay.and_then(|relay| relay.rabbitmq_cluster_ref.as_ref()).map(|cluster| SecretUse {
        field: CLUSTER.to_owned(),
        secret_name: cluster.secret_name(),
        keys: &RabbitmqClusterReference::KEYS,
        issuer: None,
    });
    let logins = [
        (
            "spec.engine.relay.systemCredentials.secretName",
            relay.and_then(|relay| named(relay.system_credentials.as_ref())),
        ),
        (
            "spec.engine.relay.clientCredentials.secretName",
            relay.and_then(|relay| named(relay.client_credentials.as_ref())),
        ),
        ("spec.credentials.system.secretName", spec.credentials.system.secret_name.as_ref()),
        ("spec.credentials.client.secretName", spec.credentials.client.secret_name.as_ref()),
    ]
    .into_iter()
    .filter_map(|(field, name)| Some((field.to_owned(), name?, &LOGIN_KEYS as &[&str])));
    let upstream_tls = relay.and_then(|relay| relay.tls.as_ref());
    let upstreams = [
        ("caSecretName", upstream_tls.and_then(|tls| tls.ca_secret_name.as_ref()), &CA_KEYS as &[&str]),
        ("certificateSecretName", upstream_tls.and_then(|tls| tls.certificate_secret_name.as_ref()), &TLS_KEYS),
    ]
    .into_iter()
    .filter_map(|(field, name, keys)| Some((format!("spec.engine.relay.tls.{field}"), name?, keys)));
    let tls = spec.listeners.iter().flat_map(Listeners::tls);
    let certificates = tls.flat_map(|(listener, tls)| {
        let clients = tls.client_certificates.as_ref();
        let field = format!("spec.listeners.{listener}.tls");
        let authorities = clients.map(|clients| {
            (format!("{field}.clientCertificates.secretName"), &clients.secret_name, &CA_KEYS as &[&str])
        });
        let own = tls.secret_name.as_ref();
        own.map(|name| (format!("{field}.secretName"), name, &TLS_KEYS as &[&str])).into_iter().chain(authorities)
    });
    let users = spec.authentication.users.iter();
    let users = users
        .map(|users| ("spec.authentication.users.secretName".to_owned(), &users.secret_name, &USERS_KEYS as &[&str]));
    let issuers = spec.authentication.jwt.iter().enumerate().filter_map(|(index, issuer)| {
        let field = format!("spec.authentication.jwt[{index}].jwksSecretName");
        Some((field, issuer.jwks_secret_name.as_ref()?, &JWKS_KEYS as &[&str]))
    });
    logins
        .chain(upstreams)
        .chain(nats(spec))
        .chain(certificates)
        .chain(users)
        .chain(issuers)
        .chain(applications(spec))
        .map(|(field, name, keys)| SecretUse { field, secret_name: name.clone(), keys, issuer: None })
        .chain(cluster)
        .chain(issued(broker))
        .collect()
}

/// The Secrets that cert-manager puts certificates of listeners into.
fn issued(broker: &StompBroker) -> impl Iterator<Item = SecretUse> {
    let name = broker.metadata.name.as_deref().unwrap_or_default();
    broker.spec.listeners.iter().flat_map(Listeners::tls).filter_map(move |(listener, tls)| {
        let issuer = tls.issuer_ref.as_ref()?;
        Some(SecretUse {
            field: format!("spec.listeners.{listener}.tls.issuerRef"),
            secret_name: names::certificate(name, listener),
            keys: &TLS_KEYS,
            issuer: Some(format!("{} {}", issuer.kind, issuer.name)),
        })
    })
}

fn named(reference: Option<&SecretReference>) -> Option<&String> {
    reference.map(|reference| &reference.secret_name)
}

/// What to do about a Secret of RabbitMQ's own operator; it is not the user's to create or to change.
fn cluster_remedy(secret_name: &str, namespace: &str, missing: &[&str]) -> String {
    if missing.is_empty() {
        format!(
            "there is no Secret {secret_name} in namespace {namespace}, which RabbitMQ's operator makes for the \
             RabbitmqCluster of this name; create that cluster there, or correct the name"
        )
    } else if missing == ["stomp-port"] {
        format!(
            "the Secret {secret_name} has no stomp-port, so the cluster does not speak STOMP; add rabbitmq_stomp to \
             spec.rabbitmq.additionalPlugins of the RabbitmqCluster"
        )
    } else {
        format!(
            "the Secret {secret_name} has no value for {}, which RabbitMQ's operator should have put there; name upstreams, \
             systemCredentials and clientCredentials instead",
            missing.join(" and none for ")
        )
    }
}

/// The Secrets for NATS.
fn nats(spec: &StompBrokerSpec) -> impl Iterator<Item = (String, &String, &'static [&'static str])> {
    let external =
        spec.engine.as_ref().and_then(|engine| engine.jet_stream.as_ref()).and_then(|engine| engine.external.as_ref());
    let field = |name: &str| format!("spec.engine.jetStream.external.{name}");
    let login = external.and_then(|external| external.credentials.as_ref());
    let login = login.map(|login| (field("credentials.secretName"), &login.secret_name, nats_login_keys(login.kind)));
    let tls = external.and_then(|external| external.tls.as_ref());
    let authorities = tls.and_then(|tls| tls.ca_secret_name.as_ref());
    let authorities = authorities.map(|name| (field("tls.caSecretName"), name, &CA_KEYS as &[&str]));
    let certificate = tls.and_then(|tls| tls.certificate_secret_name.as_ref());
    let certificate = certificate.map(|name| (field("tls.certificateSecretName"), name, &TLS_KEYS as &[&str]));
    login.into_iter().chain(authorities).chain(certificate)
}

/// The Secrets of applications.
fn applications(spec: &StompBrokerSpec) -> impl Iterator<Item = (String, &String, &'static [&'static str])> {
    spec.applications.iter().enumerate().flat_map(|(index, application)| {
        let field = move |name: &str| format!("spec.applications[{index}].{name}");
        let tls = application.tls.as_ref();
        let authorities = tls.and_then(|tls| tls.ca_secret_name.as_ref());
        let certificate = tls.and_then(|tls| tls.certificate_secret_name.as_ref());
        let signature = application.signature.as_ref().map(|signature| &signature.secret_name);
        [
            ("tls.caSecretName", authorities, &CA_KEYS as &'static [&'static str]),
            ("tls.certificateSecretName", certificate, &TLS_KEYS),
            ("signature.secretName", signature, &APPLICATION_KEYS),
        ]
        .into_iter()
        .filter_map(move |(name, secret, keys)| Some((field(name), secret?, keys)))
    })
}

/// Errors for every Secret that is named but of no use.
pub(super) fn check(broker: &StompBroker, observed: &Observed, errors: &mut Vec<SpecError>) {
    let namespace = broker.metadata.namespace.as_deref().unwrap_or_default();
    let name = broker.metadata.name.as_deref().unwrap_or_default();
    let generated =
        [names::system_secret(name), names::client_secret(name), names::admin_secret(name), names::nats(name)];
    for SecretUse { field, secret_name, keys: needed, issuer } in referenced_secrets(broker) {
        if generated.contains(&secret_name) {
            errors.push(SpecError::invalid(
                field,
                secret_name,
                "the operator writes the Secret of this name itself; leave the field out to use that one, or name another \
                 Secret",
            ));
            continue;
        }
        let mut refuse = |reason, remedy| {
            errors.push(SpecError {
                condition: ConditionType::ResolvedRefs,
                reason,
                field: field.clone(),
                value: secret_name.clone(),
                remedy,
            });
        };
        match observed.referenced_secrets.get(&secret_name) {
            Some(SecretView::Present(keys)) if issuer.is_some() && needed.iter().all(|key| keys.contains(*key)) => {}
            None | Some(SecretView::Missing | SecretView::Present(_)) if issuer.is_some() => {
                let (reason, why) = awaited(&secret_name, observed).unwrap_or_else(|| {
                    (Reason::CertificatePending, "cert-manager has not written the Secret yet".to_owned())
                });
                refuse(reason, why);
            }
            None | Some(SecretView::Missing) if field == CLUSTER => {
                refuse(Reason::SecretNotFound, cluster_remedy(&secret_name, namespace, &[]));
            }
            None | Some(SecretView::Missing) => refuse(
                Reason::SecretNotFound,
                format!(
                    "there is no such Secret in namespace {namespace}; create it with the keys {}",
                    needed.join(" and ")
                ),
            ),
            Some(SecretView::Unreadable(why)) => refuse(
                Reason::SecretUnreadable,
                format!(
                    "the operator cannot read this Secret ({why}); let its ServiceAccount get Secrets in namespace {namespace}"
                ),
            ),
            Some(SecretView::Present(keys)) => {
                let missing: Vec<_> = needed.iter().copied().filter(|key| !keys.contains(*key)).collect();
                if !missing.is_empty() && field == CLUSTER {
                    refuse(Reason::SecretKeyMissing, cluster_remedy(&secret_name, namespace, &missing));
                } else if !missing.is_empty() {
                    refuse(
                        Reason::SecretKeyMissing,
                        format!("this Secret has no value for the key {}; add it", missing.join(" and none for ")),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::brokers;

    fn errors(broker: &StompBroker, observed: &Observed) -> Vec<SpecError> {
        let mut errors = Vec::new();
        check(broker, observed, &mut errors);
        errors
    }

    #[test]
    fn a_secret_that_the_operator_generates_cannot_be_named() {
        for secret in ["trading-system", "trading-client", "trading-admin"] {
            let text = format!(
                "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading}}\n\
                 spec: {{credentials: {{client: {{secretName: {secret}}}}}}}\n"
            );
            let errors = errors(&brokers(&text).unwrap().remove(0), &Observed::default());
            let [error] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(error.field, "spec.credentials.client.secretName");
            assert!(error.to_string().contains(secret) && error.to_string().contains("leave the field out"), "{error}");
        }
    }

    #[test]
    fn the_secret_of_a_rabbitmq_cluster_is_asked_for_all_that_a_relay_needs() {
        let text = "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {name: trading}\n\
                    spec: {engine: {relay: {rabbitmqClusterRef: {name: hare}}}}\n";
        let broker = brokers(text).unwrap().remove(0);
        let mut observed = Observed::assuming_references(&broker);
        let errors = |observed: &Observed| errors(&broker, observed);
        assert_eq!(errors(&observed), []);
        for (key, remedy) in [("stomp-port", "additionalPlugins"), ("password", "systemCredentials")] {
            let whole = observed.referenced_secrets["hare-default-user"].clone();
            if let Some(SecretView::Present(keys)) = observed.referenced_secrets.get_mut("hare-default-user") {
                keys.remove(key);
            }
            let found = errors(&observed);
            assert_eq!((found.len(), found[0].field.as_str(), found[0].reason), (1, CLUSTER, Reason::SecretKeyMissing));
            assert!(found[0].remedy.contains(key) && found[0].remedy.contains(remedy), "{}", found[0].remedy);
            observed.referenced_secrets.insert("hare-default-user".to_owned(), whole);
        }
        observed.referenced_secrets.clear();
        let found = errors(&observed);
        assert_eq!(found[0].reason, Reason::SecretNotFound);
        assert!(found[0].remedy.contains("RabbitmqCluster"), "{}", found[0].remedy);
    }

    #[test]
    fn every_secret_is_asked_for_the_keys_that_its_field_needs() {
        let text = "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {name: trading}\nspec:\n  \
                    listeners: {stomp: {tls: {secretName: cert, clientCertificates: {secretName: cert}}}}\n  \
                    engine: {relay: {upstreams: [{host: h}], systemCredentials: {secretName: s}, clientCredentials: \
                    {secretName: s}, tls: {caSecretName: roots, certificateSecretName: shown}}}\n  \
                    authentication: {users: {secretName: people}, jwt: [{issuer: i, audiences: [a], jwksSecretName: keys}]}\n  \
                    applications: [{name: shop, prefix: /app, url: 'https://shop', tls: {caSecretName: shop-ca, \
                    certificateSecretName: shop-cert}, signature: {secretName: shop-key}}]\n";
        let broker = brokers(text).unwrap().remove(0);
        let mut observed = Observed::assuming_references(&broker);
        let errors = |observed: &Observed| errors(&broker, observed);
        assert_eq!(errors(&observed), []);
        for (secret, key, field) in [
            ("cert", "tls.key", "spec.listeners.stomp.tls.secretName"),
            ("cert", "ca.crt", "spec.listeners.stomp.tls.clientCertificates.secretName"),
            ("roots", "ca.crt", "spec.engine.relay.tls.caSecretName"),
            ("shown", "tls.crt", "spec.engine.relay.tls.certificateSecretName"),
            ("people", "users.yaml", "spec.authentication.users.secretName"),
            ("keys", "jwks.json", "spec.authentication.jwt[0].jwksSecretName"),
            ("shop-ca", "ca.crt", "spec.applications[0].tls.caSecretName"),
            ("shop-cert", "tls.key", "spec.applications[0].tls.certificateSecretName"),
            ("shop-key", "key", "spec.applications[0].signature.secretName"),
        ] {
            let whole = observed.referenced_secrets[secret].clone();
            if let Some(SecretView::Present(keys)) = observed.referenced_secrets.get_mut(secret) {
                keys.remove(key);
            }
            let found = errors(&observed);
            assert_eq!((found.len(), found[0].field.as_str(), found[0].reason), (1, field, Reason::SecretKeyMissing));
            assert!(found[0].remedy.contains(key), "{}", found[0].remedy);
            observed.referenced_secrets.insert(secret.to_owned(), SecretView::Missing);
            assert_eq!(errors(&observed)[0].reason, Reason::SecretNotFound);
            observed.referenced_secrets.insert(secret.to_owned(), whole);
        }
    }
}

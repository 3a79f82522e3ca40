//! What a spec refers to.

use crate::{
    api::StompBroker,
    observed::{Observed, SecretView},
    plan::names,
    status::{ConditionType, Reason},
    validate::SpecError,
};

/// Keys of every Secret that holds a login.
pub const LOGIN_KEYS: [&str; 2] = ["username", "password"];

/// A field that names a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Path of the field.
    pub field: &'static str,
    /// Name of the Secret.
    pub secret_name: String,
}

/// The Secrets that a spec names, in the order of its fields; the same Secret may come twice.
pub fn referenced_secrets(broker: &StompBroker) -> Vec<SecretUse> {
    let spec = &broker.spec;
    let relay = spec.engine.as_ref().and_then(|engine| engine.relay.as_ref());
    [
        ("spec.engine.relay.systemCredentials.secretName", relay.map(|relay| &relay.system_credentials.secret_name)),
        ("spec.engine.relay.clientCredentials.secretName", relay.map(|relay| &relay.client_credentials.secret_name)),
        ("spec.credentials.system.secretName", spec.credentials.system.secret_name.as_ref()),
        ("spec.credentials.client.secretName", spec.credentials.client.secret_name.as_ref()),
    ]
    .into_iter()
    .filter_map(|(field, name)| name.map(|name| SecretUse { field, secret_name: name.clone() }))
    .collect()
}

/// Errors for every Secret that is named but of no use.
pub(super) fn check(broker: &StompBroker, observed: &Observed, errors: &mut Vec<SpecError>) {
    let namespace = broker.metadata.namespace.as_deref().unwrap_or_default();
    let name = broker.metadata.name.as_deref().unwrap_or_default();
    let generated = [names::system_secret(name), names::client_secret(name), names::admin_secret(name)];
    for SecretUse { field, secret_name } in referenced_secrets(broker) {
        if generated.contains(&secret_name) {
            errors.push(SpecError::invalid(
                field,
                secret_name,
                "the operator generates and removes the Secret of this name itself; leave the field out to use that one, or \
                 name another Secret",
            ));
            continue;
        }
        let mut refuse = |reason, remedy| {
            errors.push(SpecError {
                condition: ConditionType::ResolvedRefs,
                reason,
                field: field.to_owned(),
                value: secret_name.clone(),
                remedy,
            });
        };
        match observed.referenced_secrets.get(&secret_name) {
            None | Some(SecretView::Missing) => refuse(
                Reason::SecretNotFound,
                format!(
                    "there is no such Secret in namespace {namespace}; create it with the keys {}",
                    LOGIN_KEYS.join(" and ")
                ),
            ),
            Some(SecretView::Unreadable(why)) => refuse(
                Reason::SecretUnreadable,
                format!(
                    "the operator cannot read this Secret ({why}); let its ServiceAccount get Secrets in namespace {namespace}"
                ),
            ),
            Some(SecretView::Present(keys)) => {
                let missing: Vec<_> = LOGIN_KEYS.into_iter().filter(|key| !keys.contains(*key)).collect();
                if !missing.is_empty() {
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

    #[test]
    fn a_secret_that_the_operator_generates_cannot_be_named() {
        for secret in ["trading-system", "trading-client", "trading-admin"] {
            let text = format!(
                "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading}}\n\
                 spec: {{credentials: {{client: {{secretName: {secret}}}}}}}\n"
            );
            let mut errors = Vec::new();
            check(&brokers(&text).unwrap().remove(0), &Observed::default(), &mut errors);
            let [error] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(error.field, "spec.credentials.client.secretName");
            assert!(error.to_string().contains(secret) && error.to_string().contains("leave the field out"), "{error}");
        }
    }
}

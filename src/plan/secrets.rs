//! Secrets that are generated: the two logins in the shape of the Service Binding specification, and the admin token.

use std::collections::BTreeMap;

use super::{GeneratedSecret, Settings, metadata, names, service};
use crate::validate::{Credential, ValidatedBroker};

/// Value of the key `type`: what applications that read bindings look for.
const BINDING_TYPE: &str = "stomp";
/// Value of the key `provider`.
const BINDING_PROVIDER: &str = "stompbroker";
/// User names of the generated logins; the broker gives roles by the Secret, not by the name.
const SYSTEM_USER: &str = "system";
const CLIENT_USER: &str = "client";

/// The Secrets that are generated for `broker`.
pub(super) fn secrets(broker: &ValidatedBroker, settings: &Settings) -> Vec<GeneratedSecret> {
    let logins = [(&broker.system_credential, SYSTEM_USER), (&broker.client_credential, CLIENT_USER)];
    let mut secrets: Vec<_> = logins
        .into_iter()
        .filter_map(|(credential, user)| match credential {
            Credential::Generated(name) => Some(login(broker, settings, name, user)),
            Credential::Referenced(_) => None,
        })
        .collect();
    secrets.push(GeneratedSecret {
        metadata: metadata::shared(broker, names::admin_secret(&broker.name)),
        type_: "Opaque".to_owned(),
        fixed: BTreeMap::new(),
        random: vec![names::ADMIN_TOKEN_KEY],
    });
    secrets
}

fn login(broker: &ValidatedBroker, settings: &Settings, name: &str, user: &str) -> GeneratedSecret {
    let stomp = broker.listeners.stomp.as_ref().map(|stomp| stomp.port);
    let port = stomp.or_else(|| broker.listeners.websocket.as_ref().map(|websocket| websocket.port));
    let fixed = [
        ("type", BINDING_TYPE.to_owned()),
        ("provider", BINDING_PROVIDER.to_owned()),
        ("host", service::host(broker, settings)),
        ("port", port.map(|port| port.to_string()).unwrap_or_default()),
        ("username", user.to_owned()),
    ];
    GeneratedSecret {
        metadata: metadata::shared(broker, name),
        type_: format!("servicebinding.io/{BINDING_TYPE}"),
        fixed: fixed.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        random: vec!["password"],
    }
}

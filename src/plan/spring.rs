//! ConfigMap for Spring applications: where their broker relay connects to, and the class that sets it up. The logins stay in
//! their Secrets; what is here names them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;

use super::{RenderError, Settings, metadata, names, service};
use crate::validate::{Engine, LOGIN_KEYS, ValidatedBroker};

/// Key of the properties.
const PROPERTIES: &str = "stompbroker.yaml";
/// Key of the class, which is the same for every broker.
const CLASS: &str = "StompbrokerRelay.java";
const CLASS_SOURCE: &str = include_str!("spring/StompbrokerRelay.java");

/// Where the class looks for the Secrets, as Service Binding mounts them; another folder where it does not.
const BINDINGS: &str = "configtree:${SERVICE_BINDING_ROOT:/bindings}/";
/// What a relay sends on where the engine leaves that open: all that Spring knows of.
const PREFIXES: [&str; 2] = ["/topic", "/queue"];

#[derive(Serialize)]
struct Properties<'a> {
    spring: Spring,
    stompbroker: Stompbroker<'a>,
}

#[derive(Serialize)]
struct Spring {
    config: Import,
}

#[derive(Serialize)]
struct Import {
    import: &'static str,
}

#[derive(Serialize)]
struct Stompbroker<'a> {
    relay: Relay<'a>,
}

/// The record `Relay` of the class.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Relay<'a> {
    host: String,
    port: u16,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_certificate: Option<&'static str>,
    destination_prefixes: Vec<&'a str>,
    heartbeat: String,
    system_login: String,
    system_passcode: String,
    client_login: String,
    client_passcode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_destination_broadcast: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_registry_broadcast: Option<&'a str>,
}

/// Name of the ConfigMap of `broker`; absent without STOMP over TCP, for the relay of Spring speaks nothing else.
pub(crate) fn name(broker: &ValidatedBroker) -> Option<String> {
    broker.listeners.stomp.as_ref().map(|_| names::spring(&broker.name))
}

/// The ConfigMap.
///
/// # Errors
/// When the properties have no YAML form, which all have.
pub(super) fn spring(broker: &ValidatedBroker, settings: &Settings) -> Result<Option<ConfigMap>, RenderError> {
    let (Some(name), Some(port)) = (name(broker), broker.listeners.ports().find(|port| !port.is_websocket)) else {
        return Ok(None);
    };
    let has_tls = broker.listeners.stomp.as_ref().is_some_and(|stomp| stomp.tls.is_some());
    let engine = match &broker.engine {
        Engine::Relay(relay) => Some(relay),
        Engine::Embedded(_) | Engine::JetStream(_) => None,
    };
    let (system, client) = (&broker.system_credential.secret_name, &broker.client_credential.secret_name);
    let value = |secret: &str, key: usize| format!("${{{secret}.{}}}", LOGIN_KEYS[key]);
    let relay = Relay {
        host: service::host(broker, settings),
        port: port.number,
        tls: port.is_tls,
        trust_certificate: has_tls.then_some("${STOMPBROKER_CA:}"),
        destination_prefixes: engine
            .map_or_else(|| PREFIXES.to_vec(), |relay| relay.destination_prefixes.iter().map(String::as_str).collect()),
        heartbeat: format!("{}ms", broker.heartbeat.0.as_millis()),
        system_login: value(system, 0),
        system_passcode: value(system, 1),
        client_login: value(client, 0),
        client_passcode: value(client, 1),
        user_destination_broadcast: engine.and_then(|relay| relay.user_destination_broadcast.as_deref()),
        user_registry_broadcast: engine.and_then(|relay| relay.user_registry_broadcast.as_deref()),
    };
    let properties =
        Properties { spring: Spring { config: Import { import: BINDINGS } }, stompbroker: Stompbroker { relay } };
    let mut text = format!(
        "# For Spring applications that relay to the StompBroker {}; docs/spring.md tells how it is mounted.\n\
         # The Secrets {system} and {client} are read as folders of their names below /bindings or $SERVICE_BINDING_ROOT, when the\n\
         # application starts: restart it within spec.credentials.rotation.overlap of a rotation.\n",
        broker.name
    );
    if has_tls {
        text.push_str("# $STOMPBROKER_CA is a PEM file with the authority of the broker's certificate, if Java does not know it.\n");
    }
    text.push_str(&serde_saphyr::to_string(&properties)?);
    Ok(Some(ConfigMap {
        metadata: metadata::shared(broker, name),
        data: Some(BTreeMap::from([(PROPERTIES.to_owned(), text), (CLASS.to_owned(), CLASS_SOURCE.to_owned())])),
        ..ConfigMap::default()
    }))
}

//! `nats.conf`: the same for all servers; what differs comes from the environment and from arguments.

use super::{ACCOUNTS_KEY, CA_KEY, CERTIFICATE_KEY, CLIENT_PORT, CLUSTER_PORT, MONITOR_PORT, PRIVATE_KEY, network};
use crate::{api::ManagedNats, plan::Settings, validate::ValidatedBroker};

/// Name of the file.
pub(super) const FILE: &str = "nats.conf";
/// Where configuration and certificates are.
pub(super) const FOLDER: &str = "/etc/nats";
/// Where the volume is.
pub(super) const STORE: &str = "/data";
/// Variable with the name of the pod.
pub(super) const POD_NAME: &str = "POD_NAME";

/// Least of `max_payload`, NATS's own default.
const LEAST_PAYLOAD: u64 = 1 << 20;
/// Most of `max_payload` that NATS takes.
const MOST_PAYLOAD: u64 = 64 << 20;
/// Room for the headers of a message, which travel in the payload.
const HEADERS: u64 = 128 << 10;

/// The octets that one message to NATS may have, so that one of a client of the greatest size fits.
pub(super) fn max_payload(broker: &ValidatedBroker) -> u64 {
    broker.limits.message_size.0.saturating_add(HEADERS).clamp(LEAST_PAYLOAD, MOST_PAYLOAD)
}

/// The configuration of the servers that are called so.
pub(super) fn nats_conf(
    broker: &ValidatedBroker,
    managed: &ManagedNats,
    servers: &[&str],
    settings: &Settings,
) -> String {
    // A single server has nobody that could have what it loses with its node.
    let sync = if servers.len() == 1 { "\n  sync_interval: always" } else { "" };
    let cluster = if servers.len() == 1 { String::new() } else { cluster(broker, servers, settings) };
    format!(
        "server_name: ${POD_NAME}
port: {CLIENT_PORT}
http_port: {MONITOR_PORT}
max_payload: {payload}
lame_duck_grace_period: 2s
lame_duck_duration: 30s
tls {{
  cert_file: {FOLDER}/{CERTIFICATE_KEY}
  key_file: {FOLDER}/{PRIVATE_KEY}
}}
jetstream {{
  store_dir: {STORE}
  max_file_store: {store}{sync}
}}
{cluster}include {ACCOUNTS_KEY}
",
        payload = max_payload(broker),
        store = managed.storage.store_size().0,
    )
}

/// How servers find each other, and that they show each other certificates.
fn cluster(broker: &ValidatedBroker, servers: &[&str], settings: &Settings) -> String {
    let domain = network::peers_domain(broker, settings);
    let routes: Vec<_> = servers.iter().map(|name| format!("    tls://{name}.{domain}:{CLUSTER_PORT}")).collect();
    let routes = routes.join("\n");
    format!(
        "cluster {{
  name: {namespace}_{name}
  port: {CLUSTER_PORT}
  no_advertise: true
  routes: [
{routes}
  ]
  tls {{
    cert_file: {FOLDER}/{CERTIFICATE_KEY}
    key_file: {FOLDER}/{PRIVATE_KEY}
    ca_file: {FOLDER}/{CA_KEY}
    verify: true
  }}
}}
",
        namespace = broker.namespace,
        name = broker.name,
    )
}

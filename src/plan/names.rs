//! Names of children and the paths and ports that pod and configuration agree on.

use crate::api::ListenerTls;

/// Secret that services log in with, when it is generated.
pub fn system_secret(broker: &str) -> String {
    format!("{broker}-system")
}

/// Secret that client connections log in with, when it is generated.
pub fn client_secret(broker: &str) -> String {
    format!("{broker}-client")
}

/// Secret with the token of the admin port.
pub fn admin_secret(broker: &str) -> String {
    format!("{broker}-admin")
}

/// ConfigMap for Spring applications. No pool's is called so, for the names of zones have no dots.
pub fn spring(broker: &str) -> String {
    format!("{broker}.spring")
}

/// Service where clients connect; Ingress and routes have its name too.
pub fn service(broker: &str) -> String {
    broker.to_owned()
}

/// Secret and Certificate of a listener whose spec names an issuer.
pub fn certificate(broker: &str, listener: &str) -> String {
    format!("{broker}-{listener}-tls")
}

/// Secret with the certificate of a listener.
pub fn listener_secret(broker: &str, listener: &str, tls: &ListenerTls) -> String {
    tls.secret_name.clone().unwrap_or_else(|| certificate(broker, listener))
}

/// Headless Service by which the pods find each other.
pub fn peers_service(broker: &str) -> String {
    format!("{broker}-peers")
}

/// Secret, Service, NetworkPolicy and so on of the NATS servers that the operator runs; StatefulSets add a zone.
pub fn nats(broker: &str) -> String {
    format!("{broker}-nats")
}

/// ConfigMap with the configuration of these servers. No pool's is called so, for the names of zones have no dots.
pub fn nats_config(broker: &str) -> String {
    format!("{broker}.nats")
}

/// Service by which these servers find each other.
pub fn nats_peers(broker: &str) -> String {
    format!("{broker}-nats-peers")
}

/// Key of the admin token in its Secret.
pub const ADMIN_TOKEN_KEY: &str = "token";
/// Key of the configuration in its ConfigMap.
pub const CONFIG_KEY: &str = "broker.yaml";

/// Where the pod finds its configuration and its Secrets.
pub const MOUNT_PATH: &str = "/etc/stompbroker";
/// Folder below [`MOUNT_PATH`] with what services log in with.
pub const SYSTEM_FOLDER: &str = "system";
/// Folder below [`MOUNT_PATH`] with what client connections log in with.
pub const CLIENT_FOLDER: &str = "client";
/// Folder below [`MOUNT_PATH`] with what the relay's system connection logs in with upstream.
pub const RELAY_SYSTEM_FOLDER: &str = "relay-system";
/// Folder below [`MOUNT_PATH`] with what the relay's client connections log in with upstream.
pub const RELAY_CLIENT_FOLDER: &str = "relay-client";
/// Folder below [`MOUNT_PATH`] with authorities of upstreams, and the certificate that the relay shows to them.
pub const RELAY_TLS_FOLDER: &str = "relay-tls";
/// Folder below [`MOUNT_PATH`] with what pods log in to NATS with.
pub const NATS_FOLDER: &str = "nats";
/// Folder below [`MOUNT_PATH`] with certificates for TLS to NATS.
pub const NATS_TLS_FOLDER: &str = "nats-tls";
/// Folder below [`MOUNT_PATH`] with the token of the admin port.
pub const ADMIN_FOLDER: &str = "admin";

/// Where the pod finds the volume of its store.
pub const STORE_PATH: &str = "/var/lib/stompbroker";

/// Folder below [`MOUNT_PATH`] with the certificate of STOMP over TCP.
pub const STOMP_TLS_FOLDER: &str = "stomp-tls";
/// Folder below [`MOUNT_PATH`] with the certificate of STOMP over WebSocket.
pub const WEBSOCKET_TLS_FOLDER: &str = "websocket-tls";
/// Folder below [`MOUNT_PATH`] with users.
pub const USERS_FOLDER: &str = "users";

/// Folder below [`MOUNT_PATH`] with the keys of an issuer of tokens, by its place in the spec.
pub fn issuer_folder(index: usize) -> String {
    format!("jwt-{index}")
}

/// Folder below [`MOUNT_PATH`] with authorities, certificate and key for the application of this name.
pub fn application_folder(name: &str) -> String {
    format!("application-{name}")
}

/// Name of the admin port.
pub const ADMIN_PORT: &str = "admin";
/// Name of the port where pods reach each other.
pub const PEERS_PORT: &str = "peers";

//! Names of children and the paths and ports that pod and configuration agree on.

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

/// Key of the admin token in its Secret.
pub const ADMIN_TOKEN_KEY: &str = "token";
/// Key of the configuration in its ConfigMap.
pub const CONFIG_KEY: &str = "broker.yaml";

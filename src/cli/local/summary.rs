//! What `local` tells the user once the broker runs.

use std::{fmt::Write as _, path::Path};

use stompbroker_config::Config;

use super::pod::Secrets;
use crate::{plan::names, validate::ValidatedBroker};

/// Addresses and generated logins, for a terminal.
pub(super) fn summary(broker: &ValidatedBroker, config: &Config, secrets: &Secrets, state: &Path) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    if let Some(stomp) = &config.listeners.stomp {
        line("STOMP", &format!("localhost:{}", stomp.port));
    }
    if let Some(websocket) = &config.listeners.websocket {
        line("WebSocket", &format!("ws://localhost:{}{}", websocket.port, websocket.path));
    }
    line("console", &format!("http://localhost:{}/console", config.admin.port));
    let value = |secret: &str, key: &str| {
        let value = secrets.get(secret).and_then(|values| values.get(key));
        value.map(|value| String::from_utf8_lossy(value).trim().to_owned()).unwrap_or_default()
    };
    for (name, credential) in [("services", &broker.system_credential), ("clients", &broker.client_credential)] {
        // What the user has written needs no telling.
        if credential.source.is_none() {
            let secret = &credential.secret_name;
            line(name, &format!("login {}  passcode {}", value(secret, "username"), value(secret, "password")));
        }
    }
    line("token", &value(&names::admin_secret(&broker.name), names::ADMIN_TOKEN_KEY));
    line("state", &state.display().to_string());
    text
}

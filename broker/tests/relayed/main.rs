//! Pods before real upstreams: what clients see with each of them, and tests of every broker once more, before `RabbitMQ`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, unused_imports, reason = "the tests of every broker are shared, and so is all that they need")]

#[path = "../common/authority.rs"]
mod authority;
mod behaviours;
#[path = "../common/behaviours/mod.rs"]
mod behaviours_table;
#[path = "../common/servers.rs"]
mod servers;
mod virtual_hosts;

#[path = "../broker/support/mod.rs"]
mod any_broker;

/// What tests of every broker do, here with pods that relay.
mod support {
    use std::path::Path;

    pub(crate) use crate::any_broker::*;
    use crate::{servers::Server, virtual_hosts};

    /// As for the other tests, in a virtual host of its own of the `RabbitMQ` that all tests share.
    pub(crate) fn config(more: &str) -> String {
        let engine =
            virtual_hosts::new(|server, directory, name| engine(server, directory, &format!("virtualHost: {name}, ")));
        crate::any_broker::config(&format!("{engine}\n{more}"))
    }

    /// A relay to this server with this login, and these keys more.
    pub(crate) fn engine(server: &Server, login: &Path, keys: &str) -> String {
        let (port, login) = (server.address().port(), login.display());
        format!(
            "engine: {{relay: {{{keys}destinationPrefixes: [/topic, /queue], \
             userDestinationBroadcast: /topic/unresolved-user, upstreams: [{{host: 127.0.0.1, port: {port}}}], \
             connectTimeout: 60s, systemCredentials: {{directory: {login}}}, clientCredentials: {{directory: {login}}}}}}}"
        )
    }
}

#[path = "../broker/sockjs/http.rs"]
mod sockjs;

#[path = "../broker/applications/mod.rs"]
mod applications;
#[path = "../broker/closing.rs"]
mod closing;
#[path = "../broker/cluster.rs"]
mod cluster;
#[path = "../broker/handed_on.rs"]
mod handed_on;
#[path = "../broker/heartbeats.rs"]
mod heartbeats;
#[path = "../broker/limits.rs"]
mod limits;
#[path = "../broker/rules.rs"]
mod rules;
#[path = "../broker/sessions.rs"]
mod sessions;

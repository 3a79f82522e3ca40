//! The `broker.yaml` of a pool.

use std::path::{Path, PathBuf};

use stompbroker_config as config;

use super::names;
use crate::{
    api::{ADMIN_PORT, HeartbeatPair, SockJs, Upstream},
    validate::{Engine, Pool, ValidatedBroker},
};

/// The configuration of the pods of `pool`.
pub(super) fn config(broker: &ValidatedBroker, pool: &Pool) -> config::Config {
    config::Config {
        zone: pool.zone.clone(),
        listeners: config::Listeners {
            stomp: broker.listeners.stomp.as_ref().map(|stomp| config::StompListener { port: stomp.port, tls: None }),
            websocket: broker.listeners.websocket.as_ref().map(|websocket| config::WebSocketListener {
                port: websocket.port,
                path: websocket.path.clone(),
                allowed_origins: websocket.allowed_origins.clone(),
                tls: None,
                sock_js: websocket.sock_js.as_ref().map(sock_js),
            }),
        },
        admin: config::Admin {
            port: ADMIN_PORT,
            token_file: Some(Path::new(names::MOUNT_PATH).join(names::ADMIN_FOLDER).join(names::ADMIN_TOKEN_KEY)),
        },
        credentials: config::Credentials {
            system: Some(directory(names::SYSTEM_FOLDER)),
            client: Some(directory(names::CLIENT_FOLDER)),
        },
        authentication: config::Authentication { anonymous: broker.anonymous, ..config::Authentication::default() },
        authorization: broker.authorization.clone(),
        engine: engine(&broker.engine),
        destinations: broker.destinations.clone(),
        user_destinations: broker.user_destinations.clone(),
        limits: config::Limits {
            connections_per_pod: broker.limits.connections_per_pod,
            messages_per_second_per_pod: broker.limits.messages_per_second_per_pod,
            subscriptions_per_session: broker.limits.subscriptions_per_session,
            message_size: broker.limits.message_size,
            ..config::Limits::default()
        },
        heartbeat: broker.heartbeat,
        session_timeout: broker.session_timeout,
        drain: config::Drain {
            delay: broker.drain.delay,
            connections_per_second: broker.drain.connections_per_second,
            deadline: broker.drain.deadline,
        },
    }
}

fn sock_js(sock_js: &SockJs) -> config::SockJs {
    config::SockJs {
        enabled: sock_js.enabled,
        heartbeat: sock_js.heartbeat,
        disconnect_delay: sock_js.disconnect_delay,
        response_limit: sock_js.response_limit,
        session_cookie: sock_js.session_cookie,
        client_url: sock_js.client_url.clone(),
    }
}

fn engine(engine: &Engine) -> config::Engine {
    match engine {
        Engine::Embedded(embedded) => config::Engine::Embedded(config::EmbeddedEngine {
            queue_size: embedded.queue_size,
            prefetch: embedded.prefetch,
            persistence: embedded.persistence.as_ref().map(|persistence| config::Persistence {
                directory: names::STORE_PATH.into(),
                size: persistence.store_size(),
            }),
        }),
        Engine::Relay(relay) => {
            let HeartbeatPair { send, receive } = relay.heartbeat;
            config::Engine::Relay(config::RelayEngine {
                destination_prefixes: relay.destination_prefixes.clone(),
                upstreams: relay.upstreams.iter().map(upstream).collect(),
                virtual_host: relay.virtual_host.clone(),
                system_credentials: directory(names::RELAY_SYSTEM_FOLDER),
                client_credentials: directory(names::RELAY_CLIENT_FOLDER),
                heartbeat: config::HeartbeatPair { send, receive },
                connect_timeout: relay.connect_timeout,
            })
        }
    }
}

fn upstream(upstream: &Upstream) -> config::Upstream {
    config::Upstream { host: upstream.host.clone(), port: upstream.port, zone: upstream.zone.clone() }
}

fn directory(folder: &str) -> config::CredentialDirectory {
    config::CredentialDirectory { directory: PathBuf::from(names::MOUNT_PATH).join(folder) }
}

//! The `broker.yaml` of a pool.

use std::path::{Path, PathBuf};

use stompbroker_config as config;

use super::{Settings, names, nats, service};
use crate::{
    api::{
        ADMIN_PORT, Authentication, CertificateName, Compression, ExternalNats, HeartbeatPair, JetStreamEngine,
        JwtIssuer, ListenerTls, PEERS_PORT, SlowConsumers, SockJs, TrustedProxies, Upstream, UpstreamTls,
    },
    validate::{CA_KEYS, Engine, JWKS_KEYS, Pool, USERS_KEYS, ValidatedBroker},
};

/// The configuration of the pods of `pool`.
pub(super) fn config(broker: &ValidatedBroker, pool: &Pool, settings: &Settings) -> config::Config {
    config::Config {
        zone: pool.zone.clone(),
        listeners: config::Listeners {
            stomp: broker.listeners.stomp.as_ref().map(|stomp| config::StompListener {
                port: stomp.port,
                slow_consumers: slow_consumers(stomp.slow_consumers),
                proxy_protocol: stomp.proxy_protocol.as_ref().map(trusted_proxies),
                tls: stomp.tls.as_ref().map(|tls| listener_tls(tls, names::STOMP_TLS_FOLDER)),
            }),
            websocket: broker.listeners.websocket.as_ref().map(|websocket| config::WebSocketListener {
                port: websocket.port,
                path: websocket.path.clone(),
                allowed_origins: websocket.allowed_origins.clone(),
                ping_interval: websocket.ping_interval,
                compression: websocket.compression.as_ref().map(compression).unwrap_or_default(),
                slow_consumers: slow_consumers(websocket.slow_consumers),
                proxy_protocol: websocket.proxy_protocol.as_ref().map(trusted_proxies),
                forwarded_headers: websocket.forwarded_headers.as_ref().map(trusted_proxies),
                tls: websocket.tls.as_ref().map(|tls| listener_tls(tls, names::WEBSOCKET_TLS_FOLDER)),
                sock_js: websocket.sock_js.as_ref().map(sock_js),
            }),
        },
        admin: config::Admin {
            port: ADMIN_PORT,
            token_file: Some(Path::new(names::MOUNT_PATH).join(names::ADMIN_FOLDER).join(names::ADMIN_TOKEN_KEY)),
        },
        peers: broker.engine.has_peers().then(|| config::Peers {
            port: PEERS_PORT,
            dns_name: Some(service::peers_host(broker, settings)),
            addresses: Vec::new(),
        }),
        credentials: config::Credentials {
            system: Some(directory(names::SYSTEM_FOLDER)),
            client: Some(directory(names::CLIENT_FOLDER)),
        },
        authentication: authentication(&broker.authentication),
        authorization: broker.authorization.clone(),
        engine: engine(broker),
        destinations: broker.destinations.clone(),
        user_destinations: broker.user_destinations.clone(),
        applications: broker.applications.clone(),
        limits: config::Limits {
            connections_per_pod: broker.limits.connections_per_pod,
            connections_per_address: broker.limits.connections_per_address,
            memory: broker.limits.memory,
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
        tracing: broker.tracing.as_ref().map(|tracing| config::Tracing {
            otlp_endpoint: tracing.otlp_endpoint.clone(),
            protocol: tracing.protocol,
            sampling_ratio: tracing.sampling_ratio,
            service_name: broker.name.clone(),
        }),
        logging: config::Logging { format: broker.logging.format, level: broker.logging.level },
    }
}

fn trusted_proxies(proxies: &TrustedProxies) -> config::TrustedProxies {
    config::TrustedProxies { trusted_addresses: proxies.trusted_addresses.clone() }
}

fn compression(compression: &Compression) -> config::Compression {
    config::Compression { enabled: compression.enabled, minimum_size: compression.minimum_size }
}

const fn slow_consumers(slow_consumers: SlowConsumers) -> config::SlowConsumers {
    match slow_consumers {
        SlowConsumers::Close => config::SlowConsumers::Close,
        SlowConsumers::DropOldest => config::SlowConsumers::DropOldest,
        SlowConsumers::DropNewest => config::SlowConsumers::DropNewest,
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

fn listener_tls(tls: &ListenerTls, folder: &str) -> config::ListenerTls {
    let folder = mounted(folder);
    config::ListenerTls {
        port: tls.port,
        client_certificates: tls.client_certificates.as_ref().map(|clients| config::ClientCertificates {
            ca_file: folder.join(CA_KEYS[0]),
            required: clients.required,
            login: clients.login.map(certificate_name),
        }),
        directory: Some(folder),
        certificate_file: None,
        key_file: None,
    }
}

const fn certificate_name(name: CertificateName) -> config::CertificateName {
    match name {
        CertificateName::CommonName => config::CertificateName::CommonName,
        CertificateName::DnsName => config::CertificateName::DnsName,
        CertificateName::EmailAddress => config::CertificateName::EmailAddress,
        CertificateName::Uri => config::CertificateName::Uri,
    }
}

fn authentication(authentication: &Authentication) -> config::Authentication {
    config::Authentication {
        anonymous: authentication.anonymous,
        jwt: authentication.jwt.iter().enumerate().map(|(index, issuer)| jwt(issuer, index)).collect(),
        token_header: authentication.token_header.clone(),
        users: authentication
            .users
            .as_ref()
            .map(|_| config::UserFile { file: mounted(names::USERS_FOLDER).join(USERS_KEYS[0]) }),
    }
}

fn jwt(issuer: &JwtIssuer, index: usize) -> config::JwtIssuer {
    let file = || mounted(&names::issuer_folder(index)).join(JWKS_KEYS[0]);
    config::JwtIssuer {
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        jwks_url: issuer.jwks_url.clone(),
        jwks_file: issuer.jwks_secret_name.as_ref().map(|_| file()),
        ca_file: None,
        roles_claim: issuer.roles_claim.clone(),
        user_claim: issuer.user_claim.clone(),
        clock_skew: issuer.clock_skew,
    }
}

fn engine(broker: &ValidatedBroker) -> config::Engine {
    match &broker.engine {
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
                upstreams: relay.resolved_upstreams(&broker.namespace).into_iter().map(upstream).collect(),
                tls: relay.tls.as_ref().map(upstream_tls),
                virtual_host: relay.virtual_host.clone(),
                multiplex: relay.multiplex.map(|multiplex| config::Multiplex { connections: multiplex.connections }),
                user_destination_broadcast: relay.user_destination_broadcast.clone(),
                user_registry_broadcast: relay.user_registry_broadcast.clone(),
                system_credentials: directory(names::RELAY_SYSTEM_FOLDER),
                client_credentials: directory(names::RELAY_CLIENT_FOLDER),
                heartbeat: config::HeartbeatPair { send, receive },
                connect_timeout: relay.connect_timeout,
            })
        }
        Engine::JetStream(engine) => config::Engine::JetStream(jetstream(broker, engine)),
    }
}

/// Names of Kubernetes have no underscore, so no two brokers of a cluster share a prefix.
fn jetstream(broker: &ValidatedBroker, engine: &JetStreamEngine) -> config::JetStreamEngine {
    let JetStreamEngine { external, managed, replicas, durable_topics, prefetch, ack_wait } = engine;
    let (servers, login, tls) = match (external, managed) {
        (Some(ExternalNats { servers, credentials, tls }), _) => {
            (servers.clone(), credentials.is_some(), tls.is_some())
        }
        (None, Some(_)) => (vec![nats::url(broker)], true, true),
        (None, None) => (Vec::new(), false, false),
    };
    config::JetStreamEngine {
        servers,
        credentials: login.then(|| directory(names::NATS_FOLDER)),
        tls: tls.then(|| config::NatsTls { directory: mounted(names::NATS_TLS_FOLDER) }),
        replicas: *replicas,
        durable_topics: durable_topics.as_ref().map(Into::into),
        prefetch: *prefetch,
        ack_wait: *ack_wait,
        ..config::JetStreamEngine::new(format!("{}_{}", broker.namespace, broker.name).replace('.', "-"))
    }
}

fn upstream_tls(tls: &UpstreamTls) -> config::UpstreamTls {
    let folder = || mounted(names::RELAY_TLS_FOLDER);
    config::UpstreamTls {
        ca_file: tls.ca_secret_name.as_ref().map(|_| folder().join(CA_KEYS[0])),
        server_name: tls.server_name.clone(),
        directory: tls.certificate_secret_name.as_ref().map(|_| folder()),
    }
}

fn upstream(Upstream { host, port, zone }: Upstream) -> config::Upstream {
    config::Upstream { host, port, zone }
}

fn directory(folder: &str) -> config::CredentialDirectory {
    config::CredentialDirectory { directory: mounted(folder) }
}

fn mounted(folder: &str) -> PathBuf {
    PathBuf::from(names::MOUNT_PATH).join(folder)
}

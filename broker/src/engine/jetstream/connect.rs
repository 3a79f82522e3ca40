//! From the configuration to a connection that JetStream answers on, with its streams in place.

use std::{error::Error, path::Path, time::Duration};

use async_nats::{
    Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event,
    jetstream::{
        self,
        context::CreateStreamErrorKind,
        stream::{Config as Stream, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use rand::Rng as _;
use stompbroker_config::{JetStreamEngine, admin::UpstreamState};
use tokio::sync::mpsc;

use super::names::Names;
use crate::{
    engine::failure::Failure,
    security::{
        certificates,
        credential_files::{PASSWORD_FILE, USERNAME_FILE},
    },
};

/// The oldest server that has what this engine uses.
const OLDEST: (i64, i64, i64) = (2, 10, 0);
/// Longest pause between two tries.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(5);
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// The longest that a connection may take to be made, so that a server that is cut off does not take all the time for which
/// sessions wait for another one.
const MOST_CONNECT_TIME: Duration = Duration::from_secs(2);
/// How often a server is asked whether it is there. One that does not answer twice is left at the third time: well before what
/// waits for it is given up.
const PING_PACE: Duration = Duration::from_secs(3);
/// For how long JetStream knows what it has stored already, by id.
const DUPLICATES: Duration = Duration::from_mins(2);
/// Messages of one subscription that may wait in the client; nobody here is ever slow to take them.
const SUBSCRIPTION_CAPACITY: usize = 256 << 10;
/// Files that a folder of credentials may have besides user name and password.
const TOKEN_FILE: &str = "token";
const NKEY_FILE: &str = "nkey";
const CREDS_FILE: &str = "creds";

/// A pause before the next try, somewhere below a bound that doubles with each failure.
pub(super) fn backoff(failures: usize) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or(u32::MAX).min(10);
    let bound = MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_BACKOFF);
    rand::rng().random_range(MIN_BACKOFF / 2..=bound)
}

/// Connects once. The client then reconnects for ever, with credentials read anew; `events` tells of it.
pub(super) async fn connect(config: &JetStreamEngine, events: mpsc::Sender<Event>) -> Result<Client, Failure> {
    let options = options(config).await?;
    let options = options
        .name(format!("stompbroker {}", config.prefix))
        .connection_timeout(config.connect_timeout.0.min(MOST_CONNECT_TIME))
        .request_timeout(Some(config.connect_timeout.0))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ping_interval(PING_PACE)
        .max_reconnects(None)
        .reconnect_delay_callback(|failures| {
            let pause = backoff(failures);
            tracing::debug!(failures, ?pause, "connecting to NATS again after a pause");
            pause
        })
        .event_callback(move |event| {
            let events = events.clone();
            async move {
                // Without a receiver the process is ending.
                let _ = events.send(event).await;
            }
        });
    let servers: Vec<&str> = config.servers.iter().map(String::as_str).collect();
    let client = options.connect(servers).await.map_err(|error| {
        let state = match error.kind() {
            ConnectErrorKind::Dns => UpstreamState::DnsFailed,
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => UpstreamState::AuthFailed,
            ConnectErrorKind::Tls => UpstreamState::TlsFailed,
            ConnectErrorKind::ServerParse => UpstreamState::ProtocolError,
            // The client does not tell a handshake that failed from a connection that did.
            _ if is_of_tls(&error) => UpstreamState::TlsFailed,
            _ => UpstreamState::Unreachable,
        };
        Failure::new(state, format!("cannot connect to NATS: {error}"))
    })?;
    let version = client.server_info().version;
    let (major, minor, patch) = OLDEST;
    if client.is_server_compatible(major, minor, patch) {
        return Ok(client);
    }
    let text = format!("the NATS server is of version {version}; it must be {major}.{minor} or newer");
    Err(Failure::new(UpstreamState::ProtocolError, text))
}

/// Whether somewhere behind an error is one of TLS.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some() {
            return true;
        }
        next = error.source();
    }
    false
}

async fn options(config: &JetStreamEngine) -> Result<ConnectOptions, Failure> {
    let options = match &config.credentials {
        None => ConnectOptions::new(),
        Some(credentials) => login(&credentials.directory).await?,
    };
    let Some(tls) = &config.tls else {
        let is_tls = config.servers.iter().any(|server| server.starts_with("tls://"));
        return Ok(if is_tls { options.tls_client_config(public_authorities()?) } else { options });
    };
    let options = options.require_tls(true);
    let (authorities, certificate, key) =
        (tls.directory.join("ca.crt"), tls.directory.join("tls.crt"), tls.directory.join("tls.key"));
    let options = if exists(&authorities).await {
        options.add_root_certificates(authorities)
    } else {
        options.tls_client_config(public_authorities()?)
    };
    Ok(if exists(&certificate).await { options.add_client_certificate(certificate, key) } else { options })
}

/// The authorities that browsers trust, for the image has none of its own.
fn public_authorities() -> Result<rustls::ClientConfig, Failure> {
    certificates::client(None, None).map_err(|problem| Failure::new(UpstreamState::TlsFailed, problem))
}

async fn exists(file: &Path) -> bool {
    tokio::fs::try_exists(file).await.unwrap_or(false)
}

/// How to log in with what is in a folder.
async fn login(folder: &Path) -> Result<ConnectOptions, Failure> {
    let unreadable = |file: &str, error: std::io::Error| {
        let text = format!("{} cannot be used: {error}", folder.join(file).display());
        Failure::new(UpstreamState::AuthFailed, text)
    };
    if exists(&folder.join(CREDS_FILE)).await {
        let options = ConnectOptions::with_credentials_file(folder.join(CREDS_FILE)).await;
        return options.map_err(|error| unreadable(CREDS_FILE, error));
    }
    if exists(&folder.join(NKEY_FILE)).await {
        let seed = read(folder, NKEY_FILE).await.map_err(|error| unreadable(NKEY_FILE, error))?;
        return Ok(ConnectOptions::with_nkey(seed));
    }
    // Both are read at every reconnect, so that a rotation needs no restart.
    let folder = folder.to_owned();
    Ok(ConnectOptions::with_auth_callback(move |_nonce| {
        let folder = folder.clone();
        async move {
            let mut auth = Auth::new();
            if exists(&folder.join(TOKEN_FILE)).await {
                auth.token = Some(read(&folder, TOKEN_FILE).await.map_err(AuthError::new)?);
            } else {
                auth.username = Some(read(&folder, USERNAME_FILE).await.map_err(AuthError::new)?);
                auth.password = Some(read(&folder, PASSWORD_FILE).await.map_err(AuthError::new)?);
            }
            Ok(auth)
        }
    }))
}

async fn read(folder: &Path, file: &str) -> std::io::Result<String> {
    Ok(tokio::fs::read_to_string(folder.join(file)).await?.trim_end_matches(['\n', '\r']).to_owned())
}

/// Sees to it that the streams are there and as the configuration wants them.
pub(super) async fn prepare(
    context: &jetstream::Context,
    config: &JetStreamEngine,
    names: &Names,
) -> Result<(), Failure> {
    let queues = names.queue_streams().map(|(name, subject)| work_queue(&name, subject));
    let [commits, delayed] =
        [names.commits(), names.delayed()].map(|(name, subject)| work_queue(&name, subject.into()));
    let topics = config.durable_topics.as_ref().map(|topics| {
        let (name, subject) = names.topics();
        Stream {
            // What no durable subscription wants is not kept, and of what they want the oldest goes when it is too much.
            retention: RetentionPolicy::Interest,
            discard: DiscardPolicy::Old,
            max_bytes: i64::try_from(topics.size.0).unwrap_or(i64::MAX),
            ..work_queue(&name, subject.into())
        }
    });
    for stream in queues.chain([commits, delayed]).chain(topics) {
        let stream = Stream { num_replicas: usize::from(config.replicas), ..stream };
        let name = stream.name.clone();
        context.create_or_update_stream(stream).await.map_err(|error| {
            let state = match error.kind() {
                CreateStreamErrorKind::TimedOut => UpstreamState::Unreachable,
                _ => UpstreamState::ProtocolError,
            };
            Failure::new(state, format!("JetStream has no stream {name} for us: {error}"))
        })?;
    }
    Ok(())
}

/// A stream whose messages go when they are acknowledged.
fn work_queue(name: &str, subject: String) -> Stream {
    Stream {
        name: name.to_owned(),
        description: Some("messages of a StompBroker".to_owned()),
        subjects: vec![subject],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        duplicate_window: DUPLICATES,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        ..Stream::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_none() {
        for failures in [0, 1, 5, 50, usize::MAX] {
            let pause = backoff(failures);
            assert!(pause >= MIN_BACKOFF / 2 && pause <= MAX_BACKOFF, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn pods_that_lost_the_same_server_come_back_at_different_times() {
        let pauses: std::collections::HashSet<_> = (0..100).map(|_pod| backoff(5)).collect();
        assert!(pauses.len() > 90, "{} pauses of 100 pods differ", pauses.len());
    }
}

//! From an upstream's address to a [`Link`]: name, TCP, TLS, CONNECT, CONNECTED, all within `connectTimeout`.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use stompbroker_config::{HeartbeatPair, RelayEngine, admin::UpstreamState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    failure::Failure,
    link::{Agreement, Dialect, Link},
    settings::Address,
    stream::Stream,
    tls::{self, Clients, NO_TLS},
};
use crate::{
    security::CredentialPair,
    stomp::{Command, DecodeLimits, Decoder, Frame, Item, Version, encode},
};

/// What an upstream may send: larger than what clients may, for other programs publish there as well.
const UPSTREAM_LIMITS: DecodeLimits =
    DecodeLimits { headers: 1_000, header_size: 100 << 10, body_size: 32 << 20, frame_size: 64 << 20 };
/// An upstream that vanished without a word is noticed after about this much silence of TCP itself.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one connection of the pod that tells whether the upstream is there.
    System,
    /// A connection of one client session.
    Client,
}

impl Role {
    fn credentials(self, relay: &RelayEngine) -> &Path {
        match self {
            Self::System => &relay.system_credentials.directory,
            Self::Client => &relay.client_credentials.directory,
        }
    }
}

/// Connects and logs in; `client_id` is the `client-id` that a client named in its own CONNECT.
///
/// # Errors
/// The [`Failure`] tells which step failed.
pub(super) async fn connect(
    clients: &Arc<Clients>,
    address: &Address,
    relay: &RelayEngine,
    role: Role,
    client_id: Option<&str>,
) -> Result<Link, Failure> {
    let timeout = relay.connect_timeout.0;
    let deadline = Instant::now() + timeout;
    let credentials = credentials(role.credentials(relay)).await?;
    let stream = open(address, deadline, timeout).await?;
    let stream = match &relay.tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let handshake = timeout_at(deadline, clients.connect(tls, &address.host, stream)).await;
            let late =
                || Failure::new(UpstreamState::TlsFailed, format!("no TLS handshake within {timeout:?}; {NO_TLS}"));
            Stream::Tls(Box::new(handshake.map_err(|_| late())??))
        }
    };
    let login = login(stream, relay, &credentials, client_id);
    timeout_at(deadline, login).await.unwrap_or_else(|_| {
        let text = format!("the upstream took the connection but did not answer CONNECT within {timeout:?}");
        Err(Failure::new(UpstreamState::Unreachable, text))
    })
}

/// Reads the folder at each connect, so that a rotated Secret needs no restart.
async fn credentials(directory: &Path) -> Result<CredentialPair, Failure> {
    let directory: Arc<Path> = directory.into();
    match tokio::task::spawn_blocking(move || CredentialPair::read(&directory)).await {
        Ok(Ok(pair)) => Ok(pair),
        Ok(Err(error)) => Err(Failure::new(UpstreamState::AuthFailed, error.to_string())),
        Err(error) => Err(Failure::new(UpstreamState::AuthFailed, format!("cannot read the credentials: {error}"))),
    }
}

async fn open(address: &Address, deadline: Instant, timeout: Duration) -> Result<TcpStream, Failure> {
    let host = &*address.host;
    let lookup = timeout_at(deadline, tokio::net::lookup_host((host, address.port))).await;
    let addresses: Vec<_> = match lookup {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            return Err(Failure::new(UpstreamState::DnsFailed, format!("cannot resolve {host:?}: {error}")));
        }
        Err(_) => {
            return Err(Failure::new(UpstreamState::DnsFailed, format!("cannot resolve {host:?} within {timeout:?}")));
        }
    };
    let mut failure = Failure::new(UpstreamState::DnsFailed, format!("{host:?} has no address"));
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for socket in addresses {
        // Every address gets an equal share of the time that is left, so that a dead one cannot use it all up.
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(share, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => {
                tune(&stream).map_err(|error| Failure::unreachable("cannot set up the connection", &error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = Failure::unreachable("cannot connect", &error),
            Err(_) => {
                failure = Failure::new(UpstreamState::Unreachable, format!("no TCP connection within {timeout:?}"));
            }
        }
    }
    Err(failure)
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE / 3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn login(
    mut stream: Stream,
    relay: &RelayEngine,
    credentials: &CredentialPair,
    client_id: Option<&str>,
) -> Result<Link, Failure> {
    let offer = &relay.heartbeat;
    let heartbeat = format!("{},{}", offer.send.0.as_millis(), offer.receive.0.as_millis());
    let mut headers = vec![
        ("accept-version", "1.1,1.2"),
        ("heart-beat", &*heartbeat),
        ("login", credentials.username()),
        ("passcode", credentials.password()),
    ];
    headers.extend(relay.virtual_host.as_deref().map(|host| ("host", host)));
    headers.extend(client_id.map(|id| ("client-id", id)));
    let mut request = Vec::new();
    encode(&mut request, None, Command::Connect, headers, false, b"");
    let over_tls = relay.tls.is_some();
    let broke = |error: &io::Error| match tls::explain(error, "") {
        Some(text) => Failure::new(UpstreamState::TlsFailed, text),
        None => silent_end(over_tls, &error.to_string()),
    };
    let written = async {
        stream.write_all(&request).await?;
        stream.flush().await
    };
    written.await.map_err(|error| broke(&error))?;

    let mut decoder = Decoder::new(UPSTREAM_LIMITS);
    let mut input = BytesMut::with_capacity(1024);
    loop {
        if input.first() == Some(&tls::ALERT) {
            let text = "the upstream speaks TLS on this port; set engine.relay.tls, or give its port without TLS";
            return Err(Failure::new(UpstreamState::TlsFailed, text));
        }
        match decoder.decode(&mut input) {
            Ok(Some(Item::Heartbeat)) => {}
            Ok(Some(Item::Frame(frame))) => {
                let agreement = answer(&frame, offer)?;
                return Ok(Link::new(stream, decoder, input, agreement));
            }
            Ok(None) => {
                if stream.read_buf(&mut input).await.map_err(|error| broke(&error))? == 0 {
                    return Err(silent_end(over_tls, "it closed the connection"));
                }
            }
            Err(error) => {
                let text = format!("the upstream answers something that is not STOMP: {error}");
                return Err(Failure::new(UpstreamState::ProtocolError, text));
            }
        }
    }
}

/// An upstream that ended the connection instead of answering CONNECT. One that refuses the broker's certificate may do so
/// before it can be heard why.
fn silent_end(over_tls: bool, how: &str) -> Failure {
    let (state, hint) = if over_tls {
        (UpstreamState::TlsFailed, "it may want a certificate of the broker, see engine.relay.tls.directory")
    } else {
        (UpstreamState::Unreachable, "if it wants TLS on this port, set engine.relay.tls")
    };
    Failure::new(state, format!("the upstream did not answer CONNECT: {how}; {hint}"))
}

/// What the first frame of an upstream means.
fn answer(frame: &Frame, offer: &HeartbeatPair) -> Result<Agreement, Failure> {
    match frame.command {
        Command::Connected => {}
        Command::Error => return Err(Failure::refused(frame)),
        other => {
            let text = format!("the upstream answers CONNECT with {}", other.as_str());
            return Err(Failure::new(UpstreamState::ProtocolError, text));
        }
    }
    let version = match frame.header("version") {
        Some("1.2") => Version::V1_2,
        Some("1.1") => Version::V1_1,
        other => {
            let text = format!("the upstream chose STOMP {:?}; 1.1 or 1.2 is needed", other.unwrap_or("1.0"));
            return Err(Failure::new(UpstreamState::ProtocolError, text));
        }
    };
    let (can_send, wants) = heartbeat(frame.header("heart-beat").unwrap_or("0,0"))?;
    Ok(Agreement {
        version,
        dialect: Dialect::of(frame.header("server")),
        send: agreed(offer.send.0, wants),
        receive: agreed(offer.receive.0, can_send),
    })
}

/// Reads `heart-beat`: what the upstream can send, and what it wants to receive.
fn heartbeat(value: &str) -> Result<(Duration, Duration), Failure> {
    let parse = |text: &str| text.trim().parse().map(Duration::from_millis).ok();
    value.split_once(',').and_then(|(sends, wants)| Some((parse(sends)?, parse(wants)?))).ok_or_else(|| {
        let text = format!("the upstream answers with heart-beat {value:?}; two numbers of milliseconds are needed");
        Failure::new(UpstreamState::ProtocolError, text)
    })
}

/// The period for one direction: none when either side gives zero, else the longer one.
fn agreed(ours: Duration, theirs: Duration) -> Option<Duration> {
    (!ours.is_zero() && !theirs.is_zero()).then(|| ours.max(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(headers: &[(&str, &str)]) -> Frame {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Frame { command: Command::Connected, headers, body: bytes::Bytes::new() }
    }

    #[test]
    fn the_slower_side_sets_the_pace_of_each_direction() {
        let frame = connected(&[("version", "1.2"), ("heart-beat", "20000,5000"), ("server", "RabbitMQ/4")]);
        let agreement = answer(&frame, &HeartbeatPair::default()).unwrap();
        assert_eq!(agreement.receive, Some(Duration::from_secs(20)));
        assert_eq!(agreement.send, Some(Duration::from_secs(10)));
        assert_eq!((agreement.version, agreement.dialect), (Version::V1_2, Dialect::RabbitMq));
    }

    #[test]
    fn an_upstream_without_heart_beats_agrees_to_none() {
        let agreement = answer(&connected(&[("version", "1.1")]), &HeartbeatPair::default()).unwrap();
        assert_eq!((agreement.send, agreement.receive), (None, None));
    }

    #[test]
    fn an_upstream_that_does_not_speak_1_1_or_1_2_is_named_so() {
        for headers in [&[][..], &[("version", "1.0")], &[("version", "1.2"), ("heart-beat", "x,-1")]] {
            let failure = answer(&connected(headers), &HeartbeatPair::default()).unwrap_err();
            assert_eq!(failure.state, UpstreamState::ProtocolError, "{failure}");
        }
    }
}

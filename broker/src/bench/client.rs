//! One session with the broker that is measured: opened with deadlines, then as thin as it can be.

use std::{
    cell::Cell,
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{
    arguments::{PeerTransport, Resolved, Url},
    frames::{Framing, put_frame},
    scan::{ScanError, Scanner},
};
use crate::stomp::Command;

/// How long opening a session, or the answer to a SUBSCRIBE, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Octets read in one go.
const READ: usize = 256 << 10;
/// Sessions that are being opened at once.
const OPENING: usize = 64;
/// The longest answer to an upgrade.
const MOST_ANSWER: usize = 16 << 10;
/// The only subscription of every session.
const SUBSCRIPTION: &str = "0";

/// What a session logs in with. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) name: Option<String>,
    pub(super) passcode: Option<String>,
    pub(super) virtual_host: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a session could not be opened, or broke.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot connect to {url}: {source}; does the broker listen there?")]
    Connect {
        /// As given.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// The WebSocket was refused.
    #[error("{url} refused the WebSocket: {answer:?}; check the path and the allowed origins")]
    Upgrade {
        /// As given.
        url: String,
        /// The first line of the answer.
        answer: String,
    },
    /// An ERROR frame.
    #[error("the broker answered with an ERROR: {0}")]
    Refused(String),
    /// No answer.
    #[error("the broker gave no {0} within {PATIENCE:?}")]
    Silent(&'static str),
    /// The broker closed the connection.
    #[error("the broker closed a connection; its log says why")]
    Closed,
    /// The connection broke.
    #[error("a connection to the broker broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is not STOMP.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// An open session.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
}

/// The half of a session that reads.
#[derive(Debug)]
pub(super) struct Receiver {
    half: OwnedReadHalf,
    scanner: Scanner,
}

/// The half of a session that writes.
#[derive(Debug)]
pub(super) struct Sender {
    half: OwnedWriteHalf,
    pub(super) framing: Framing,
    pub(super) scratch: Vec<u8>,
}

impl Client {
    /// Connects the session of this number and logs in. `heartbeat` is the header of that name.
    pub(super) async fn open(target: &Resolved, number: usize, heartbeat: &str) -> Result<Self, ClientError> {
        let session = Self::log_in(target.url(number), &target.login, heartbeat);
        timeout(PATIENCE, session).await.unwrap_or(Err(ClientError::Silent("CONNECTED")))
    }

    async fn log_in(url: &Url, login: &Login, heartbeat: &str) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { url: url.to_string(), source };
        let mut stream = TcpStream::connect(&url.authority).await.map_err(failed)?;
        stream.set_nodelay(true)?;
        let framing = match url.transport {
            PeerTransport::Tcp => Framing::Tcp,
            PeerTransport::Websocket => {
                upgrade(&mut stream, url).await?;
                Framing::WebSocket
            }
        };
        let (read, write) = stream.into_split();
        let mut client = Self {
            receiver: Receiver { half: read, scanner: framing.scanner() },
            sender: Sender { half: write, framing, scratch: Vec::new() },
        };
        let Login { name, passcode, virtual_host } = login;
        let mut headers = vec![("accept-version", "1.2"), ("host", virtual_host), ("heart-beat", heartbeat)];
        headers.extend(name.iter().map(|name| ("login", name.as_str())));
        headers.extend(passcode.iter().map(|passcode| ("passcode", passcode.as_str())));
        client.sender.send(Command::Connect, &headers, b"").await?;
        client.expect(b"CONNECTED").await?;
        Ok(client)
    }

    /// Subscribes, and waits until the broker has done so.
    pub(super) async fn subscribe(&mut self, headers: &[(&str, &str)]) -> Result<(), ClientError> {
        let mut all = vec![("id", SUBSCRIPTION), ("receipt", "subscribed")];
        all.extend_from_slice(headers);
        self.sender.send(Command::Subscribe, &all, b"").await?;
        timeout(PATIENCE, self.expect(b"RECEIPT")).await.unwrap_or(Err(ClientError::Silent("RECEIPT")))
    }

    async fn expect(&mut self, command: &[u8]) -> Result<(), ClientError> {
        let mut found = false;
        while !found {
            self.receiver.receive(|frame| found |= frame.starts_with(command)).await?;
        }
        Ok(())
    }
}

impl Receiver {
    /// Reads once; `frame` gets every frame that came. Safe to cancel.
    pub(super) async fn receive(&mut self, mut frame: impl FnMut(&[u8])) -> Result<(), ClientError> {
        loop {
            self.half.readable().await?;
            let (half, scanner) = (&self.half, &mut self.scanner);
            let mut refused = None;
            let read = with_buffer(|buffer| {
                let octets = half.try_read(buffer)?;
                scanner.scan(&buffer[..octets], |octets| {
                    if octets.starts_with(b"ERROR") {
                        refused = Some(String::from_utf8_lossy(octets).replace(['\n', '\r'], " "));
                    } else {
                        frame(octets);
                    }
                })?;
                Ok::<_, ClientError>(octets)
            });
            return match (refused, read) {
                (Some(text), _) => Err(ClientError::Refused(text)),
                (None, Ok(0)) => Err(ClientError::Closed),
                (None, Ok(_)) => Ok(()),
                (None, Err(ClientError::Broken(error))) if error.kind() == io::ErrorKind::WouldBlock => continue,
                (None, Err(error)) => Err(error),
            };
        }
    }

    /// Reads what nobody waits for, so that an ERROR is not missed; ends only with a failure.
    pub(super) async fn drop_all(mut self) -> Result<(), ClientError> {
        loop {
            self.receive(|_| ()).await?;
        }
    }
}

impl Sender {
    /// Writes one frame.
    pub(super) async fn send(
        &mut self,
        command: Command,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), ClientError> {
        let mut out = Vec::new();
        put_frame(self.framing, command, headers, body, &mut self.scratch, &mut out);
        self.write(&out).await
    }

    /// Writes frames that are encoded.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        Ok(self.half.write_all(octets).await?)
    }
}

/// Opens sessions that are all subscribed, a few at a time.
pub(super) async fn open_subscribed<'h>(
    target: &Resolved,
    heartbeat: &str,
    count: usize,
    headers: impl Fn(usize) -> Vec<(&'h str, String)>,
) -> Result<Vec<Client>, ClientError> {
    stream::iter(0..count)
        .map(|index| {
            let headers = headers(index);
            async move {
                let mut client = Client::open(target, index, heartbeat).await?;
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                client.subscribe(&headers).await?;
                Ok(client)
            }
        })
        .buffered(OPENING)
        .try_collect()
        .await
}

async fn upgrade(stream: &mut TcpStream, url: &Url) -> Result<(), ClientError> {
    let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n",
        url.path, url.authority
    );
    stream.write_all(request.as_bytes()).await?;
    // The server speaks again only when it is spoken to, so no octet after the answer is lost here.
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    while memmem::find(&answer, b"\r\n\r\n").is_none() && answer.len() < MOST_ANSWER {
        match stream.read(&mut part).await? {
            0 => break,
            octets => answer.extend_from_slice(&part[..octets]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(ClientError::Upgrade { url: url.to_string(), answer })
}

/// Lends a buffer that all sessions of a thread share.
pub(super) fn with_buffer<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local!(static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) });
    let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; READ].into_boxed_slice());
    let result = use_it(&mut buffer);
    BUFFER.set(Some(buffer));
    result
}

/// What all sessions of a run share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// Part of every destination, so that two runs do not meet.
    pub(super) name: Arc<str>,
    /// What the stamps in bodies count from.
    pub(super) epoch: Instant,
}

impl Shared {
    /// For one run.
    pub(super) fn new() -> Self {
        let name = format!("bench-{:08x}", rand::random::<u32>()).into();
        Self { name, epoch: Instant::now() }
    }
}

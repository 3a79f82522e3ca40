//! Clients that count: producers that send until they have a RECEIPT, consumers that acknowledge and wait for a RECEIPT.
//!
//! When their connection ends they come back after a pause with chance in it, to the broker of their own zone or, if that
//! does not serve, to another one. They never ask the brokers for anything else than STOMP has.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use rand::Rng as _;
use stompbroker::stomp::{Command, DecodeLimits, Decoder, Frame, Item, Version, encode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, interval, timeout},
};

use crate::{
    ledger::{Ledger, SendId, What},
    servers::{Engine, STOMP},
    zones::Zone,
};

/// Queues that all of them use.
pub(crate) const QUEUES: usize = 3;
/// SENDs of a producer without a RECEIPT.
const WINDOW: usize = 8;
/// MESSAGEs of a queue that a consumer takes before it acknowledges one.
const PREFETCH: &str = "10";
/// How often a producer sends.
const PACE: Duration = Duration::from_millis(80);
/// How often a client shows that it lives, and after how long it takes a broker for dead.
const BEAT: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_secs(5);
/// How long a broker may take to let a client in.
const LOGIN: Duration = Duration::from_secs(5);
/// Pauses before another try.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// What clients share with the run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    /// Producers begin no further message.
    pub(crate) is_enough: AtomicBool,
    /// Consumers end.
    pub(crate) is_over: AtomicBool,
    /// Producers that still wait for a RECEIPT or have something to send.
    pub(crate) producing: AtomicUsize,
    /// Consumers that have subscribed to every queue once.
    pub(crate) consuming: AtomicUsize,
    /// The last ERRORs, for who looks for what went wrong.
    pub(crate) errors: parking_lot::Mutex<BTreeMap<String, usize>>,
}

impl World {
    pub(crate) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self {
            engine,
            ledger: Ledger::new(),
            is_enough: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            producing: AtomicUsize::new(0),
            consuming: AtomicUsize::new(0),
            errors: parking_lot::Mutex::default(),
        })
    }
}

/// The connection is of no more use.
#[derive(Debug)]
struct Gone;

/// A connection that has logged in.
struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    /// When octets came last.
    heard: Instant,
    beats: tokio::time::Interval,
}

impl Connection {
    async fn open(address: SocketAddr, world: &World) -> Result<Self, Gone> {
        let stream = timeout(LOGIN, TcpStream::connect(address)).await.map_err(|_| Gone)?.map_err(|_| Gone)?;
        let limits = DecodeLimits { headers: 100, header_size: 10_000, body_size: 1 << 16, frame_size: 1 << 17 };
        let (decoder, input) = (Decoder::new(limits), BytesMut::new());
        let mut connection = Self { stream, decoder, input, heard: Instant::now(), beats: interval(BEAT) };
        let headers = [("accept-version", "1.2"), ("host", "faults"), ("heart-beat", "1000,1000")];
        connection.send(Command::Connect, &headers, "").await?;
        connection.decoder.set_version(Version::V1_2);
        let first = timeout(LOGIN, connection.next(world)).await.map_err(|_| Gone)??;
        if first.command == Command::Connected { Ok(connection) } else { Err(Gone) }
    }

    async fn send(&mut self, command: Command, headers: &[(&str, &str)], body: &str) -> Result<(), Gone> {
        let mut octets = Vec::new();
        encode(&mut octets, Some(Version::V1_2), command, headers.iter().copied(), false, body.as_bytes());
        self.write(&octets).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Gone> {
        timeout(SILENCE, self.stream.write_all(octets)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    /// The next frame, but for ERRORs, which end the connection. May be dropped and called again.
    async fn next(&mut self, world: &World) -> Result<Frame, Gone> {
        loop {
            match self.decoder.decode(&mut self.input).map_err(|_| Gone)? {
                Some(Item::Frame(frame)) if frame.command == Command::Error => {
                    let (what, why) =
                        (frame.header("message").unwrap_or_default(), String::from_utf8_lossy(&frame.body));
                    let text = format!("{what} {}", why.lines().next().unwrap_or_default());
                    *world.errors.lock().entry(text).or_default() += 1;
                    return Err(Gone);
                }
                Some(Item::Frame(frame)) => return Ok(frame),
                Some(Item::Heartbeat) => continue,
                None => {}
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.input) => match read {
                    Ok(octets) if octets > 0 => self.heard = Instant::now(),
                    _ => return Err(Gone),
                },
                _ = self.beats.tick() => {
                    if self.heard.elapsed() >= SILENCE {
                        return Err(Gone);
                    }
                    self.write(b"\n").await?;
                }
            }
        }
    }
}

/// Where a client that has failed so often connects next: mostly in its own zone, else in the others.
fn next_broker(home: Zone, failures: usize) -> SocketAddr {
    Zone::ALL[(home.index() + failures) % Zone::ALL.len()].port(STOMP)
}

/// Waits before another try; the more failures, the longer, and never as long as anybody else.
async fn pause(failures: usize) {
    let doublings = u32::try_from(failures.min(10)).unwrap_or(10);
    let bound = (MIN_PAUSE * 2_u32.pow(doublings)).min(MAX_PAUSE);
    let pause = rand::rng().random_range(MIN_PAUSE / 2..=bound);
    tokio::time::sleep(pause).await;
}

fn queue_name(queue: usize) -> String {
    format!("/queue/faults-{queue}")
}

/// Sends numbered messages, and again what got no RECEIPT, until it is enough and all have one.
pub(crate) async fn produce(home: Zone, world: Arc<World>) {
    let mut unsent = VecDeque::new();
    let (mut next, mut failures) = (0, 0);
    loop {
        if let Ok(connection) = Connection::open(next_broker(home, failures), &world).await {
            failures = 0;
            let mut open = BTreeMap::new();
            let done = produce_over(connection, &world, &mut unsent, &mut open, &mut next).await;
            if done.is_ok() {
                world.producing.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            // In their order, before what was not sent at all.
            for (_, number) in open.into_iter().rev() {
                unsent.push_front(number);
            }
        }
        failures += 1;
        pause(failures).await;
    }
}

/// The same over one connection; `open` has the numbers of what has no RECEIPT.
async fn produce_over(
    mut connection: Connection,
    world: &World,
    unsent: &mut VecDeque<usize>,
    open: &mut BTreeMap<SendId, usize>,
    next: &mut usize,
) -> Result<(), Gone> {
    let session = world.ledger.open();
    let mut pace = interval(PACE);
    loop {
        let is_enough = world.is_enough.load(Ordering::Relaxed);
        if is_enough && unsent.is_empty() && open.is_empty() {
            return Ok(());
        }
        tokio::select! {
            frame = connection.next(world) => {
                let frame = frame?;
                let receipt = frame.header("receipt-id").and_then(|receipt| receipt.parse().ok().map(SendId));
                if let Some(send) = receipt.filter(|send| open.remove(send).is_some()) {
                    world.ledger.note(What::Receipted(send));
                }
            }
            _ = pace.tick(), if open.len() < WINDOW => {
                let number = match unsent.pop_front() {
                    Some(number) => number,
                    None if is_enough => continue,
                    None => {
                        *next += 1;
                        *next
                    }
                };
                let queue = number % QUEUES;
                let send = world.ledger.send(session, queue);
                open.insert(send, number);
                let (name, id) = (queue_name(queue), send.0.to_string());
                let headers = [("destination", &*name), ("persistent", "true"), ("receipt", &id)];
                let headers = [&headers[..], world.engine.queue_headers()].concat();
                connection.send(Command::Send, &headers, &id).await?;
            }
        }
    }
}

/// Consumes from every queue until all is over.
pub(crate) async fn consume(home: Zone, world: Arc<World>) {
    let (mut failures, mut is_first) = (0, true);
    while !world.is_over.load(Ordering::Relaxed) {
        if let Ok(connection) = Connection::open(next_broker(home, failures), &world).await {
            failures = 0;
            // It never ends well but at the end of all.
            let _ = consume_over(connection, &world, &mut is_first).await;
        }
        failures += 1;
        pause(failures).await;
    }
}

async fn consume_over(mut connection: Connection, world: &World, is_first: &mut bool) -> Result<(), Gone> {
    let session = world.ledger.open();
    let mut subscribing = QUEUES;
    for queue in 0..QUEUES {
        let (id, name, receipt) = (queue.to_string(), queue_name(queue), format!("subscribe-{queue}"));
        let headers = [
            ("id", &*id),
            ("destination", &name),
            ("ack", "client-individual"),
            ("prefetch-count", PREFETCH),
            ("receipt", &receipt),
        ];
        let headers = [&headers[..], world.engine.queue_headers()].concat();
        connection.send(Command::Subscribe, &headers, "").await?;
    }
    while !world.is_over.load(Ordering::Relaxed) {
        // Only so that the end is noticed.
        let Ok(frame) = timeout(SILENCE, connection.next(world)).await else { continue };
        let frame = frame?;
        match frame.command {
            Command::Message => {
                let send = std::str::from_utf8(&frame.body).ok().and_then(|body| body.parse().ok()).map(SendId);
                let Some((send, ack)) = send.zip(frame.header("ack")) else { return Err(Gone) };
                let redelivered = frame.header("redelivered") == Some("true");
                world.ledger.note(What::Delivered { session, send, redelivered });
                world.ledger.note(What::Acked { session, send });
                connection.send(Command::Ack, &[("id", ack), ("receipt", &send.0.to_string())], "").await?;
            }
            Command::Receipt => {
                if let Ok(send) = frame.header("receipt-id").unwrap_or_default().parse() {
                    world.ledger.note(What::AckReceipted { session, send: SendId(send) });
                    continue;
                }
                subscribing = subscribing.saturating_sub(1);
                if subscribing == 0 && std::mem::take(is_first) {
                    world.consuming.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

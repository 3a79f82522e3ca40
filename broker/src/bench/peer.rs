//! The do-nothing peer: reads frames and writes prepared ones, so that a run against it shows what this machine allows.
//!
//! It speaks just enough STOMP for the loads of `bench`: no checks, no limits, no accounts, no receipts but for SUBSCRIBE. All SENDs of
//! one read that go to the same topic become one prepared piece, which every subscriber gets with one write. It must
//! never serve anybody but the load generator, so it listens on loopback unless told otherwise.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use memchr::memmem;
use parking_lot::RwLock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};

use super::{BenchError, PeerTransport, Url, client::with_buffer, scan::Splitter};
use crate::transport::websocket::{
    accept_key,
    frames::{FrameReader, Part, write_message},
};

/// The longest upgrade request.
const MOST_REQUEST: usize = 16 << 10;

/// A do-nothing peer that has its port and serves nobody yet.
#[derive(Debug)]
pub struct Peer {
    listener: TcpListener,
    address: SocketAddr,
    transport: PeerTransport,
}

/// The subscribers of one topic or queue.
type Subscribers = Arc<Vec<Arc<Subscriber>>>;

/// Who is subscribed to what.
#[derive(Debug, Default)]
struct Directory(RwLock<HashMap<Box<str>, Subscribers>>);

#[derive(Debug)]
struct Subscriber {
    stream: Arc<TcpStream>,
    /// Held while a piece is written, for two publishers may have one at the same time.
    writing: Mutex<()>,
    acknowledges: bool,
}

/// Frames for all subscribers of one topic.
struct Piece {
    subscribers: Subscribers,
    octets: Vec<u8>,
}

/// One connection, without its socket.
struct Session {
    transport: PeerTransport,
    directory: Arc<Directory>,
    stream: Arc<TcpStream>,
    /// The head of the last SEND, and that of the MESSAGE that it becomes.
    last: Option<(Vec<u8>, Vec<u8>)>,
    pieces: Vec<Piece>,
    replies: Vec<u8>,
    subscribed: Vec<(Box<str>, Arc<Subscriber>)>,
}

impl Peer {
    /// Takes a port.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(address: SocketAddr, transport: PeerTransport) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, transport })
    }

    /// Where it listens.
    pub fn url(&self) -> Url {
        let path = if self.transport == PeerTransport::Tcp { "" } else { "/" };
        Url { transport: self.transport, authority: self.address.to_string(), path: path.to_owned() }
    }

    /// Serves until it is dropped.
    pub async fn serve(self) {
        let directory = Arc::new(Directory::default());
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if let Ok((stream, _)) = self.listener.accept().await {
                connections.spawn(serve(stream, self.transport, Arc::clone(&directory)));
            }
        }
    }
}

/// Serves one connection until it ends, however it does.
async fn serve(mut stream: TcpStream, transport: PeerTransport, directory: Arc<Directory>) {
    let mut reader = FrameReader::default();
    let websocket = transport == PeerTransport::Websocket;
    if stream.set_nodelay(true).is_err() || (websocket && upgrade(&mut stream).await.is_err()) {
        return;
    }
    let stream = Arc::new(stream);
    let mut session = Session {
        transport,
        directory,
        stream: Arc::clone(&stream),
        last: None,
        pieces: Vec::new(),
        replies: Vec::new(),
        subscribed: Vec::new(),
    };
    let mut splitter = Splitter::default();
    while stream.readable().await.is_ok() {
        let read = with_buffer(|buffer| {
            let octets = stream.try_read(buffer)?;
            let mut frame = |frame: &[u8]| session.take(frame);
            let mut intact = true;
            if websocket {
                let take = |part: Part<'_>| {
                    if let Part::Payload(payload) = part {
                        intact &= splitter.push(payload, &mut frame).is_ok();
                    }
                };
                let whole = reader.read(&mut buffer[..octets], take).is_ok();
                intact &= whole;
            } else {
                intact = splitter.push(&buffer[..octets], &mut frame).is_ok();
            }
            io::Result::Ok(octets > 0 && intact)
        });
        match read {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Ok(false) | Err(_) => break,
        }
        session.write().await;
    }
}

async fn upgrade(stream: &mut TcpStream) -> io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while memmem::find(&request, b"\r\n\r\n").is_none() {
        match stream.read(&mut part).await? {
            octets if octets > 0 && request.len() < MOST_REQUEST => request.extend_from_slice(&part[..octets]),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n",
        accept_key(key.unwrap_or_default())
    );
    stream.write_all(answer.as_bytes()).await
}

impl Session {
    fn take(&mut self, frame: &[u8]) {
        if frame.starts_with(b"SEND\n") {
            self.publish(frame);
        } else if frame.starts_with(b"CONNECT\n") {
            self.reply("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0");
        } else if frame.starts_with(b"SUBSCRIBE\n")
            && let Some(destination) = header(frame, "\ndestination:")
        {
            let acknowledges = header(frame, "\nack:").is_some();
            let subscriber =
                Arc::new(Subscriber { stream: Arc::clone(&self.stream), writing: Mutex::new(()), acknowledges });
            self.directory.add(destination, Arc::clone(&subscriber));
            self.subscribed.push((destination.into(), subscriber));
            let receipt = header(frame, "\nreceipt:").unwrap_or_default();
            self.reply(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0"));
        }
    }

    fn reply(&mut self, frame: &str) {
        put(self.transport, [frame.as_bytes(), b""], &mut self.replies);
    }

    fn publish(&mut self, frame: &[u8]) {
        let Some(end) = memmem::find(frame, b"\n\n") else { return };
        let (head, body) = frame.split_at(end + 2);
        let same = self.last.as_ref().is_some_and(|(last, _)| last == head) && !self.pieces.is_empty();
        if !same {
            let Some(destination) = header(head, "\ndestination:") else { return };
            let Some(subscribers) = self.directory.of(destination) else { return };
            let ack =
                if subscribers.iter().any(|subscriber| subscriber.acknowledges) { "ack:1234567-0-1\n" } else { "" };
            let prepared = format!(
                "MESSAGE\nsubscription:0\n{ack}redelivered:false\nmessage-id:0123456789-1-100000\n\
                 destination:{destination}\ncontent-length:{}\n\n",
                body.len()
            );
            self.last = Some((head.to_vec(), prepared.into_bytes()));
            self.pieces.push(Piece { subscribers, octets: Vec::new() });
        }
        if let (Some((_, prepared)), Some(piece)) = (&self.last, self.pieces.last_mut()) {
            match self.transport {
                PeerTransport::Tcp => {
                    piece.octets.extend_from_slice(prepared);
                    piece.octets.extend_from_slice(body);
                    piece.octets.push(0);
                }
                PeerTransport::Websocket => write_message([prepared, &[body, b"\0"].concat()], &mut piece.octets),
            }
        }
    }

    async fn write(&mut self) {
        if !self.replies.is_empty() {
            let replies = std::mem::take(&mut self.replies);
            // A connection that is broken is noticed by who reads from it; so below.
            let _ = write_all(&self.stream, &replies).await;
        }
        for Piece { subscribers, octets } in self.pieces.drain(..) {
            for subscriber in subscribers.iter() {
                let _writing = subscriber.writing.lock().await;
                let _ = write_all(&subscriber.stream, &octets).await;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for (destination, subscriber) in self.subscribed.drain(..) {
            self.directory.remove(&destination, &subscriber);
        }
    }
}

impl Directory {
    fn of(&self, destination: &str) -> Option<Subscribers> {
        self.0.read().get(destination).cloned()
    }

    fn add(&self, destination: &str, subscriber: Arc<Subscriber>) {
        let mut directory = self.0.write();
        Arc::make_mut(directory.entry(destination.into()).or_default()).push(subscriber);
    }

    fn remove(&self, destination: &str, subscriber: &Arc<Subscriber>) {
        let mut directory = self.0.write();
        if let Some(subscribers) = directory.get_mut(destination) {
            Arc::make_mut(subscribers).retain(|other| !Arc::ptr_eq(other, subscriber));
            if subscribers.is_empty() {
                directory.remove(destination);
            }
        }
    }
}

fn put(transport: PeerTransport, parts: [&[u8]; 2], out: &mut Vec<u8>) {
    match transport {
        PeerTransport::Tcp => out.extend(parts.concat()),
        PeerTransport::Websocket => write_message(parts, out),
    }
}

/// The value of a header, whose name stands between a line feed and a colon.
fn header<'a>(frame: &'a [u8], name: &str) -> Option<&'a str> {
    let value = &frame[memmem::find(frame, name.as_bytes())? + name.len()..];
    str::from_utf8(&value[..memchr::memchr(b'\n', value)?]).ok()
}

async fn write_all(stream: &TcpStream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match stream.try_write(octets) {
            Ok(written) => octets = &octets[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

//! A WebSocket client that sends exactly the frames that a test says.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Answer, Frame, Peer, within};

/// A message or control frame from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    /// A message with RSV1 set, as it came.
    Compressed(Vec<u8>),
    Close(u16, String),
}

/// STOMP over WebSocket, on TCP or on TLS.
pub(crate) struct WebSocketClient<S = TcpStream> {
    pub(crate) stream: S,
    /// The head of the response that accepted the upgrade.
    pub(crate) head: String,
    read: Vec<u8>,
}

/// An upgrade request with these further header lines.
pub(crate) fn upgrade_request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: broker.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

impl WebSocketClient {
    /// Opens a WebSocket.
    pub(crate) async fn connect(address: SocketAddr, path: &str, headers: &str) -> Self {
        match Self::try_connect(address, path, headers).await {
            Ok(client) => client,
            Err(answer) => panic!("refused: {answer:?}"),
        }
    }

    /// Tries to open a WebSocket; what refused it otherwise.
    pub(crate) async fn try_connect(address: SocketAddr, path: &str, headers: &str) -> Result<Self, Answer> {
        Self::request(address, upgrade_request(path, headers).as_bytes()).await
    }

    /// Sends these octets and expects the end of an HTTP head in return.
    pub(crate) async fn request(address: SocketAddr, octets: &[u8]) -> Result<Self, Answer> {
        let stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::request_over(stream, octets).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketClient<S> {
    /// The same over a stream that is connected.
    pub(crate) async fn request_over(mut stream: S, octets: &[u8]) -> Result<Self, Answer> {
        within("the socket to take a request", stream.write_all(octets)).await.unwrap();
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|octets| octets == b"\r\n\r\n") {
                break end + 4;
            }
            let octets = within("an HTTP response", stream.read_buf(&mut read)).await.unwrap();
            assert!(octets > 0, "no whole HTTP response: {:?}", String::from_utf8_lossy(&read));
        };
        if !read.starts_with(b"HTTP/1.1 101") {
            within("the rest of a refusal", stream.read_to_end(&mut read)).await.unwrap();
            return Err(Answer::parse(&String::from_utf8(read).unwrap()));
        }
        let head = String::from_utf8(read.drain(..end).collect()).unwrap().to_ascii_lowercase();
        Ok(Self { stream, head, read })
    }

    /// Sends one WebSocket frame: its first octet (FIN and opcode) and its payload.
    pub(crate) async fn send_raw(&mut self, first: u8, payload: &[u8]) {
        let mut octets = vec![first];
        match payload.len() {
            short @ 0..=125 => octets.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..=0xFFFF => {
                octets.push(0xFE);
                octets.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                octets.push(0xFF);
                octets.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        let mask = [7, 77, 177, 27];
        octets.extend_from_slice(&mask);
        octets.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
        self.write(&octets).await;
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        within("the socket to take octets", self.stream.write_all(octets)).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_raw(0x81, text.as_bytes()).await;
    }

    /// The next message or control frame.
    pub(crate) async fn message_or_control(&mut self) -> Message {
        loop {
            if let Some((message, octets)) = parse(&self.read) {
                self.read.drain(..octets);
                return message;
            }
            let octets = within("a WebSocket frame", self.stream.read_buf(&mut self.read)).await.unwrap();
            assert!(octets > 0, "the end of the stream instead of a WebSocket frame");
        }
    }

    /// Waits for a Close and then for FIN; anything else fails the test. Returns the status code and the reason.
    pub(crate) async fn close(&mut self) -> (u16, String) {
        let message = self.message_or_control().await;
        let Message::Close(code, reason) = message else { panic!("{message:?} instead of a Close") };
        self.send_raw(0x88, &code.to_be_bytes()).await;
        self.end().await;
        (code, reason)
    }

    /// Waits for FIN.
    pub(crate) async fn end(&mut self) {
        within("FIN", self.stream.read_to_end(&mut self.read)).await.unwrap();
        assert!(self.read.is_empty(), "before FIN came {:?}", self.read);
    }
}

/// One frame off the front: what it is and how many octets it took. Servers neither mask nor fragment.
fn parse(octets: &[u8]) -> Option<(Message, usize)> {
    let (first, second) = (*octets.first()?, *octets.get(1)?);
    assert!(first & 0x80 != 0 && second & 0x80 == 0, "a fragmented or masked frame");
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(octets.get(2..4)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(octets.get(2..10)?.try_into().unwrap())).unwrap(), 10),
        short => (usize::from(short), 2),
    };
    let payload = octets.get(head..head + length)?.to_vec();
    let message = match first & 0x0F {
        0x1 | 0x2 if first & 0x40 != 0 => Message::Compressed(payload),
        0x1 => Message::Text(String::from_utf8(payload).unwrap()),
        0x2 => Message::Binary(payload),
        0x8 => {
            let (code, reason) = payload.split_first_chunk::<2>().unwrap();
            Message::Close(u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
        }
        0x9 => Message::Ping,
        0xA => Message::Pong(payload),
        opcode => panic!("opcode {opcode}"),
    };
    Some((message, head + length))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer for WebSocketClient<S> {
    async fn send_frame(&mut self, frame: &str) {
        self.send_text(&format!("{frame}\0")).await;
    }

    async fn frame(&mut self) -> Frame {
        loop {
            let octets = match self.message_or_control().await {
                Message::Text(text) => text.into_bytes(),
                Message::Binary(octets) => octets,
                other => panic!("{other:?} instead of a frame"),
            };
            if octets != b"\n" {
                return Frame::parse(octets.strip_suffix(b"\0").expect("a message that is one whole STOMP frame"));
            }
        }
    }
}

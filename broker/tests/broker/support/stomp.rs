//! A STOMP client that sends exactly what a test says and hides nothing that comes back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::within;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) command: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// Reads the octets of one whole frame, the closing NUL left out.
    pub(crate) fn parse(octets: &[u8]) -> Self {
        let end = octets.windows(2).position(|pair| pair == b"\n\n").unwrap_or_else(|| {
            panic!("no end of the headers in {:?}", String::from_utf8_lossy(octets));
        });
        let head = std::str::from_utf8(&octets[..end]).unwrap();
        let mut lines = head.split('\n');
        let command = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(':').unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned()));
        Self { command, headers: headers.collect(), body: octets[end + 2..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Fails unless this is an ERROR that says so.
    #[track_caller]
    pub(crate) fn assert_error(&self, words: &str) {
        let text = format!("{} {}", self.header("message").unwrap_or_default(), self.text());
        assert!(self.command == "ERROR" && text.contains(words), "{words:?} is not in {self:?}: {text}");
    }
}

/// What both transports can do.
pub(crate) trait Peer {
    /// Sends one frame as it stands; the NUL is added.
    async fn send_frame(&mut self, frame: &str);

    /// The next frame; heart-beats are passed over.
    async fn frame(&mut self) -> Frame;

    /// Connects with more header lines; returns CONNECTED.
    async fn log_in(&mut self, headers: &str) -> Frame {
        self.send_frame(&format!("CONNECT\naccept-version:1.2\nhost:x\n{headers}\n")).await;
        let frame = self.frame().await;
        assert_eq!(frame.command, "CONNECTED", "{frame:?}");
        frame
    }

    /// Subscribes and waits for the RECEIPT; the messages that wait in a queue would come before it.
    async fn subscribe(&mut self, id: &str, destination: &str) {
        self.send_frame(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\nreceipt:sub-{id}\n\n")).await;
        let frame = self.frame().await;
        assert_eq!((frame.command.as_str(), frame.header("receipt-id")), ("RECEIPT", Some(&*format!("sub-{id}"))));
    }

    /// Subscribes without waiting.
    async fn consume(&mut self, id: &str, destination: &str) {
        self.send_frame(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\n\n")).await;
    }

    async fn send(&mut self, destination: &str, body: &str) {
        self.send_frame(&format!("SEND\ndestination:{destination}\n\n{body}")).await;
    }

    /// Waits for a MESSAGE and returns its body.
    async fn message(&mut self) -> String {
        let frame = self.frame().await;
        assert_eq!(frame.command, "MESSAGE", "{frame:?}");
        frame.text().to_owned()
    }
}

/// STOMP over TCP, or over TLS.
pub(crate) struct StompClient<S = TcpStream> {
    pub(crate) stream: S,
    read: Vec<u8>,
    /// Heart-beats that have been passed over.
    pub(crate) heartbeats: usize,
}

impl StompClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StompClient<S> {
    /// A client over a stream that is connected.
    pub(crate) const fn over(stream: S) -> Self {
        Self { stream, read: Vec::new(), heartbeats: 0 }
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        within("the socket to take octets", self.stream.write_all(octets)).await.unwrap();
    }

    /// Reads more; false at the end of the stream. An RST fails the test.
    async fn read_more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let octets = within("octets from the broker", self.stream.read(&mut buffer)).await.unwrap();
        self.read.extend_from_slice(&buffer[..octets]);
        octets > 0
    }

    /// Takes the heart-beats off the front of what was read.
    fn skip_heartbeats(&mut self) {
        let beats = self.read.iter().take_while(|octet| **octet == b'\n').count();
        self.read.drain(..beats);
        self.heartbeats += beats;
    }

    /// Waits for a heart-beat.
    pub(crate) async fn heartbeat(&mut self) {
        let before = self.heartbeats;
        loop {
            self.skip_heartbeats();
            if self.heartbeats > before {
                return;
            }
            assert!(self.read.is_empty(), "a frame instead of a heart-beat");
            assert!(self.read_more().await, "the end of the stream instead of a heart-beat");
        }
    }

    /// Waits for the broker's FIN; anything else before it fails the test.
    pub(crate) async fn end(&mut self) {
        self.skip_heartbeats();
        while self.read_more().await {
            self.skip_heartbeats();
        }
        assert!(self.read.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&self.read));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer for StompClient<S> {
    async fn send_frame(&mut self, frame: &str) {
        self.write(format!("{frame}\0").as_bytes()).await;
    }

    async fn frame(&mut self) -> Frame {
        loop {
            self.skip_heartbeats();
            if let Some(end) = frame_end(&self.read) {
                let frame = Frame::parse(&self.read[..end]);
                self.read.drain(..=end);
                return frame;
            }
            assert!(self.read_more().await, "the end of the stream instead of a frame");
        }
    }
}

/// Where the NUL of the first frame is, minding its `content-length`.
pub(crate) fn frame_end(octets: &[u8]) -> Option<usize> {
    let head = octets.windows(2).position(|pair| pair == b"\n\n")?;
    let length = std::str::from_utf8(&octets[..head])
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:").map(|length| length.parse::<usize>().unwrap()));
    let from = head + 2 + length.unwrap_or(0);
    octets.get(from..)?.iter().position(|octet| *octet == 0).map(|nul| from + nul)
}

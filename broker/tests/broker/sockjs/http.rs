//! An HTTP client that hides nothing: heads, chunks as they were cut, the end.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::within;

/// What keeps a response out of every cache.
const NOT_KEPT: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";

/// A response, or only its head.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Fails unless status and body are these.
    #[track_caller]
    pub(crate) fn assert(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body), "{self:?}");
    }

    /// Fails unless pages of this origin, or all for none, may read it.
    #[track_caller]
    pub(crate) fn assert_readable_by(&self, origin: Option<&str>) {
        assert_eq!(self.header("access-control-allow-origin"), origin.or(Some("*")), "{self:?}");
        assert_eq!(self.header("access-control-allow-credentials"), origin.map(|_| "true"), "{self:?}");
    }

    /// Fails unless no browser keeps it.
    #[track_caller]
    pub(crate) fn assert_not_kept(&self) {
        assert_eq!(self.header("cache-control"), Some(NOT_KEPT), "{self:?}");
        assert!(self.header("expires").is_none() && self.header("last-modified").is_none(), "{self:?}");
    }

    /// Fails unless browsers keep it for long.
    #[track_caller]
    pub(crate) fn assert_kept(&self) {
        assert_eq!(self.header("cache-control"), Some("public, max-age=31536000"), "{self:?}");
        assert!(self.header("expires").is_some() && self.header("last-modified").is_none(), "{self:?}");
    }
}

/// One connection.
pub(crate) struct Http {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a TCP connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, version: &str, headers: &str, body: &str) {
        let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/{version}\r\nHost: sockjs.test\r\n{headers}{length}\r\n{body}");
        self.write(request.as_bytes()).await;
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        within("the socket to take octets", self.stream.write_all(octets)).await.unwrap();
    }

    async fn read_more(&mut self) -> bool {
        let octets = within("octets from the server", self.stream.read_buf(&mut self.read)).await.unwrap();
        octets > 0
    }

    /// Reads exactly so many octets.
    pub(crate) async fn octets(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.read_more().await, "the end after {:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..count).collect()
    }

    pub(crate) async fn text(&mut self, count: usize) -> String {
        String::from_utf8(self.octets(count).await).unwrap()
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return self.text(at + end.len()).await;
            }
            assert!(self.read_more().await, "the end after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    pub(crate) async fn head(&mut self) -> Response {
        let head = self.until(b"\r\n\r\n").await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Response { status, headers, body: String::new() }
    }

    /// A response that says how long it is.
    pub(crate) async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        response.body = self.text(length).await;
        response
    }

    /// The next chunk; empty at the end of the response.
    pub(crate) async fn chunk(&mut self) -> String {
        let size = self.until(b"\r\n").await;
        let chunk = self.text(usize::from_str_radix(size.trim_end(), 16).unwrap()).await;
        assert_eq!(self.octets(2).await, b"\r\n");
        chunk
    }

    /// Waits for the server's FIN; anything else before it fails the test.
    pub(crate) async fn end(&mut self) {
        assert!(!self.read_more().await, "before the end came {:?}", String::from_utf8_lossy(&self.read));
        assert!(self.read.is_empty());
    }
}

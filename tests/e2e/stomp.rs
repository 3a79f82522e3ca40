//! A STOMP client of a few lines, independent of the broker's own codec: what it reads is what any client would read.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// How long any single answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame as it was received.
#[derive(Debug, Clone)]
pub struct Frame {
    pub command: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Frame {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What a client logs in with.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
}

enum Wire {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

/// A connected client.
pub struct Client {
    wire: Wire,
    received: Vec<u8>,
    /// What came while a RECEIPT was waited for.
    early: VecDeque<Frame>,
}

impl Client {
    /// Opens a session over TCP.
    pub async fn tcp(address: SocketAddr, login: &Login) -> Result<Self, String> {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .map_err(|_| format!("{address} did not accept in {PATIENCE:?}"))?
            .map_err(|error| format!("{address}: {error}"))?;
        Self { wire: Wire::Tcp(stream), received: Vec::new(), early: VecDeque::new() }.log_in(login).await
    }

    /// Opens a session over WebSocket, the way a browser page of `origin` does.
    pub async fn websocket(address: SocketAddr, path: &str, origin: &str, login: &Login) -> Result<Self, String> {
        let mut request =
            format!("ws://{address}{path}").into_client_request().map_err(|error| format!("bad URL: {error}"))?;
        request.headers_mut().insert("Origin", HeaderValue::from_str(origin).map_err(|error| error.to_string())?);
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("v12.stomp, v11.stomp"));
        let (stream, response) = timeout(PATIENCE, tokio_tungstenite::connect_async(request))
            .await
            .map_err(|_| format!("{address} did not answer in {PATIENCE:?}"))?
            .map_err(|error| format!("{address}: {error}"))?;
        let chosen = response.headers().get("Sec-WebSocket-Protocol").map(|value| value.as_bytes().to_vec());
        if chosen.as_deref() != Some(b"v12.stomp") {
            return Err(format!("the highest offered subprotocol was not chosen but {chosen:?}"));
        }
        Self { wire: Wire::WebSocket(Box::new(stream)), received: Vec::new(), early: VecDeque::new() }
            .log_in(login)
            .await
    }

    async fn log_in(mut self, login: &Login) -> Result<Self, String> {
        let (user, passcode) = (login.username.as_str(), login.password.as_str());
        self.send("CONNECT", &[("accept-version", "1.2"), ("host", "/"), ("login", user), ("passcode", passcode)], "")
            .await?;
        let answer = self.receive().await?;
        if answer.command == "CONNECTED" { Ok(self) } else { Err(answer.header("message").to_owned()) }
    }

    /// Sends one frame.
    pub async fn send(&mut self, command: &str, headers: &[(&str, &str)], body: &str) -> Result<(), String> {
        let headers: String = headers.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect();
        let text = format!("{command}\n{headers}\n{body}\0");
        match &mut self.wire {
            Wire::Tcp(stream) => stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string()),
            Wire::WebSocket(stream) => stream.send(Message::text(text)).await.map_err(|error| error.to_string()),
        }
    }

    /// Subscribes and waits until the broker has taken the subscription.
    pub async fn subscribe(&mut self, id: &str, destination: &str) -> Result<(), String> {
        let receipt = format!("sub-{id}");
        self.send("SUBSCRIBE", &[("id", id), ("destination", destination), ("receipt", &receipt)], "").await?;
        self.expect_receipt(&receipt).await
    }

    /// Publishes and waits until the broker has taken the message.
    pub async fn publish(&mut self, destination: &str, body: &str) -> Result<(), String> {
        let receipt = format!("send-{body}");
        self.send("SEND", &[("destination", destination), ("receipt", &receipt)], body).await?;
        self.expect_receipt(&receipt).await
    }

    /// Messages may come before the RECEIPT; they are kept for [`Self::receive`].
    async fn expect_receipt(&mut self, receipt: &str) -> Result<(), String> {
        loop {
            let frame = self.fresh_frame().await?;
            match frame.command.as_str() {
                "RECEIPT" if frame.header("receipt-id") == receipt => return Ok(()),
                "MESSAGE" => self.early.push_back(frame),
                _ => return Err(format!("waited for RECEIPT {receipt}, got {frame:?}")),
            }
        }
    }

    /// The next frame; heart-beats are passed over.
    pub async fn receive(&mut self) -> Result<Frame, String> {
        match self.early.pop_front() {
            Some(frame) => Ok(frame),
            None => self.fresh_frame().await,
        }
    }

    async fn fresh_frame(&mut self) -> Result<Frame, String> {
        timeout(PATIENCE, self.next_frame()).await.map_err(|_| format!("no frame in {PATIENCE:?}"))?
    }

    async fn next_frame(&mut self) -> Result<Frame, String> {
        loop {
            let begin = self.received.iter().position(|octet| *octet != b'\n').unwrap_or(self.received.len());
            self.received.drain(..begin);
            if let Some(end) = self.received.iter().position(|octet| *octet == 0) {
                let frame = parse(&String::from_utf8_lossy(&self.received[..end]));
                self.received.drain(..=end);
                return Ok(frame);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), String> {
        let closed = || "the broker closed the connection".to_owned();
        match &mut self.wire {
            Wire::Tcp(stream) => {
                let read = stream.read_buf(&mut self.received).await.map_err(|error| error.to_string())?;
                if read == 0 { Err(closed()) } else { Ok(()) }
            }
            Wire::WebSocket(stream) => match stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.received.extend_from_slice(text.as_bytes());
                    Ok(())
                }
                Some(Ok(Message::Binary(octets))) => {
                    self.received.extend_from_slice(&octets);
                    Ok(())
                }
                Some(Ok(Message::Close(_))) | None => Err(closed()),
                Some(Ok(_)) => Ok(()),
                Some(Err(error)) => Err(error.to_string()),
            },
        }
    }
}

fn parse(text: &str) -> Frame {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let command = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.replace("\\c", ":")))
        .collect();
    Frame { command, headers, body: body.to_owned() }
}

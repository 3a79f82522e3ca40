//! `tail`: a STOMP session through the API server that prints what a destination gets.

use std::{io, time::Duration};

use bytes::BytesMut;
use kube::ResourceExt as _;
use serde_json::json;
use stompbroker::stomp::{Command, DecodeError, DecodeLimits, Decoder, Frame, Item, Version, encode};
use stompbroker_operator::api::StompBroker;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    admin::forward,
    cli::{Output, Tail},
    cluster::Cluster,
    error::Failure,
    facts::is_ready,
    paint::{Painted, Tone},
};

/// How long the answer to CONNECT or SUBSCRIBE may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// What is sent when nothing else is, so that neither the broker nor the API server ends the connection.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Larger frames end the command; nobody reads them on a terminal.
const MOST: usize = 16 << 20;

/// Why messages cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Queues have one taker for each message.
    #[error(
        "destination {0:?} is a queue: whoever listens takes its messages away from the application; tail topics, or \
         look at the depth of queues in the console"
    )]
    Queue(String),
    /// The broker has no port for plain STOMP.
    #[error("{0} has no listener stomp; set spec.listeners.stomp, or use the console")]
    NoListener(String),
    /// The broker refused.
    #[error("the broker answered with an ERROR: {0}")]
    Refused(String),
    /// No answer.
    #[error("the broker gave no {0} within {seconds} s", seconds = PATIENCE.as_secs())]
    Silent(&'static str),
    /// The connection ended.
    #[error("the connection to the pod ended")]
    Closed,
    /// It broke.
    #[error("the connection to the pod broke")]
    Broken(#[source] io::Error),
    /// What came is not STOMP.
    #[error("the pod sent something that is not STOMP")]
    Decode(#[from] DecodeError),
}

/// Prints the messages of a destination until `tail.count` are there; without it, for ever.
///
/// # Errors
/// When no pod serves, or the session ends.
pub(crate) async fn tail(
    cluster: &Cluster,
    tail: &Tail,
    output: Output,
    out: &mut impl io::Write,
) -> Result<(), Failure> {
    if tail.destination.starts_with("/queue/") || tail.destination.starts_with("/amq/queue/") {
        return Err(TailError::Queue(tail.destination.clone()).into());
    }
    let broker = cluster.broker(tail.broker.name.as_deref()).await?;
    let name = broker.name_any();
    let port = stomp_port(&broker).ok_or_else(|| TailError::NoListener(name.clone()))?;
    let pods = cluster.serving(&name).await?;
    let pod = pods.iter().find(|pod| is_ready(pod)).ok_or_else(|| Failure::NoPod(name.clone()))?;
    let secret = system_secret(&broker);
    let login = cluster.secret(&secret, "username").await?;
    let passcode = cluster.secret(&secret, "password").await?;
    let mut session = Session::new(forward(cluster, &pod.name_any(), port).await?);
    session.open(&login, &passcode, tail).await?;
    let mut seen = 0;
    while tail.count.is_none_or(|count| seen < count) {
        let message = session.message().await?;
        print(&message, output, out)?;
        seen += 1;
    }
    Ok(())
}

fn stomp_port(broker: &StompBroker) -> Option<u16> {
    let listeners = broker.spec.listeners.clone().unwrap_or_default();
    listeners.ports().find(|port| !port.is_websocket && !port.is_tls).map(|port| port.number)
}

/// The Secret that services log in with.
pub(crate) fn system_secret(broker: &StompBroker) -> String {
    let named = broker.spec.credentials.system.secret_name.clone();
    named.unwrap_or_else(|| stompbroker_operator::plan::names::system_secret(&broker.name_any()))
}

struct Session<S> {
    stream: S,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S) -> Self {
        let limits = DecodeLimits { headers: 1024, header_size: 1 << 20, body_size: MOST, frame_size: MOST };
        Self { stream, decoder: Decoder::new(limits), buffer: BytesMut::new() }
    }

    async fn open(&mut self, login: &str, passcode: &str, tail: &Tail) -> Result<(), TailError> {
        let heartbeat = format!("{},0", HEARTBEAT.as_millis());
        let connect = [
            ("accept-version", "1.2"),
            ("host", "/"),
            ("heart-beat", heartbeat.as_str()),
            ("login", login),
            ("passcode", passcode),
        ];
        self.send(None, Command::Connect, &connect).await?;
        self.expect(Command::Connected, "CONNECTED").await?;
        self.decoder.set_version(Version::V1_2);
        let mut subscribe = vec![
            ("id", "tail"),
            ("destination", tail.destination.as_str()),
            ("ack", "auto"),
            ("receipt", "subscribed"),
        ];
        subscribe.extend(tail.selector.iter().map(|selector| ("selector", selector.as_str())));
        self.send(Some(Version::V1_2), Command::Subscribe, &subscribe).await?;
        self.expect(Command::Receipt, "RECEIPT").await
    }

    async fn expect(&mut self, command: Command, name: &'static str) -> Result<(), TailError> {
        let answer = async {
            loop {
                if self.frame().await?.command == command {
                    return Ok(());
                }
            }
        };
        timeout(PATIENCE, answer).await.unwrap_or(Err(TailError::Silent(name)))
    }

    /// The next MESSAGE.
    async fn message(&mut self) -> Result<Frame, TailError> {
        loop {
            match timeout(HEARTBEAT / 2, self.frame()).await {
                Ok(frame) => {
                    let frame = frame?;
                    if frame.command == Command::Message {
                        return Ok(frame);
                    }
                }
                Err(_) => self.write(b"\n").await?,
            }
        }
    }

    /// The next frame. Safe to cancel: what was read stays in the buffer.
    async fn frame(&mut self) -> Result<Frame, TailError> {
        loop {
            while let Some(item) = self.decoder.decode(&mut self.buffer)? {
                match item {
                    Item::Frame(frame) if frame.command == Command::Error => {
                        let message = frame.header("message").unwrap_or_default();
                        let body = String::from_utf8_lossy(&frame.body);
                        return Err(TailError::Refused(format!("{message} {body}").trim().to_owned()));
                    }
                    Item::Frame(frame) => return Ok(frame),
                    Item::Heartbeat => {}
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(TailError::Broken)? == 0 {
                return Err(TailError::Closed);
            }
        }
    }

    async fn send(
        &mut self,
        version: Option<Version>,
        command: Command,
        headers: &[(&str, &str)],
    ) -> Result<(), TailError> {
        let mut octets = Vec::new();
        encode(&mut octets, version, command, headers.iter().copied(), false, b"");
        self.write(&octets).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), TailError> {
        self.stream.write_all(octets).await.map_err(TailError::Broken)?;
        self.stream.flush().await.map_err(TailError::Broken)
    }
}

fn print(message: &Frame, output: Output, out: &mut impl io::Write) -> Result<(), Failure> {
    let body = String::from_utf8_lossy(&message.body);
    let destination = message.header("destination").unwrap_or_default();
    match output {
        Output::Json => {
            let headers: serde_json::Map<_, _> =
                message.headers.iter().rev().map(|(name, value)| (name.to_string(), json!(value))).collect();
            writeln!(out, "{}", json!({ "destination": destination, "headers": headers, "body": body }))?;
        }
        Output::Text => {
            let own = ["destination", "subscription", "message-id", "content-length"];
            let others = message.headers.iter().filter(|(name, _)| !own.contains(&&**name));
            let others = others.map(|(name, value)| format!("  {name}={value}")).collect::<Vec<_>>().concat();
            writeln!(out, "{}{}", Painted(Tone::Strong, destination), Painted(Tone::Faint, others))?;
            writeln!(out, "{body}")?;
        }
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(destination: &str) -> Tail {
        let broker = crate::cli::Broker { name: None };
        Tail { destination: destination.to_owned(), broker, count: None, selector: None }
    }

    fn message() -> Frame {
        let headers = [("destination", "/topic/a"), ("message-id", "7"), ("type", "x")];
        let headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
        Frame { command: Command::Message, headers, body: "hello".into() }
    }

    #[tokio::test]
    async fn a_session_logs_in_subscribes_and_gets_messages_however_they_are_split() {
        let (near, mut far) = tokio::io::duplex(64);
        let server = tokio::spawn(async move {
            let mut read = Vec::new();
            while !read.ends_with(b"\0") {
                far.read_buf(&mut read).await.unwrap();
            }
            let connect = String::from_utf8(read.clone()).unwrap();
            far.write_all(b"CONNECTED\nversion:1.2\n\n\0").await.unwrap();
            read.clear();
            while !read.ends_with(b"\0") {
                far.read_buf(&mut read).await.unwrap();
            }
            far.write_all(b"RECEIPT\nreceipt-id:subscribed\n\n\0\nMESSAGE\ndestination:/top").await.unwrap();
            far.write_all(b"ic/a\n\nhello\0ERROR\nmessage:the end\n\n\0").await.unwrap();
            (connect, String::from_utf8(read).unwrap())
        });
        let mut session = Session::new(near);
        session.open("system", "s3cret", &tail_of("/topic/a")).await.unwrap();
        assert_eq!(session.message().await.unwrap().body, "hello");
        assert!(matches!(session.message().await, Err(TailError::Refused(why)) if why == "the end"));
        let (connect, subscribe) = server.await.unwrap();
        assert!(connect.contains("passcode:s3cret\n"), "{connect}");
        assert!(subscribe.contains("destination:/topic/a\n"), "{subscribe}");
    }

    #[test]
    fn people_see_the_body_and_programs_all_headers() {
        let mut out = anstream::StripStream::new(Vec::new());
        print(&message(), Output::Text, &mut out).unwrap();
        assert_eq!(String::from_utf8(out.into_inner()).unwrap(), "/topic/a  type=x\nhello\n");
        let mut out = Vec::new();
        print(&message(), Output::Json, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json["headers"]["message-id"], &json["body"]), (&json!("7"), &json!("hello")));
    }
}

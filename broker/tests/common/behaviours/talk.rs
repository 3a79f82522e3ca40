//! What the dialogues are made of. An ERROR ends them.

use super::Pod;
use crate::any_broker::{Frame, Peer as _, StompClient, eventually};

/// All that is said, or the text of an ERROR.
pub(super) type Said<T> = Result<T, String>;

/// A name that no other dialogue uses, as the upstream has it.
pub(super) fn name(what: &str) -> String {
    format!("{what}-{:08x}", rand::random::<u32>())
}

impl Pod {
    pub(super) async fn client(&self) -> StompClient {
        self.named("").await
    }

    /// A client that has these lines in its CONNECT.
    pub(super) async fn named(&self, lines: &str) -> StompClient {
        let mut client = self.broker.tcp().await;
        client.log_in(lines).await;
        client
    }

    /// Waits until all sessions have ended, upstream too.
    pub(super) async fn alone(&self) {
        let alone = async || {
            let upstream = self.broker.admin("GET", "/status").await.json()["relay"]["clientConnections"].as_u64();
            let sessions = self.broker.metric("stompbroker_sessions{transport=\"tcp\"}").await;
            (upstream.unwrap_or_default() == 0 && sessions == 0).then_some(())
        };
        eventually("all sessions to end", alone).await;
    }
}

/// The next frame that is no ERROR.
async fn frame(client: &mut StompClient) -> Said<Frame> {
    let frame = client.frame().await;
    match frame.command.as_str() {
        "ERROR" => Err(format!("{} {}", frame.header("message").unwrap_or_default(), frame.text())),
        _ => Ok(frame),
    }
}

/// A frame whose RECEIPT is waited for; the messages that come before it are returned.
pub(super) async fn done(client: &mut StompClient, asked: &str) -> Said<Vec<Frame>> {
    let receipt = name("r");
    let (command, rest) = asked.split_once('\n').unwrap();
    client.send_frame(&format!("{command}\nreceipt:{receipt}\n{rest}")).await;
    let mut before = Vec::new();
    loop {
        let frame = frame(client).await?;
        match frame.command.as_str() {
            "RECEIPT" if frame.header("receipt-id") == Some(&receipt) => return Ok(before),
            "MESSAGE" => before.push(frame),
            _ => panic!("no receipt: {frame:?}"),
        }
    }
}

/// Ends a session; the messages that came meanwhile are returned.
pub(super) async fn leave(mut client: StompClient) -> Said<Vec<Frame>> {
    done(&mut client, "DISCONNECT\n\n").await
}

/// Sends a message whose receipt is waited for, from a client that consumes nothing there.
pub(super) async fn put(client: &mut StompClient, destination: &str, headers: &str, body: &str) -> Said<()> {
    done(client, &format!("SEND\ndestination:{destination}\n{headers}\n{body}")).await.map(drop)
}

/// Subscribes with the id 0; messages may come at once.
pub(super) async fn consume(client: &mut StompClient, destination: &str, headers: &str) -> Said<Vec<Frame>> {
    done(client, &format!("SUBSCRIBE\nid:0\ndestination:{destination}\n{headers}\n")).await
}

/// The first of these messages, or of those to come.
pub(super) async fn first(client: &mut StompClient, before: Vec<Frame>) -> Said<Frame> {
    match before.into_iter().next() {
        Some(frame) => Ok(frame),
        None => message(client).await,
    }
}

/// Waits for a message.
pub(super) async fn message(client: &mut StompClient) -> Said<Frame> {
    let frame = frame(client).await?;
    assert_eq!(frame.command, "MESSAGE", "{frame:?}");
    Ok(frame)
}

/// Reads messages until one has this body, which is left out.
pub(super) async fn until(client: &mut StompClient, mut before: Vec<Frame>, last: &str) -> Said<Vec<Frame>> {
    while before.last().is_none_or(|frame| frame.text() != last) {
        before.push(message(client).await?);
    }
    before.pop();
    Ok(before)
}

/// A topic whose messages tell that what was sent before has come.
///
/// No engine promises an order between destinations, and Artemis has none: it gives out each from a task of its own. So one
/// such message says little, and a row of them, each sent when the one before has come, that everything else has had its turn.
pub(super) struct Sentinel(String);

/// How many come in a row with nothing between them.
const QUIET: usize = 20;

impl Sentinel {
    pub(super) fn new() -> Self {
        Self(format!("/topic/{}", name("sentinel")))
    }

    pub(super) async fn watch(&self, client: &mut StompClient) -> Said<()> {
        done(client, &format!("SUBSCRIBE\nid:sentinel\ndestination:{}\n\n", self.0)).await.map(drop)
    }

    /// All that a client gets which watches this, when no more comes.
    pub(super) async fn rest(
        &self,
        client: &mut StompClient,
        sender: &mut StompClient,
        before: Vec<Frame>,
    ) -> Said<Vec<Frame>> {
        let (mut got, mut quiet) = (before, 0);
        while quiet < QUIET {
            let body = name("sentinel");
            put(sender, &self.0, "", &body).await?;
            let more = until(client, Vec::new(), &body).await?;
            quiet = if more.is_empty() { quiet + 1 } else { 0 };
            got.extend(more);
        }
        Ok(got)
    }
}

pub(super) fn bodies(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(Frame::text).collect()
}

pub(super) fn yes(holds: bool, otherwise: impl std::fmt::Debug) -> String {
    if holds { "yes".to_owned() } else { format!("{otherwise:?}") }
}

/// Which of two messages came, where the second alone is selected.
pub(super) fn selected(given: &[Frame]) -> String {
    match bodies(given)[..] {
        ["2"] => "yes".to_owned(),
        ["1", "2"] => "ignored".to_owned(),
        ref other => format!("{other:?}"),
    }
}

/// Whether what was asked for had this effect.
pub(super) fn heeded(has: bool) -> String {
    if has { "yes" } else { "ignored" }.to_owned()
}

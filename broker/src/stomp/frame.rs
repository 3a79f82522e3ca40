//! One STOMP frame, decoded.

use bytes::Bytes;
use smol_str::SmolStr;

/// A protocol version that CONNECT and CONNECTED agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// STOMP 1.0: no escapes, no heart-beats, no NACK.
    V1_0,
    /// STOMP 1.1.
    V1_1,
    /// STOMP 1.2.
    V1_2,
}

impl Version {
    /// All versions, the highest first.
    pub const ALL: [Self; 3] = [Self::V1_2, Self::V1_1, Self::V1_0];

    /// As it stands in `accept-version` and `version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The version that is written so, spaces around it ignored.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text.trim())
    }
}

/// The command of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `CONNECT`, or `STOMP`, which means the same.
    Connect,
    /// `SEND`.
    Send,
    /// `SUBSCRIBE`.
    Subscribe,
    /// `UNSUBSCRIBE`.
    Unsubscribe,
    /// `ACK`.
    Ack,
    /// `NACK`.
    Nack,
    /// `BEGIN`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ABORT`.
    Abort,
    /// `DISCONNECT`.
    Disconnect,
    /// `CONNECTED`, from a server.
    Connected,
    /// `MESSAGE`, from a server.
    Message,
    /// `RECEIPT`, from a server.
    Receipt,
    /// `ERROR`, from a server.
    Error,
}

impl Command {
    /// All commands, those that brokers see most first.
    pub(super) const ALL: [Self; 14] = [
        Self::Send,
        Self::Ack,
        Self::Message,
        Self::Subscribe,
        Self::Connect,
        Self::Unsubscribe,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Connected,
        Self::Receipt,
        Self::Error,
    ];

    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Connected => "CONNECTED",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// The command of this name; commands are case-sensitive.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if name == b"STOMP" {
            return Some(Self::Connect);
        }
        Self::ALL.into_iter().find(|command| command.as_str().as_bytes() == name)
    }

    /// Whether only servers send it.
    pub const fn is_from_server(self) -> bool {
        matches!(self, Self::Connected | Self::Message | Self::Receipt | Self::Error)
    }

    /// Whether the specification lets such a frame have a body.
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }
}

/// A header, unescaped. Most names and values are so short that they take no memory of their own.
pub type Header = (SmolStr, SmolStr);

/// Of headers with the same name keeps the first, which is the one that counts.
pub(crate) fn keep_first(headers: &mut Vec<Header>) {
    let mut at = 1;
    while at < headers.len() {
        let (kept, rest) = headers.split_at(at);
        if kept.iter().any(|(name, _)| *name == rest[0].0) {
            headers.remove(at);
        } else {
            at += 1;
        }
    }
}

/// A decoded frame. Headers are unescaped, in the order of the wire; of repeated names the first counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the frame asks for.
    pub command: Command,
    /// All header lines, repeated names included.
    pub headers: Vec<Header>,
    /// The body, empty where there is none.
    pub body: Bytes,
}

impl Frame {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }
}

//! One STOMP frame, decoded.

use bytes::Bytes;

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
}

/// The command of a frame that a client may send.
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

/// A header, unescaped.
pub type Header = (Box<str>, Box<str>);

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

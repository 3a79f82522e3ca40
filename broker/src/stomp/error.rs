//! Why octets are not STOMP.

use smol_str::SmolStr;

use super::Command;

/// Why octets are not STOMP, or pass a limit. The connection cannot go on after one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct DecodeError {
    /// What is wrong.
    #[source]
    pub problem: DecodeProblem,
    /// The frame's `receipt`, where it had been read already, for the ERROR's `receipt-id`.
    pub receipt: Option<SmolStr>,
}

/// What is wrong with the octets. The texts go to the peer; they show no header values, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeProblem {
    /// The first line of a frame is not a STOMP command.
    #[error("could not interpret command {0:?}; STOMP commands are upper case and stand alone on their line")]
    UnknownCommand(Box<str>),
    /// A carriage return stands where only the end of a line may have one.
    #[error("a carriage return in {place} is not followed by a line feed")]
    StrayCarriageReturn {
        /// Where it stands.
        place: Place,
    },
    /// A header line is not UTF-8.
    #[error("header line {line} of {command} is not UTF-8", command = .command.as_str())]
    NotUtf8 {
        /// The frame's command.
        command: Command,
        /// Which header line, from 1.
        line: usize,
    },
    /// A header line has no colon.
    #[error("header line {line} of {command} has no colon; write name:value", command = .command.as_str())]
    NoColon {
        /// The frame's command.
        command: Command,
        /// Which header line, from 1.
        line: usize,
    },
    /// A header line begins with its colon.
    #[error("header line {line} of {command} has no name before the colon", command = .command.as_str())]
    NoName {
        /// The frame's command.
        command: Command,
        /// Which header line, from 1.
        line: usize,
    },
    /// A backslash sequence that the session's version does not know.
    #[error("header line {line} of {command} has the undefined escape {escape}", command = .command.as_str())]
    UndefinedEscape {
        /// The frame's command.
        command: Command,
        /// Which header line, from 1.
        line: usize,
        /// The sequence.
        escape: Box<str>,
    },
    /// `content-length` is not a number of octets.
    #[error("content-length {0:?} is not a number of octets")]
    BadContentLength(Box<str>),
    /// The octet after the body is not NUL.
    #[error("no NUL after the {0} octets of the body that content-length promises; it counts octets, not characters")]
    NoNulAfterBody(usize),
    /// More header lines than allowed.
    #[error("a frame has more than {limit} header lines (limits.headers)")]
    TooManyHeaders {
        /// How many are allowed.
        limit: usize,
    },
    /// A header line longer than allowed.
    #[error("a header line has more than {limit} octets (limits.headerSize)")]
    HeaderTooLong {
        /// How many octets are allowed.
        limit: usize,
    },
    /// A body larger than allowed.
    #[error("the message has {} octets, more than the {limit} that are allowed (limits.messageSize)", Octets(*.size))]
    BodyTooLarge {
        /// How many octets are allowed.
        limit: usize,
        /// How many the frame announced, where it did.
        size: Option<u64>,
    },
    /// A message of the transport that is compressed and too large.
    #[error(
        "a compressed message inflates to more than {limit} octets, the largest frame that limits.messageSize, \
         limits.headers and limits.headerSize allow, or limits.unauthenticatedFrameSize before the login"
    )]
    InflatedTooLarge {
        /// How many octets are allowed.
        limit: usize,
    },
    /// A frame larger than allowed, as a whole.
    #[error("the frame has more than {limit} octets (limits.unauthenticatedFrameSize, which holds before the login)")]
    FrameTooLarge {
        /// How many octets are allowed.
        limit: usize,
    },
}

impl DecodeProblem {
    /// Whether the octets may be good STOMP but pass a limit.
    pub const fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManyHeaders { .. }
                | Self::HeaderTooLong { .. }
                | Self::BodyTooLarge { .. }
                | Self::FrameTooLarge { .. }
                | Self::InflatedTooLarge { .. }
        )
    }
}

/// Where an octet stands that may not stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between two frames.
    BetweenFrames,
    /// In the header line of this number, from 1.
    Header(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BetweenFrames => f.write_str("front of a frame"),
            Self::Header(line) => write!(f, "header line {line}"),
        }
    }
}

/// A number of octets that may be unknown.
struct Octets(Option<u64>);

impl std::fmt::Display for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(octets) => write!(f, "{octets}"),
            None => f.write_str("too many"),
        }
    }
}

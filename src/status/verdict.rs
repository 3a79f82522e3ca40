//! One condition before it has a time.

use super::Reason;

/// Longest message of a condition; the API server allows 32768.
const MESSAGE_LENGTH: usize = 2048;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    True,
    False,
    Unknown,
}

impl Holds {
    /// The value of `status`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) holds: Holds,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn new(holds: Holds, reason: Reason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_LENGTH {
            message.truncate(message.floor_char_boundary(MESSAGE_LENGTH));
            message.push('…');
        }
        Self { holds, reason, message }
    }

    pub(super) fn is_true(&self) -> bool {
        self.holds == Holds::True
    }

    pub(super) fn is_false(&self) -> bool {
        self.holds == Holds::False
    }
}

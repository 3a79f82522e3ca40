//! The frames that a SockJS client understands: `o`, `h`, `a[...]`, `c[code,"reason"]`.

use super::json;

/// The session is open.
pub(crate) const OPEN: &str = "o";
/// Nothing has happened for a while, and the connection lives.
pub(crate) const HEARTBEAT: &str = "h";

/// Why a session is closed, as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// A status code as of WebSocket, or 3000 to 4999 as the application likes.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl CloseFrame {
    /// A code and a reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The frame.
    pub(crate) fn encode(&self) -> String {
        let mut out = format!("c[{},", self.code);
        json::push_string(&self.reason, &mut out);
        out.push(']');
        out
    }
}

/// Builds an `a[...]` frame.
#[derive(Debug)]
pub(crate) struct MessageFrame(String);

impl MessageFrame {
    pub(crate) fn new() -> Self {
        Self("a[".to_owned())
    }

    /// Adds a message.
    pub(crate) fn push(&mut self, message: &str) {
        if !self.0.ends_with('[') {
            self.0.push(',');
        }
        json::push_string(message, &mut self.0);
    }

    /// Octets so far.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_batched_and_the_end_tells_why() {
        let mut frame = MessageFrame::new();
        frame.push("x");
        frame.push("[");
        frame.push("");
        assert_eq!(frame.finish(), r#"a["x","[",""]"#);
        assert_eq!(CloseFrame::new(3000, "Go away!").encode(), r#"c[3000,"Go away!"]"#);
    }
}

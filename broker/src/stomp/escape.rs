//! The escapes of header names and values, which differ by version.

use std::borrow::Cow;

use super::{Command, Version};

/// What is escaped on the wire, and so what is unescaped from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Nothing: STOMP 1.0, CONNECT and CONNECTED of any version, and everything before a version is agreed on.
    None,
    /// `\n`, `\c` and `\\`: STOMP 1.1.
    Three,
    /// `\r` as well: STOMP 1.2.
    Four,
}

/// The two octets that are no escape of this version; a lone backslash at the end has only one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEscape(pub(super) Box<str>);

impl Escapes {
    /// The escapes of a frame.
    pub(crate) const fn of(version: Option<Version>, command: Command) -> Self {
        match (version, command) {
            (None | Some(Version::V1_0), _) | (_, Command::Connect | Command::Connected) => Self::None,
            (Some(Version::V1_1), _) => Self::Three,
            (Some(Version::V1_2), _) => Self::Four,
        }
    }

    /// Undoes the escapes in one pass, so that `\\n` is a backslash and an `n`.
    pub(super) fn decode(self, text: &str) -> Result<Cow<'_, str>, BadEscape> {
        if self == Self::None || memchr::memchr(b'\\', text.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(text));
        }
        let mut decoded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((plain, escape)) = rest.split_once('\\') {
            decoded.push_str(plain);
            let mut characters = escape.chars();
            decoded.push(match characters.next() {
                Some('n') => '\n',
                Some('c') => ':',
                Some('\\') => '\\',
                Some('r') if self == Self::Four => '\r',
                other => return Err(BadEscape(other.map_or_else(|| "\\".into(), |c| format!("\\{c}").into()))),
            });
            rest = characters.as_str();
        }
        decoded.push_str(rest);
        Ok(Cow::Owned(decoded))
    }

    /// Whether text can be written at all: without escapes there is no way to write a line feed.
    pub(super) fn can_hold(self, text: &str) -> bool {
        self != Self::None || memchr::memchr(b'\n', text.as_bytes()).is_none()
    }

    /// Appends text as it is written on the wire.
    pub(super) fn encode(self, text: &str, out: &mut Vec<u8>) {
        if self == Self::None {
            return out.extend_from_slice(text.as_bytes());
        }
        let mut plain = 0;
        for (at, octet) in text.bytes().enumerate() {
            let escape: &[u8] = match octet {
                b'\n' => b"\\n",
                b':' => b"\\c",
                b'\\' => b"\\\\",
                b'\r' if self == Self::Four => b"\\r",
                _ => continue,
            };
            out.extend_from_slice(&text.as_bytes()[plain..at]);
            out.extend_from_slice(escape);
            plain = at + 1;
        }
        out.extend_from_slice(&text.as_bytes()[plain..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(escapes: Escapes, text: &str) -> String {
        let mut out = Vec::new();
        escapes.encode(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_version_writes_its_own_escapes() {
        let text = "a:b\\c\nd\re";
        assert_eq!(encoded(Escapes::None, "a:b\\c"), "a:b\\c");
        assert_eq!(encoded(Escapes::Three, text), "a\\cb\\\\c\\nd\re", "a CR goes to a 1.1 receiver as it is");
        assert_eq!(encoded(Escapes::Four, text), "a\\cb\\\\c\\nd\\re");
    }

    #[test]
    fn escapes_are_undone_in_one_pass() {
        assert_eq!(Escapes::Three.decode("\\\\n\\n\\c").unwrap(), "\\n\n:");
        assert_eq!(Escapes::Four.decode("\\\\r\\r").unwrap(), "\\r\r");
        assert_eq!(Escapes::None.decode("\\n\\t\\").unwrap(), "\\n\\t\\");
    }

    #[test]
    fn what_is_no_escape_of_the_version_is_refused_and_named() {
        for (escapes, text, bad) in [
            (Escapes::Three, "a\\r", "\\r"),
            (Escapes::Three, "a\\t", "\\t"),
            (Escapes::Four, "\\t", "\\t"),
            (Escapes::Four, "end\\", "\\"),
            (Escapes::Four, "\\\u{e9}", "\\\u{e9}"),
        ] {
            assert_eq!(escapes.decode(text), Err(BadEscape(bad.into())), "{text:?}");
        }
    }

    #[test]
    fn connect_is_never_escaped() {
        for version in Version::ALL {
            for command in [Command::Connect, Command::Connected] {
                assert_eq!(Escapes::of(Some(version), command), Escapes::None);
            }
        }
        assert_eq!(Escapes::of(Some(Version::V1_2), Command::Error), Escapes::Four);
        assert_eq!(Escapes::of(None, Command::Error), Escapes::None);
    }
}

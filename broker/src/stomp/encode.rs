//! Frames into octets.

use super::{Command, Version, escape::Escapes};

/// Appends a whole frame, NUL included.
///
/// `version` is the one agreed on with the receiver, absent before there is one. `content_length` says whether the header
/// of that name is written; without it the body must hold no NUL. A header that the version has no way to write (a line
/// feed needs an escape) is left out, for written raw it would be a header of the sender's choice.
pub fn encode<'a>(
    out: &mut Vec<u8>,
    version: Option<Version>,
    command: Command,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    content_length: bool,
    body: &[u8],
) {
    let escapes = Escapes::of(version, command);
    out.extend_from_slice(command.as_str().as_bytes());
    out.push(b'\n');
    for (name, value) in headers {
        put_header(out, escapes, name, value);
    }
    put_body(out, content_length, body);
}

/// Appends one header line.
pub(crate) fn put_header(out: &mut Vec<u8>, escapes: Escapes, name: &str, value: &str) {
    if !escapes.can_hold(name) || !escapes.can_hold(value) || (escapes == Escapes::None && name.contains(':')) {
        return tracing::debug!(header = name, "left out a header that the receiver's version cannot carry");
    }
    escapes.encode(name, out);
    out.push(b':');
    escapes.encode(value, out);
    out.push(b'\n');
}

/// Appends everything from the last header on.
pub(crate) fn put_body(out: &mut Vec<u8>, content_length: bool, body: &[u8]) {
    if content_length {
        out.extend_from_slice(b"content-length:");
        out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: Option<Version>, command: Command, headers: &[(&str, &str)], length: bool, body: &[u8]) -> String {
        let mut out = Vec::new();
        encode(&mut out, version, command, headers.iter().copied(), length, body);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_frame_carries_content_length_only_when_told() {
        let version = Some(Version::V1_2);
        assert_eq!(
            text(version, Command::Send, &[("destination", "/queue/a")], true, b"hi"),
            "SEND\ndestination:/queue/a\ncontent-length:2\n\nhi\0"
        );
        assert_eq!(text(version, Command::Send, &[], false, b"hi"), "SEND\n\nhi\0");
        assert_eq!(text(version, Command::Send, &[], true, b""), "SEND\ncontent-length:0\n\n\0");
    }

    #[test]
    fn names_are_escaped_like_values() {
        assert_eq!(text(Some(Version::V1_1), Command::Send, &[("a:b", "c:d")], false, b""), "SEND\na\\cb:c\\cd\n\n\0");
    }

    #[test]
    fn connect_and_connected_are_raw_in_every_version() {
        for version in Version::ALL {
            let frame = text(Some(version), Command::Connected, &[("user-name", "a:b\\c")], false, b"");
            assert_eq!(frame, "CONNECTED\nuser-name:a:b\\c\n\n\0");
        }
    }

    #[test]
    fn a_header_that_cannot_be_written_is_left_out_instead_of_forging_another() {
        for (version, command) in [(Some(Version::V1_0), Command::Message), (Some(Version::V1_2), Command::Connected)] {
            let headers = [("a", "b\nforged:yes"), ("c\nforged", "d"), ("e:f", "g"), ("h", "i")];
            assert_eq!(text(version, command, &headers, false, b""), format!("{}\nh:i\n\n\0", command.as_str()));
        }
    }
}

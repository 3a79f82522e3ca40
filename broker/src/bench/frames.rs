//! The frames of the load, and what is read from those that come back.

use std::time::{Duration, Instant};

use memchr::memmem;

use super::scan::Scanner;
use crate::{
    stomp::{Command, Version, encode},
    transport::websocket::frames::write_client_message,
};

/// Octets of the time at the beginning of a body.
pub(super) const STAMP: usize = 16;

/// How STOMP frames are put into octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Tcp,
    WebSocket,
}

impl Framing {
    /// Appends one STOMP frame, as a client sends it.
    pub(super) fn put(self, stomp: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Tcp => out.extend_from_slice(stomp),
            Self::WebSocket => write_client_message(stomp, out),
        }
    }

    /// What puts the frames of the server together.
    pub(super) fn scanner(self) -> Scanner {
        Scanner::new(self == Self::WebSocket)
    }
}

/// Appends a frame of a client.
pub(super) fn put_frame(
    framing: Framing,
    command: Command,
    headers: &[(&str, &str)],
    body: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    scratch.clear();
    encode(scratch, Some(Version::V1_2), command, headers.iter().copied(), command == Command::Send, body);
    framing.put(scratch, out);
}

/// Appends the ACK of a MESSAGE, whose `ack` header is passed as it stands on the wire.
pub(super) fn put_ack(framing: Framing, ack: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(b"ACK\nid:");
    scratch.extend_from_slice(ack);
    scratch.extend_from_slice(b"\n\n\0");
    framing.put(scratch, out);
}

/// The `ack` header of a MESSAGE, as it stands on the wire.
pub(super) fn ack_of(message: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\nack:";
    let head = &message[..memmem::find(message, b"\n\n")?];
    let value = &head[memmem::find(head, NAME)? + NAME.len()..];
    Some(&value[..memchr::memchr(b'\n', value).unwrap_or(value.len())])
}

/// A body of this size that says when its message was due.
pub(super) fn stamped(body: &mut Vec<u8>, size: usize, due: Duration) {
    use std::io::Write as _;
    body.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(body, "{:016x}", u64::try_from(due.as_nanos()).unwrap_or(u64::MAX));
    body.resize(size, b'x');
}

/// How long ago the message was due whose body of `size` octets ends a frame.
pub(super) fn age(frame: &[u8], size: usize, epoch: Instant) -> Option<Duration> {
    let body = &frame[frame.len().checked_sub(size)?..];
    let due = u64::from_str_radix(str::from_utf8(body.get(..STAMP)?).ok()?, 16).ok()?;
    Some(epoch.elapsed().saturating_sub(Duration::from_nanos(due)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ack_header_is_found_in_the_head_alone() {
        assert_eq!(ack_of(b"MESSAGE\nack:1-2\nsubscription:0\n\n"), Some(&b"1-2"[..]));
        assert_eq!(ack_of(b"MESSAGE\nsubscription:0\nack:T_0@@s\\c1@@1\n\nbody"), Some(&b"T_0@@s\\c1@@1"[..]));
        assert_eq!(ack_of(b"MESSAGE\nsubscription:0\n\n\nack:no\n"), None);
    }

    #[test]
    fn a_stamp_survives_in_a_body_of_any_size() {
        let epoch = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        for size in [STAMP, 128, 5000] {
            let (mut body, mut frame) = (Vec::new(), b"MESSAGE\nx:y\n\n".to_vec());
            stamped(&mut body, size, Duration::from_secs(30));
            assert_eq!(body.len(), size);
            frame.extend_from_slice(&body);
            let age = age(&frame, size, epoch).unwrap();
            assert!(age >= Duration::from_secs(70), "{age:?}");
        }
        assert_eq!(age(b"ERROR\n\nno time here, sorry", 16, epoch), None);
    }

    #[test]
    fn a_send_is_what_a_broker_expects() {
        let mut out = Vec::new();
        let headers = [("destination", "/queue/a")];
        put_frame(Framing::Tcp, Command::Send, &headers, b"body", &mut Vec::new(), &mut out);
        assert_eq!(out, b"SEND\ndestination:/queue/a\ncontent-length:4\n\nbody\0");
        out.clear();
        put_ack(Framing::Tcp, b"a\\cb", &mut Vec::new(), &mut out);
        assert_eq!(out, b"ACK\nid:a\\cb\n\n\0");
    }
}

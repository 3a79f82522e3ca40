//! Octets of a server into STOMP frames, as cheaply as counting them allows.
//!
//! The frames of a run have no NUL in their bodies, for the load generator has written those, so a frame ends at the
//! first NUL. Whole frames are handed on where they lie; only one that was cut by a read is copied.

use memchr::memchr;

/// The longest frame that is put together from parts.
const MOST_FRAME: usize = 16 << 20;
/// The longest head of a WebSocket frame of a server, which is not masked.
const MOST_HEAD: usize = 10;

/// The server's octets are not what was expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// A frame is longer than any that was asked for.
    #[error("a frame of the server is longer than {MOST_FRAME} octets")]
    TooLong,
    /// The server closed the WebSocket.
    #[error("the server closed the WebSocket")]
    Closed,
    /// A WebSocket frame that no server may send.
    #[error("the server sent a WebSocket frame that is masked or of an unknown kind")]
    BadFrame,
}

/// Puts frames together from what reads bring.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Absent over TCP.
    websocket: Option<Deframer>,
    stomp: Splitter,
}

#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The beginning of a frame whose end has not come.
    kept: Vec<u8>,
}

#[derive(Debug, Default)]
struct Deframer {
    head: [u8; MOST_HEAD],
    have: usize,
    /// Octets of the payload that are still to come.
    remaining: usize,
    /// Whether the payload is STOMP, rather than of a Ping or Pong.
    is_data: bool,
}

impl Scanner {
    /// For a connection over WebSocket, or over TCP.
    pub(super) fn new(websocket: bool) -> Self {
        Self { websocket: websocket.then(Deframer::default), stomp: Splitter::default() }
    }

    /// Takes what was read; `frame` gets every STOMP frame without its NUL.
    pub(super) fn scan(&mut self, octets: &[u8], mut frame: impl FnMut(&[u8])) -> Result<(), ScanError> {
        let Self { websocket, stomp } = self;
        match websocket {
            None => stomp.push(octets, &mut frame),
            Some(deframer) => deframer.push(octets, |payload| stomp.push(payload, &mut frame)),
        }
    }
}

impl Splitter {
    /// Takes octets of STOMP; `frame` gets every whole frame without its NUL.
    pub(super) fn push(&mut self, octets: &[u8], frame: &mut impl FnMut(&[u8])) -> Result<(), ScanError> {
        let mut rest = octets;
        while let Some(end) = memchr(0, rest) {
            if self.kept.is_empty() {
                frame(without_heartbeats(&rest[..end]));
            } else {
                self.kept.extend_from_slice(&rest[..end]);
                frame(&self.kept);
                self.kept.clear();
            }
            rest = &rest[end + 1..];
        }
        if self.kept.is_empty() {
            rest = without_heartbeats(rest);
        }
        if self.kept.len() + rest.len() > MOST_FRAME {
            return Err(ScanError::TooLong);
        }
        self.kept.extend_from_slice(rest);
        if self.kept.is_empty() {
            // An idle session keeps no memory.
            self.kept = Vec::new();
        }
        Ok(())
    }
}

fn without_heartbeats(mut octets: &[u8]) -> &[u8] {
    while let [b'\n' | b'\r', rest @ ..] = octets {
        octets = rest;
    }
    octets
}

impl Deframer {
    fn push(
        &mut self,
        mut octets: &[u8],
        mut payload: impl FnMut(&[u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        while !octets.is_empty() {
            if self.remaining == 0 {
                octets = self.read_head(octets)?;
            }
            let (part, rest) = octets.split_at(self.remaining.min(octets.len()));
            if self.is_data && !part.is_empty() {
                payload(part)?;
            }
            self.remaining -= part.len();
            octets = rest;
        }
        Ok(())
    }

    /// Takes what belongs to the head of the next frame; `remaining` is set once all of it has come.
    fn read_head<'a>(&mut self, octets: &'a [u8]) -> Result<&'a [u8], ScanError> {
        let mut rest = octets;
        loop {
            let wanted = match (self.have, self.head[1] & 0x7F) {
                (0 | 1, _) => 2,
                (_, 126) => 4,
                (_, 127) => 10,
                _ => 2,
            };
            if self.have == wanted {
                break;
            }
            let [octet, tail @ ..] = rest else { return Ok(rest) };
            self.head[self.have] = *octet;
            self.have += 1;
            rest = tail;
        }
        let head = &self.head[..self.have];
        let length = match head {
            [_, _, a, b] => u64::from(u16::from_be_bytes([*a, *b])),
            [_, _, long @ ..] if long.len() == 8 => long.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)),
            [_, length, ..] => u64::from(*length),
            _ => return Err(ScanError::BadFrame),
        };
        self.is_data = match (head[0] & 0x0F, head[1] & 0x80) {
            (0..=2, 0) => true,
            // A Ping asks for a Pong, but no server gives up on a client within a run.
            (9 | 10, 0) => false,
            (8, 0) => return Err(ScanError::Closed),
            _ => return Err(ScanError::BadFrame),
        };
        self.remaining = usize::try_from(length).map_err(|_| ScanError::TooLong)?;
        self.have = 0;
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::websocket::frames::write_message;

    fn frames(scanner: &mut Scanner, octets: &[u8], step: usize) -> Vec<String> {
        let mut frames = Vec::new();
        for part in octets.chunks(step) {
            scanner.scan(part, |frame| frames.push(String::from_utf8(frame.to_vec()).unwrap())).unwrap();
        }
        frames
    }

    #[test]
    fn frames_are_found_however_they_were_cut() {
        let octets = b"\n\nA\n\nx\0\n\r\nB\n\n\0C\n\nlonger\0\n";
        for step in 1..octets.len() {
            let mut scanner = Scanner::new(false);
            assert_eq!(frames(&mut scanner, octets, step), ["A\n\nx", "B\n\n", "C\n\nlonger"], "{step}");
            assert_eq!(scanner.stomp.kept.capacity(), 0, "idle after {step}");
        }
    }

    #[test]
    fn frames_are_found_in_messages_of_every_length() {
        let mut octets = Vec::new();
        let long = format!("A\n\n{}\0", "x".repeat(70_000));
        let medium = format!("B\n\n{}\0", "y".repeat(300));
        for text in [&*long, "\n", &medium, "C\n\n\0D\n", "\n\0"] {
            write_message([text.as_bytes(), b""], &mut octets);
        }
        octets.extend_from_slice(&[0x89, 1, 0]);
        write_message([b"E\n\n\0", b""], &mut octets);
        let expected = [long.trim_end_matches('\0'), medium.trim_end_matches('\0'), "C\n\n", "D\n\n", "E\n\n"];
        for step in [1, 2, 3, 5, 1000, octets.len()] {
            assert_eq!(frames(&mut Scanner::new(true), &octets, step), expected, "{step}");
        }
    }

    #[test]
    fn a_closed_or_broken_websocket_is_told_from_frames() {
        for (octets, error) in
            [([0x88, 0], ScanError::Closed), ([0x83, 0], ScanError::BadFrame), ([0x81, 0x81], ScanError::BadFrame)]
        {
            assert_eq!(Scanner::new(true).scan(&octets, |_| ()), Err(error));
        }
    }

    #[test]
    fn a_frame_without_end_does_not_take_all_memory() {
        let mut scanner = Scanner::new(false);
        let part = vec![b'x'; 1 << 20];
        let result = (0..100).try_for_each(|_| scanner.scan(&part, |_| ()));
        assert_eq!(result, Err(ScanError::TooLong));
    }
}

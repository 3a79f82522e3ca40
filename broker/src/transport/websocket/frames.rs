//! The wire format of RFC 6455, without I/O: what a server reads from and writes to a client.
//!
//! Payloads are handed on as they arrive, so a message of any declared length costs no memory here; the STOMP decoder
//! behind bounds what it keeps. STOMP is a stream of octets over messages, so message borders mean nothing further on.
//!
//! Invariants: every octet handed in is consumed; after an error or a Close nothing more is handed on.

use super::{
    deflate::{InflateError, Inflater, deflate},
    utf8::Utf8,
};

/// A status code of a Close frame, RFC 6455 section 7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// 1000: the session ended as it should.
    Normal,
    /// 1002: the client broke the rules of WebSocket or STOMP.
    Protocol,
    /// 1003: data of a kind that cannot be taken.
    Unsupported,
    /// 1007: a text message that is not UTF-8.
    InvalidText,
    /// 1008: a policy was not met: login, destination rule, too slow.
    Policy,
    /// 1009: a limit on sizes or numbers was passed.
    TooBig,
    /// 1011: the broker or what is behind it failed.
    InternalError,
    /// 1012: the broker is being restarted; come again.
    ServiceRestart,
}

impl CloseCode {
    /// The number on the wire.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::InvalidText => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::InternalError => 1011,
            Self::ServiceRestart => 1012,
        }
    }
}

/// What the client did that RFC 6455 forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a WebSocket frame from a client must be masked")]
    Unmasked,
    #[error("a WebSocket frame uses a reserved bit, but no extension was agreed on")]
    ReservedBit,
    #[error("a WebSocket frame has the unknown opcode {0}")]
    Opcode(u8),
    #[error("a WebSocket control frame is fragmented or longer than 125 octets")]
    Control,
    #[error("a WebSocket frame does not encode its length in the shortest form")]
    Length,
    #[error("a WebSocket continuation frame has no message to continue")]
    NothingToContinue,
    #[error("a WebSocket message begins before the last one has ended")]
    Interleaved,
    #[error("a WebSocket text message is not UTF-8")]
    InvalidText,
    #[error("a WebSocket Close frame is malformed")]
    Close,
    #[error("a compressed WebSocket message is no deflated data")]
    Deflate,
    #[error("a compressed WebSocket message inflates beyond what a frame may have")]
    Inflated,
}

impl From<InflateError> for Violation {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Broken => Self::Deflate,
            InflateError::TooLarge => Self::Inflated,
        }
    }
}

impl Violation {
    /// What the Close frame says.
    pub(crate) const fn code(self) -> CloseCode {
        match self {
            Self::InvalidText | Self::Deflate => CloseCode::InvalidText,
            Self::Inflated => CloseCode::TooBig,
            _ => CloseCode::Protocol,
        }
    }
}

/// What a client sent; a Pong asks for nothing and is passed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A piece of a message's payload, as it came.
    Payload(&'a [u8]),
    /// The message that the pieces before made up is whole.
    End(MessageKind),
    /// To be answered with a Pong of the same payload.
    Ping(&'a [u8]),
    /// To be answered with a Close, unless one has been sent; carries the client's status code.
    Close(Option<u16>),
}

/// What a message says that its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// UTF-8, which the reader has checked.
    Text,
    /// Any octets.
    Binary,
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;
/// The first frame of a message: it is compressed.
const RSV1: u8 = 0x40;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Instead of a length: it follows in so many bits.
const LENGTH_16: u8 = 0x7E;
const LENGTH_64: u8 = 0x7F;
const MAX_CONTROL: usize = 125;
const MAX_HEAD: usize = 14;

/// Reads what a client sends. Small, for one lives in every idle session.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// The head of the next frame as far as it has come.
    head: [u8; MAX_HEAD],
    head_len: u8,
    /// The frame whose payload is being read.
    frame: Option<Incoming>,
    /// The message whose next frame is awaited: whether it is text.
    message: Option<MessageKind>,
    /// Whether that message is compressed.
    compressed: bool,
    utf8: Utf8,
    closed: bool,
    /// Where compression was agreed on.
    inflater: Option<Box<Inflater>>,
}

#[derive(Debug)]
struct Incoming {
    remaining: u64,
    mask: [u8; 4],
    fin: bool,
    /// A control frame's opcode and payload, allocated only while it arrives.
    control: Option<(u8, Vec<u8>)>,
}

impl FrameReader {
    /// For a client with which compression was agreed on; a compressed message has `limit` octets at most.
    pub(crate) fn inflating(limit: usize) -> Self {
        Self { inflater: Some(Box::new(Inflater::new(limit))), ..Self::default() }
    }

    /// Changes the bound of compressed messages.
    pub(crate) fn bound_inflated(&mut self, limit: usize) {
        if let Some(inflater) = &mut self.inflater {
            inflater.set_limit(limit);
        }
    }

    /// Takes all of `octets` (unmasking them in place) and hands on what they hold.
    ///
    /// # Errors
    /// The rule that the client broke; nothing more is read after that.
    pub(crate) fn read(&mut self, mut octets: &mut [u8], mut hand_on: impl FnMut(Part<'_>)) -> Result<(), Violation> {
        while !octets.is_empty() && !self.closed {
            if let Some(frame) = &mut self.frame {
                let n = usize::try_from(frame.remaining).map_or(octets.len(), |remaining| remaining.min(octets.len()));
                let (payload, rest) = octets.split_at_mut(n);
                octets = rest;
                unmask(payload, &mut frame.mask);
                frame.remaining -= n as u64;
                if let Some((_, collected)) = &mut frame.control {
                    collected.extend_from_slice(payload);
                } else {
                    self.take_payload(payload, &mut hand_on)?;
                }
            } else {
                let taken = self.read_head(octets)?;
                octets = octets.split_at_mut(taken).1;
            }
            if self.frame.as_ref().is_some_and(|frame| frame.remaining == 0) {
                self.finish_frame(&mut hand_on)?;
            }
        }
        Ok(())
    }

    /// Checks a piece of a message and hands it on, inflated where it is compressed.
    fn take_payload(&mut self, payload: &[u8], hand_on: &mut impl FnMut(Part<'_>)) -> Result<(), Violation> {
        let Self { inflater, utf8, message, compressed, .. } = self;
        let mut take = |piece: &[u8]| {
            if *message == Some(MessageKind::Text) && !utf8.push(piece) {
                return Err(Violation::InvalidText);
            }
            hand_on(Part::Payload(piece));
            Ok(())
        };
        let taken = match inflater {
            Some(inflater) if *compressed => inflater.push(payload, take),
            _ => take(payload),
        };
        taken.or_else(|violation| self.fail(violation))
    }

    fn fail<T>(&mut self, violation: Violation) -> Result<T, Violation> {
        self.closed = true;
        Err(violation)
    }

    /// Collects the head of a frame; the first octets that are missing are taken from `octets`. Returns how many.
    fn read_head(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        let mut taken = 0;
        loop {
            let have = usize::from(self.head_len);
            let needed = if have < 2 { 2 } else { head_size(self.head[1]) };
            if have == needed {
                self.head_len = 0;
                let head = self.head;
                self.frame = Some(self.begin_frame(&head).or_else(|violation| self.fail(violation))?);
                return Ok(taken);
            }
            let Some(octet) = octets.get(taken) else { return Ok(taken) };
            self.head[have] = *octet;
            self.head_len += 1;
            taken += 1;
        }
    }

    fn begin_frame(&mut self, head: &[u8; MAX_HEAD]) -> Result<Incoming, Violation> {
        let (fin, opcode) = (head[0] & FIN != 0, head[0] & 0x0F);
        let compressed = head[0] & RESERVED == RSV1 && self.inflater.is_some() && matches!(opcode, TEXT | BINARY);
        if head[0] & RESERVED != 0 && !compressed {
            return Err(Violation::ReservedBit);
        }
        if head[1] & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let (remaining, mask_at) = match head[1] & 0x7F {
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&head[2..10]);
                (u64::from_be_bytes(length), 10)
            }
            short => (u64::from(short), 2),
        };
        let shortest = match mask_at {
            2 => true,
            4 => remaining > 125,
            _ => remaining > 0xFFFF && remaining >> 63 == 0,
        };
        let control = match opcode {
            CLOSE | PING | PONG if !fin || remaining > MAX_CONTROL as u64 => return Err(Violation::Control),
            CLOSE | PING | PONG => Some((opcode, Vec::new())),
            _ if !shortest => return Err(Violation::Length),
            CONTINUATION if self.message.is_none() => return Err(Violation::NothingToContinue),
            CONTINUATION => None,
            TEXT | BINARY if self.message.is_some() => return Err(Violation::Interleaved),
            TEXT | BINARY => {
                self.message = Some(if opcode == TEXT { MessageKind::Text } else { MessageKind::Binary });
                self.compressed = compressed;
                None
            }
            unknown => return Err(Violation::Opcode(unknown)),
        };
        let mask = [head[mask_at], head[mask_at + 1], head[mask_at + 2], head[mask_at + 3]];
        Ok(Incoming { remaining, mask, fin, control })
    }

    fn finish_inflating(&mut self, hand_on: &mut impl FnMut(Part<'_>)) -> Result<(), Violation> {
        let Self { inflater, utf8, message, .. } = self;
        let Some(inflater) = inflater else { return Ok(()) };
        let finished = inflater.finish(|piece| {
            if *message == Some(MessageKind::Text) && !utf8.push(piece) {
                return Err(Violation::InvalidText);
            }
            hand_on(Part::Payload(piece));
            Ok(())
        });
        finished.or_else(|violation| self.fail(violation))
    }

    fn finish_frame(&mut self, hand_on: &mut impl FnMut(Part<'_>)) -> Result<(), Violation> {
        let Some(frame) = self.frame.take() else { return Ok(()) };
        match frame.control {
            Some((CLOSE, payload)) => {
                self.closed = true;
                hand_on(Part::Close(close_status(&payload)?));
            }
            Some((PING, payload)) => hand_on(Part::Ping(&payload)),
            None if frame.fin => {
                if self.compressed {
                    self.finish_inflating(hand_on)?;
                }
                let Some(kind) = self.message.take() else { return Ok(()) };
                if kind == MessageKind::Text && !self.utf8.finish() {
                    return self.fail(Violation::InvalidText);
                }
                hand_on(Part::End(kind));
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

/// Octets of a frame's head, mask included, from its second octet.
const fn head_size(second: u8) -> usize {
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    2 + length + mask
}

/// The status code of a Close frame's payload, which may be empty.
fn close_status(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Close) };
    };
    let code = u16::from_be_bytes(*code);
    let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if allowed && std::str::from_utf8(reason).is_ok() { Ok(Some(code)) } else { Err(Violation::Close) }
}

/// Applies the mask, eight octets at a time, and turns it so that it fits the octets that follow.
fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        let mut octets = [0; 8];
        octets.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(octets) ^ word).to_ne_bytes());
    }
    for (octet, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *octet ^= mask;
    }
    mask.rotate_left(payload.len() % 4);
}

/// Appends one data message that holds `parts`: text where all of it is UTF-8, else binary.
pub(crate) fn write_message(parts: [&[u8]; 2], out: &mut Vec<u8>) {
    write_message_as(kind_of(parts), parts, out);
}

/// Appends one data message that holds `parts`, as [`write_message_as`] does, deflated where that makes it smaller.
pub(crate) fn write_deflated(kind: MessageKind, parts: [&[u8]; 2], out: &mut Vec<u8>) {
    let smaller = deflate(parts, |deflated| {
        write_head(RSV1 | opcode(kind), deflated.len(), 0, out);
        out.extend_from_slice(deflated);
    });
    if !smaller {
        write_message_as(kind, parts, out);
    }
}

/// What to call a message of these parts: text where all of it is UTF-8, else binary.
pub(crate) fn kind_of(parts: [&[u8]; 2]) -> MessageKind {
    let text = parts.iter().all(|part| std::str::from_utf8(part).is_ok());
    if text { MessageKind::Text } else { MessageKind::Binary }
}

const fn opcode(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => TEXT,
        MessageKind::Binary => BINARY,
    }
}

/// Appends a Ping.
pub(crate) fn write_ping(out: &mut Vec<u8>) {
    write_head(PING, 0, 0, out);
}

/// Appends one data message that holds `parts`, which must be UTF-8 where it is called text.
pub(crate) fn write_message_as(kind: MessageKind, parts: [&[u8]; 2], out: &mut Vec<u8>) {
    write_head(opcode(kind), parts.iter().map(|part| part.len()).sum(), 0, out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a Pong.
pub(crate) fn write_pong(payload: &[u8], out: &mut Vec<u8>) {
    write_head(PONG, payload.len(), 0, out);
    out.extend_from_slice(payload);
}

/// Appends a Close; `reason` is cut to what a control frame holds.
pub(crate) fn write_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    write_head(CLOSE, 2 + reason.len(), 0, out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends one text message as a client sends it. The mask is zero: it keeps proxies from being fooled by what scripts of
/// web pages choose, and none of those is here.
pub(crate) fn write_client_message(text: &[u8], out: &mut Vec<u8>) {
    write_head(TEXT, text.len(), MASKED, out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text);
}

fn write_head(opcode: u8, length: usize, masked: u8, out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    if let Ok(short) = u8::try_from(length)
        && short <= 125
    {
        out.push(masked | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(masked | LENGTH_16);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(masked | LENGTH_64);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;

//! Octets into frames.

use bytes::{Buf as _, Bytes, BytesMut};
use smol_str::SmolStr;

use super::{
    Command, DecodeError, DecodeProblem, Frame, Header, Version,
    error::Place,
    escape::{BadEscape, Escapes},
};

/// The longest command line that is searched for its end.
const COMMAND_LINE: usize = 32;

/// Bodies below this are copied: a copy costs less than keeping a whole buffer for them.
const SHARED_BODY: usize = 4096;

/// Most of a frame that is accepted, in octets where not said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Header lines of a frame.
    pub headers: usize,
    /// One header line without its line feed.
    pub header_size: usize,
    /// The body of a frame.
    pub body_size: usize,
    /// The whole frame, from the command to the NUL.
    pub frame_size: usize,
}

impl DecodeLimits {
    /// Octets of a frame that keeps to all limits.
    pub const fn most_octets(&self) -> usize {
        let headers = self.headers.saturating_add(1).saturating_mul(self.header_size.saturating_add(1));
        let frame = headers.saturating_add(self.body_size);
        if frame < self.frame_size { frame } else { self.frame_size }
    }
}

/// What the octets held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole frame.
    Frame(Frame),
    /// An end-of-line between frames.
    Heartbeat,
}

/// A streaming decoder for the frames of clients and of servers: any split of the octets gives the same items.
///
/// It copies header lines as they are complete and leaves the rest in the caller's buffer, so that it never holds more
/// than the limits allow and never allocates by a length that the peer only announced.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    version: Option<Version>,
    stage: Stage,
    /// Octets at the front of what is to be read next that were searched without success.
    searched: usize,
    /// Octets of the current frame that have left the buffer.
    spent: usize,
    /// About the size of the allocation behind the buffer.
    allocation: usize,
    /// The buffer's capacity when it was last seen; any other means another allocation.
    capacity: usize,
}

#[derive(Debug)]
enum Stage {
    Between,
    Command,
    Headers(Head),
    Body(Head, Option<usize>),
}

#[derive(Debug)]
struct Head {
    command: Command,
    headers: Vec<Header>,
}

impl Decoder {
    /// A decoder at the beginning of a connection, when no version has been agreed on.
    pub const fn new(limits: DecodeLimits) -> Self {
        Self { limits, version: None, stage: Stage::Between, searched: 0, spent: 0, allocation: 0, capacity: 0 }
    }

    /// Says which version has been agreed on, for the frames that follow.
    pub const fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Changes the limits, also for the frame that is under way.
    pub const fn set_limits(&mut self, limits: DecodeLimits) {
        self.limits = limits;
    }

    /// Whether part of a frame has been read, so that an end of the stream now would cut it.
    pub const fn is_inside_frame(&self) -> bool {
        !matches!(self.stage, Stage::Between)
    }

    /// Takes the next item from the front of `buffer`; `None` when more octets are needed.
    ///
    /// # Errors
    /// When the octets are not STOMP or pass a limit. The stream has no known frame boundary then; decode no more of it.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, DecodeError> {
        if buffer.capacity() != self.capacity {
            self.allocation = buffer.capacity();
        }
        let result = self.advance(buffer);
        self.capacity = buffer.capacity();
        result.map_err(|problem| DecodeError { problem, receipt: self.receipt() })
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, DecodeProblem> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Between => match between(buffer)? {
                    Between::Frame => self.stage = Stage::Command,
                    Between::Heartbeat => return Ok(Some(Item::Heartbeat)),
                    Between::Incomplete => return Ok(None),
                },
                Stage::Command => {
                    self.stage = Stage::Command;
                    let Some(command) = self.command(buffer)? else { return Ok(None) };
                    self.stage = Stage::Headers(Head { command, headers: Vec::new() });
                }
                Stage::Headers(mut head) => {
                    let complete = self.headers(buffer, &mut head);
                    match complete.and_then(|complete| complete.then(|| self.body_length(&head)).transpose()) {
                        Ok(Some(length)) => self.stage = Stage::Body(head, length),
                        other => {
                            // Kept also on failure: the ERROR wants the receipt header.
                            self.stage = Stage::Headers(head);
                            return other.map(|_| None);
                        }
                    }
                }
                Stage::Body(head, length) => {
                    let body = match length {
                        Some(length) => self.body_of(buffer, length),
                        None => self.body_until_nul(buffer),
                    };
                    match body {
                        Ok(Some(body)) => {
                            self.spent = 0;
                            let Head { command, headers } = head;
                            return Ok(Some(Item::Frame(Frame { command, headers, body })));
                        }
                        other => {
                            self.stage = Stage::Body(head, length);
                            return other.map(|_| None);
                        }
                    }
                }
            }
        }
    }

    fn command(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>, DecodeProblem> {
        let limit = COMMAND_LINE.min(self.limits.frame_size);
        let unknown = |line: &[u8]| {
            let shown = &line[..line.len().min(limit)];
            DecodeProblem::UnknownCommand(String::from_utf8_lossy(shown).into())
        };
        let Some(end) = self.find(buffer, b'\n') else {
            return if buffer.len() > limit { Err(unknown(buffer)) } else { Ok(None) };
        };
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        if end > limit {
            return Err(unknown(&buffer[..end]));
        }
        let command = Command::parse(line).ok_or_else(|| unknown(line))?;
        self.consume(buffer, end + 1);
        Ok(Some(command))
    }

    /// Reads header lines; true when the blank line has been read.
    fn headers(&mut self, buffer: &mut BytesMut, head: &mut Head) -> Result<bool, DecodeProblem> {
        let mut read = 0;
        let complete = loop {
            let rest = &buffer[read..];
            let left = self.limits.frame_size.saturating_sub(self.spent.saturating_add(read));
            let end = self.find(rest, b'\n');
            let length = end.unwrap_or(rest.len());
            if length > left.min(self.limits.header_size) {
                return Err(if left < self.limits.header_size {
                    DecodeProblem::FrameTooLarge { limit: self.limits.frame_size }
                } else {
                    DecodeProblem::HeaderTooLong { limit: self.limits.header_size }
                });
            }
            let Some(end) = end else { break false };
            let line = &rest[..end];
            read += end + 1;
            if line.is_empty() || line == b"\r" {
                break true;
            }
            if head.headers.len() >= self.limits.headers {
                return Err(DecodeProblem::TooManyHeaders { limit: self.limits.headers });
            }
            let header = self.header(line, head)?;
            head.headers.push(header);
        };
        self.consume(buffer, read);
        Ok(complete)
    }

    fn header(&self, line: &[u8], head: &Head) -> Result<Header, DecodeProblem> {
        let command = head.command;
        let number = head.headers.len() + 1;
        // In 1.0 and 1.1 only LF ends a line and a CR belongs to the value; before a version is known CRLF may be meant.
        let ends_with_crlf = matches!(self.version, None | Some(Version::V1_2)) || command == Command::Connect;
        let line = if ends_with_crlf { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let marks = Marks::of(line);
        if self.version == Some(Version::V1_2) && marks.carriage_return {
            return Err(DecodeProblem::StrayCarriageReturn { place: Place::Header(number) });
        }
        let line = str::from_utf8(line).map_err(|_| DecodeProblem::NotUtf8 { command, line: number })?;
        let colon = marks.colon.ok_or(DecodeProblem::NoColon { command, line: number })?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() {
            return Err(DecodeProblem::NoName { command, line: number });
        }
        // The examples of the 1.0 specification pad their values.
        let value = if self.version == Some(Version::V1_0) { value.trim_start_matches(' ') } else { value };
        if !marks.backslash {
            return Ok((name.into(), value.into()));
        }
        let escapes = Escapes::of(self.version, command);
        let undefined = |BadEscape(escape)| DecodeProblem::UndefinedEscape { command, line: number, escape };
        Ok((escapes.decode(name).map_err(undefined)?.into(), escapes.decode(value).map_err(undefined)?.into()))
    }

    fn body_length(&self, head: &Head) -> Result<Option<usize>, DecodeProblem> {
        let Some((_, text)) = head.headers.iter().find(|(name, _)| &**name == "content-length") else {
            return Ok(None);
        };
        let bad = || DecodeProblem::BadContentLength(text.chars().take(32).collect());
        // 1.2 never trims, but padding here harms nobody and some clients pad.
        let digits = text.trim();
        if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(bad());
        }
        let announced: u64 = digits.parse().map_err(|_| bad())?;
        let limit = self.limits.body_size;
        match usize::try_from(announced) {
            Ok(length) if length > limit => Err(DecodeProblem::BodyTooLarge { limit, size: Some(announced) }),
            Err(_) => Err(DecodeProblem::BodyTooLarge { limit, size: Some(announced) }),
            Ok(length) if self.spent.saturating_add(length).saturating_add(1) > self.limits.frame_size => {
                Err(DecodeProblem::FrameTooLarge { limit: self.limits.frame_size })
            }
            Ok(length) => Ok(Some(length)),
        }
    }

    fn body_of(&mut self, buffer: &mut BytesMut, length: usize) -> Result<Option<Bytes>, DecodeProblem> {
        match buffer.get(length) {
            None => Ok(None),
            Some(0) => Ok(Some(self.take_body(buffer, length))),
            Some(_) => Err(DecodeProblem::NoNulAfterBody(length)),
        }
    }

    fn body_until_nul(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, DecodeProblem> {
        let left = self.limits.frame_size.saturating_sub(self.spent).saturating_sub(1);
        let end = self.find(buffer, 0);
        let length = end.unwrap_or(buffer.len());
        if length > left.min(self.limits.body_size) {
            return Err(if left < self.limits.body_size {
                DecodeProblem::FrameTooLarge { limit: self.limits.frame_size }
            } else {
                DecodeProblem::BodyTooLarge { limit: self.limits.body_size, size: None }
            });
        }
        Ok(end.map(|end| self.take_body(buffer, end)))
    }

    /// Takes the body and its NUL. A body that is most of the allocation is shared with the buffer, any other is copied,
    /// so that a small message in a queue never keeps a large buffer.
    fn take_body(&mut self, buffer: &mut BytesMut, length: usize) -> Bytes {
        let body = if length >= SHARED_BODY && length >= self.allocation / 2 {
            buffer.split_to(length).freeze()
        } else {
            let body = Bytes::copy_from_slice(&buffer[..length]);
            buffer.advance(length);
            body
        };
        buffer.advance(1);
        body
    }

    /// Where `octet` stands in what is to be read next, without searching anything twice.
    fn find(&mut self, octets: &[u8], octet: u8) -> Option<usize> {
        let from = self.searched.min(octets.len());
        let found = memchr::memchr(octet, &octets[from..]).map(|at| from + at);
        self.searched = if found.is_some() { 0 } else { octets.len() };
        found
    }

    fn consume(&mut self, buffer: &mut BytesMut, octets: usize) {
        buffer.advance(octets);
        self.spent = self.spent.saturating_add(octets);
    }

    /// The `receipt` header of the frame under way, where it has been read.
    fn receipt(&self) -> Option<SmolStr> {
        let (Stage::Headers(head) | Stage::Body(head, _)) = &self.stage else { return None };
        if head.command == Command::Connect {
            return None;
        }
        head.headers.iter().find(|(name, _)| &**name == "receipt").map(|(_, value)| value.clone())
    }
}

/// The octets of a header line that mean something, found in one pass: lines are so short that each search would cost as
/// much as this.
#[derive(Default)]
struct Marks {
    /// Where the first colon stands.
    colon: Option<usize>,
    backslash: bool,
    carriage_return: bool,
}

impl Marks {
    fn of(line: &[u8]) -> Self {
        let mut marks = Self::default();
        for (at, octet) in line.iter().enumerate() {
            match octet {
                b':' => marks.colon = marks.colon.or(Some(at)),
                b'\\' => marks.backslash = true,
                b'\r' => marks.carriage_return = true,
                _ => {}
            }
        }
        marks
    }
}

enum Between {
    Frame,
    Heartbeat,
    Incomplete,
}

/// Reads what may stand between frames: ends of lines, and NULs, which some clients send as well.
fn between(buffer: &mut BytesMut) -> Result<Between, DecodeProblem> {
    loop {
        match (buffer.first(), buffer.get(1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(Between::Incomplete),
            (Some(0), _) => buffer.advance(1),
            (Some(b'\n'), _) => {
                buffer.advance(1);
                return Ok(Between::Heartbeat);
            }
            (Some(b'\r'), Some(b'\n')) => {
                buffer.advance(2);
                return Ok(Between::Heartbeat);
            }
            (Some(b'\r'), Some(_)) => {
                return Err(DecodeProblem::StrayCarriageReturn { place: Place::BetweenFrames });
            }
            (Some(_), _) => return Ok(Between::Frame),
        }
    }
}

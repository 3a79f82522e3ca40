//! A session as an application sees it that works with messages: they come in order, go out in order, and then it ends.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

use super::{CloseFrame, END, Framing, HEARTBEAT, MessageFrame, OPEN, Pipe, SockJsReader, pipe, websocket::ReadError};
use crate::transport::websocket::{
    CloseCode, FrameReader, MessageKind, Part, write_close, write_message_as, write_pong,
};

/// Octets read in one go.
const INPUT: usize = 16 << 10;
/// How long the end of a session may take.
const CLOSING_TIME: Duration = Duration::from_secs(5);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text, the only kind there is but on a raw WebSocket.
    Text(String),
    /// Octets.
    Binary(Vec<u8>),
}

/// The messages of one session.
#[derive(Debug)]
pub struct Messages<S> {
    stream: S,
    reader: Reader,
    received: VecDeque<Message>,
    /// The message that is arriving.
    arriving: Vec<u8>,
    /// Octets of one message.
    most: usize,
    output: Vec<u8>,
    heartbeat: Duration,
    beat_at: Instant,
    over: bool,
}

#[derive(Debug)]
enum Reader {
    Raw(FrameReader),
    SockJs(Box<SockJsReader>),
    Pipe,
}

/// How the other side, or the wire, ended it.
struct Ended(Option<(u16, &'static str)>);

impl Messages<Pipe> {
    /// The messages of a session whose client comes by HTTP requests.
    pub fn of_pipe(pipe: Pipe, most: usize) -> Self {
        Self::new(pipe, Reader::Pipe, Duration::ZERO, most)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    /// The messages of an upgraded connection, of at most `most` octets, with what was read of it before; on one in the
    /// frames of SockJS a `h` is sent after `heartbeat` without anything else.
    pub fn of_websocket(stream: S, read_ahead: &[u8], framing: Framing, heartbeat: Duration, most: usize) -> Self {
        match framing {
            Framing::Raw => {
                let mut messages = Self::new(stream, Reader::Raw(FrameReader::default()), Duration::ZERO, most);
                messages.take_ahead(read_ahead);
                messages
            }
            Framing::SockJs => {
                let mut messages = Self::new(stream, Reader::SockJs(Box::default()), heartbeat, most);
                write_text(OPEN, &mut messages.output);
                messages.take_ahead(read_ahead);
                messages
            }
        }
    }

    fn new(stream: S, reader: Reader, heartbeat: Duration, most: usize) -> Self {
        Self {
            stream,
            reader,
            received: VecDeque::new(),
            arriving: Vec::new(),
            most,
            output: Vec::new(),
            heartbeat,
            beat_at: Instant::now() + heartbeat,
            over: false,
        }
    }

    fn take_ahead(&mut self, read_ahead: &[u8]) {
        if let Err(ended) = self.take(&mut read_ahead.to_vec()) {
            self.end(&ended);
        }
    }

    /// The next message; none when the session is over.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn receive(&mut self) -> io::Result<Option<Message>> {
        let mut buffer = vec![0; INPUT];
        loop {
            self.flush().await?;
            if let Some(message) = self.received.pop_front() {
                return Ok(Some(message));
            }
            if self.over {
                self.shut_down().await;
                return Ok(None);
            }
            let octets = tokio::select! {
                octets = self.stream.read(&mut buffer) => octets?,
                () = sleep_until(self.beat_at), if !self.heartbeat.is_zero() => {
                    self.beat_at = Instant::now() + self.heartbeat;
                    write_text(HEARTBEAT, &mut self.output);
                    continue;
                }
            };
            if octets == 0 {
                self.over = true;
            } else if let Err(ended) = self.take(&mut buffer[..octets]) {
                self.end(&ended);
            }
        }
    }

    /// Sends a message; binary ones where text is needed are refused.
    ///
    /// # Errors
    /// When the connection breaks, or it cannot carry the message.
    pub async fn send(&mut self, message: &Message) -> io::Result<()> {
        let (kind, octets) = match message {
            Message::Text(text) => (MessageKind::Text, text.as_bytes()),
            Message::Binary(octets) => (MessageKind::Binary, octets.as_slice()),
        };
        match (&self.reader, message) {
            (Reader::Raw(_), _) => write_message_as(kind, [octets, &[]], &mut self.output),
            (Reader::SockJs(_), Message::Text(text)) => {
                let mut frame = MessageFrame::new();
                frame.push(text);
                write_text(&frame.finish(), &mut self.output);
            }
            (Reader::Pipe, Message::Text(_)) => pipe::put_message([octets, &[]], &mut self.output),
            (_, Message::Binary(_)) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        self.beat_at = Instant::now() + self.heartbeat;
        self.flush().await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the connection breaks before the client can know.
    pub async fn close(mut self, close: CloseFrame) -> io::Result<()> {
        match &self.reader {
            Reader::Pipe => pipe::put_close(&close, &mut self.output),
            Reader::Raw(_) => write_close(close.code, &close.reason, &mut self.output),
            Reader::SockJs(_) => {
                write_text(&close.encode(), &mut self.output);
                write_close(close.code, &close.reason, &mut self.output);
            }
        }
        self.flush().await?;
        self.shut_down().await;
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// Sends FIN and reads until the client's, so that the client receives all that was sent.
    async fn shut_down(&mut self) {
        let farewell = async {
            self.stream.shutdown().await?;
            let mut dropped = [0; 512];
            while self.stream.read(&mut dropped).await? > 0 {}
            io::Result::Ok(())
        };
        // A client that takes longer, or has gone, needs no farewell.
        let _ = timeout(CLOSING_TIME, farewell).await;
    }

    fn end(&mut self, ended: &Ended) {
        self.over = true;
        if let Some((code, reason)) = ended.0 {
            write_close(code, reason, &mut self.output);
        }
    }

    /// Takes octets as they came.
    fn take(&mut self, octets: &mut [u8]) -> Result<(), Ended> {
        let (arriving, received, output, most) = (&mut self.arriving, &mut self.received, &mut self.output, self.most);
        let (mut closed, mut too_big, mut invalid) = (None, false, false);
        let mut hand_on = |part: Part<'_>| match part {
            // The session is over, and what is left of a message that cannot be taken is none.
            _ if too_big || invalid => {}
            Part::Payload(payload) if arriving.len() + payload.len() > most => too_big = true,
            Part::Payload(payload) => arriving.extend_from_slice(payload),
            Part::End(MessageKind::Binary) => received.push_back(Message::Binary(std::mem::take(arriving))),
            Part::End(MessageKind::Text) => match String::from_utf8(std::mem::take(arriving)) {
                Ok(text) => received.push_back(Message::Text(text)),
                Err(_) => invalid = true,
            },
            Part::Ping(payload) => write_pong(payload, output),
            Part::Close(code) => closed = Some(code.unwrap_or(CloseCode::Normal.number())),
        };
        let read = match &mut self.reader {
            Reader::Raw(frames) => frames.read(octets, hand_on).map_err(ReadError::WebSocket),
            Reader::SockJs(reader) => reader.read(octets, hand_on),
            Reader::Pipe => {
                let mut rest = &*octets;
                while let Some(end) = memchr::memchr(END, rest) {
                    hand_on(Part::Payload(&rest[..end]));
                    hand_on(Part::End(MessageKind::Text));
                    rest = &rest[end + 1..];
                }
                hand_on(Part::Payload(rest));
                return if too_big || invalid { Err(Ended(None)) } else { Ok(()) };
            }
        };
        match read {
            Err(error @ ReadError::Json(_)) => Err(Ended(Some((error.code().number(), "Broken framing.")))),
            Err(error) => Err(Ended(Some((error.code().number(), "")))),
            Ok(()) if too_big => Err(Ended(Some((CloseCode::TooBig.number(), "")))),
            Ok(()) if invalid => Err(Ended(Some((CloseCode::InvalidText.number(), "")))),
            Ok(()) => closed.map_or(Ok(()), |code| Err(Ended(Some((code, ""))))),
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_message_as(MessageKind::Text, [text.as_bytes(), &[]], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_handed_on_of_a_message_that_is_too_large_however_it_comes() {
        let frame =
            [&[0x82, 0xFE, 0x05, 0xDC, 0, 0, 0, 0][..], &[b'x'; 1500], &[0x82, 0x81, 0, 0, 0, 0, b'y']].concat();
        for ahead in [0, 8, 600, frame.len()] {
            let (mut client, server) = tokio::io::duplex(1 << 16);
            client.write_all(&frame[ahead..]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut messages = Messages::of_websocket(server, &frame[..ahead], Framing::Raw, Duration::ZERO, 1000);
            assert_eq!(messages.receive().await.unwrap(), None, "{ahead}");
        }
    }
}

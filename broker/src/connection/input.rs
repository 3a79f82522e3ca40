//! What comes from the client: octets, frames, the end.

use std::task::{Context, Poll};

use bytes::BytesMut;

use super::{Connection, Phase, Stream, Turn, output::MOST_WASTE, scratch};
use crate::{
    session::{Close, CloseReason},
    stomp::{Command, DecodeError, DecodeProblem, Item},
    transport::{Received, Wire, WireError},
};

impl<S: Stream, W: Wire> Connection<S, W> {
    /// Handles what is there and reads more while there is room for what may come of it.
    pub(super) fn take_input(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let mut progress = self.decode(turn);
        while !self.undecoded && !self.eof && self.may_take(turn) {
            let mut deferred = self.wire.take_deferred();
            if !deferred.is_empty() {
                self.unframe(&mut deferred, turn);
                self.decode(turn);
                progress = true;
                continue;
            }
            match self.read(context, |connection, octets| connection.receive(octets, turn)) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.eof = true,
                Poll::Ready(Ok(_)) => {
                    self.decode(turn);
                }
                Poll::Ready(Err(_)) => self.abort(CloseReason::ConnectionLost),
            }
            progress = true;
        }
        if self.undecoded && self.phase == Phase::Open && self.broker().throttle.wait(turn.now).is_some() {
            self.broker().metrics.throttled.inc();
        }
        progress
    }

    /// Takes octets as they came from the network, through the transport's framing.
    pub(super) fn receive(&mut self, octets: &mut [u8], turn: &mut Turn) {
        if octets.is_empty() {
            return;
        }
        turn.octets_received += octets.len() as u64;
        self.session.on_received(turn.now);
        self.unframe(octets, turn);
    }

    /// Takes octets through the transport's framing.
    fn unframe(&mut self, octets: &mut [u8], turn: &mut Turn) {
        // What a large frame has brought so far stays where it is.
        if !self.input.try_reclaim(octets.len()) && self.input.len() <= MOST_WASTE {
            let begun = std::mem::replace(&mut self.input, scratch::take_input());
            self.input.extend_from_slice(&begun);
        }
        let received = self.wire.receive(octets, &mut self.input, self.output.buffer());
        self.undecoded = !self.input.is_empty();
        match received {
            Ok(Received::Open) => {}
            Ok(Received::Closed) => self.eof = true,
            Ok(Received::TooLarge) => {
                let limit = self.session.decode_limits().most_octets();
                let problem = DecodeProblem::InflatedTooLarge { limit };
                self.on_decode_error(&DecodeError { problem, receipt: None }, turn);
            }
            Err(WireError(error)) => {
                self.begin_close(&Close::new(CloseReason::ProtocolError, Some(error)), turn.now);
            }
        }
    }

    /// Ends a turn: keeps the beginning of a frame in no more memory than it needs.
    pub(super) fn settle_input(&mut self) {
        if self.input.len() <= MOST_WASTE && self.input.capacity() > MOST_WASTE {
            let begun = BytesMut::from(&*self.input);
            scratch::give_input(std::mem::replace(&mut self.input, begun));
        }
    }

    /// Hands frames to the session until no whole one is left, or none may be taken for now.
    fn decode(&mut self, turn: &mut Turn) -> bool {
        let mut progress = false;
        while self.undecoded && self.may_take(turn) {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(Item::Frame(frame))) => {
                    turn.received.add(frame.command);
                    if frame.command == Command::Send {
                        self.broker().throttle.took(1, turn.now);
                        let pause = self.broker().memory.pause(self.broker().connections.open());
                        self.paused_until = pause.map(|pause| turn.now + pause);
                    }
                    self.on_frame(frame, turn);
                }
                Ok(Some(Item::Heartbeat)) => {}
                Ok(None) => {
                    self.undecoded = false;
                    if self.input.is_empty() {
                        scratch::give_input(std::mem::take(&mut self.input));
                    }
                }
                Err(error) => self.on_decode_error(&error, turn),
            }
            progress = true;
        }
        if progress {
            self.carry_out(turn);
        }
        if progress && let Some(engine) = &mut self.engine {
            engine.flush();
        }
        progress
    }

    /// Whether a frame may be taken from the client now.
    pub(super) fn may_take(&self, turn: &Turn) -> bool {
        self.phase == Phase::Open
            && self.session.accepts_frames()
            && self.paused_until.is_none_or(|until| turn.now >= until)
            && !self.output.is_full()
            && self.engine.as_ref().is_none_or(|engine| engine.is_ready())
            && self.applications.as_ref().is_none_or(|applications| applications.is_ready())
            && self.broker().throttle.wait(turn.now).is_none()
    }

    /// Reads and drops what comes after the end, until the client's FIN.
    pub(super) fn drop_input(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.eof && self.phase != Phase::Closed {
            match self.read(context, |_, _| ()) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.eof = true,
                Poll::Ready(Ok(octets)) => turn.octets_received += octets as u64,
                Poll::Ready(Err(_)) => self.abort(CloseReason::ConnectionLost),
            }
            progress = true;
        }
        if self.eof && matches!(self.phase, Phase::Lingering { .. }) {
            self.phase = Phase::Closed;
            progress = true;
        }
        progress
    }
}

//! What is on its way to the client.

use super::scratch;
use crate::{metrics::FrameTally, session::FrameSink, stomp::Command, transport::Wire};

/// Beyond this many octets nothing more is encoded for the client, nor read from it, until some have left.
pub(super) const OUTPUT_BOUND: usize = 64 << 10;
/// Memory that a waiting buffer may waste before it is cut to size.
pub(super) const MOST_WASTE: usize = 16 << 10;

/// Encoded octets, of which the first have left. Without memory of its own while there are none.
#[derive(Debug, Default)]
pub(super) struct Output {
    buffer: Vec<u8>,
    written: usize,
}

impl Output {
    /// What has not left yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.buffer.len() == self.written
    }

    /// Whether nothing more should be added for now.
    pub(super) const fn is_full(&self) -> bool {
        self.buffer.len() - self.written >= OUTPUT_BOUND
    }

    /// Octets of memory that it takes between turns.
    pub(super) const fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Where to append; the thread's shared buffer if nothing waits.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = scratch::take_output();
        }
        &mut self.buffer
    }

    /// Says that octets have left.
    pub(super) fn advance(&mut self, octets: usize) {
        self.written += octets;
        if self.is_empty() {
            self.buffer.clear();
            self.written = 0;
        } else if self.written > OUTPUT_BOUND {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
    }

    /// Ends a turn: gives the shared buffer back, or keeps what waits in no more memory than it needs.
    pub(super) fn settle(&mut self) {
        if self.is_empty() {
            self.written = 0;
            if self.buffer.capacity() > 0 {
                scratch::give_output(std::mem::take(&mut self.buffer));
            }
        } else if self.buffer.capacity() - self.pending().len() > MOST_WASTE {
            let waiting = self.pending().to_vec();
            scratch::give_output(std::mem::replace(&mut self.buffer, waiting));
            self.written = 0;
        }
    }
}

/// Where the session writes: through the transport's framing into the output.
pub(super) struct WireSink<'a, W> {
    pub(super) wire: &'a mut W,
    pub(super) output: &'a mut Output,
    pub(super) sent: &'a mut FrameTally,
}

impl<W: Wire> FrameSink for WireSink<'_, W> {
    fn frame(&mut self, head: &[u8], tail: &[u8]) {
        self.wire.frame(head, tail, self.output.buffer());
        let command = match head.first() {
            Some(b'M') => Command::Message,
            Some(b'R') => Command::Receipt,
            Some(b'C') => Command::Connected,
            _ => Command::Error,
        };
        self.sent.add(command);
    }

    fn heartbeat(&mut self) {
        self.wire.heartbeat(self.output.buffer());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_survives_the_turn_and_idle_output_holds_no_memory() {
        let mut output = Output::default();
        output.buffer().resize(100_000, b'x');
        output.advance(99_990);
        output.settle();
        assert_eq!(output.pending(), [b'x'; 10]);
        assert!(output.buffer.capacity() <= MOST_WASTE + 10);
        output.advance(10);
        output.settle();
        assert!(output.is_empty());
        assert_eq!(output.buffer.capacity(), 0);
    }

    #[test]
    fn octets_leave_in_order() {
        let mut output = Output::default();
        let mut left = Vec::new();
        for round in 0..200_u8 {
            output.buffer().extend_from_slice(&[round; 1000]);
            let pending = &output.pending()[..900];
            left.extend_from_slice(pending);
            output.advance(900);
            output.settle();
        }
        left.extend_from_slice(output.pending());
        let sent: Vec<_> = (0..200_u8).flat_map(|round| [round; 1000]).collect();
        assert_eq!(left, sent);
    }
}

//! Frames for the client, built in one buffer of the thread that is used again and again.

use std::cell::Cell;

use smol_str::SmolStr;

use super::{FrameSink, error::SUPPORTED_VERSIONS, error::SessionError};
use crate::stomp::{Command, Version, encode};

/// More memory than this is given back after a frame.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Where the frames of a session go.
pub(super) struct Output<'a> {
    pub(super) sink: &'a mut dyn FrameSink,
}

/// Which frame or subscription of the client an ERROR is about.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) receipt: Option<SmolStr>,
    pub(super) subscription: Option<Box<str>>,
}

impl Output<'_> {
    /// Writes a frame without a body.
    pub(super) fn frame(&mut self, version: Option<Version>, command: Command, headers: &[(&str, &str)]) {
        self.write(|out| encode(out, version, command, headers.iter().copied(), false, b""));
    }

    /// Writes the RECEIPT of a frame.
    pub(super) fn receipt(&mut self, version: Version, id: &str) {
        self.frame(Some(version), Command::Receipt, &[("receipt-id", id)]);
    }

    /// Writes the ERROR that ends the session; returns its text.
    pub(super) fn error(&mut self, version: Option<Version>, error: &SessionError, about: &About) -> String {
        let text = error.to_string();
        let versions = matches!(error, SessionError::NoCommonVersion).then_some(("version", SUPPORTED_VERSIONS));
        let headers = [
            Some(("message", error.message())),
            Some(("content-type", "text/plain")),
            versions,
            about.receipt.as_deref().map(|id| ("receipt-id", id)),
            about.subscription.as_deref().map(|id| ("subscription", id)),
        ];
        self.write(|out| {
            encode(out, version, Command::Error, headers.into_iter().flatten(), true, text.as_bytes());
        });
        text
    }

    /// Writes a frame whose second part is shared.
    pub(super) fn write_with_tail(&mut self, head: impl FnOnce(&mut Vec<u8>), tail: &[u8]) {
        let mut scratch = SCRATCH.take();
        head(&mut scratch);
        self.sink.frame(&scratch, tail);
        if scratch.capacity() <= KEPT {
            scratch.clear();
            SCRATCH.set(scratch);
        }
    }

    /// Writes a frame that shares nothing.
    pub(super) fn write(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        self.write_with_tail(frame, b"");
    }
}

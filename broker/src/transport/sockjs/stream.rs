//! A response that goes on: prelude, frames, and the end when it has grown enough for the browser that keeps all of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    format::Format,
    frame::HEARTBEAT,
    session::{Attachment, Outgoing},
};

/// Frames of one session, as they come, for one response.
#[derive(Debug)]
pub struct FrameStream {
    format: Format,
    prelude: Option<Bytes>,
    source: Source,
    /// Octets of frames that may still come; the frame that uses them up is the last.
    room: usize,
}

#[derive(Debug)]
enum Source {
    Session(Receiver),
    /// A single frame, for one that may not receive.
    Single(String),
    Ended,
}

/// Receives frames, and a heart-beat when none comes.
#[derive(Debug)]
pub(super) struct Receiver {
    attachment: Attachment,
    heartbeat: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Octets that a batch of messages may have.
    most: usize,
}

impl Receiver {
    pub(super) const fn new(attachment: Attachment, heartbeat: Duration, most: usize) -> Self {
        Self { attachment, heartbeat, timer: None, most }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Outgoing> {
        if let Poll::Ready(outgoing) = self.attachment.poll_next(context, self.most) {
            if let Some(timer) = &mut self.timer {
                timer.as_mut().reset(Instant::now() + self.heartbeat);
            }
            return Poll::Ready(outgoing);
        }
        let heartbeat = self.heartbeat;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(heartbeat)));
        while timer.as_mut().poll(context).is_ready() {
            timer.as_mut().reset(Instant::now() + heartbeat);
            if self.attachment.wants_heartbeats() {
                return Poll::Ready(Outgoing::Frame(HEARTBEAT.to_owned()));
            }
        }
        Poll::Pending
    }

    /// The next frame alone; another receiver may come for the one after it.
    pub(super) async fn next(mut self) -> String {
        let outgoing = std::future::poll_fn(|context| self.poll_next(context)).await;
        self.attachment.finish();
        match outgoing {
            Outgoing::Frame(frame) | Outgoing::Last(frame) => frame,
            // A response of one frame must have one.
            Outgoing::Released => HEARTBEAT.to_owned(),
        }
    }
}

impl FrameStream {
    /// The frames of a session, until `limit` octets of them.
    pub(super) fn new(format: Format, receiver: Receiver, limit: usize) -> Self {
        Self { prelude: format.prelude(), format, source: Source::Session(receiver), room: limit }
    }

    /// One frame and the end.
    pub(super) fn single(format: Format, frame: String) -> Self {
        Self { prelude: format.prelude(), format, source: Source::Single(frame), room: 0 }
    }

    /// The next piece; none at the end.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(prelude) = self.prelude.take() {
            return Poll::Ready(Some(prelude));
        }
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Ended => Poll::Ready(None),
            Source::Single(frame) => Poll::Ready(Some(self.format.frame(&frame))),
            Source::Session(mut receiver) => {
                let Poll::Ready(outgoing) = receiver.poll_next(context) else {
                    self.source = Source::Session(receiver);
                    return Poll::Pending;
                };
                let is_last = matches!(outgoing, Outgoing::Last(_));
                let (Outgoing::Frame(frame) | Outgoing::Last(frame)) = outgoing else {
                    receiver.attachment.finish();
                    return Poll::Ready(None);
                };
                let frame = self.format.frame(&frame);
                self.room = self.room.saturating_sub(frame.len());
                if is_last || self.room == 0 {
                    receiver.attachment.finish();
                } else {
                    self.source = Source::Session(receiver);
                }
                Poll::Ready(Some(frame))
            }
        }
    }
}

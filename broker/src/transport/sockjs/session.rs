//! One session whose client comes by HTTP requests: what waits in either direction, and how the session ends.
//!
//! ```text
//! Open ── the application closes ─────────────────────────────────────► Closed ── the delay is over ──► forgotten
//!   ├──── a receiver broke off: 1002 ─────────────────────────────────────►│
//!   └──── no receiver for the delay ──────────────────────────────────────────────────────────────────► forgotten
//! ```
//!
//! A receiver is a request that waits for frames; there is at most one. A closed session answers every receiver with what
//! is left and its close frame. Both directions are bounded: a sender waits while the application does not read, the
//! application waits while no receiver takes what it wrote.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::ReadBuf,
    sync::{Notify, OwnedSemaphorePermit},
};

use super::{
    frame::{CloseFrame, MessageFrame, OPEN},
    pipe::{self, END, Order},
};
use crate::memory::Share;

/// Beyond this many octets of whole messages the application waits.
const MOST_OUTBOUND: usize = 64 << 10;
/// Beyond this many octets that the application has not read yet, requests that send wait.
const MOST_INBOUND: usize = 64 << 10;

/// What senders hand in: messages in the pipe's format, and the right to hold their memory.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) octets: Bytes,
    /// Kept until the application has read all of it.
    pub(super) _budget: Option<OwnedSemaphorePermit>,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// The web page that began it, where it said so.
    pub(super) origin: Option<Box<str>>,
    state: Mutex<State>,
    /// Told when a sender may go on.
    room: Notify,
    /// Told when the receiver has gone.
    vacant: Notify,
}

#[derive(Debug)]
struct State {
    closed: Option<Closed>,
    /// Whether `o` has been sent.
    announced: bool,
    /// Whether the application has heart-beats of its own.
    quiet: bool,
    inbound: VecDeque<Upload>,
    inbound_size: usize,
    /// The message that the application is writing.
    arriving: Vec<u8>,
    /// Whole messages, each with its [`END`].
    outbound: BytesMut,
    reader: Option<Waker>,
    writer: Option<Waker>,
    receiver: Receiver,
    /// Whether the receiver is to end its response.
    released: bool,
    /// Of the memory of the process, what the buffers above hold.
    share: Share,
}

#[derive(Debug)]
struct Closed {
    frame: CloseFrame,
    at: Instant,
    /// Whether the client is to blame, so that the application's reads fail.
    broken: bool,
}

#[derive(Debug)]
enum Receiver {
    None { since: Instant },
    Waiting(Option<Waker>),
}

/// What a receiver gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Frame(String),
    /// The last one; the session is closed.
    Last(String),
    /// None: the response is to end, and another one to come.
    Released,
}

/// What a session that nobody attends to has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    Over,
}

impl Session {
    pub(super) fn new(origin: Option<Box<str>>, now: Instant, share: Share) -> Self {
        Self {
            origin,
            state: Mutex::new(State {
                closed: None,
                announced: false,
                quiet: false,
                inbound: VecDeque::new(),
                inbound_size: 0,
                arriving: Vec::new(),
                outbound: BytesMut::new(),
                reader: None,
                writer: None,
                receiver: Receiver::None { since: now },
                released: false,
                share,
            }),
            room: Notify::new(),
            vacant: Notify::new(),
        }
    }

    /// Hands in messages; waits while the application does not read. What comes for a closed session is dropped.
    pub(super) async fn send(&self, upload: Upload) {
        if upload.octets.is_empty() {
            return;
        }
        let mut upload = Some(upload);
        loop {
            let room = self.room.notified();
            {
                let mut state = self.state.lock();
                if state.closed.is_some() || state.inbound_size < MOST_INBOUND {
                    if let (Some(upload), None) = (upload.take(), &state.closed) {
                        state.inbound_size += upload.octets.len();
                        state.inbound.push_back(upload);
                        state.count();
                        wake(&mut state.reader);
                    }
                    drop(state);
                    // Another sender may have been waiting for the same room.
                    self.room.notify_one();
                    return;
                }
            }
            room.await;
        }
    }

    /// Becomes the receiver; none while there is another one that still waits.
    pub(super) fn attach(self: &Arc<Self>) -> Option<Attachment> {
        let mut state = self.state.lock();
        if let (Receiver::Waiting(_), None) = (&state.receiver, &state.closed) {
            return None;
        }
        let is_sole = matches!(state.receiver, Receiver::None { .. });
        if is_sole {
            state.released = false;
            state.receiver = Receiver::Waiting(None);
        }
        Some(Attachment { session: Arc::clone(self), is_sole, done: false })
    }

    /// Has the receiver, if there is one, end its response in order.
    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        if let Receiver::Waiting(_) = state.receiver {
            state.released = true;
            state.wake_receiver();
        }
    }

    /// Waits until there is no receiver.
    pub(super) async fn vacancy(&self) {
        loop {
            let vacant = self.vacant.notified();
            if let Receiver::None { .. } = self.state.lock().receiver {
                return;
            }
            vacant.await;
        }
    }

    /// What has become of a session after `delay` without a receiver, or closed.
    pub(super) fn fate(&self, delay: Duration, now: Instant) -> Fate {
        let mut state = self.state.lock();
        let since = match (&state.closed, &state.receiver) {
            (Some(closed), _) => closed.at,
            (None, Receiver::None { since }) => *since,
            (None, Receiver::Waiting(_)) => return Fate::Alive,
        };
        if now.saturating_duration_since(since) < delay {
            return Fate::Alive;
        }
        state.close(CloseFrame::new(1002, "Connection interrupted"), true);
        drop(state);
        self.room.notify_one();
        Fate::Over
    }

    /// Ends it, unless it has ended.
    pub(super) fn close(&self, frame: CloseFrame) {
        self.state.lock().close(frame, false);
        self.room.notify_one();
    }

    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        if let Some(closed) = &state.closed {
            return Poll::Ready(if closed.broken { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) });
        }
        if state.inbound.is_empty() {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        while buffer.remaining() > 0
            && let Some(first) = state.inbound.front_mut()
        {
            let octets = first.octets.len().min(buffer.remaining());
            buffer.put_slice(&first.octets[..octets]);
            first.octets.advance(octets);
            if first.octets.is_empty() {
                state.inbound.pop_front();
            }
            state.inbound_size -= octets;
        }
        state.count();
        let has_room = state.inbound_size < MOST_INBOUND;
        drop(state);
        if has_room {
            self.room.notify_one();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.outbound.len() >= MOST_OUTBOUND {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut rest = octets;
        while let Some(end) = memchr::memchr(END, rest) {
            let (order, after) = rest.split_at(end);
            rest = &after[1..];
            state.take_order(order);
        }
        state.arriving.extend_from_slice(rest);
        state.count();
        state.wake_receiver();
        Poll::Ready(Ok(octets.len()))
    }
}

impl State {
    /// Takes the rest of what the application was writing.
    fn take_order(&mut self, rest: &[u8]) {
        let mut arriving = std::mem::take(&mut self.arriving);
        let order = if arriving.is_empty() {
            rest
        } else {
            arriving.extend_from_slice(rest);
            &arriving
        };
        match pipe::parse(order) {
            Order::Message(message) => {
                self.outbound.extend_from_slice(message);
                self.outbound.extend_from_slice(&[END]);
            }
            Order::Quiet => self.quiet = true,
            Order::Close(frame) => self.close(frame, false),
        }
    }

    fn close(&mut self, frame: CloseFrame, broken: bool) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(Closed { frame, at: Instant::now(), broken });
        self.inbound = VecDeque::new();
        self.inbound_size = 0;
        if broken {
            self.outbound = BytesMut::new();
        }
        self.count();
        wake(&mut self.reader);
        wake(&mut self.writer);
        self.wake_receiver();
    }

    /// Says how much the buffers hold now.
    fn count(&mut self) {
        self.share.resize(self.inbound_size + self.arriving.capacity() + self.outbound.capacity());
    }

    fn wake_receiver(&mut self) {
        if let Receiver::Waiting(waker) = &mut self.receiver {
            wake(waker);
        }
    }

    /// The next frame, with messages up to `most` octets and at least one.
    fn next(&mut self, most: usize) -> Option<Outgoing> {
        if !self.announced {
            self.announced = true;
            return Some(Outgoing::Frame(OPEN.to_owned()));
        }
        if !self.outbound.is_empty() {
            let mut frame = MessageFrame::new();
            while frame.len() < most
                && let Some(end) = memchr::memchr(END, &self.outbound)
            {
                frame.push(&String::from_utf8_lossy(&self.outbound[..end]));
                self.outbound.advance(end + 1);
            }
            if self.outbound.is_empty() {
                self.outbound = BytesMut::new();
            }
            self.count();
            wake(&mut self.writer);
            return Some(Outgoing::Frame(frame.finish()));
        }
        self.closed.as_ref().map(|closed| Outgoing::Last(closed.frame.encode()))
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A request's right to receive; that it was broken off is told by dropping it without [`Attachment::finish`].
#[derive(Debug)]
pub(super) struct Attachment {
    session: Arc<Session>,
    /// False for one that joined another to learn that the session is closed.
    is_sole: bool,
    done: bool,
}

impl Attachment {
    /// The next frame, with messages up to `most` octets and at least one.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>, most: usize) -> Poll<Outgoing> {
        let mut state = self.session.state.lock();
        if let Some(frame) = state.next(most) {
            return Poll::Ready(frame);
        }
        if std::mem::take(&mut state.released) {
            return Poll::Ready(Outgoing::Released);
        }
        state.receiver = Receiver::Waiting(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Whether `h` is to be sent.
    pub(super) fn wants_heartbeats(&self) -> bool {
        !self.session.state.lock().quiet
    }

    /// Ends the reception in order; another receiver may come.
    pub(super) fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.session.state.lock();
        if !self.done {
            state.close(CloseFrame::new(1002, "Connection interrupted"), true);
        }
        if self.is_sole {
            state.receiver = Receiver::None { since: Instant::now() };
            drop(state);
            self.session.vacant.notify_waiters();
        }
        self.session.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn what_waits_in_either_direction_counts_as_memory_until_it_has_left() {
        let memory = Memory::new();
        let before = memory.buffers();
        let held = || memory.buffers() - before;
        let session = Arc::new(Session::new(None, Instant::now(), memory.share()));
        let mut context = Context::from_waker(Waker::noop());

        assert!(session.poll_write(&mut context, &[&[b'x'; 5000][..], &[END]].concat()).is_ready());
        let outbound = held();
        assert!(outbound >= 5000, "{outbound}");
        session.send(Upload { octets: Bytes::from(vec![b'y'; 3000]), _budget: None }).await;
        assert_eq!(held(), outbound + 3000);

        let mut buffer = [0; 4000];
        assert!(session.poll_read(&mut context, &mut ReadBuf::new(&mut buffer)).is_ready());
        assert_eq!(held(), outbound);
        let mut attachment = session.attach().unwrap();
        for _ in ["o", "a"] {
            assert!(attachment.poll_next(&mut context, 10_000).is_ready());
        }
        assert_eq!(held(), 0);

        assert!(session.poll_write(&mut context, &[b'z'; 2000]).is_ready());
        assert!(held() >= 2000);
        attachment.finish();
        drop(session);
        assert_eq!(held(), 0);
    }

    #[tokio::test]
    async fn a_released_receiver_ends_after_what_waits_for_it_and_the_session_goes_on() {
        let session = Arc::new(Session::new(None, Instant::now(), Memory::new().share()));
        let mut context = Context::from_waker(Waker::noop());
        session.release();
        let mut attachment = session.attach().unwrap();
        assert_eq!(attachment.poll_next(&mut context, 10), Poll::Ready(Outgoing::Frame("o".to_owned())));
        assert!(attachment.poll_next(&mut context, 10).is_pending(), "nobody received when it was released");
        session.release();
        assert!(session.poll_write(&mut context, b"x\xFF").is_ready());
        assert_eq!(attachment.poll_next(&mut context, 10), Poll::Ready(Outgoing::Frame("a[\"x\"]".to_owned())));
        assert_eq!(attachment.poll_next(&mut context, 10), Poll::Ready(Outgoing::Released));
        attachment.finish();
        assert!(session.attach().unwrap().poll_next(&mut context, 10).is_pending());
    }
}

//! The application's end of a session whose client comes by HTTP requests: a stream of octets, as a socket is one.
//!
//! Messages are UTF-8 and end with an octet that UTF-8 never contains, in both directions:
//!
//! ```text
//! message  = text %xFF
//! close    = %xFE code SP reason %xFF      ; to the client only
//! quiet    = %xFD %xFF                     ; to the client only: no `h` from here on
//! ```
//!
//! Reading ends when the session is over; it fails where the client has broken off. Writing waits while the client does not
//! take what was written before.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{frame::CloseFrame, session::Session};

/// Ends a message.
pub(crate) const END: u8 = 0xFF;
/// Begins a close.
const CLOSE: u8 = 0xFE;
/// Turns `h` off.
const QUIET: u8 = 0xFD;

/// The application's end of a session; dropping it ends the session.
#[derive(Debug)]
pub struct Pipe(Arc<Session>);

/// What the application has written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    Message(&'a [u8]),
    Close(CloseFrame),
    Quiet,
}

/// Appends a message, which must be UTF-8.
pub(crate) fn put_message(parts: [&[u8]; 2], out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(END);
}

/// Appends the end of the session.
pub(crate) fn put_close(close: &CloseFrame, out: &mut Vec<u8>) {
    out.push(CLOSE);
    out.extend_from_slice(format!("{} {}", close.code, close.reason).as_bytes());
    out.push(END);
}

/// Appends the order to send no `h` any more, since the application has heart-beats of its own.
pub(crate) fn put_quiet(out: &mut Vec<u8>) {
    out.extend_from_slice(&[QUIET, END]);
}

/// Reads what one of the functions above has written, the last octet left out.
pub(super) fn parse(order: &[u8]) -> Order<'_> {
    match order.split_first() {
        Some((&QUIET, [])) => Order::Quiet,
        Some((&CLOSE, text)) => {
            let text = String::from_utf8_lossy(text);
            let (code, reason) = text.split_once(' ').unwrap_or((&text, ""));
            Order::Close(CloseFrame::new(code.parse().unwrap_or(1000), reason))
        }
        _ => Order::Message(order),
    }
}

impl Pipe {
    pub(super) const fn new(session: Arc<Session>) -> Self {
        Self(session)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close(CloseFrame::new(1000, "Session ended"));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.close(CloseFrame::new(1011, "Session ended"));
    }
}

//! What a response carries: all at once, frames as they come, or what another server answers.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
};

use super::stream::FrameStream;

/// Why a body ends before its end; the connection breaks, so that the client takes no part for the whole.
pub type BrokenBody = Box<dyn Error + Send + Sync>;

/// The body of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// All at once.
    Whole(Full<Bytes>),
    /// The frames of a session, each in a piece of its own.
    Frames(Box<FrameStream>),
    /// That of the server which has the session.
    Handed(UnsyncBoxBody<Bytes, BrokenBody>),
}

impl ResponseBody {
    /// Nothing.
    pub fn empty() -> Self {
        Self::Whole(Full::default())
    }

    /// A response of words for whoever reads them.
    pub fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Self> {
        text(status, words)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Frames(frames) => frames.poll_piece(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Self::Handed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Frames(_) => false,
            Self::Handed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Frames(_) => SizeHint::default(),
            Self::Handed(body) => body.size_hint(),
        }
    }
}

/// A response with nothing in it, and no word on what that would be.
pub(super) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}

/// A response that is complete.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Words for whoever reads them.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    whole(status, "text/plain; charset=UTF-8", body)
}

/// A response whose body comes bit by bit.
pub(super) fn frames(kind: &'static str, frames: FrameStream) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Frames(Box::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

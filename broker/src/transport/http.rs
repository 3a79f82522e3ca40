//! HTTP/1.1 on one accepted connection, until the connection ends or is upgraded. Knows neither STOMP nor SockJS.

use std::{
    convert::Infallible,
    error::Error,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Octets of the head of a request; cookies and tokens of browsers must fit. As many wait for the client at most.
const MOST_HEAD: usize = 32 << 10;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct HttpTimeouts {
    /// From the end of one request, or the accept, to the end of the next one's head.
    pub head: Duration,
    /// To take any octet of what waits for it.
    pub write: Duration,
}

/// What a request is answered with, and what the connection is to become after it, where that is an upgrade.
#[derive(Debug)]
pub struct Answer<B, U> {
    /// What is sent.
    pub response: Response<B>,
    /// Given back by [`serve`] once the connection is free of HTTP; only with status 101.
    pub upgrade: Option<U>,
}

/// A connection that is no longer HTTP.
#[derive(Debug)]
pub struct Upgraded<S, U> {
    /// The stream that was served.
    pub stream: S,
    /// What was read of it beyond the request.
    pub read_ahead: Bytes,
    /// What the answer asked for.
    pub upgrade: U,
}

/// Answers the requests of a connection; after `stop` only the one that is being answered.
pub async fn serve<S, B, U, F>(
    stream: S,
    timeouts: HttpTimeouts,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Option<Upgraded<S, U>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
    F: Future<Output = Answer<B, U>>,
{
    let upgrade = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let answer = answer(request);
        async {
            let Answer { response, upgrade: asked } = answer.await;
            if let Some(asked) = asked {
                *upgrade.lock() = Some((on_upgrade, asked));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(MOST_HEAD)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, timeouts.write)), service)
        .with_upgrades();
    let mut http = pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = stop.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "the HTTP connection ended");
    }
    let taken: Option<(OnUpgrade, U)> = upgrade.lock().take();
    let (on_upgrade, upgrade) = taken?;
    let upgraded = timeout(timeouts.write, on_upgrade).await.ok()?.ok()?;
    let parts = upgraded.downcast::<TokioIo<WriteDeadline<S>>>().ok()?;
    Some(Upgraded { stream: parts.io.into_inner().inner, read_ahead: parts.read_buf, upgrade })
}

/// Breaks a connection whose client takes nothing of what waits for it; the response would wait for ever.
struct WriteDeadline<S> {
    inner: S,
    timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> WriteDeadline<S> {
    const fn new(inner: S, timeout: Duration) -> Self {
        Self { inner, timeout, stalled: None }
    }

    fn guard<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.inner), context) {
            self.stalled = None;
            return Poll::Ready(written);
        }
        let timeout = self.timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.guard(context, |inner, context| inner.poll_write(context, octets))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(context, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard(context, |inner, context| inner.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

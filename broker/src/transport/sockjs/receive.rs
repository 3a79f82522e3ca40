//! Requests that wait for frames: `xhr`, `xhr_streaming`, `eventsource`, `htmlfile`, `jsonp`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming};
use tokio::time::timeout;

use super::{
    Pipe, ResponseBody, Visitor, body,
    format::Format,
    frame::CloseFrame,
    headers,
    path::SessionTransport,
    service::{Application, Context, Handed, Missing, origin_of},
    session::{Attachment, Session},
    stream::{FrameStream, Receiver},
};

/// How long a receiver that comes while another one waits gives the other to be found gone: its FIN may be on the way.
const PATIENCE: Duration = Duration::from_millis(100);
/// Octets of a body that such a request may have, for no good reason.
const MOST_BODY: usize = 16 << 10;
/// Octets of a callback's name.
const MOST_CALLBACK: usize = 32;

/// Answers one.
pub(super) async fn answer<A: Application>(
    context: &Context<'_, A>,
    id: &str,
    transport: SessionTransport,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let format = match format(transport, request.uri().query()) {
        Ok(format) => format,
        Err(words) => return uncached(body::text(StatusCode::INTERNAL_SERVER_ERROR, words)),
    };
    let (head, body) = request.into_parts();
    // HTTP tells that the client has gone only when nothing is left to be read.
    let rest = Limited::new(body, MOST_BODY).collect();
    if !matches!(timeout(context.options.request_timeout, rest).await, Ok(Ok(_))) {
        return uncached(body::text(StatusCode::PAYLOAD_TOO_LARGE, "A request that receives needs no body.\n"));
    }
    if !context.service.has(id)
        && let Some(server) = context.application.locate(id).await
    {
        let (name, query) = (transport.name(), head.uri.query());
        let handed = Handed { id, transport: name, receives: true, query, headers: &head.headers, body: Bytes::new() };
        if let Some(response) = context.application.hand_on(server, handed).await {
            return uncached(response);
        }
    }
    let session = match find_or_open(context, id, origin_of(&head.headers), &format) {
        Ok(session) => session,
        Err((status, words)) => return uncached(body::text(status, words)),
    };
    let options = context.options;
    let kind = format.content_type();
    uncached(if let Some(attachment) = attach(&session).await {
        let receiver = Receiver::new(attachment, options.heartbeat, options.response_limit);
        if format.is_streaming() {
            body::frames(kind, FrameStream::new(format, receiver, options.response_limit))
        } else {
            body::whole(StatusCode::OK, kind, format.frame(&receiver.next().await))
        }
    } else {
        let frame = CloseFrame::new(2010, "Another connection still open").encode();
        if format.is_streaming() {
            body::frames(kind, FrameStream::single(format, frame))
        } else {
            body::whole(StatusCode::OK, kind, format.frame(&frame))
        }
    })
}

fn uncached(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    headers::forbid_keeping(&mut response);
    response
}

fn find_or_open<A: Application>(
    context: &Context<'_, A>,
    id: &str,
    origin: Option<&str>,
    format: &Format,
) -> Result<Arc<Session>, (StatusCode, String)> {
    loop {
        match context.service.find(id, origin) {
            Ok(session) => return Ok(session),
            Err(Missing::OfAnotherOrigin) => return Err((StatusCode::NOT_FOUND, "No such session.\n".to_owned())),
            Err(Missing::Unknown) => {}
        }
        let Some(session) = context.service.enter(id, origin) else { continue };
        let visitor = Visitor { peer: context.peer, streaming: format.is_streaming() };
        return match context.application.open(Pipe::new(Arc::clone(&session)), visitor) {
            Ok(()) => Ok(session),
            Err(words) => {
                context.service.forget(id);
                Err((StatusCode::SERVICE_UNAVAILABLE, words + "\n"))
            }
        };
    }
}

async fn attach(session: &Arc<Session>) -> Option<Attachment> {
    if let Some(attachment) = session.attach() {
        return Some(attachment);
    }
    // Whether it came about is seen by the attempt that follows.
    let _ = timeout(PATIENCE, session.vacancy()).await;
    session.attach()
}

/// The way to receive, with the callback that two of them name in the query.
fn format(transport: SessionTransport, query: Option<&str>) -> Result<Format, &'static str> {
    let callback = || {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let (_, callback) = pairs.find(|(name, _)| name == "c").ok_or("\"callback\" parameter required\n")?;
        if callback.is_empty() {
            return Err("\"callback\" parameter required\n");
        }
        let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        if callback.len() > MOST_CALLBACK || !callback.bytes().all(is_part) {
            return Err("invalid \"callback\" parameter\n");
        }
        Ok(callback.into_owned())
    };
    Ok(match transport {
        SessionTransport::XhrStreaming => Format::XhrStreaming,
        SessionTransport::EventSource => Format::EventSource,
        SessionTransport::HtmlFile => Format::HtmlFile(callback()?),
        SessionTransport::Jsonp => Format::Jsonp(callback()?),
        SessionTransport::Xhr
        | SessionTransport::XhrSend
        | SessionTransport::JsonpSend
        | SessionTransport::WebSocket => Format::Xhr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_a_name_and_nothing_else() {
        let callback = |query| format(SessionTransport::Jsonp, query);
        assert_eq!(callback(Some("t=1&c=%63allback")), Ok(Format::Jsonp("callback".to_owned())));
        assert_eq!(callback(Some("c=_jp.a-1")), Ok(Format::Jsonp("_jp.a-1".to_owned())));
        for missing in [None, Some(""), Some("x=1"), Some("c="), Some("c")] {
            assert_eq!(callback(missing), Err("\"callback\" parameter required\n"), "{missing:?}");
        }
        for invalid in ["c=%20", "c=*", "c=abc(", "c=abc%28", "c=%C3%A9", "c=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(callback(Some(invalid)), Err("invalid \"callback\" parameter\n"), "{invalid}");
        }
    }
}

//! Requests that send messages: `xhr_send`, `jsonp_send`. All of a request counts, or nothing.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    ResponseBody, body, headers,
    json::{Accept, Piece, StringsReader},
    path::SessionTransport,
    pipe::END,
    service::{Application, Context, Handed, Missing, origin_of},
    session::{Session, Upload},
};

/// Octets of one request that do not count against the budget of all.
const FREE: usize = 16 << 10;

/// How messages are brought and the bringer is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON; 204.
    Xhr,
    /// JSON, or a form's field `d`; some browsers do strange things after a 204.
    Jsonp,
}

impl Form {
    const fn transport(self) -> SessionTransport {
        match self {
            Self::Xhr => SessionTransport::XhrSend,
            Self::Jsonp => SessionTransport::JsonpSend,
        }
    }

    /// Says that the messages were taken.
    fn taken(self) -> Response<ResponseBody> {
        match self {
            Self::Xhr => body::text(StatusCode::NO_CONTENT, ""),
            Self::Jsonp => body::text(StatusCode::OK, "ok"),
        }
    }
}

/// Why messages were not taken; the text goes to the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum SendError {
    #[error("Payload expected.")]
    Empty,
    #[error("Broken JSON encoding.")]
    Broken,
    #[error("The request has more than {0} octets.")]
    TooLarge(usize),
    #[error("The request did not arrive in time.")]
    Late,
}

impl SendError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Empty | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Answers one.
pub(super) async fn answer<A: Application>(
    context: &Context<'_, A>,
    id: &str,
    form: Form,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let Some(place) = find(context, id, origin_of(request.headers())).await else { return no_session() };
    let (head, incoming) = request.into_parts();
    let arriving = collect(incoming, context.options.request_limit, &context.service.budget);
    let arrived = timeout(context.options.request_timeout, arriving).await.unwrap_or(Err(SendError::Late));
    let answered = match (place, arrived) {
        (_, Err(error)) => Err(error),
        (Place::Here(session), Ok((payload, budget))) => {
            let is_form = form == Form::Jsonp
                && headers::text(&head.headers, &CONTENT_TYPE)
                    .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
            match messages(&payload, is_form) {
                Ok(octets) => {
                    session.send(Upload { octets, _budget: budget }).await;
                    Ok(form.taken())
                }
                Err(error) => Err(error),
            }
        }
        (Place::At(server), Ok((payload, _budget))) => {
            let (transport, headers) = (form.transport().name(), &head.headers);
            let handed = Handed { id, transport, receives: false, query: None, headers, body: payload.into() };
            Ok(context.application.hand_on(server, handed).await.unwrap_or_else(no_session))
        }
    };
    let mut response = answered.unwrap_or_else(|error| body::text(error.status(), format!("{error}\n")));
    headers::forbid_keeping(&mut response);
    response
}

/// Where a session is.
enum Place {
    Here(Arc<Session>),
    At(SocketAddr),
}

/// Finds a session that this request may speak for.
async fn find<A: Application>(context: &Context<'_, A>, id: &str, origin: Option<&str>) -> Option<Place> {
    match context.service.find(id, origin) {
        Ok(session) => Some(Place::Here(session)),
        Err(Missing::OfAnotherOrigin) => None,
        Err(Missing::Unknown) => context.application.locate(id).await.map(Place::At),
    }
}

fn no_session() -> Response<ResponseBody> {
    body::text(StatusCode::NOT_FOUND, "No such session.\n")
}

/// Reads a body; memory beyond a little is taken from the budget, which may mean to wait.
async fn collect(
    mut body: Incoming,
    limit: usize,
    budget: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), SendError> {
    let (mut payload, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| SendError::Broken)?.into_data() else { continue };
        if payload.len() + data.len() > limit {
            return Err(SendError::TooLarge(limit));
        }
        payload.extend_from_slice(&data);
        let owed = payload.len().saturating_sub(FREE + held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if owed > 0 {
            let more = u32::try_from(owed).map_err(|_| SendError::TooLarge(limit))?;
            let permit = Arc::clone(budget).acquire_many_owned(more).await.map_err(|_| SendError::Late)?;
            match &mut held {
                Some(held) => held.merge(permit),
                None => held = Some(permit),
            }
        }
    }
    Ok((payload, held))
}

/// The messages of a payload, as the pipe has them.
fn messages(payload: &[u8], is_form: bool) -> Result<Bytes, SendError> {
    let field;
    let json = if is_form {
        field = form_urlencoded::parse(payload).find(|(name, _)| name == "d").map(|(_, value)| value);
        field.as_ref().map_or(&b""[..], |value| value.as_bytes())
    } else {
        payload
    };
    let mut octets = Vec::new();
    let mut reader = StringsReader::new(Accept::Array);
    let hand_on = |piece: Piece<'_>| match piece {
        Piece::Text(text) => octets.extend_from_slice(text),
        Piece::End => octets.push(END),
    };
    match reader.read(json, hand_on).and_then(|()| reader.finish()) {
        Ok(true) => Ok(octets.into()),
        Ok(false) => Err(SendError::Empty),
        Err(_) => Err(SendError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_json_or_in_a_form() {
        assert_eq!(messages(br#"["a","%61"]"#, false).unwrap(), b"a\xFF%61\xFF"[..]);
        assert_eq!(messages(b"d=%5B%22a+b%22%5D", true).unwrap(), b"a b\xFF"[..]);
        assert_eq!(messages(b"[]", false).unwrap(), b""[..]);
        for empty in ["", "d=", "p=p"] {
            assert_eq!(messages(empty.as_bytes(), true), Err(SendError::Empty), "{empty}");
        }
        assert_eq!(messages(b"d=%5B%22x", true), Err(SendError::Broken));
        assert_eq!(messages(b"\"x\"", false), Err(SendError::Broken));
    }
}

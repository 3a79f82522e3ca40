//! What becomes of the end of a request: a reply, or a message about its failure. Pure.

use smol_str::SmolStr;

use super::{
    exchange::{Answer, Failure},
    request::{CORRELATION_ID, Request},
    routes::Users,
};
use crate::{message::Message, stomp::Header};

/// The message that carries an answer to `destination`.
pub(super) fn reply(id: SmolStr, destination: SmolStr, request: &Request, answer: Answer) -> Message {
    let headers = content_type(answer.content_type).chain(correlation_id(request)).collect();
    Message::new(id, destination, headers, answer.body, true)
}

/// The message that tells the sender why nothing has come of a request. What the application says of it is its body.
pub(super) fn failure(id: SmolStr, session: &str, users: &Users, request: &Request, failure: &mut Failure) -> Message {
    let answer = failure.answer.take();
    let status = failure.status.map(|status| (SmolStr::new_static("status"), status.as_str().into()));
    let said: [Header; 3] = [
        ("application".into(), (&*request.target.application).into()),
        ("request-destination".into(), request.message.destination.clone()),
        ("reason".into(), failure.reason.as_str().into()),
    ];
    let receipt = request.receipt.clone().map(|receipt| ("receipt-id".into(), receipt));
    let Answer { content_type: kind, body } = answer
        .unwrap_or_else(|| Answer { content_type: Some("text/plain".into()), body: failure.reason.clone().into() });
    let headers = content_type(kind).chain(said).chain(status).chain(receipt).chain(correlation_id(request)).collect();
    Message::new(id, users.errors(session), headers, body, true)
}

fn content_type(value: Option<SmolStr>) -> impl Iterator<Item = Header> {
    value.map(|value| ("content-type".into(), value)).into_iter()
}

fn correlation_id(request: &Request) -> Option<Header> {
    request.message.header(CORRELATION_ID).map(|value| (CORRELATION_ID.into(), value.into()))
}

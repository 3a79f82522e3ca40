//! Requests of SockJS whose session is in another pod: who has it, and what that pod answers.
//!
//! ```text
//! request ─► the session is here? ─► its pod is known? ─ no ─► ask all peers ─ nobody ─► as if it had come to the only pod
//!                                       │                         │
//!                                       └────── hand on ◄─────────┘
//!                                                  └── that pod has it no longer, or has gone: forget it, as with nobody
//! ```
//!
//! A response is passed on octet by octet as it comes, and no faster than the client takes it; when the client goes away, so
//! does the connection to the peer, and the session learns of it. When this pod lets its clients go, it has the response end
//! in order, so that the client comes again through another pod and its session goes on.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWER_TIME, Peers, client::AskError};
use crate::{
    broker::Broker,
    metrics::HandOn,
    transport::sockjs::{BrokenBody, HANDED_HEADERS, Handed, ResponseBody},
};

/// Sessions that are looked for at once; others wait for their turn.
pub(super) const MOST_SEARCHES: usize = 64;
/// The last segment of the path that has a response end.
pub(super) const RELEASE: &str = "release";
/// How often it is looked at whether a peer is lost whose response is waited for.
const LIFE_TIME: Duration = Duration::from_secs(2);
/// How long a peer may take to end a response, once this pod lets its clients go.
const RELEASE_TIME: Duration = Duration::from_secs(2);

/// The pod that has a session which is not in this one; none where no pod that answers has it.
pub(crate) async fn locate(broker: &Broker, id: &str) -> Option<SocketAddr> {
    let peers = &broker.peers;
    let known = peers.owners.lock().get(id);
    if known.is_some() {
        return known;
    }
    let asked = peers.members.lock().talkative(Instant::now());
    if asked.is_empty() {
        return None;
    }
    let _turn = timeout(ANSWER_TIME, peers.searches.acquire()).await.ok()?.ok()?;
    let path = format!("/sockjs/{id}");
    let ask = async |address| (address, Peers::ask(broker, address, &Method::GET, &path, ANSWER_TIME).await);
    let mut answers: FuturesUnordered<_> = asked.into_iter().map(ask).collect();
    while let Some((address, answer)) = answers.next().await {
        if let Ok((StatusCode::NO_CONTENT, _)) = answer {
            peers.owners.lock().learn(id, address);
            return Some(address);
        }
    }
    None
}

/// What the pod answers that has the session; none where it has it no longer, or has gone itself.
pub(crate) async fn hand_on(
    broker: &Arc<Broker>,
    to: SocketAddr,
    handed: Handed<'_>,
) -> Option<Response<ResponseBody>> {
    let peers = &broker.peers;
    let (id, receives) = (handed.id, handed.receives);
    let mut giving_up: GivingUp = Box::pin(give_up(Arc::clone(broker), to, id.to_owned(), receives));
    let sent = async { peers.client.send(&broker.peer_pass(), to, request(handed)?).await };
    let response = tokio::select! {
        response = sent => response,
        () = &mut giving_up => Err(AskError::Lost),
    };
    match response {
        Ok(response) if response.status() == StatusCode::GONE => {
            peers.metrics.handed_on(HandOn::gone);
            peers.owners.lock().forget(id);
            None
        }
        Ok(response) => {
            peers.metrics.handed_on(HandOn::answered);
            Some(passed_on(response, giving_up))
        }
        Err(error) => {
            peers.owners.lock().forget(id);
            peers.does_not_answer(to, &error);
            if error.is_unsent() {
                peers.metrics.handed_on(HandOn::gone);
                return None;
            }
            peers.metrics.handed_on(HandOn::failed);
            let words = "The pod that has this session does not answer; connect again.\n";
            Some(ResponseBody::text(StatusCode::SERVICE_UNAVAILABLE, words))
        }
    }
}

/// The request as the peer takes it.
fn request(handed: Handed<'_>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let Handed { id, transport, receives: _, query, headers, body } = handed;
    let path = match query {
        Some(query) => format!("/sockjs/{id}/{transport}?{query}"),
        None => format!("/sockjs/{id}/{transport}"),
    };
    let mut request = Request::builder().method(Method::POST).uri(path).body(Full::new(body))?;
    let counting = HANDED_HEADERS.into_iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    request.headers_mut().extend(counting);
    Ok(request)
}

/// The response as the client gets it: what is said to browsers, this pod says itself.
fn passed_on(response: Response<Incoming>, giving_up: GivingUp) -> Response<ResponseBody> {
    let (head, body) = response.into_parts();
    let mut response = Response::new(ResponseBody::Handed(HandedBody { body, giving_up }.boxed_unsync()));
    *response.status_mut() = head.status;
    let headers = [CONTENT_TYPE, CACHE_CONTROL].into_iter();
    let headers = headers.filter_map(|name| Some((name.clone(), head.headers.get(name)?.clone())));
    response.headers_mut().extend(headers);
    response
}

/// Ends when nothing is to be expected of a response: the peer is lost, or this pod has begun to let its clients go and the
/// time for an orderly end is over.
type GivingUp = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn give_up(broker: Arc<Broker>, to: SocketAddr, id: String, receives: bool) {
    let gate = broker.drain.gate();
    while timeout(LIFE_TIME, gate.cancelled()).await.is_err() {
        if broker.peers.members.lock().has_lost(to, Instant::now()) {
            return;
        }
    }
    if receives {
        let path = format!("/sockjs/{id}/{RELEASE}");
        // Where it is not heard, the response is cut when its time is over.
        let _ = Peers::ask(&broker, to, &Method::POST, &path, RELEASE_TIME).await;
    }
    sleep(RELEASE_TIME).await;
}

/// A peer's response.
struct HandedBody {
    body: Incoming,
    giving_up: GivingUp,
}

impl Body for HandedBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.giving_up
            .as_mut()
            .poll(context)
            .map(|()| Some(Err("the pod with the session is lost, or this one lets its clients go".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

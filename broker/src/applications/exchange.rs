//! One request to an application, with all that is tried again, within its `timeout`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{StatusCode, body::Incoming, header};
use rand::Rng as _;
use smol_str::SmolStr;
use tokio::time::{Instant, sleep, timeout};

use super::{
    request::{Caller, Kind, Request},
    table::Application,
};
use crate::{endpoint::ConnectError, metrics::RequestOutcome};

/// The longest pause between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Octets of the body of a refusal that are passed on.
const MOST_WORDS: usize = 4096;

/// An answer of 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) content_type: Option<SmolStr>,
    pub(super) body: Bytes,
}

/// A request that came to nothing, as its sender is told.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: RequestOutcome,
    /// The status of the last answer, where there was one.
    pub(super) status: Option<StatusCode>,
    /// For the sender, without internals.
    pub(super) reason: String,
    /// What the application says of a request that it refuses.
    pub(super) answer: Option<Answer>,
    /// For people who run the broker.
    pub(super) detail: Option<String>,
}

/// Why one try came to nothing.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the answer is {status}")]
    Status { status: StatusCode, answer: Answer },
    #[error("the answer has more octets than limits.messageSize, which is {0}")]
    TooLarge(usize),
}

impl Failure {
    /// One that no answer is behind.
    pub(super) fn new(outcome: RequestOutcome, reason: impl Into<String>) -> Self {
        Self { outcome, status: None, reason: reason.into(), answer: None, detail: None }
    }
}

/// Sends a request until it is answered for good, or its time or its tries are used up. `tried_again` is told of each try but
/// the first.
pub(super) async fn exchange(
    application: &Arc<Application>,
    request: &Request,
    kind: Kind,
    caller: &Caller,
    message_size: usize,
    mut tried_again: impl FnMut(),
) -> Result<Answer, Failure> {
    let config = &application.config;
    let deadline = Instant::now() + config.timeout.0;
    let mut tries_left = config.retry.attempts.max(1);
    let mut backoff = config.retry.backoff.0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let one = attempt(application, request, kind, caller, message_size);
        let failure = match timeout(left / tries_left, one).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => explain(error),
            Err(_) => Failure::new(RequestOutcome::timeout, "the application has not answered in time"),
        };
        tries_left -= 1;
        let pause = rand::rng().random_range(backoff / 2..=backoff);
        let is_over = Instant::now() + pause >= deadline;
        if tries_left == 0 || is_over || !failure.outcome.may_pass() {
            return Err(failure);
        }
        sleep(pause).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
        tried_again();
    }
}

/// One try. A kept connection that the server has closed meanwhile is no failure: the request goes over a new one.
async fn attempt(
    application: &Arc<Application>,
    request: &Request,
    kind: Kind,
    caller: &Caller,
    message_size: usize,
) -> Result<Answer, TryError> {
    loop {
        let (mut connection, was_kept) = application.connection().await?;
        let response = match connection.send(request.to_http(kind, application, caller, SystemTime::now())?).await {
            Err(_) if was_kept => continue,
            response => response?,
        };
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(SmolStr::from);
        let most = if status.is_success() { message_size } else { MOST_WORDS };
        let (body, is_whole) = read(response.into_body(), most).await?;
        if is_whole {
            application.keep(connection);
        }
        let answer = Answer { content_type, body };
        return match (status.is_success(), is_whole) {
            (true, true) => Ok(answer),
            (true, false) => Err(TryError::TooLarge(message_size)),
            (false, _) => Err(TryError::Status { status, answer }),
        };
    }
}

/// The first octets of a body, and whether that is all of it.
async fn read(mut body: Incoming, most: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut octets = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = most - octets.len();
            octets.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok((octets.freeze(), false));
            }
        }
    }
    Ok((octets.freeze(), true))
}

fn explain(error: TryError) -> Failure {
    let detail = Some(error.to_string());
    let (outcome, reason) = match error {
        TryError::Status { status, answer } => {
            let outcome =
                if status.is_server_error() { RequestOutcome::server_error } else { RequestOutcome::client_error };
            // What a broken application says is for those who run it.
            let answer = status.is_client_error().then_some(answer).filter(|answer| !answer.body.is_empty());
            let reason = format!("the application has answered {status}");
            return Failure { outcome, status: Some(status), reason, answer, detail };
        }
        TryError::Connect(_) | TryError::Http(_) => {
            (RequestOutcome::unreachable, "the application cannot be reached".to_owned())
        }
        TryError::Request(_) => (RequestOutcome::refused, "the frame cannot be made a request of HTTP".to_owned()),
        TryError::TooLarge(limit) => (
            RequestOutcome::client_error,
            format!("the answer has more than {limit} octets, which is limits.messageSize"),
        ),
    };
    Failure { outcome, status: None, reason, answer: None, detail }
}

//! A frame of a client as a request to an application: CloudEvents 1.0 over HTTP in binary mode. Pure.
//!
//! What the broker says of the frame stands in attributes (`ce-...`), what the client says in `stomp-...`, so that no client
//! can say it is another one.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request as HttpRequest,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use smol_str::SmolStr;

use super::{
    routes::Target,
    table::Application,
    token::{Claims, content_digest},
};
use crate::{
    endpoint::USER_AGENT,
    engine::SubscriptionKey,
    message::Message,
    security::Principal,
    timestamp::rfc3339,
    trace::{TRACEPARENT, TRACESTATE},
};

/// What the HTTP binding of CloudEvents encodes in the value of a header, besides what is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// What cannot stand in the name of a header (RFC 9110, `token`).
const NO_TOKEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
/// What the headers of a client's frame begin with in a request.
const STOMP: &str = "stomp-";
/// The header whose value an answer carries again.
pub(super) const CORRELATION_ID: &str = "correlation-id";

/// A frame that an application handles.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where it goes.
    pub(crate) target: Target,
    /// What was sent; without a body for a SUBSCRIBE.
    pub(crate) message: Arc<Message>,
    /// The receipt that was asked for.
    pub(crate) receipt: Option<SmolStr>,
}

/// What a session asks of applications.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Handle these messages: one, or those of a transaction in order.
    Send(Vec<Request>),
    /// Answer a subscription once.
    Subscribe(SubscriptionKey, Request),
    /// Answer a subscription no more.
    Unsubscribe(SubscriptionKey),
}

/// Who a request is of.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) session: Arc<str>,
    pub(super) principal: Principal,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To handle a SEND.
    Send,
    /// To answer a SUBSCRIBE.
    Subscribe,
}

impl Kind {
    const fn method(self) -> Method {
        match self {
            Self::Send => Method::POST,
            Self::Subscribe => Method::GET,
        }
    }

    /// The type of the event.
    const fn event(self) -> &'static str {
        match self {
            Self::Send => "dev.stompbroker.send",
            Self::Subscribe => "dev.stompbroker.subscribe",
        }
    }
}

impl Request {
    /// The request as it goes over the wire now. It has the same `ce-id` whenever it is tried again.
    ///
    /// # Errors
    /// When it cannot be expressed in HTTP.
    pub(super) fn to_http(
        &self,
        kind: Kind,
        application: &Application,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<HttpRequest<Full<Bytes>>, hyper::http::Error> {
        let (method, message) = (kind.method(), &self.message);
        let path = application.path(&self.target.path);
        let mut request = HttpRequest::builder().method(method.clone()).uri(&path);
        if let Some(headers) = request.headers_mut() {
            self.put_headers(headers, kind, application, caller, now)?;
            if kind == Kind::Send || application.signer().is_some() {
                let digest = content_digest(&message.body);
                if let Some(signer) = application.signer() {
                    let claims = Claims {
                        issuer: &application.config.source,
                        audience: &application.config.name,
                        id: &message.id,
                        method: method.as_str(),
                        path: &path,
                        content_digest: &digest,
                    };
                    let mut value = HeaderValue::try_from(format!("Bearer {}", signer.sign(&claims, caller, now)))?;
                    value.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, value);
                }
                headers.insert("content-digest", digest.try_into()?);
            }
        }
        request.body(Full::new(message.body.clone()))
    }

    fn put_headers(
        &self,
        headers: &mut HeaderMap,
        kind: Kind,
        application: &Application,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<(), hyper::http::Error> {
        let message = &self.message;
        let user = &*caller.principal.user;
        let roles = caller.principal.roles.iter().map(|role| &**role).collect::<Vec<_>>().join(",");
        headers.insert(header::HOST, application.endpoint.authority().try_into()?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &*message.id),
            ("ce-source", &application.config.source),
            ("ce-type", kind.event()),
            ("ce-subject", &message.destination),
            ("ce-time", &rfc3339(now)),
            ("ce-authtype", if user.is_empty() { "unauthenticated" } else { "app_user" }),
            ("ce-authid", user),
            ("ce-stomproles", &roles),
            ("ce-stompsession", &caller.session),
        ] {
            // An attribute that has a value must not be empty.
            if !value.is_empty() {
                headers.try_insert(HeaderName::from_static(name), encoded(value)?)?;
            }
        }
        for (name, value) in &message.headers {
            match &**name {
                "content-type" if kind == Kind::Send => {
                    // What is no value of HTTP is told as all other headers are.
                    if let Ok(value) = HeaderValue::from_str(value) {
                        headers.insert(header::CONTENT_TYPE, value);
                        continue;
                    }
                }
                TRACEPARENT | TRACESTATE => {
                    if let (Ok(name), Ok(value)) =
                        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
                    {
                        headers.insert(name, value);
                    }
                    continue;
                }
                _ => {}
            }
            let name = format!("{STOMP}{}", utf8_percent_encode(name, NO_TOKEN));
            headers.try_append(HeaderName::try_from(name)?, encoded(value)?)?;
        }
        Ok(())
    }
}

fn encoded(value: &str) -> Result<HeaderValue, hyper::http::Error> {
    Ok(HeaderValue::try_from(utf8_percent_encode(value, ENCODED).to_string())?)
}

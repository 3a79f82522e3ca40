//! The headers that browsers look at: whether a page may read the answer, whether it is kept, and the cookie.

use std::time::{Duration, SystemTime};

use hyper::{
    HeaderMap, Response,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, COOKIE,
        EXPIRES, HeaderName, HeaderValue, ORIGIN, SET_COOKIE, VARY,
    },
};

/// Some browsers keep even answers to POST when they are not told this.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0");
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=31536000");
const YEAR: Duration = Duration::from_hours(365 * 24);
/// The cookie that load balancers look at.
const COOKIE_NAME: &str = "JSESSIONID";

/// Forbids to keep the answer.
pub(super) fn forbid_keeping<B>(response: &mut Response<B>) {
    response.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
}

/// Allows to keep the answer for a year.
pub(super) fn allow_keeping<B>(response: &mut Response<B>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, KEPT);
    if let Ok(expires) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now() + YEAR)) {
        headers.insert(EXPIRES, expires);
    }
}

/// Lets the page that asks read the answer. By then it has been checked that it may.
pub(super) fn allow_reading<B>(request: &HeaderMap, response: &mut Response<B>) {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

/// Answers what a browser asks before it lets a page do something: `methods`, with the headers that it wants to send.
pub(super) fn allow_methods<B>(methods: HeaderValue, request: &HeaderMap, response: &mut Response<B>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(YEAR.as_secs()));
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS)
        && !wanted.is_empty()
    {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
}

/// Sets the cookie by which load balancers find the pod of a session again, to what it was before.
pub(super) fn set_cookie<B>(request: &HeaderMap, response: &mut Response<B>) {
    let value = cookie(request, COOKIE_NAME).unwrap_or("dummy");
    if let Ok(cookie) = HeaderValue::try_from(format!("{COOKIE_NAME}={value}; path=/")) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn cookie<'a>(request: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = request.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// A header's text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

//! What a service answers without a session: the greeting, the facts about it, the page for iframes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH},
};
use sha2::{Digest as _, Sha256};

use super::{Options, ResponseBody, body, headers};

/// Says that this is a SockJS service.
pub(super) fn greeting() -> Response<ResponseBody> {
    body::text(StatusCode::OK, "Welcome to SockJS!\n")
}

/// What a client asks first, to learn what is offered and how far away the service is.
pub(super) fn info(options: &Options) -> Response<ResponseBody> {
    let info = serde_json::json!({
        "websocket": options.websocket,
        "origins": ["*:*"],
        "cookie_needed": options.session_cookie,
        // Old browsers have no good randomness of their own.
        "entropy": rand::random::<u32>(),
    });
    let mut response = body::whole(StatusCode::OK, "application/json; charset=UTF-8", info.to_string());
    headers::forbid_keeping(&mut response);
    response
}

/// The page through which pages of other origins reach the service in browsers that know no better way.
pub(super) fn iframe(options: &Options, request: &HeaderMap) -> Response<ResponseBody> {
    let url = options.client_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let page = IFRAME_PAGE.replace("CLIENT_URL", &url);
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&page)));
    let is_known = headers::text(request, &IF_NONE_MATCH)
        .is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known {
        body::empty(StatusCode::NOT_MODIFIED)
    } else {
        body::whole(StatusCode::OK, "text/html; charset=UTF-8", page)
    };
    headers::allow_keeping(&mut response);
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    // What runs in the iframe is of our own origin, so who may embed it must be said here.
    if headers.contains_key(CONTENT_TYPE)
        && !options.allowed_origins.iter().any(|origin| origin == "*")
        && let Ok(policy) =
            HeaderValue::try_from(format!("frame-ancestors 'self' {}", options.allowed_origins.join(" ")))
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

const IFRAME_PAGE: &str = r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="CLIENT_URL"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"#;

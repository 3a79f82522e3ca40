//! What is answered without a session.

use super::{Http, Response, Services};

#[tokio::test]
async fn the_service_greets_with_and_without_a_slash() {
    let services = Services::start().await;
    for path in ["/echo", "/echo/"] {
        let response = services.get(path).await;
        response.assert(200, "Welcome to SockJS!\n");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(response.header("set-cookie"), None);
    }
    services.get("/cookie_needed_echo").await.assert(200, "Welcome to SockJS!\n");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_leaves_the_connection_open() {
    let services = Services::start().await;
    let mut http = Http::connect(services.address).await;
    for path in
        ["a", "a.html", "/", "//", "a/a", "a/a/", "a/", "iframe", "IFRAME.HTML", "a/a/xhr/", "a./a/xhr", "a/a./xhr"]
    {
        for method in ["GET", "POST"] {
            http.send(method, &format!("/echo/{path}"), "1.1", "", "").await;
            assert_eq!(http.response().await.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_as_its_version_of_http_has_it() {
    let services = Services::start().await;
    for version in ["1.1", "1.0"] {
        let mut http = Http::connect(services.address).await;
        for _ in 0..2 {
            http.send("GET", "/echo", version, "Connection: Keep-Alive\r\n", "").await;
            let response = http.response().await;
            response.assert(200, "Welcome to SockJS!\n");
            assert_eq!(response.header("transfer-encoding"), None);
            let connection = response.header("connection").map(str::to_ascii_lowercase);
            assert!(matches!(connection.as_deref(), None | Some("keep-alive")), "{response:?}");
        }
    }
    let mut http = Http::connect(services.address).await;
    http.send("GET", "/echo", "1.0", "", "").await;
    http.response().await.assert(200, "Welcome to SockJS!\n");
    http.end().await;
}

async fn info(services: &Services, service: &str) -> (Response, serde_json::Value) {
    let response = services.ask("GET", &format!("/{service}/info"), "Origin: http://test\r\n", "").await;
    let info = serde_json::from_str(&response.body).unwrap();
    (response, info)
}

#[tokio::test]
async fn the_info_tells_what_is_offered_and_gives_randomness() {
    let services = Services::start().await;
    let (response, one) = info(&services, "echo").await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json; charset=UTF-8")));
    assert_eq!(response.header("set-cookie"), None);
    response.assert_not_kept();
    response.assert_readable_by(Some("http://test"));
    assert_eq!((&one["websocket"], &one["cookie_needed"]), (&true.into(), &false.into()));
    assert_eq!(one["origins"], serde_json::json!(["*:*"]));
    let (_, other) = info(&services, "echo").await;
    assert!(one["entropy"].is_u64() && one["entropy"] != other["entropy"], "{one} {other}");
    assert_eq!(info(&services, "disabled_websocket_echo").await.1["websocket"], false);
    let (response, cookie) = info(&services, "cookie_needed_echo").await;
    assert_eq!((&cookie["cookie_needed"], response.header("set-cookie")), (&true.into(), None));
    services.get("/echo/info").await.assert_readable_by(None);
}

#[tokio::test]
async fn browsers_may_ask_beforehand_and_keep_the_answer() {
    let services = Services::start().await;
    for (path, methods) in [
        ("/echo/info", "OPTIONS, GET"),
        ("/echo/a/a/xhr", "OPTIONS, POST"),
        ("/echo/a/a/xhr_send", "OPTIONS, POST"),
        ("/echo/a/a/xhr_streaming", "OPTIONS, POST"),
    ] {
        for origin in ["http://test", "null"] {
            let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
            let response = services.ask("OPTIONS", path, &headers, "").await;
            response.assert(204, "");
            response.assert_kept();
            response.assert_readable_by(Some(origin));
            assert_eq!(response.header("access-control-allow-methods"), Some(methods), "{path}");
            assert_eq!(response.header("access-control-max-age"), Some("31536000"));
            assert_eq!(response.header("access-control-allow-headers"), None);
            let headers = format!("{headers}Access-Control-Request-Headers: a, b, c\r\n");
            let response = services.ask("OPTIONS", path, &headers, "").await;
            assert_eq!(response.header("access-control-allow-headers"), Some("a, b, c"));
            let headers = "Origin: test\r\nAccess-Control-Request-Headers: \r\n";
            let response = services.ask("OPTIONS", path, headers, "").await;
            assert_eq!(response.header("access-control-allow-headers"), None);
        }
    }
}

#[tokio::test]
async fn the_page_for_iframes_is_kept_until_it_changes() {
    let services = Services::start().await;
    for name in ["iframe.html", "iframe-a.html", "iframe-.html", "iframe-0.1.2abc-dirty.2144.html?t=1234"] {
        let response = services.get(&format!("/echo/{name}")).await;
        assert_eq!((response.status, response.header("content-type")), (200, Some("text/html; charset=UTF-8")));
        response.assert_kept();
        assert_eq!(response.header("set-cookie"), None);
        assert!(response.body.starts_with("<!DOCTYPE html>\n<html>\n<head>\n"), "{}", response.body);
        assert!(response.body.contains("  <script src=\"https://"), "{}", response.body);
        assert!(response.body.contains("    SockJS.bootstrap_iframe();\n"), "{}", response.body);
    }
    let tag = services.get("/echo/iframe.html").await.header("etag").unwrap().to_owned();
    let known = services.ask("GET", "/echo/iframe.html", &format!("If-None-Match: {tag}\r\n"), "").await;
    known.assert(304, "");
    assert_eq!((known.header("content-type"), known.header("etag")), (None, Some(tag.as_str())));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let services = Services::start().await;
    for (method, path, allowed) in [
        ("POST", "/echo", "GET"),
        ("POST", "/echo/info", "OPTIONS, GET"),
        ("GET", "/echo/a/a/xhr", "POST"),
        ("GET", "/echo/a/a/xhr_send", "POST"),
        ("POST", "/echo/a/a/eventsource", "GET"),
        ("POST", "/echo/a/a/jsonp?c=x", "GET"),
        ("POST", "/echo/0/0/websocket", "GET"),
        ("POST", "/echo/websocket", "GET"),
    ] {
        let response = services.ask(method, path, "", "").await;
        response.assert(405, "");
        assert_eq!(
            (response.header("allow"), response.header("content-type")),
            (Some(allowed), None),
            "{method} {path}"
        );
    }
}

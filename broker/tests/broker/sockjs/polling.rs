//! One frame a response, and what is sent by requests.

use super::{Http, Services};
use crate::support::within;

const OCCUPIED: &str = "c[2010,\"Another connection still open\"]\n";
const INTERRUPTED: &str = "c[1002,\"Connection interrupted\"]\n";

#[tokio::test]
async fn a_session_opens_with_the_first_poll_and_echoes() {
    let services = Services::start().await;
    let session = Services::session("echo");
    assert_eq!(services.post(&format!("{session}/xhr_send"), "[\"a\"]").await.status, 404);
    let opened = services.ask("POST", &format!("{session}/xhr"), "Origin: http://test\r\n", "").await;
    opened.assert(200, "o\n");
    assert_eq!(opened.header("content-type"), Some("application/javascript; charset=UTF-8"));
    opened.assert_not_kept();
    opened.assert_readable_by(Some("http://test"));
    let sent = services.ask("POST", &format!("{session}/xhr_send"), "Origin: http://test\r\n", "[\"x\"]").await;
    sent.assert(204, "");
    assert_eq!(sent.header("content-type"), Some("text/plain; charset=UTF-8"));
    sent.assert_not_kept();
    sent.assert_readable_by(Some("http://test"));
    services.post(&format!("{session}/xhr"), "").await.assert(200, "a[\"x\"]\n");
}

#[tokio::test]
async fn a_session_has_any_name_and_is_the_same_on_every_server() {
    let services = Services::start().await;
    for session in ["/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"] {
        services.post(&format!("/echo{session}/xhr"), "").await.assert(200, "o\n");
    }
    services.post("/echo/999/a/xhr_send", "[\"a\"]").await.assert(204, "");
    services.post("/echo/000/a/xhr", "").await.assert(200, "a[\"a\"]\n");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_session_goes_on() {
    let services = Services::start().await;
    let session = Services::session("echo");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    let send = format!("{session}/xhr_send");
    services.post(&send, "[\"x").await.assert(500, "Broken JSON encoding.\n");
    services.post(&send, "[\"lost\",1]").await.assert(500, "Broken JSON encoding.\n");
    services.post(&send, "").await.assert(500, "Payload expected.\n");
    services.post(&send, "[]").await.assert(204, "");
    for kind in ["text/plain", "T", "application/json", "application/xml", "", "text/xml; charset=utf-8"] {
        services.ask("POST", &send, &format!("Content-Type: {kind}\r\n"), "[\"a\"]").await.assert(204, "");
    }
    services
        .post(&send, &format!("[\"{}\"]", "x".repeat(1 << 20)))
        .await
        .assert(413, "The request has more than 1048576 octets.\n");
    let mut got = String::new();
    while got.matches("\"a\"").count() < 6 {
        got.push_str(&services.post(&format!("{session}/xhr"), "").await.body);
    }
    assert!(!got.contains("lost"), "{got}");
}

#[tokio::test]
async fn characters_that_do_not_pass_browsers_are_escaped() {
    let services = Services::start().await;
    let session = Services::session("echo");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    let ranges = [0x200c..=0x200f, 0x2028..=0x202f, 0x2060..=0x206f, 0xfff0..=0xffff_u32];
    let codes: Vec<_> = ranges.into_iter().flatten().collect();
    let plain: String = codes.iter().filter_map(|code| char::from_u32(*code)).collect();
    let escaped = codes.iter().map(|code| format!("\\u{code:04x}")).collect::<Vec<_>>().concat();
    services.post(&format!("{session}/xhr_send"), &format!("[\"{plain}\"]")).await.assert(204, "");
    services.post(&format!("{session}/xhr"), "").await.assert(200, &format!("a[\"{escaped}\"]\n"));
    let odd = r#"["\u0000\u001f\ud83d\ude00\ud83d"]"#;
    services.post(&format!("{session}/xhr_send"), odd).await.assert(204, "");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "a[\"\\u0000\\u001f\u{1f600}\\ufffd\"]\n");
}

#[tokio::test]
async fn a_closed_session_says_so_to_everybody() {
    let services = Services::start().await;
    let session = Services::session("close");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    for _ in 0..3 {
        services.post(&format!("{session}/xhr"), "").await.assert(200, "c[3000,\"Go away!\"]\n");
    }
}

#[tokio::test]
async fn there_is_one_receiver_and_when_it_breaks_off_the_session_is_over() {
    let services = Services::start().await;
    let session = Services::session("echo");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    let (mut one, mut other) = (Http::connect(services.address).await, Http::connect(services.address).await);
    one.send("POST", &format!("{session}/xhr"), "1.1", "", "").await;
    other.send("POST", &format!("{session}/xhr"), "1.1", "", "").await;
    // Whichever comes second is refused; the other one is broken off.
    let refused = tokio::select! {
        refused = one.response() => refused,
        refused = other.response() => refused,
    };
    refused.assert(200, OCCUPIED);
    drop((one, other));
    services.post(&format!("{session}/xhr"), "").await.assert(200, INTERRUPTED);
    services.post(&format!("{session}/xhr_send"), "[\"a\"]").await.assert(204, "");
    services.post(&format!("{session}/xhr"), "").await.assert(200, INTERRUPTED);
}

#[tokio::test]
async fn a_session_without_a_receiver_is_forgotten() {
    let services = Services::start().await;
    let session = Services::session("echo");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    within("the session to be forgotten", async {
        while services.post(&format!("{session}/xhr_send"), "[]").await.status != 404 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
}

#[tokio::test]
async fn other_pages_cannot_speak_for_a_session() {
    let services = Services::start().await;
    let session = Services::session("echo");
    services.ask("POST", &format!("{session}/xhr"), "Origin: http://one\r\n", "").await.assert(200, "o\n");
    for (header, status) in [("Origin: http://two\r\n", 404), ("Referer: http://two/page\r\n", 404), ("", 204)] {
        let response = services.ask("POST", &format!("{session}/xhr_send"), header, "[\"a\"]").await;
        assert_eq!(response.status, status, "{header}");
    }
    let stolen = services.ask("POST", &format!("{session}/xhr"), "Origin: http://two\r\n", "").await;
    assert_eq!(stolen.status, 404);
    services.post(&format!("{session}/xhr"), "").await.assert(200, "a[\"a\"]\n");
}

#[tokio::test]
async fn jsonp_calls_the_page_and_takes_forms() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let send = format!("{session}/jsonp_send");
    let opened = services.get(&format!("{session}/jsonp?c=%63allback")).await;
    opened.assert(200, "/**/callback(\"o\");\r\n");
    assert_eq!(opened.header("content-type"), Some("application/javascript; charset=UTF-8"));
    opened.assert_not_kept();
    let sent = services.ask("POST", &send, form, "d=%5B%22x%22%5D").await;
    sent.assert(200, "ok");
    assert_eq!(sent.header("content-type"), Some("text/plain; charset=UTF-8"));
    sent.assert_not_kept();
    services.get(&format!("{session}/jsonp?c=x")).await.assert(200, "/**/x(\"a[\\\"x\\\"]\");\r\n");
    services.ask("POST", &send, form, "d=%5B%22x").await.assert(500, "Broken JSON encoding.\n");
    for empty in ["", "d=", "p=p"] {
        services.ask("POST", &send, form, empty).await.assert(500, "Payload expected.\n");
    }
    services.ask("POST", &send, form, "d=%5B%5D").await.assert(200, "ok");
    services.ask("POST", &send, "Content-Type: text/plain\r\n", "[\"%61bc\"]").await.assert(200, "ok");
    services.get(&format!("{session}/jsonp?c=x")).await.assert(200, "/**/x(\"a[\\\"%61bc\\\"]\");\r\n");
}

#[tokio::test]
async fn a_callback_must_be_a_name() {
    let services = Services::start().await;
    for transport in ["jsonp", "htmlfile"] {
        let missing = services.get(&format!("/echo/a/a/{transport}")).await;
        missing.assert(500, "\"callback\" parameter required\n");
        for callback in ["%20", "*", "abc(", "abc%28"] {
            let invalid = services.get(&format!("/echo/a/a/{transport}?c={callback}")).await;
            invalid.assert(500, "invalid \"callback\" parameter\n");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_set_on_every_url_of_a_session_and_keeps_its_value() {
    let services = Services::start().await;
    let session = Services::session("cookie_needed_echo");
    let response = services.post(&format!("{session}/xhr"), "").await;
    assert_eq!(response.header("set-cookie"), Some("JSESSIONID=dummy; path=/"));
    let cookie = "Cookie: a=b; JSESSIONID=abcdef\r\n";
    let response = services.ask("POST", &format!("{session}/xhr_send"), cookie, "[\"a\"]").await;
    assert_eq!(response.header("set-cookie"), Some("JSESSIONID=abcdef; path=/"));
    for (method, transport) in
        [("POST", "xhr_streaming"), ("GET", "eventsource"), ("GET", "htmlfile?c=x"), ("GET", "jsonp?c=x")]
    {
        let session = Services::session("cookie_needed_echo");
        let (_, head) = services.open(method, &format!("{session}/{transport}"), "").await;
        assert_eq!(head.header("set-cookie"), Some("JSESSIONID=dummy; path=/"), "{transport}");
    }
    assert_eq!(services.post("/echo/a/a/xhr", "").await.header("set-cookie"), None);
}

#[tokio::test]
async fn amplify_answers_with_as_many_letters_as_it_is_told() {
    let services = Services::start().await;
    let session = Services::session("amplify");
    services.post(&format!("{session}/xhr"), "").await.assert(200, "o\n");
    for (number, letters) in [("4", 16), ("12", 4096), ("-1", 2), ("x", 2), ("19", 2), ("18", 1 << 18)] {
        services.post(&format!("{session}/xhr_send"), &format!("[\"{number}\"]")).await.assert(204, "");
        services.post(&format!("{session}/xhr"), "").await.assert(200, &format!("a[\"{}\"]\n", "x".repeat(letters)));
    }
}

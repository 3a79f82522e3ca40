//! Many frames a response.

use super::{Http, Services};

#[tokio::test]
async fn xhr_streaming_begins_with_a_prelude_and_gives_each_frame_a_chunk() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let (mut stream, head) =
        services.open("POST", &format!("{session}/xhr_streaming"), "Origin: http://test\r\n").await;
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(head.header("content-type"), Some("application/javascript; charset=UTF-8"));
    head.assert_not_kept();
    head.assert_readable_by(Some("http://test"));
    assert_eq!(stream.chunk().await, "h".repeat(2048) + "\n");
    assert_eq!(stream.chunk().await, "o\n");
    for message in ["x", "y"] {
        services.post(&format!("{session}/xhr_send"), &format!("[\"{message}\"]")).await.assert(204, "");
        assert_eq!(stream.chunk().await, format!("a[\"{message}\"]\n"));
    }
}

#[tokio::test]
async fn a_stream_ends_after_as_many_octets_as_it_may_have_and_the_session_goes_on() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let (mut stream, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(stream.chunk().await.len(), 2049);
    assert_eq!(stream.chunk().await, "o\n");
    let message = "x".repeat(128);
    for _ in 0..31 {
        services.post(&format!("{session}/xhr_send"), &format!("[\"{message}\"]")).await.assert(204, "");
        assert_eq!(stream.chunk().await, format!("a[\"{message}\"]\n"));
    }
    assert_eq!(stream.chunk().await, "");
    services.post(&format!("{session}/xhr_send"), "[\"again\"]").await.assert(204, "");
    let (mut stream, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(stream.chunk().await.len(), 2049);
    assert_eq!(stream.chunk().await, "a[\"again\"]\n");
}

#[tokio::test]
async fn a_closed_session_and_one_that_is_taken_end_the_stream() {
    let services = Services::start().await;
    let session = Services::session("close");
    for first in [true, false] {
        let (mut stream, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
        assert_eq!(stream.chunk().await.len(), 2049);
        if first {
            assert_eq!(stream.chunk().await, "o\n");
        }
        assert_eq!(stream.chunk().await, "c[3000,\"Go away!\"]\n");
        assert_eq!(stream.chunk().await, "");
    }
    let session = Services::session("echo");
    let (mut taken, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(taken.chunk().await.len(), 2049);
    assert_eq!(taken.chunk().await, "o\n");
    let (mut late, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(late.chunk().await.len(), 2049);
    assert_eq!(late.chunk().await, "c[2010,\"Another connection still open\"]\n");
    assert_eq!(late.chunk().await, "");
    services.post(&format!("{session}/xhr_send"), "[\"x\"]").await.assert(204, "");
    assert_eq!(taken.chunk().await, "a[\"x\"]\n", "the first receiver is not disturbed");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_the_session() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let (mut stream, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(stream.chunk().await.len(), 2049);
    assert_eq!(stream.chunk().await, "o\n");
    drop(stream);
    let (mut stream, _) = services.open("POST", &format!("{session}/xhr_streaming"), "").await;
    assert_eq!(stream.chunk().await.len(), 2049);
    assert_eq!(stream.chunk().await, "c[1002,\"Connection interrupted\"]\n");
    assert_eq!(stream.chunk().await, "");
}

#[tokio::test]
async fn http_1_0_gets_no_chunks() {
    let services = Services::start().await;
    let session = Services::session("close");
    let mut http = Http::connect(services.address).await;
    http.send("POST", &format!("{session}/xhr_streaming"), "1.0", "Connection: Keep-Alive\r\n", "").await;
    let head = http.head().await;
    assert_eq!((head.header("transfer-encoding"), head.header("content-length")), (None, None));
    assert_eq!(http.text(2049).await, "h".repeat(2048) + "\n");
    assert_eq!(http.text(21).await, "o\nc[3000,\"Go away!\"]\n");
    http.end().await;
}

#[tokio::test]
async fn eventsource_sends_events() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let (mut stream, head) = services.open("GET", &format!("{session}/eventsource"), "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    head.assert_not_kept();
    assert_eq!(stream.chunk().await, "\r\n");
    assert_eq!(stream.chunk().await, "data: o\r\n\r\n");
    services.post(&format!("{session}/xhr_send"), r#"["  \u0000\n\r "]"#).await.assert(204, "");
    assert_eq!(stream.chunk().await, "data: a[\"  \\u0000\\n\\r \"]\r\n\r\n");
    let large = "x".repeat(4096);
    services.post(&format!("{session}/xhr_send"), &format!("[\"{large}\"]")).await.assert(204, "");
    assert_eq!(stream.chunk().await, format!("data: a[\"{large}\"]\r\n\r\n"));
    assert_eq!(stream.chunk().await, "");
}

#[tokio::test]
async fn htmlfile_sends_scripts() {
    let services = Services::start().await;
    let session = Services::session("echo");
    let (mut stream, head) = services.open("GET", &format!("{session}/htmlfile?c=%63allback"), "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/html; charset=UTF-8")));
    head.assert_not_kept();
    let page = stream.chunk().await;
    assert!(page.len() > 1024 && page.starts_with("<!doctype html>\n<html><head>\n"), "{page}");
    assert!(page.contains("    var c = parent.callback;\n    c.start();\n"), "{page}");
    assert!(page.trim_end().ends_with("window.onload = function() {c.stop();};\n  </script>"), "{page}");
    assert_eq!(stream.chunk().await, "<script>\np(\"o\");\n</script>\r\n");
    let large = "x".repeat(4096);
    services.post(&format!("{session}/xhr_send"), &format!("[\"{large}\"]")).await.assert(204, "");
    assert_eq!(stream.chunk().await, format!("<script>\np(\"a[\\\"{large}\\\"]\");\n</script>\r\n"));
    assert_eq!(stream.chunk().await, "");
}

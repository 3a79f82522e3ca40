//! What messages hold, and sessions without any.

use super::{
    Pod,
    talk::{Said, consume, first, name, put, yes},
};

pub(super) async fn nul(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("nul"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "content-length:5\n", "a\0\0b\u{1}").await?;
    let before = consume(&mut client, &queue, "").await?;
    let frame = first(&mut client, before).await?;
    Ok(yes(frame.body == b"a\0\0b\x01", &frame.body))
}

pub(super) async fn headers(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("headers"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "k:a\\cb\\nc\\\\ \u{20ac}\n", "x").await?;
    let before = consume(&mut client, &queue, "").await?;
    let frame = first(&mut client, before).await?;
    Ok(yes(frame.header("k") == Some("a\\cb\\nc\\\\ \u{20ac}"), &frame.headers))
}

pub(super) async fn heartbeats(pod: &Pod) -> Said<String> {
    let mut client = pod.named("heart-beat:0,500\n").await;
    let queue = format!("/queue/{}", name("idle"));
    consume(&mut client, &queue, "").await?;
    // Longer than any of the upstreams bears silence of the relay.
    for _ in 0..8 {
        client.heartbeat().await;
    }
    put(&mut client, &queue, "", "x").await?;
    Ok("yes".to_owned())
}

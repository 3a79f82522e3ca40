//! What is acknowledged, what is given back, and to whom it comes then.

use super::{
    Engine, Pod,
    talk::{Said, bodies, consume, done, first, leave, message, name, put, until, yes},
};
use crate::any_broker::{Frame, Peer as _};

/// Three messages are delivered in this mode and the second is acknowledged; what another session gets then.
async fn acknowledged(pod: &Pod, mode: &str) -> Said<Vec<Frame>> {
    let queue = format!("/queue/{}", name("ack"));
    let mut client = pod.client().await;
    for body in ["1", "2", "3"] {
        put(&mut client, &queue, "", body).await?;
    }
    let mut frames = consume(&mut client, &queue, &format!("ack:{mode}\n")).await?;
    while frames.len() < 3 {
        frames.push(message(&mut client).await?);
    }
    done(&mut client, &format!("ACK\nid:{}\n\n", frames[1].header("ack").unwrap())).await?;
    leave(client).await?;
    let mut other = pod.client().await;
    let expected = if mode == "client" { 1 } else { 2 };
    let mut given = consume(&mut other, &queue, "").await?;
    while given.len() < expected {
        given.push(message(&mut other).await?);
    }
    other.send(&queue, "last").await;
    until(&mut other, given, "last").await
}

pub(super) async fn cumulative(pod: &Pod) -> Said<String> {
    let given = acknowledged(pod, "client").await?;
    Ok(yes(bodies(&given) == ["3"], bodies(&given)))
}

pub(super) async fn individual(pod: &Pod) -> Said<String> {
    let given = acknowledged(pod, "client-individual").await?;
    Ok(yes(bodies(&given) == ["1", "3"], bodies(&given)))
}

pub(super) async fn redelivered(pod: &Pod) -> Said<String> {
    let given = acknowledged(pod, "client").await?;
    Ok(yes(given[0].header("redelivered") == Some("true"), &given[0]))
}

pub(super) async fn unsubscribe(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("unsubscribe"));
    let (mut one, mut other) = (pod.client().await, pod.client().await);
    put(&mut one, &queue, "", "x").await?;
    let before = consume(&mut one, &queue, "ack:client\n").await?;
    first(&mut one, before).await?;
    done(&mut one, "UNSUBSCRIBE\nid:0\n\n").await?;
    let before = consume(&mut other, &queue, "").await?;
    let given = first(&mut other, before).await?;
    Ok(yes(given.text() == "x", given.text()))
}

pub(super) async fn nack(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("nack"));
    let mut client = pod.client().await;
    put(&mut client, &queue, "persistent:true\n", "refused").await?;
    let before = consume(&mut client, &queue, "ack:client-individual\n").await?;
    let frame = first(&mut client, before).await?;
    let before = done(&mut client, &format!("NACK\nid:{}\n\n", frame.header("ack").unwrap())).await?;
    client.send(&queue, "last").await;
    if !until(&mut client, before, "last").await?.is_empty() {
        return Ok("comes again".to_owned());
    }
    let dead = if pod.engine == Engine::Artemis { "/queue/DLQ" } else { "/queue/ActiveMQ.DLQ" };
    let mut undertaker = pod.client().await;
    let before = consume(&mut undertaker, dead, "").await?;
    undertaker.send(dead, "last").await;
    let letters = until(&mut undertaker, before, "last").await?;
    Ok(if bodies(&letters).contains(&"refused") { "is a dead letter" } else { "is gone" }.to_owned())
}

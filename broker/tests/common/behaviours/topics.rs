//! Topics, and subscriptions that outlive their session.

use super::{
    Pod,
    talk::{Said, Sentinel, bodies, consume, done, leave, message, name, put, selected, until, yes},
};
use crate::any_broker::{Frame, Peer as _};

pub(super) async fn fan_out(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}", name("topic"));
    let (mut one, mut other) = (pod.client().await, pod.client().await);
    consume(&mut one, &topic, "").await?;
    consume(&mut other, &topic, "").await?;
    put(&mut pod.client().await, &topic, "", "x").await?;
    let got = [message(&mut one).await?, message(&mut other).await?];
    Ok(yes(bodies(&got) == ["x", "x"], bodies(&got)))
}

/// What of these ends of a destination matches others; `destinations` begin with this.
pub(super) async fn matching(pod: &Pod, prefix: &str) -> Said<String> {
    let (mut work, mut refused) = (Vec::new(), None);
    for (wildcard, path) in [("*", "a"), ("#", "a.b"), (">", "a.b"), ("**", "a.b")] {
        match is_matched(pod, &format!("{prefix}{}", name("wild")), wildcard, path).await {
            Ok(true) => work.push(format!("`{wildcard}`")),
            Ok(false) => {}
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if work.is_empty() => Err(error),
        _ if work.is_empty() => Ok("no".to_owned()),
        _ => Ok(work.join(" ")),
    }
}

async fn is_matched(pod: &Pod, destination: &str, wildcard: &str, path: &str) -> Said<bool> {
    let sentinel = Sentinel::new();
    let (mut client, mut sender) = (pod.client().await, pod.client().await);
    sentinel.watch(&mut client).await?;
    let before = consume(&mut client, &format!("{destination}.{wildcard}"), "").await?;
    put(&mut sender, &format!("{destination}.{path}"), "", "x").await?;
    Ok(!sentinel.rest(&mut client, &mut sender, before).await?.is_empty())
}

pub(super) async fn wildcards(pod: &Pod) -> Said<String> {
    matching(pod, "/topic/").await
}

pub(super) async fn slashes(pod: &Pod) -> Said<String> {
    consume(&mut pod.client().await, &format!("/topic/{}/b", name("slashes")), "").await?;
    Ok("yes".to_owned())
}

pub(super) async fn selector(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}", name("selector"));
    let mut client = pod.client().await;
    consume(&mut client, &topic, "selector:colour = 'red'\n").await?;
    for (colour, body) in [("blue", "1"), ("red", "2"), ("red", "last")] {
        client.send_frame(&format!("SEND\ndestination:{topic}\ncolour:{colour}\n\n{body}")).await;
    }
    Ok(selected(&until(&mut client, Vec::new(), "last").await?))
}

pub(super) async fn delayed(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}", name("delayed"));
    let mut client = pod.client().await;
    consume(&mut client, &topic, "").await?;
    client.send_frame(&format!("SEND\ndestination:{topic}\nx-delay:2000\n\nlater")).await;
    client.send(&topic, "now").await;
    Ok(in_turn(&[message(&mut client).await?, message(&mut client).await?]))
}

/// Whether a message that was sent first was delayed.
pub(super) fn in_turn(given: &[Frame; 2]) -> String {
    match bodies(given)[..] {
        ["now", "later"] => "yes".to_owned(),
        ["later", "now"] => "ignored".to_owned(),
        ref other => format!("{other:?}"),
    }
}

/// The ways in which the engines have durable subscriptions named.
const NAMES: [&str; 3] = ["durable", "activemq.subscriptionName", "durable-subscription-name"];

/// A subscription with this name, in these ways, that is away while messages are sent; what it gets when it is back. The
/// headers of the last message must be such that it gets that too.
async fn away(pod: &Pod, topic: &str, ways: &[&str], more: &str, sent: &[(&str, &str)]) -> Said<Vec<Frame>> {
    let name = name("d");
    let value = |way: &str| if way == "durable" { "true".to_owned() } else { name.clone() };
    let ways = ways.iter().map(|way| format!("{way}:{}\n", value(way))).collect::<Vec<_>>().concat();
    let subscribe = format!("SUBSCRIBE\nid:{name}\ndestination:{topic}\n{ways}{more}auto-delete:false\n\n");
    let connect = format!("client-id:{name}\n");
    let mut client = pod.named(&connect).await;
    done(&mut client, &subscribe).await?;
    leave(client).await?;
    pod.alone().await;
    let mut sender = pod.client().await;
    for (headers, body) in sent {
        put(&mut sender, topic, &format!("persistent:true\n{headers}"), body).await?;
    }
    let mut client = pod.named(&connect).await;
    let before = done(&mut client, &subscribe).await?;
    put(&mut sender, topic, sent.last().map_or("", |(headers, _)| headers), "last").await?;
    let given = until(&mut client, before, "last").await?;
    leave(sender).await?;
    leave(client).await?;
    pod.alone().await;
    Ok(given)
}

pub(super) async fn durable(pod: &Pod) -> Said<String> {
    let mut work = Vec::new();
    for way in NAMES {
        let topic = format!("/topic/{}", name("durable"));
        if !away(pod, &topic, &[way], "", &[("", "while away")]).await?.is_empty() {
            work.push(format!("`{way}`"));
        }
    }
    Ok(work.join(" "))
}

pub(super) async fn durable_undeclared(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}.b", name("durable"));
    let given = away(pod, &topic, &NAMES, "", &[("", "while away")]).await?;
    Ok(yes(bodies(&given) == ["while away"], bodies(&given)))
}

pub(super) async fn durable_selector(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}", name("durable"));
    let sent = [("colour:blue\n", "1"), ("colour:red\n", "2")];
    Ok(selected(&away(pod, &topic, &NAMES, "selector:colour = 'red'\n", &sent).await?))
}

pub(super) async fn shared(pod: &Pod) -> Said<String> {
    let topic = format!("/topic/{}", name("shared"));
    let queue = format!("x-queue-name:{}\n", name("workers"));
    let mut workers = [(pod.client().await, Sentinel::new()), (pod.client().await, Sentinel::new())];
    let mut sender = pod.client().await;
    for (worker, sentinel) in &mut workers {
        sentinel.watch(worker).await?;
        consume(worker, &topic, &queue).await?;
    }
    for body in ["1", "2"] {
        put(&mut sender, &topic, "", body).await?;
    }
    let mut given = Vec::new();
    for (worker, sentinel) in &mut workers {
        given.extend(sentinel.rest(worker, &mut sender, Vec::new()).await?);
    }
    let mut given = bodies(&given);
    given.sort_unstable();
    Ok(match given[..] {
        ["1", "2"] => "yes".to_owned(),
        ["1", "1", "2", "2"] => "ignored".to_owned(),
        ref other => format!("{other:?}"),
    })
}

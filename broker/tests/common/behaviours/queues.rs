//! Queues, those of users and temporary ones among them, and transactions.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::{
    Pod, World,
    talk::{Said, Sentinel, bodies, consume, done, first, heeded, leave, message, name, put, selected, until, yes},
    topics::{in_turn, matching},
};
use crate::any_broker::Peer as _;

pub(super) async fn receipt_of_a_send(pod: &Pod) -> Said<String> {
    put(&mut pod.client().await, &format!("/queue/{}", name("receipt")), "", "x").await?;
    Ok("yes".to_owned())
}

pub(super) async fn receipts_after_the_end_of_input(pod: &Pod) -> Said<String> {
    let (mut client, queue) = (pod.client().await, name("half-closed"));
    let send = |number: u8| format!("SEND\ndestination:/queue/{queue}\nreceipt:{number}\n\nx\0");
    client.write((0..10).map(send).collect::<Vec<_>>().concat().as_bytes()).await;
    client.stream.shutdown().await.unwrap();
    for number in 0..10_u8 {
        let frame = client.frame().await;
        assert_eq!(frame.header("receipt-id"), Some(&*number.to_string()), "{frame:?}");
    }
    client.end().await;
    Ok("yes".to_owned())
}

pub(super) async fn order(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("order"));
    let mut client = pod.client().await;
    for number in 0..50 {
        client.send(&queue, &number.to_string()).await;
    }
    put(&mut client, &queue, "", "last").await?;
    let before = consume(&mut client, &queue, "").await?;
    let frames = until(&mut client, before, "last").await?;
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    Ok(yes(bodies(&frames) == expected, bodies(&frames)))
}

pub(super) async fn transactions(pod: &Pod) -> Said<String> {
    let destinations = ["queue", "topic"].map(|kind| format!("/{kind}/{}", name("transaction")));
    let (mut sender, mut consumer) = (pod.client().await, pod.client().await);
    for destination in &destinations {
        let subscribe = format!("SUBSCRIBE\nid:{destination}\ndestination:{destination}\n\n");
        done(&mut consumer, &subscribe).await?;
    }
    for (transaction, body) in [("a", "aborted"), ("c", "committed")] {
        sender.send_frame(&format!("BEGIN\ntransaction:{transaction}\n\n")).await;
        for destination in &destinations {
            let send = format!("SEND\ndestination:{destination}\ntransaction:{transaction}\n\n{body}");
            sender.send_frame(&send).await;
        }
    }
    let [queue, topic] = &destinations;
    put(&mut sender, queue, "", "before").await?;
    done(&mut sender, "ABORT\ntransaction:a\n\n").await?;
    done(&mut sender, "COMMIT\ntransaction:c\n\n").await?;
    put(&mut sender, queue, "", "last").await?;
    put(&mut sender, topic, "", "last").await?;
    let given = until(&mut consumer, Vec::new(), "last").await?;
    let more = until(&mut consumer, Vec::new(), "last").await?;
    let mut given = [bodies(&given), bodies(&more)].concat();
    given.sort_unstable();
    Ok(yes(given == ["before", "committed", "committed"], given))
}

pub(super) async fn wildcards(pod: &Pod) -> Said<String> {
    matching(pod, "/queue/").await
}

pub(super) async fn selector(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("selector"));
    let (mut client, mut sender) = (pod.client().await, pod.client().await);
    for (colour, body) in [("blue", "1"), ("red", "2")] {
        put(&mut sender, &queue, &format!("colour:{colour}\n"), body).await?;
    }
    let before = consume(&mut client, &queue, "selector:colour = 'red'\n").await?;
    put(&mut sender, &queue, "colour:red\n", "last").await?;
    Ok(selected(&until(&mut client, before, "last").await?))
}

pub(super) async fn browser(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("browser"));
    let (mut browser, mut client) = (pod.client().await, pod.client().await);
    put(&mut client, &queue, "", "x").await?;
    let before = consume(&mut browser, &queue, "browser:true\n").await?;
    let seen = first(&mut browser, before).await?;
    assert_eq!(seen.text(), "x", "{seen:?}");
    leave(browser).await?;
    let before = consume(&mut client, &queue, "").await?;
    client.send(&queue, "last").await;
    let left = until(&mut client, before, "last").await?;
    Ok(heeded(bodies(&left) == ["x"]))
}

pub(super) async fn exclusive(pod: &Pod) -> Said<String> {
    let (queue, sentinel) = (format!("/queue/{}", name("exclusive")), Sentinel::new());
    let (mut one, mut other, mut sender) = (pod.client().await, pod.client().await, pod.client().await);
    sentinel.watch(&mut other).await?;
    consume(&mut one, &queue, "exclusive:true\n").await?;
    if consume(&mut other, &queue, "").await.is_err() {
        return Ok("others are refused".to_owned());
    }
    for number in 0..10 {
        put(&mut sender, &queue, "", &number.to_string()).await?;
    }
    let given = sentinel.rest(&mut other, &mut sender, Vec::new()).await?;
    Ok(heeded(given.is_empty()))
}

pub(super) async fn time_to_live(pod: &Pod) -> Said<String> {
    const TIME_TO_LIVE: &str = "x-message-ttl:3000\n";
    let queue = format!("/queue/{}", name("ttl"));
    let (mut client, mut sender) = (pod.client().await, pod.client().await);
    consume(&mut client, &queue, TIME_TO_LIVE).await?;
    done(&mut client, "UNSUBSCRIBE\nid:0\n\n").await?;
    put(&mut sender, &queue, TIME_TO_LIVE, "x").await?;
    sleep(Duration::from_secs(4)).await;
    let before = consume(&mut client, &queue, TIME_TO_LIVE).await?;
    put(&mut sender, &queue, TIME_TO_LIVE, "last").await?;
    let given = until(&mut client, before, "last").await?;
    Ok(heeded(given.is_empty()))
}

pub(super) async fn delayed(pod: &Pod) -> Said<String> {
    let queue = format!("/queue/{}", name("delayed"));
    let mut client = pod.client().await;
    consume(&mut client, &queue, "").await?;
    client.send_frame(&format!("SEND\ndestination:{queue}\nx-delay:2000\n\nlater")).await;
    client.send(&queue, "now").await;
    Ok(in_turn(&[message(&mut client).await?, message(&mut client).await?]))
}

pub(super) async fn temporary(pod: &Pod) -> Said<String> {
    let (queue, sentinel) = (format!("/queue/{}", name("requests")), Sentinel::new());
    let (mut client, mut service) = (pod.client().await, pod.client().await);
    sentinel.watch(&mut client).await?;
    consume(&mut service, &queue, "").await?;
    put(&mut client, &queue, "reply-to:/temp-queue/answers\n", "question").await?;
    let request = message(&mut service).await?;
    let reply_to = request.header("reply-to").unwrap_or_default().to_owned();
    put(&mut service, &reply_to, "", "answer").await?;
    let replies = sentinel.rest(&mut client, &mut service, Vec::new()).await?;
    Ok(if bodies(&replies) == ["answer"] { "yes" } else { "no" }.to_owned())
}

pub(super) async fn users(pod: &Pod) -> Said<String> {
    let queue = name("user");
    let mut ann = pod.named("login:ann\npasscode:pa:ss\n").await;
    consume(&mut ann, &format!("/user/queue/{queue}"), "").await?;
    put(&mut pod.client().await, &format!("/user/ann/queue/{queue}"), "", "hello ann").await?;
    let given = message(&mut ann).await?;
    Ok(yes(given.text() == "hello ann", given))
}

/// What holds the messages is ended and comes again.
pub(super) async fn restart(world: &mut impl World) -> Said<String> {
    let queue = format!("/queue/{}", name("restart"));
    let mut client = world.pod().client().await;
    put(&mut client, &queue, "persistent:true\n", "kept").await?;
    leave(client).await?;
    world.restart().await;
    world.pod().ready().await;
    let mut client = world.pod().client().await;
    let before = consume(&mut client, &queue, "").await?;
    client.send(&queue, "last").await;
    let given = until(&mut client, before, "last").await?;
    Ok(if bodies(&given) == ["kept"] { "kept".to_owned() } else { format!("{:?}", bodies(&given)) })
}

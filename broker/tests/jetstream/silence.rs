//! A line to NATS that carries nothing for a while, without an end: a zone that is cut off, a server that hangs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    nats::Nats,
    queues::{consume, send_safely, settle},
    support::{BrokerUnderTest, Peer, config_with},
};

/// A line that can be made silent.
struct Line {
    port: u16,
    /// Connections that have been made.
    made: Arc<AtomicUsize>,
    /// Those up to this number carry nothing.
    silent: Arc<watch::Sender<usize>>,
    accepting: JoinHandle<()>,
}

impl Line {
    async fn to(nats: &Nats) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silent, made) = (Arc::new(watch::channel(0).0), Arc::<AtomicUsize>::default());
        let (target, news, count) = (nats.url().replace("nats://", ""), silent.clone(), made.clone());
        let accepting = tokio::spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                lines.spawn(carry(near_read, far_write, number, news.subscribe()));
                lines.spawn(carry(far_read, near_write, number, news.subscribe()));
            }
        });
        Self { port, made, silent, accepting }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Lets nothing more through the connections that there are; new ones work.
    fn fall_silent(&self) {
        self.silent.send_replace(self.connections());
    }

    /// Lets nothing more through, whoever comes.
    fn fall_silent_for_all(&self) {
        self.silent.send_replace(usize::MAX);
    }

    /// Connections that there were.
    fn connections(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Lets through what was held back, and all that follows.
    fn speak(&self) {
        self.silent.send_replace(0);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, mut silent: watch::Receiver<usize>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(octets @ 1..) = from.read(&mut buffer).await {
        let spoken = silent.wait_for(|silent| number > *silent).await.is_ok();
        if !spoken || to.write_all(&buffer[..octets]).await.is_err() {
            return;
        }
    }
}

fn config_over(urls: &[String]) -> String {
    config_with(&format!("servers: ['{}'], prefix: silence", urls.join("', '")), "")
}

#[tokio::test]
async fn a_server_that_says_nothing_any_more_is_left_and_what_was_sent_meanwhile_gets_its_receipt() {
    let nats = Nats::start("");
    let line = Line::to(&nats).await;
    let broker = BrokerUnderTest::start(&config_over(&[line.url()]));
    let mut client = broker.tcp_session().await;
    send_safely(&mut client, "/queue/jobs", "before").await;
    line.fall_silent();
    send_safely(&mut client, "/queue/jobs", "meanwhile").await;
}

#[tokio::test]
async fn what_another_pod_acknowledged_while_the_line_was_silent_is_not_delivered_here_afterwards() {
    let nats = Nats::start("");
    let line = Line::to(&nats).await;
    let cut = BrokerUnderTest::start(&config_over(&[line.url()]));
    let free = BrokerUnderTest::start(&config_over(&[nats.url()]));
    let mut here = cut.tcp_session().await;
    consume(&mut here, "/queue/jobs", "").await;
    let mut there = free.tcp_session().await;
    // The pod that is cut off has asked for messages before.
    send_safely(&mut there, "/queue/jobs", "first").await;
    let first = here.frame().await;
    settle(&mut here, "ACK", &first, "receipt:done\n").await;
    assert_eq!((first.text(), here.frame().await.header("receipt-id")), ("first", Some("done")));

    line.fall_silent();
    send_safely(&mut there, "/queue/jobs", "for somebody else").await;
    consume(&mut there, "/queue/jobs", "").await;
    let frame = there.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("for somebody else", Some("true")));
    settle(&mut there, "ACK", &frame, "receipt:done\n").await;
    assert_eq!(there.frame().await.header("receipt-id"), Some("done"));
    drop(there);
    line.speak();
    let mut sender = free.tcp_session().await;
    send_safely(&mut sender, "/queue/jobs", "next").await;
    assert_eq!(here.frame().await.text(), "next");
}

#[tokio::test]
async fn a_session_goes_on_with_another_server_when_its_own_is_cut_off() {
    let nats = Nats::start("");
    let lines = [Line::to(&nats).await, Line::to(&nats).await];
    let broker = BrokerUnderTest::start(&config_over(&lines.each_ref().map(Line::url)));
    let mut client = broker.tcp_session().await;
    send_safely(&mut client, "/queue/jobs", "before").await;
    lines.iter().find(|line| line.connections() > 0).unwrap().fall_silent_for_all();
    send_safely(&mut client, "/queue/jobs", "meanwhile").await;
    send_safely(&mut client, "/queue/jobs", "after").await;
}

#[tokio::test]
async fn what_another_pod_acknowledged_while_the_line_was_silent_is_not_given_on_here_when_its_client_goes() {
    let nats = Nats::start("");
    let line = Line::to(&nats).await;
    let cut = BrokerUnderTest::start(&config_over(&[line.url()]));
    let free = BrokerUnderTest::start(&config_over(&[nats.url()]));
    let (mut goes, mut stays, mut there) = (cut.tcp_session().await, cut.tcp_session().await, free.tcp_session().await);
    consume(&mut goes, "/queue/jobs", "").await;
    send_safely(&mut there, "/queue/jobs", "held by who goes").await;
    assert_eq!(goes.frame().await.text(), "held by who goes");
    consume(&mut stays, "/queue/jobs", "receipt:subscribed\n").await;
    assert_eq!(stays.frame().await.header("receipt-id"), Some("subscribed"));

    line.fall_silent();
    consume(&mut there, "/queue/jobs", "").await;
    let frame = there.frame().await;
    assert_eq!((frame.text(), frame.header("redelivered")), ("held by who goes", Some("true")));
    settle(&mut there, "ACK", &frame, "receipt:done\n").await;
    assert_eq!(there.frame().await.header("receipt-id"), Some("done"));
    drop((goes, there));
    line.speak();
    let mut sender = free.tcp_session().await;
    send_safely(&mut sender, "/queue/jobs", "next").await;
    assert_eq!(stays.frame().await.text(), "next");
}

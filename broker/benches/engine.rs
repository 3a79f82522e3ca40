//! What the embedded engine costs a delivery, without sockets: `cargo bench -p stompbroker --bench engine`.
//!
//! Prints numbers for people to compare; it passes or fails nothing.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "printing is what this program is for, and a failure ends it"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use stompbroker::{
    engine::{
        Acknowledge, DeliveryTag, Engine, EngineSession, Event, Operation, SessionInfo, Settlement, Subscription,
        SubscriptionKey, embedded::EmbeddedEngine,
    },
    mailbox::Mailbox,
    message::Message,
};

const SUBSCRIBERS: usize = 100;
const BATCH: usize = 50;
const BATCHES: usize = 400;
const PING_PONGS: u32 = 200_000;
const KEY: SubscriptionKey = SubscriptionKey(0);

struct Session {
    mailbox: Arc<Mailbox>,
    half: Box<dyn EngineSession>,
}

impl Session {
    fn open(engine: &EmbeddedEngine) -> Self {
        let mailbox = Arc::new(Mailbox::new(1 << 30));
        let info = SessionInfo { id: "bench".into(), user: "bench".into(), virtual_host: None, client_id: None };
        Self { half: engine.open(&info, Arc::clone(&mailbox)).unwrap(), mailbox }
    }

    fn subscribe(&mut self, destination: &str, acknowledge: Acknowledge) {
        let destination = destination.into();
        let subscription = Subscription { key: KEY, destination, acknowledge, prefetch: None, headers: vec![] };
        self.half.submit(Operation::Subscribe(subscription), None);
    }

    fn send(&mut self, message: &Arc<Message>) {
        self.half.submit(Operation::Send(Arc::clone(message)), None);
    }

    /// Sends messages as a connection does that has read all of them at once.
    fn send_all(&mut self, messages: &[Arc<Message>]) {
        for message in messages {
            self.send(message);
        }
        self.half.flush();
    }

    /// What a connection does with its mailbox: takes all, writes it, releases its octets.
    fn drain(&self, batch: &mut Vec<Event>, mut settle: impl FnMut(DeliveryTag)) {
        self.mailbox.take(batch);
        let mut octets = 0;
        for event in batch.drain(..) {
            match event {
                Event::Delivery(delivery) => {
                    octets += delivery.message.size();
                    delivery.tag.into_iter().for_each(&mut settle);
                }
                Event::Broadcast(_, batch) => octets += batch.size(),
                _ => {}
            }
        }
        self.mailbox.release(octets);
    }
}

fn message(destination: &str) -> Arc<Message> {
    let headers = vec![("content-type".into(), "application/json".into()), ("priority".into(), "4".into())];
    Arc::new(Message::new("bench-1".into(), destination.into(), headers, vec![b'x'; 200].into(), true))
}

fn engine() -> EmbeddedEngine {
    EmbeddedEngine::new(&stompbroker_config::EmbeddedEngine::default())
}

fn per(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// One publisher, mailboxes emptied between batches: only the publisher's work is counted.
fn fan_out(pattern: &str, acknowledge: Acknowledge) -> f64 {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut receivers: Vec<Session> = (0..SUBSCRIBERS).map(|_| Session::open(&engine)).collect();
    for receiver in &mut receivers {
        receiver.subscribe(pattern, acknowledge);
    }
    let (mut spent, mut batch) = (Duration::ZERO, Vec::new());
    for _ in 0..BATCHES {
        let messages: Vec<_> = (0..BATCH).map(|_| message("/topic/prices.eur")).collect();
        let start = Instant::now();
        sender.send_all(&messages);
        spent += start.elapsed();
        for receiver in &mut receivers {
            let mut tags = Vec::new();
            receiver.drain(&mut batch, |tag| tags.push(tag));
            let accept = Operation::Settle { subscription: KEY, deliveries: tags, settlement: Settlement::Accept };
            receiver.half.submit(accept, None);
        }
    }
    per(spent, BATCHES * BATCH * SUBSCRIBERS)
}

/// One publisher and one thread that empties all mailboxes at the same time.
fn fan_out_with_reader() -> f64 {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut receivers: Vec<Session> = (0..SUBSCRIBERS).map(|_| Session::open(&engine)).collect();
    for receiver in &mut receivers {
        receiver.subscribe("/topic/prices.eur", Acknowledge::WhenWritten);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            let mut batch = Vec::new();
            while !done.load(Ordering::Relaxed) {
                for receiver in &receivers {
                    receiver.drain(&mut batch, |_| {});
                }
            }
        });
        let start = Instant::now();
        for _ in 0..BATCHES {
            let messages: Vec<_> = (0..BATCH).map(|_| message("/topic/prices.eur")).collect();
            sender.send_all(&messages);
        }
        let spent = start.elapsed();
        done.store(true, Ordering::Relaxed);
        per(spent, BATCHES * BATCH * SUBSCRIBERS)
    })
}

/// SEND, delivery and ACK of one message after the other.
fn ping_pong() -> f64 {
    let engine = engine();
    let (mut sender, mut receiver) = (Session::open(&engine), Session::open(&engine));
    receiver.subscribe("/queue/jobs", Acknowledge::ByClient);
    let (job, mut batch) = (message("/queue/jobs"), Vec::new());
    let start = Instant::now();
    for _ in 0..PING_PONGS {
        sender.send(&job);
        let mut tags = Vec::with_capacity(1);
        receiver.drain(&mut batch, |tag| tags.push(tag));
        let accept = Operation::Settle { subscription: KEY, deliveries: tags, settlement: Settlement::Accept };
        receiver.half.submit(accept, None);
    }
    per(start.elapsed(), PING_PONGS as usize)
}

fn main() {
    let exact = fan_out("/topic/prices.eur", Acknowledge::WhenWritten);
    println!("topic 1x{SUBSCRIBERS}, ack auto:          {exact:7.0} ns per delivery");
    println!("topic 1x{SUBSCRIBERS}, ack auto, readers: {:7.0} ns per delivery", fan_out_with_reader());
    let wildcard = fan_out("/topic/prices.*", Acknowledge::WhenWritten);
    println!("wildcard 1x{SUBSCRIBERS}, ack auto:       {wildcard:7.0} ns per delivery");
    let windowed = fan_out("/topic/prices.eur", Acknowledge::ByClient);
    println!("topic 1x{SUBSCRIBERS}, ack client:        {windowed:7.0} ns per delivery");
    println!("queue ping-pong:              {:7.0} ns per message (send, deliver, settle)", ping_pong());
}

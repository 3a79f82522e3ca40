//! Many threads at once: publishers, consumers that come and go, nothing lost and nothing doubled.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::*;

const PUBLISHERS: u64 = 3;
const CONSUMERS: u64 = 4;
const MESSAGES: u64 = 4000;
const QUEUES: u64 = 3;
const DEADLINE: Duration = Duration::from_mins(1);

/// Ends the other threads of a scope also when an assertion fails, which would otherwise wait for them for ever.
pub(super) struct EndsOthers<'a>(pub(super) &'a AtomicBool);

impl Drop for EndsOthers<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn queue(index: u64) -> String {
    format!("/queue/stress{}", index % QUEUES)
}

/// Takes part until `done`: subscribes, accepts most of what it gets, gives the rest back, and leaves now and then.
fn consume(engine: &EmbeddedEngine, index: u64, done: &AtomicBool, accepted_in_all: &AtomicU64) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut round = index;
    while !done.load(Ordering::Relaxed) {
        round += 1;
        let mut session = Session::with_capacity(engine, 2000);
        let acknowledge = if round.is_multiple_of(2) { Acknowledge::ByClient } else { Acknowledge::WhenWritten };
        session.subscribe(1, &queue(round), acknowledge, 5);
        session.subscribe(2, &queue(round + 1), acknowledge, 1);
        for turn in 0..200_u64 {
            let deliveries = session.receive();
            if deliveries.is_empty() {
                thread::yield_now();
            }
            for (position, delivery) in deliveries.into_iter().enumerate() {
                let settlement = if (turn + position as u64 + round).is_multiple_of(5) {
                    Settlement::Requeue
                } else {
                    accepted.push(body(&delivery).to_owned());
                    accepted_in_all.fetch_add(1, Ordering::Relaxed);
                    Settlement::Accept
                };
                session.settle(&[delivery], settlement);
            }
        }
        if round.is_multiple_of(3) {
            session.unsubscribe(1);
        }
    }
    accepted
}

fn run() {
    let engine = Arc::new(engine_with(1 << 30, 10));
    let (done, accepted_in_all) = (AtomicBool::new(false), AtomicU64::new(0));
    let accepted: Vec<String> = thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|index| {
                scope.spawn({
                    let (engine, done, total) = (&engine, &done, &accepted_in_all);
                    move || consume(engine, index, done, total)
                })
            })
            .collect();
        for publisher in 0..PUBLISHERS {
            let engine = &engine;
            scope.spawn(move || {
                let mut session = Session::open(engine);
                for number in 0..MESSAGES {
                    session.send(&queue(number), &format!("{publisher}-{number}"));
                }
            });
        }
        while accepted_in_all.load(Ordering::Relaxed) < PUBLISHERS * MESSAGES {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
        consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect()
    });
    let mut times: HashMap<String, u32> = HashMap::new();
    for body in accepted {
        *times.entry(body).or_default() += 1;
    }
    assert_eq!(times.len() as u64, PUBLISHERS * MESSAGES);
    assert!(times.values().all(|&count| count == 1), "something was accepted twice");
    assert!(engine.destinations().is_empty(), "{:?}", engine.destinations());
}

#[test]
fn every_message_is_accepted_exactly_once_while_consumers_come_and_go() {
    let (finished, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        run();
        finished.send(()).unwrap();
    });
    // A deadlock shows as a timeout, a failed assertion as a closed channel.
    match wait.recv_timeout(DEADLINE) {
        Ok(()) => {}
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().unwrap_err()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not finished in {DEADLINE:?}"),
    }
}

#[test]
fn no_delivery_follows_the_answer_to_an_unsubscribe_while_others_publish() {
    let engine = Arc::new(engine());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut session = Session::open(&engine);
                while !done.load(Ordering::Relaxed) {
                    session.send("/topic/a", "1");
                }
            });
        }
        let _end = EndsOthers(&done);
        let mut session = Session::open(&engine);
        let mut seen = 0;
        for destination in ["/topic/a", "/topic/*"].iter().cycle().take(4000) {
            session.subscribe(1, destination, Acknowledge::WhenWritten, 1);
            thread::yield_now();
            session.unsubscribe(1);
            // All that came before the answer has been taken with it.
            seen += std::mem::take(&mut session.deliveries).len();
            thread::yield_now();
            session.collect();
            assert_eq!(session.deliveries.len(), 0, "a delivery followed the answer");
        }
        assert!(seen > 0, "nothing was delivered at all");
    });
}

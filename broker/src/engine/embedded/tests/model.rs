//! Random interleavings on one queue against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const QUEUE: &str = "/queue/model";
const SESSIONS: usize = 3;
const KEYS: u32 = 2;
const MAX_DELIVERIES: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Subscribe {
        session: usize,
        key: u32,
        acknowledge: bool,
        prefetch: u32,
    },
    Unsubscribe {
        session: usize,
        key: u32,
    },
    /// Settles those of the unsettled deliveries whose bit is set.
    Settle {
        session: usize,
        key: u32,
        which: u32,
        settlement: Settlement,
    },
    Reconnect {
        session: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (session, key) = (0..SESSIONS, 0..KEYS);
    let settlement = prop_oneof![
        4 => Just(Settlement::Accept),
        3 => Just(Settlement::Requeue),
        1 => Just(Settlement::Reject),
    ];
    prop_oneof![
        6 => Just(Step::Send),
        3 => (session.clone(), key.clone(), any::<bool>(), 1..4_u32).prop_map(|(session, key, acknowledge, prefetch)| {
            Step::Subscribe { session, key, acknowledge, prefetch }
        }),
        1 => (session.clone(), key.clone()).prop_map(|(session, key)| Step::Unsubscribe { session, key }),
        6 => (session.clone(), key, any::<u32>(), settlement).prop_map(|(session, key, which, settlement)| {
            Step::Settle { session, key, which, settlement }
        }),
        1 => session.prop_map(|session| Step::Reconnect { session }),
    ]
}

/// What a queue is: messages by number, each ready or with one consumer.
#[derive(Default)]
struct Model {
    sent: u32,
    ready: BTreeSet<u32>,
    seen: BTreeSet<u32>,
    /// How often each came back from a client that settles what it gets.
    returns: BTreeMap<u32, u32>,
    consumers: BTreeMap<(usize, u32), Consumer>,
}

struct Consumer {
    prefetch: usize,
    by_client: bool,
    unsettled: Vec<(u32, Delivery)>,
}

impl Model {
    fn remove(&mut self, session: usize, key: u32) {
        let Some(Consumer { by_client, unsettled, .. }) = self.consumers.remove(&(session, key)) else { return };
        for (number, _) in unsettled {
            self.put_back(number, by_client);
        }
    }

    /// Ready again, unless it has been delivered as often as it may be.
    fn put_back(&mut self, number: u32, counts: bool) {
        let returns = self.returns.entry(number).or_default();
        *returns += u32::from(counts);
        if !counts || *returns < MAX_DELIVERIES {
            self.ready.insert(number);
        }
    }

    /// Checks what was delivered after a step, and that nothing is left that could be.
    fn check(&mut self, sessions: &mut [Session]) {
        let mut given = BTreeSet::new();
        for (index, session) in sessions.iter_mut().enumerate() {
            let mut last = BTreeMap::new();
            for delivery in session.receive() {
                let key = delivery.subscription.0;
                let number: u32 = body(&delivery).parse().unwrap();
                assert!(given.insert(number), "{number} was delivered twice");
                assert!(last.insert(key, number) < Some(number), "{number} came out of order");
                assert_eq!(delivery.redelivered, !self.seen.insert(number), "redelivered of {number}");
                let consumer = self.consumers.get_mut(&(index, key)).expect("delivered without a subscription");
                consumer.unsettled.push((number, delivery));
                assert!(consumer.unsettled.len() <= consumer.prefetch, "more than the credit");
            }
        }
        let first: BTreeSet<u32> = self.ready.iter().copied().take(given.len()).collect();
        assert_eq!(given, first, "the oldest go first");
        self.ready.retain(|number| !given.contains(number));
        let credit = self.consumers.values().any(|consumer| consumer.unsettled.len() < consumer.prefetch);
        assert!(self.ready.is_empty() || !credit, "messages wait although there is credit");
    }

    fn status(&self) -> Option<(u64, u64, u64)> {
        let unsettled: usize = self.consumers.values().map(|consumer| consumer.unsettled.len()).sum();
        let status = (self.ready.len() as u64, unsettled as u64, self.consumers.len() as u64);
        (status != (0, 0, 0)).then_some(status)
    }
}

fn carry_out(step: Step, engine: &EmbeddedEngine, sessions: &mut [Session], model: &mut Model) {
    match step {
        Step::Send => {
            sessions[0].try_do(Operation::Send(message(QUEUE, &model.sent.to_string()))).unwrap();
            model.ready.insert(model.sent);
            model.sent += 1;
        }
        Step::Subscribe { session, key, acknowledge, prefetch } => {
            if model.consumers.contains_key(&(session, key)) {
                return;
            }
            let consumer = Consumer { prefetch: prefetch as usize, by_client: acknowledge, unsettled: vec![] };
            let acknowledge = if acknowledge { Acknowledge::ByClient } else { Acknowledge::WhenWritten };
            model.consumers.insert((session, key), consumer);
            sessions[session].subscribe(key, QUEUE, acknowledge, prefetch);
        }
        Step::Unsubscribe { session, key } => {
            model.remove(session, key);
            sessions[session].unsubscribe(key);
        }
        Step::Settle { session, key, which, settlement } => {
            let Some(consumer) = model.consumers.get_mut(&(session, key)) else { return };
            let mut index = 0;
            let settled: Vec<(u32, Delivery)> = consumer
                .unsettled
                .extract_if(.., |_| {
                    index += 1;
                    which >> (index - 1) & 1 == 1
                })
                .collect();
            if settled.is_empty() {
                return;
            }
            if settlement == Settlement::Requeue {
                for (number, _) in &settled {
                    model.put_back(*number, true);
                }
            }
            let deliveries: Vec<Delivery> = settled.into_iter().map(|(_, delivery)| delivery).collect();
            sessions[session].settle(&deliveries, settlement);
        }
        Step::Reconnect { session } => {
            for key in 0..KEYS {
                model.remove(session, key);
            }
            sessions[session] = Session::open(engine);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_lost_or_doubled_and_order_and_credit_are_kept(steps in prop::collection::vec(step(), 1..80)) {
        let engine = engine_where(&[DestinationPolicy {
            max_deliveries: Some(MAX_DELIVERIES),
            dead_letter: Some(DestinationPolicy::DISCARD.to_owned()),
            ..policy(QUEUE)
        }]);
        let mut sessions: Vec<Session> = (0..SESSIONS).map(|_| Session::open(&engine)).collect();
        let mut model = Model::default();
        for step in steps {
            carry_out(step, &engine, &mut sessions, &mut model);
            model.check(&mut sessions);
            assert_eq!(status(&engine, QUEUE), model.status());
        }
    }
}

//! Random interleavings on a queue with groups against rules that are too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{groups::group_ids, *};

const QUEUE: &str = "/queue/model";
const SESSIONS: usize = 3;
const GROUPS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// To a group, or to none; perhaps as its last.
    Send {
        group: Option<usize>,
        closes: bool,
    },
    Subscribe {
        session: usize,
        acknowledge: bool,
        prefetch: u32,
    },
    Unsubscribe {
        session: usize,
    },
    /// Settles those of the unsettled deliveries whose bit is set.
    Settle {
        session: usize,
        which: u32,
        settlement: Settlement,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let settlement = prop_oneof![3 => Just(Settlement::Accept), 1 => Just(Settlement::Requeue)];
    prop_oneof![
        8 => (prop::option::weighted(0.8, 0..GROUPS), prop::bool::weighted(0.1))
            .prop_map(|(group, closes)| Step::Send { group, closes }),
        3 => (0..SESSIONS, any::<bool>(), 1..4_u32)
            .prop_map(|(session, acknowledge, prefetch)| Step::Subscribe { session, acknowledge, prefetch }),
        1 => (0..SESSIONS).prop_map(|session| Step::Unsubscribe { session }),
        6 => (0..SESSIONS, any::<u32>(), settlement)
            .prop_map(|(session, which, settlement)| Step::Settle { session, which, settlement }),
    ]
}

#[derive(Clone, Copy)]
struct Sent {
    group: Option<usize>,
    closes: bool,
}

/// What a queue with groups is: messages by number, each ready or with one consumer, and the consumer of each group.
#[derive(Default)]
struct Model {
    sent: Vec<Sent>,
    ready: BTreeSet<usize>,
    owners: BTreeMap<usize, usize>,
    consumers: BTreeMap<usize, Consumer>,
}

struct Consumer {
    prefetch: usize,
    unsettled: Vec<(usize, Delivery)>,
}

impl Model {
    fn remove(&mut self, session: usize) {
        let Some(consumer) = self.consumers.remove(&session) else { return };
        self.owners.retain(|_, owner| *owner != session);
        self.ready.extend(consumer.unsettled.into_iter().map(|(number, _)| number));
    }

    /// Checks what was delivered after a step, and that nothing waits that could be delivered.
    fn check(&mut self, sessions: &mut [Session]) {
        let mut given = BTreeMap::new();
        for (index, session) in sessions.iter_mut().enumerate() {
            let mut last = None;
            for delivery in session.receive() {
                let number: usize = body(&delivery).parse().unwrap();
                assert!(last.replace(number) < Some(number), "{number} came out of order");
                assert!(given.insert(number, index).is_none(), "{number} was delivered twice");
                let consumer = self.consumers.get_mut(&index).expect("delivered without a subscription");
                consumer.unsettled.push((number, delivery));
                assert!(consumer.unsettled.len() <= consumer.prefetch, "more than the credit");
            }
        }
        // In the order of their numbers, for of one group none can pass another.
        for (number, index) in given {
            assert!(self.ready.remove(&number), "{number} was not ready");
            let Sent { group: Some(group), closes } = self.sent[number] else { continue };
            assert_eq!(*self.owners.entry(group).or_insert(index), index, "{number} went to another consumer");
            if closes {
                self.owners.remove(&group);
            }
        }
        let has_credit = |index: &usize| {
            let consumer = &self.consumers[index];
            consumer.unsettled.len() < consumer.prefetch
        };
        for number in &self.ready {
            let owner = self.sent[*number].group.and_then(|group| self.owners.get(&group));
            let waits_for_nothing = owner.map_or_else(|| self.consumers.keys().any(has_credit), has_credit);
            assert!(!waits_for_nothing, "{number} waits although there is credit");
        }
    }
}

fn carry_out(step: Step, ids: &[String], sessions: &mut [Session], model: &mut Model) {
    match step {
        Step::Send { group, closes } => {
            let number = model.sent.len();
            let mut headers: Vec<Header> = vec![("JMSXGroupSeq".into(), if closes { "-1" } else { "1" }.into())];
            headers.extend(group.map(|group| ("JMSXGroupID".into(), ids[group].as_str().into())));
            sessions[0].try_do(Operation::Send(message_with(QUEUE, &number.to_string(), headers))).unwrap();
            model.sent.push(Sent { group, closes });
            model.ready.insert(number);
        }
        Step::Subscribe { session, acknowledge, prefetch } => {
            if model.consumers.contains_key(&session) {
                return;
            }
            let acknowledge = if acknowledge { Acknowledge::ByClient } else { Acknowledge::WhenWritten };
            model.consumers.insert(session, Consumer { prefetch: prefetch as usize, unsettled: vec![] });
            sessions[session].subscribe(1, QUEUE, acknowledge, prefetch);
        }
        Step::Unsubscribe { session } => {
            model.remove(session);
            sessions[session].unsubscribe(1);
        }
        Step::Settle { session, which, settlement } => {
            let Some(consumer) = model.consumers.get_mut(&session) else { return };
            let mut bits = (0..32).map(|bit| which >> bit & 1 == 1);
            let settled: Vec<_> = consumer.unsettled.extract_if(.., |_| bits.next() == Some(true)).collect();
            if settled.is_empty() {
                return;
            }
            if settlement == Settlement::Requeue {
                model.ready.extend(settled.iter().map(|(number, _)| *number));
            }
            let deliveries: Vec<Delivery> = settled.into_iter().map(|(_, delivery)| delivery).collect();
            sessions[session].settle(&deliveries, settlement);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_group_has_one_consumer_at_a_time_and_nothing_waits_without_need(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let engine = engine_where(&[DestinationPolicy { max_deliveries: Some(0), ..policy(QUEUE) }]);
        let ids = group_ids(GROUPS);
        let mut sessions: Vec<Session> = (0..SESSIONS).map(|_| Session::open(&engine)).collect();
        let mut model = Model::default();
        for step in steps {
            carry_out(step, &ids, &mut sessions, &mut model);
            model.check(&mut sessions);
        }
    }
}

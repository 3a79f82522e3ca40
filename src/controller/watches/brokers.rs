//! The steps of the watches of StompBrokers, of all scopes together, for one store (pure).

use std::collections::{BTreeMap, HashSet};

use kube::{
    Resource as _, ResourceExt as _,
    runtime::{reflector::Store, watcher::Event},
};

use super::{cache::Key, kept::KeptBroker};
use crate::controller::triggers::BrokerRef;

/// The lists that are under way.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    lists: BTreeMap<Option<String>, HashSet<Key>>,
}

/// What one step changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// For the store: only `Apply` and `Delete`.
    pub(super) events: Vec<Event<KeptBroker>>,
    /// The brokers that need a pass.
    pub(super) touched: Vec<Key>,
    /// The brokers that are gone, with their UIDs.
    pub(super) gone: Vec<(Key, String)>,
}

impl Brokers {
    /// Takes one step of the watch of `scope`, with the store as it was before.
    pub(super) fn take(&mut self, scope: Option<&str>, event: Event<KeptBroker>, store: &Store<KeptBroker>) -> Change {
        let list = scope.map(str::to_owned);
        let mut change = Change::default();
        match event {
            Event::Init => {
                self.lists.insert(list, HashSet::new());
            }
            Event::InitApply(broker) | Event::Apply(broker) => {
                let key = key(&broker);
                if let Some(list) = self.lists.get_mut(&list) {
                    list.insert(key.clone());
                }
                change.apply(key, broker, store);
            }
            Event::Delete(broker) => {
                change.gone.push((key(&broker), broker.uid().unwrap_or_default()));
                change.events.push(Event::Delete(broker));
            }
            Event::InitDone => {
                let listed = self.lists.remove(&list).unwrap_or_default();
                for broker in store.state() {
                    let key = key(&broker);
                    if scope.is_none_or(|scope| key.namespace == scope) && !listed.contains(&key) {
                        change.gone.push((key, broker.uid().unwrap_or_default()));
                        change.events.push(Event::Delete((*broker).clone()));
                    }
                }
            }
        }
        change.touched.extend(change.gone.iter().map(|(key, _)| key.clone()));
        change
    }
}

impl Change {
    fn apply(&mut self, key: Key, broker: KeptBroker, store: &Store<KeptBroker>) {
        let relevant = |broker: &KeptBroker| {
            let meta = broker.meta();
            (meta.uid.clone(), meta.generation, meta.annotations.clone(), meta.deletion_timestamp.is_some())
        };
        let before = store.get(&BrokerRef::new(&key.name).within(&key.namespace));
        // The status is only ever written by us, and who writes knows.
        if before.is_none_or(|before| relevant(&before) != relevant(&broker)) {
            self.touched.push(key);
        }
        self.events.push(Event::Apply(broker));
    }
}

fn key(broker: &KeptBroker) -> Key {
    Key::new(broker.namespace().unwrap_or_default(), broker.name_any())
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;

    fn broker(namespace: &str, name: &str, generation: i64) -> KeptBroker {
        let metadata = json!({"namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "generation": generation});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
    }

    struct Fixture {
        brokers: Brokers,
        store: Store<KeptBroker>,
        writer: reflector::store::Writer<KeptBroker>,
    }

    impl Fixture {
        fn new() -> Self {
            let (store, mut writer) = reflector::store();
            writer.apply_watcher_event(&Event::Init);
            writer.apply_watcher_event(&Event::InitDone);
            Self { brokers: Brokers::default(), store, writer }
        }

        fn take(&mut self, scope: Option<&str>, event: Event<KeptBroker>) -> Vec<String> {
            let change = self.brokers.take(scope, event, &self.store);
            for event in &change.events {
                self.writer.apply_watcher_event(event);
            }
            change.touched.into_iter().map(|key| format!("{}/{}", key.namespace, key.name)).collect()
        }
    }

    #[test]
    fn a_pass_is_wanted_for_a_new_generation_but_not_for_our_own_status() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.take(None, Event::Apply(broker("markets", "trading", 1))), ["markets/trading"]);
        assert_eq!(fixture.take(None, Event::Apply(broker("markets", "trading", 1))), [""; 0]);
        assert_eq!(fixture.take(None, Event::Apply(broker("markets", "trading", 2))), ["markets/trading"]);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let mut fixture = Fixture::new();
        for namespace in ["markets", "shop"] {
            fixture.take(Some(namespace), Event::Init);
            fixture.take(Some(namespace), Event::InitApply(broker(namespace, "trading", 1)));
            assert_eq!(fixture.take(Some(namespace), Event::InitDone), [""; 0]);
        }
        fixture.take(Some("shop"), Event::Init);
        assert_eq!(fixture.take(Some("shop"), Event::InitDone), ["shop/trading"]);
        assert_eq!(fixture.store.len(), 1);
    }

    #[test]
    fn a_successor_of_the_same_name_and_generation_wants_a_pass() {
        let mut fixture = Fixture::new();
        fixture.take(None, Event::Apply(broker("markets", "trading", 1)));
        let mut successor = broker("markets", "trading", 1);
        successor.meta_mut().uid = Some("other".to_owned());
        assert_eq!(fixture.take(None, Event::Apply(successor)), ["markets/trading"]);
    }
}

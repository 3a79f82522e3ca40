//! What a watch has shown, reduced to what is needed (pure).
//!
//! Answers to the operator's own writes go in here too, so that a pass never sees the world as it was before the pass
//! before it. Versions order the two: `resourceVersion` is a number that grows with each write of a kind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::uid::Uid;

/// A namespaced name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// What can be cached.
pub(crate) trait Entry {
    /// `metadata.uid`.
    fn uid(&self) -> Uid;
    /// `metadata.resourceVersion` as a number; 0 when it is none.
    fn version(&self) -> u64;
    /// Name of the StompBroker that it belongs to, in the same namespace.
    fn broker(&self) -> Option<&str>;
    /// Whether a pass would see any difference between the two.
    fn differs(&self, other: &Self) -> bool;
}

/// One step of a watch.
#[derive(Debug)]
pub(crate) enum Step<V> {
    /// A new list begins.
    Init,
    /// The object is like this now; within a list or after it.
    Upsert(Key, V),
    /// The list is complete: what it did not have is gone.
    InitDone,
    /// The object with this UID is gone.
    Delete(Key, String),
}

/// All objects of one kind that the watches of all scopes have shown.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    namespaces: HashMap<Box<str>, Shelf<V>>,
    /// Names of the lists that are under way, by scope.
    lists: BTreeMap<Option<String>, HashSet<Key>>,
}

/// The objects of one namespace. Never empty.
///
/// They lie with their brokers, since a map of all names needs as much room again. The names of children begin with their broker's,
/// so that they are found by their own as well.
#[derive(Debug)]
struct Shelf<V> {
    /// The objects of each broker, in the order of their names. Never empty.
    brokers: HashMap<Box<str>, Vec<(Box<str>, V)>>,
    /// What belongs to no broker, or to one by whose name its own does not begin.
    others: BTreeMap<Box<str>, V>,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self { namespaces: HashMap::new(), lists: BTreeMap::new() }
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self { brokers: HashMap::new(), others: BTreeMap::new() }
    }
}

impl<V: Entry> Cache<V> {
    /// Takes one step of the watch of `scope` (a namespace, or all); gives the brokers to which it matters.
    pub(crate) fn step(&mut self, scope: Option<&str>, step: Step<V>) -> BTreeSet<Key> {
        let scope_key = scope.map(str::to_owned);
        match step {
            Step::Init => {
                self.lists.insert(scope_key, HashSet::new());
                BTreeSet::new()
            }
            Step::Upsert(key, value) => {
                if let Some(list) = self.lists.get_mut(&scope_key) {
                    list.insert(key.clone());
                }
                self.put(&key, value)
            }
            Step::InitDone => {
                let list = self.lists.remove(&scope_key).unwrap_or_default();
                let inside = self.iter().filter(|(namespace, ..)| scope.is_none_or(|scope| *namespace == scope));
                let keys = inside.map(|(namespace, name, _)| Key::new(namespace, name));
                let gone: Vec<Key> = keys.filter(|key| !list.contains(key)).collect();
                gone.iter().filter_map(|key| self.remove(key)).collect()
            }
            Step::Delete(key, uid) => {
                if self.get(&key).is_some_and(|entry| entry.uid() == Uid::new(&uid)) {
                    self.remove(&key).into_iter().collect()
                } else {
                    BTreeSet::new()
                }
            }
        }
    }

    /// Puts what is newer than what is known; gives the brokers to which it matters.
    pub(crate) fn put(&mut self, key: &Key, value: V) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        let shelf = self.namespaces.get_mut(&*key.namespace);
        if let Some(old) = shelf.and_then(|shelf| shelf.get_mut(&key.name)) {
            if old.uid() == value.uid() && old.version() > value.version() {
                return touched;
            }
            if !old.differs(&value) && old.broker() == value.broker() {
                *old = value;
                return touched;
            }
        }
        touched.extend(self.remove(key));
        touched.extend(value.broker().map(|broker| Key::new(key.namespace.clone(), broker)));
        self.namespaces.entry(key.namespace.as_str().into()).or_default().insert(&key.name, value);
        touched
    }

    /// The object of that name.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        self.namespaces.get(&*key.namespace)?.get(&key.name)
    }

    /// The objects that belong to `broker`, each with its name.
    pub(crate) fn of_broker<'a>(&'a self, broker: &'a Key) -> impl Iterator<Item = (&'a str, &'a V)> {
        self.namespaces.get(&*broker.namespace).into_iter().flat_map(|shelf| shelf.of_broker(&broker.name))
    }

    /// All objects, each with its namespace and its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &V)> {
        self.namespaces
            .iter()
            .flat_map(|(namespace, shelf)| shelf.iter().map(move |(name, value)| (&**namespace, name, value)))
    }

    fn remove(&mut self, key: &Key) -> Option<Key> {
        let shelf = self.namespaces.get_mut(&*key.namespace)?;
        let old = shelf.remove(&key.name)?;
        if shelf.brokers.is_empty() && shelf.others.is_empty() {
            self.namespaces.remove(&*key.namespace);
        }
        Some(Key::new(key.namespace.clone(), old.broker()?))
    }
}

impl<V: Entry> Shelf<V> {
    /// With which broker what has this name lies, and at which place; absent for what lies with none.
    fn find<'a>(&self, name: &'a str) -> Option<(&'a str, usize)> {
        brokers(name).find_map(|broker| Some((broker, place(self.brokers.get(broker)?, name).ok()?)))
    }

    fn get(&self, name: &str) -> Option<&V> {
        match self.find(name) {
            Some((broker, place)) => self.brokers.get(broker)?.get(place).map(|(_, value)| value),
            None => self.others.get(name),
        }
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        match self.find(name) {
            Some((broker, place)) => self.brokers.get_mut(broker)?.get_mut(place).map(|(_, value)| value),
            None => self.others.get_mut(name),
        }
    }

    /// Inserts what is not there.
    fn insert(&mut self, name: &str, value: V) {
        match brokers(name).find(|broker| value.broker() == Some(broker)) {
            Some(broker) => {
                let crew = self.brokers.entry(broker.into()).or_default();
                crew.reserve_exact(1);
                let (Ok(place) | Err(place)) = place(crew, name);
                crew.insert(place, (name.into(), value));
            }
            None => drop(self.others.insert(name.into(), value)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<V> {
        let Some((broker, place)) = self.find(name) else { return self.others.remove(name) };
        let crew = self.brokers.get_mut(broker)?;
        let (_, value) = crew.remove(place);
        if crew.is_empty() {
            self.brokers.remove(broker);
        }
        Some(value)
    }

    fn of_broker<'a>(&'a self, broker: &'a str) -> impl Iterator<Item = (&'a str, &'a V)> {
        let lying = self.brokers.get(broker).into_iter().flatten().map(|(name, value)| (&**name, value));
        let others = self.others.iter().filter(move |(_, value)| value.broker() == Some(broker));
        lying.chain(others.map(|(name, value)| (&**name, value)))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let lying = self.brokers.values().flatten().map(|(name, value)| (&**name, value));
        lying.chain(self.others.iter().map(|(name, value)| (&**name, value)))
    }
}

/// The names of brokers that a child of this name may have: the name itself, and all that a hyphen ends.
fn brokers(child: &str) -> impl Iterator<Item = &str> {
    std::iter::once(child).chain(child.rmatch_indices('-').map(|(end, _)| &child[..end]))
}

/// Where a name is among some in order, or where it belongs.
fn place<V>(crew: &[(Box<str>, V)], name: &str) -> Result<usize, usize> {
    crew.binary_search_by(|(other, _)| (**other).cmp(name))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing {
        uid: &'static str,
        version: u64,
        broker: Option<&'static str>,
        content: u8,
    }

    impl Entry for Thing {
        fn uid(&self) -> Uid {
            Uid::new(self.uid)
        }
        fn version(&self) -> u64 {
            self.version
        }
        fn broker(&self) -> Option<&str> {
            self.broker
        }
        fn differs(&self, other: &Self) -> bool {
            (self.uid, self.content) != (other.uid, other.content)
        }
    }

    const THING: Thing = Thing { uid: "one", version: 5, broker: Some("trading"), content: 1 };

    /// A child lies with its broker when its name begins with the broker's, as "trading-a" does, and elsewhere when it does not.
    const NAMES: [&str; 2] = ["trading-a", "a"];

    fn key(name: &str) -> Key {
        Key::new("markets", name)
    }

    fn filled(name: &str) -> Cache<Thing> {
        let mut cache = Cache::default();
        cache.step(None, Step::Init);
        cache.step(None, Step::Upsert(key(name), THING));
        cache.step(None, Step::InitDone);
        cache
    }

    fn names(keys: BTreeSet<Key>) -> Vec<String> {
        keys.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn only_a_difference_touches_the_broker() {
        for name in NAMES {
            let mut cache = filled(name);
            let same = Thing { version: 6, ..THING };
            assert_eq!(names(cache.put(&key(name), same)), [""; 0]);
            let other = Thing { version: 7, content: 2, ..THING };
            assert_eq!(names(cache.put(&key(name), other)), ["trading"]);
        }
    }

    #[test]
    fn what_is_older_than_our_own_write_is_ignored() {
        for name in NAMES {
            let mut cache = filled(name);
            cache.put(&key(name), Thing { version: 9, content: 9, ..THING });
            let late = Thing { version: 8, content: 8, ..THING };
            assert_eq!(names(cache.step(None, Step::Upsert(key(name), late))), [""; 0]);
            assert_eq!(cache.get(&key(name)).unwrap().content, 9);
        }
    }

    #[test]
    fn the_deletion_of_a_predecessor_does_not_delete_the_successor() {
        for name in NAMES {
            let mut cache = filled(name);
            cache.put(&key(name), Thing { uid: "two", version: 9, ..THING });
            assert_eq!(names(cache.step(None, Step::Delete(key(name), "one".to_owned()))), [""; 0]);
            assert!(cache.get(&key(name)).is_some());
            assert_eq!(names(cache.step(None, Step::Delete(key(name), "two".to_owned()))), ["trading"]);
            assert_eq!(cache.of_broker(&key("trading")).count(), 0);
            assert!(cache.namespaces.is_empty(), "nothing is left of it");
        }
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone_but_only_in_its_scope() {
        for name in NAMES {
            let mut cache = filled(name);
            let elsewhere = Key::new("shop", "b");
            cache.put(&elsewhere, Thing { broker: Some("cart"), ..THING });
            cache.step(Some("markets"), Step::Init);
            assert!(cache.get(&key(name)).is_some(), "until the list is complete");
            assert_eq!(names(cache.step(Some("markets"), Step::InitDone)), ["trading"]);
            assert!(cache.get(&key(name)).is_none());
            assert!(cache.get(&elsewhere).is_some());
        }
    }

    #[test]
    fn a_change_of_owner_touches_both() {
        for name in NAMES {
            let mut cache = filled(name);
            let moved = Thing { version: 6, broker: Some("pricing"), content: 2, ..THING };
            assert_eq!(names(cache.put(&key(name), moved)), ["pricing", "trading"]);
            assert_eq!(cache.of_broker(&key("pricing")).map(|(name, _)| name).collect::<Vec<_>>(), [name]);
            assert_eq!(cache.of_broker(&key("trading")).count(), 0);
        }
    }

    proptest! {
        #[test]
        fn every_object_is_found_by_its_name_and_by_its_broker(
            steps in vec((select(&["b", "b-1", "b-1-x", "b-10", "a"]), select(&[None, Some("b"), Some("b-1"), Some("x")]), any::<bool>()), 0..30)
        ) {
            let mut cache = Cache::default();
            let mut model: BTreeMap<&str, Thing> = BTreeMap::new();
            for (version, (name, broker, gone)) in (1..).zip(steps) {
                if gone {
                    cache.step(None, Step::Delete(key(name), "one".to_owned()));
                    model.remove(name);
                } else {
                    let thing = Thing { version, broker, ..THING };
                    cache.put(&key(name), thing.clone());
                    model.insert(name, thing);
                }
                let found: BTreeMap<_, _> = cache.iter().map(|(_, name, thing)| (name, thing.clone())).collect();
                prop_assert_eq!(&found, &model);
                for name in ["b", "b-1", "b-1-x", "b-10", "a"] {
                    prop_assert_eq!(cache.get(&key(name)), model.get(name));
                }
                for broker in ["b", "b-1", "x"] {
                    let key = key(broker);
                    let found: BTreeSet<&str> = cache.of_broker(&key).map(|(name, _)| name).collect();
                    let expected: BTreeSet<&str> = model.iter().filter(|(_, thing)| thing.broker == Some(broker)).map(|(name, _)| *name).collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}

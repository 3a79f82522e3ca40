//! What a watch has shown, reduced to what is needed (pure).
//!
//! Answers to the operator's own writes go in here too, so that a pass never sees the world as it was before the pass
//! before it. Versions order the two: `resourceVersion` is a number that grows with each write of a kind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// Whether this is its `metadata.uid`.
    fn has_uid(&self, uid: &str) -> bool;
    /// Whether it is the same object, maybe at another time.
    fn is_same(&self, other: &Self) -> bool;
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
#[derive(Debug)]
struct Shelf<V> {
    /// Boxed, as a table has up to twice the room that it needs.
    entries: HashMap<Box<str>, Box<V>>,
    /// Names in order, by the broker's name; there are few of one kind.
    by_broker: HashMap<Box<str>, Vec<Box<str>>>,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self { namespaces: HashMap::new(), lists: BTreeMap::new() }
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_broker: HashMap::new() }
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
                let inside = |key: &Key| scope.is_none_or(|scope| key.namespace == scope);
                let keys = self.iter().map(|(namespace, name, _)| Key::new(namespace, name));
                let gone: Vec<Key> = keys.filter(|key| inside(key) && !list.contains(key)).collect();
                gone.iter().filter_map(|key| self.remove(key)).collect()
            }
            Step::Delete(key, uid) => {
                if self.get(&key).is_some_and(|entry| entry.has_uid(&uid)) {
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
        if let Some(old) = shelf.and_then(|shelf| shelf.entries.get_mut(&*key.name)) {
            if old.is_same(&value) && old.version() > value.version() {
                return touched;
            }
            if !old.differs(&value) && old.broker() == value.broker() {
                **old = value;
                return touched;
            }
        }
        touched.extend(self.remove(key));
        let shelf = self.namespaces.entry(key.namespace.as_str().into()).or_default();
        if let Some(broker) = value.broker() {
            touched.insert(Key::new(key.namespace.clone(), broker));
            let names = shelf.by_broker.entry(broker.into()).or_default();
            if let Err(place) = names.binary_search_by(|name| (**name).cmp(&key.name)) {
                names.reserve_exact(1);
                names.insert(place, key.name.as_str().into());
            }
        }
        shelf.entries.insert(key.name.as_str().into(), Box::new(value));
        touched
    }

    /// The object of that name.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        self.namespaces.get(&*key.namespace)?.entries.get(&*key.name).map(Box::as_ref)
    }

    /// The objects that belong to `broker`, by name.
    pub(crate) fn of_broker<'a>(&'a self, broker: &Key) -> impl Iterator<Item = (&'a str, &'a V)> + use<'a, V> {
        let shelf = self.namespaces.get(&*broker.namespace);
        let names = shelf.and_then(|shelf| Some((shelf, shelf.by_broker.get(&*broker.name)?)));
        names
            .into_iter()
            .flat_map(|(shelf, names)| names.iter().filter_map(|name| Some((&**name, &**shelf.entries.get(name)?))))
    }

    /// All objects, each with its namespace and its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &V)> {
        self.namespaces.iter().flat_map(|(namespace, shelf)| {
            shelf.entries.iter().map(move |(name, value)| (&**namespace, &**name, &**value))
        })
    }

    fn remove(&mut self, key: &Key) -> Option<Key> {
        let shelf = self.namespaces.get_mut(&*key.namespace)?;
        let old = shelf.entries.remove(&*key.name)?;
        if let Some(broker) = old.broker()
            && let Some(names) = shelf.by_broker.get_mut(broker)
        {
            names.retain(|name| **name != *key.name);
            if names.is_empty() {
                shelf.by_broker.remove(broker);
            }
        }
        if shelf.entries.is_empty() {
            self.namespaces.remove(&*key.namespace);
        }
        Some(Key::new(key.namespace.clone(), old.broker()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing {
        uid: &'static str,
        version: u64,
        broker: Option<&'static str>,
        content: u8,
    }

    impl Entry for Thing {
        fn has_uid(&self, uid: &str) -> bool {
            self.uid == uid
        }
        fn is_same(&self, other: &Self) -> bool {
            self.uid == other.uid
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

    fn key(name: &str) -> Key {
        Key::new("markets", name)
    }

    fn filled() -> Cache<Thing> {
        let mut cache = Cache::default();
        cache.step(None, Step::Init);
        cache.step(None, Step::Upsert(key("a"), THING));
        cache.step(None, Step::InitDone);
        cache
    }

    fn names(keys: BTreeSet<Key>) -> Vec<String> {
        keys.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn only_a_difference_touches_the_broker() {
        let mut cache = filled();
        let same = Thing { version: 6, ..THING };
        assert_eq!(names(cache.put(&key("a"), same)), [""; 0]);
        let other = Thing { version: 7, content: 2, ..THING };
        assert_eq!(names(cache.put(&key("a"), other)), ["trading"]);
    }

    #[test]
    fn what_is_older_than_our_own_write_is_ignored() {
        let mut cache = filled();
        cache.put(&key("a"), Thing { version: 9, content: 9, ..THING });
        let late = Thing { version: 8, content: 8, ..THING };
        assert_eq!(names(cache.step(None, Step::Upsert(key("a"), late))), [""; 0]);
        assert_eq!(cache.get(&key("a")).unwrap().content, 9);
    }

    #[test]
    fn the_deletion_of_a_predecessor_does_not_delete_the_successor() {
        let mut cache = filled();
        cache.put(&key("a"), Thing { uid: "two", version: 9, ..THING });
        assert_eq!(names(cache.step(None, Step::Delete(key("a"), "one".to_owned()))), [""; 0]);
        assert!(cache.get(&key("a")).is_some());
        assert_eq!(names(cache.step(None, Step::Delete(key("a"), "two".to_owned()))), ["trading"]);
        assert_eq!(cache.of_broker(&key("trading")).count(), 0);
    }

    #[test]
    fn what_a_new_list_does_not_have_is_gone_but_only_in_its_scope() {
        let mut cache = filled();
        let elsewhere = Key::new("shop", "b");
        cache.put(&elsewhere, Thing { broker: Some("cart"), ..THING });
        cache.step(Some("markets"), Step::Init);
        assert!(cache.get(&key("a")).is_some(), "until the list is complete");
        assert_eq!(names(cache.step(Some("markets"), Step::InitDone)), ["trading"]);
        assert!(cache.get(&key("a")).is_none());
        assert!(cache.get(&elsewhere).is_some());
    }

    #[test]
    fn a_change_of_owner_touches_both() {
        let mut cache = filled();
        let moved = Thing { version: 6, broker: Some("pricing"), content: 2, ..THING };
        assert_eq!(names(cache.put(&key("a"), moved)), ["pricing", "trading"]);
        assert_eq!(cache.of_broker(&key("pricing")).map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    }
}

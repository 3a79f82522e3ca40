//! What a consumer with a selector wants of the ready messages, or one that may not have all of them because of their groups.
//!
//! Every ready message is looked at once for each such consumer when it comes, and its key is kept if the consumer wants
//! it, so that giving it the next one costs nothing for all that it does not want. Keys of what others have taken in the
//! meantime, or of what is another's by its group by now, are passed over. At most [`MOST_KEYS`] are kept; what follows is
//! looked at when those are used up.

use std::collections::BTreeSet;

use super::{
    Entry,
    groups::Groups,
    lanes::{Key, Lanes},
};
use crate::engine::embedded::outlet::Receiver;

/// Keys that are kept for a consumer.
const MOST_KEYS: usize = 1000;

/// The keys of what a consumer wants, and from where on nobody has looked.
#[derive(Debug)]
pub(super) struct Wanted {
    keys: BTreeSet<Key>,
    /// Ready messages from this key on have not all been looked at.
    rest: Option<Key>,
}

/// By what a consumer judges messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) receiver: &'a Receiver,
    pub(super) groups: Option<&'a Groups>,
}

impl View<'_> {
    /// Whether there may be something that the consumer does not want or may not have.
    pub(super) const fn is_selective(&self) -> bool {
        self.receiver.has_filter() || self.groups.is_some()
    }

    /// Whether the consumer wants this message.
    fn accepts(&self, entry: &Entry) -> bool {
        self.may_have(entry) && self.receiver.accepts(&entry.message)
    }

    /// Whether it may have what it wants, or once wanted.
    fn may_have(&self, entry: &Entry) -> bool {
        self.groups.is_none_or(|groups| groups.allow(self.receiver.id, entry))
    }
}

impl Default for Wanted {
    /// Nobody has looked at anything.
    fn default() -> Self {
        Self { keys: BTreeSet::new(), rest: Some(Key::FIRST) }
    }
}

impl Wanted {
    /// Looks at all that is ready.
    pub(super) fn new(ready: &Lanes, view: View<'_>) -> Self {
        let mut wanted = Self::default();
        wanted.look(ready, view);
        wanted
    }

    /// Looks at a message that comes to be ready; says whether the consumer has something to take because of it.
    pub(super) fn offer(&mut self, entry: &Entry, view: View<'_>) -> bool {
        let key = entry.key();
        if self.rest.is_some_and(|rest| rest <= key) || !view.accepts(entry) {
            return false;
        }
        self.give_back(key);
        true
    }

    /// Keeps a key that was just taken.
    pub(super) fn give_back(&mut self, key: Key) {
        self.keys.insert(key);
        if self.keys.len() > MOST_KEYS {
            self.rest = self.keys.pop_last();
        }
    }

    /// Takes the next message that the consumer wants.
    pub(super) fn take(&mut self, ready: &mut Lanes, view: View<'_>) -> Option<Entry> {
        loop {
            while let Some(key) = self.keys.pop_first() {
                if let Some(entry) = ready.take_if(key, |entry| view.may_have(entry)) {
                    return Some(entry);
                }
            }
            self.rest?;
            self.look(ready, view);
        }
    }

    /// Whether there may be something to take.
    pub(super) fn is_open(&self) -> bool {
        !self.keys.is_empty() || self.rest.is_some()
    }

    /// Looks at what nobody has looked at yet, as far as there is room for keys.
    fn look(&mut self, ready: &Lanes, view: View<'_>) {
        let Some(from) = self.rest.take() else { return };
        for entry in ready.iter_from(from) {
            if self.keys.len() == MOST_KEYS {
                self.rest = Some(entry.key());
                return;
            }
            if view.accepts(entry) {
                self.keys.insert(entry.key());
            }
        }
    }
}

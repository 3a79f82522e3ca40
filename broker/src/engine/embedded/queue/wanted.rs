//! What a consumer with a selector wants of the ready messages.
//!
//! Every ready message is looked at once for each such consumer when it comes, and its key is kept if the consumer wants
//! it, so that giving it the next one costs nothing for all that it does not want. Keys of what others have taken in the
//! meantime are passed over. At most [`MOST_KEYS`] are kept; what follows is looked at when those are used up.

use std::collections::BTreeSet;

use super::{
    Entry,
    lanes::{Key, Lanes},
};
use crate::engine::embedded::outlet::Receiver;

/// Keys that are kept for a consumer.
const MOST_KEYS: usize = 1000;

/// The keys of what a consumer wants, and from where on nobody has looked.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    keys: BTreeSet<Key>,
    /// Ready messages from this key on have not all been looked at.
    rest: Option<Key>,
}

impl Wanted {
    /// Looks at all that is ready.
    pub(super) fn new(ready: &Lanes, receiver: &Receiver) -> Self {
        let mut wanted = Self { keys: BTreeSet::new(), rest: Some(Key::FIRST) };
        wanted.look(ready, receiver);
        wanted
    }

    /// Looks at a message that comes to be ready; says whether the consumer has something to take because of it.
    pub(super) fn offer(&mut self, entry: &Entry, receiver: &Receiver) -> bool {
        let key = entry.key();
        if self.rest.is_some_and(|rest| rest <= key) || !receiver.accepts(&entry.message) {
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
    pub(super) fn take(&mut self, ready: &mut Lanes, receiver: &Receiver) -> Option<Entry> {
        loop {
            while let Some(key) = self.keys.pop_first() {
                if let Some(entry) = ready.take(key) {
                    return Some(entry);
                }
            }
            self.rest?;
            self.look(ready, receiver);
        }
    }

    /// Whether there may be something to take.
    pub(super) fn is_open(&self) -> bool {
        !self.keys.is_empty() || self.rest.is_some()
    }

    /// Looks at what nobody has looked at yet, as far as there is room for keys.
    fn look(&mut self, ready: &Lanes, receiver: &Receiver) {
        let Some(from) = self.rest.take() else { return };
        for entry in ready.iter_from(from) {
            if self.keys.len() == MOST_KEYS {
                self.rest = Some(entry.key());
                return;
            }
            if receiver.accepts(&entry.message) {
                self.keys.insert(entry.key());
            }
        }
    }
}

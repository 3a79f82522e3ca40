//! What is ready: one lane for each priority that has been in use, each in the order of positions.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
};

use super::{Entry, groups::Place};

/// The ready messages of a queue. The next one is the first of the highest lane that is not empty.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By falling priority. Nearly all queues have one.
    by_priority: Vec<Lane>,
    len: usize,
    /// How many are of the groups of a place.
    of_groups: HashMap<Place, usize>,
}

/// Where a ready message stands: the smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    priority: Reverse<u8>,
    position: u64,
}

impl Key {
    /// Not after any other.
    pub(super) const FIRST: Self = Self { priority: Reverse(u8::MAX), position: 0 };

    /// Before all others that come after this one.
    pub(super) const fn next(self) -> Self {
        Self { position: self.position + 1, ..self }
    }
}

impl Entry {
    /// Where it stands when it is ready.
    pub(super) const fn key(&self) -> Key {
        Key { priority: Reverse(self.priority), position: self.position }
    }
}

#[derive(Debug)]
struct Lane {
    priority: u8,
    entries: VecDeque<Entry>,
}

impl Lanes {
    /// Puts a message into its place: behind all of its priority that came before it, and before all that came after.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        if let Some(group) = entry.group() {
            *self.of_groups.entry(group.place()).or_default() += 1;
        }
        let lane = self.lane(entry.priority);
        if lane.back().is_none_or(|last| last.position < entry.position) {
            lane.push_back(entry);
        } else {
            let index = lane.partition_point(|other| other.position < entry.position);
            lane.insert(index, entry);
        }
    }

    fn lane(&mut self, priority: u8) -> &mut VecDeque<Entry> {
        let index =
            self.by_priority.iter().position(|lane| lane.priority <= priority).unwrap_or(self.by_priority.len());
        if self.by_priority.get(index).is_none_or(|lane| lane.priority != priority) {
            self.by_priority.insert(index, Lane { priority, entries: VecDeque::new() });
        }
        &mut self.by_priority[index].entries
    }

    /// Takes the next message.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.by_priority.iter_mut().find_map(|lane| lane.entries.pop_front())?;
        self.count_out(&entry);
        Some(entry)
    }

    /// Takes the message of this key, if it is ready and this is true of it.
    pub(super) fn take_if(&mut self, key: Key, wanted: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let lane = self.by_priority.iter_mut().find(|lane| lane.priority == key.priority.0)?;
        let index = lane.entries.binary_search_by_key(&key.position, |entry| entry.position).ok()?;
        let entry = wanted(&lane.entries[index]).then(|| lane.entries.remove(index)).flatten()?;
        self.count_out(&entry);
        Some(entry)
    }

    /// Whether a message of the groups of this place is ready.
    pub(super) fn has_of(&self, place: Place) -> bool {
        self.of_groups.contains_key(&place)
    }

    fn count_out(&mut self, entry: &Entry) {
        self.len -= 1;
        if let Some(group) = entry.group()
            && let Some(count) = self.of_groups.get_mut(&group.place())
        {
            *count -= 1;
            if *count == 0 {
                self.of_groups.remove(&group.place());
            }
        }
    }

    /// The messages from this key on, the next one first.
    pub(super) fn iter_from(&self, from: Key) -> impl Iterator<Item = &Entry> {
        self.by_priority.iter().flat_map(move |lane| {
            let key = |position| Key { priority: Reverse(lane.priority), position };
            let first = lane.entries.partition_point(|entry| key(entry.position) < from);
            lane.entries.range(first..)
        })
    }

    /// Takes the oldest message of the lowest priority.
    pub(super) fn pop_lowest(&mut self) -> Option<Entry> {
        let entry = self.by_priority.iter_mut().rev().find_map(|lane| lane.entries.pop_front())?;
        self.count_out(&entry);
        Some(entry)
    }

    /// Takes all messages.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Entry> + use<> {
        std::mem::take(self).by_priority.into_iter().flat_map(|lane| lane.entries)
    }

    /// Takes the messages of which this is true.
    pub(super) fn take_where(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        for lane in &mut self.by_priority {
            if lane.entries.iter().any(&wanted) {
                let (gone, left): (VecDeque<Entry>, _) =
                    std::mem::take(&mut lane.entries).into_iter().partition(&wanted);
                taken.extend(gone);
                lane.entries = left;
            }
        }
        for entry in &taken {
            self.count_out(entry);
        }
        taken
    }

    /// All messages, those of one priority in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_priority.iter().flat_map(|lane| &lane.entries)
    }

    /// How many messages are ready.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

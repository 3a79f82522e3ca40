//! What is ready: one lane for each priority that has been in use, each in the order of positions.

use std::{cmp::Reverse, collections::VecDeque};

use super::Entry;

/// The ready messages of a queue. The next one is the first of the highest lane that is not empty.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By falling priority. Nearly all queues have one.
    lanes: Vec<Lane>,
    len: usize,
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
        let lane = self.lane(entry.priority);
        if lane.back().is_none_or(|last| last.position < entry.position) {
            lane.push_back(entry);
        } else {
            let index = lane.partition_point(|other| other.position < entry.position);
            lane.insert(index, entry);
        }
    }

    fn lane(&mut self, priority: u8) -> &mut VecDeque<Entry> {
        let index = self.lanes.iter().position(|lane| lane.priority <= priority).unwrap_or(self.lanes.len());
        if self.lanes.get(index).is_none_or(|lane| lane.priority != priority) {
            self.lanes.insert(index, Lane { priority, entries: VecDeque::new() });
        }
        &mut self.lanes[index].entries
    }

    /// Takes the next message.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.lanes.iter_mut().find_map(|lane| lane.entries.pop_front())?;
        self.len -= 1;
        Some(entry)
    }

    /// Takes the message of this key, if it is ready.
    pub(super) fn take(&mut self, key: Key) -> Option<Entry> {
        let lane = self.lanes.iter_mut().find(|lane| lane.priority == key.priority.0)?;
        let index = lane.entries.binary_search_by_key(&key.position, |entry| entry.position).ok()?;
        self.len -= 1;
        lane.entries.remove(index)
    }

    /// The messages from this key on, the next one first.
    pub(super) fn iter_from(&self, from: Key) -> impl Iterator<Item = &Entry> {
        self.lanes.iter().flat_map(move |lane| {
            let key = |position| Key { priority: Reverse(lane.priority), position };
            let first = lane.entries.partition_point(|entry| key(entry.position) < from);
            lane.entries.range(first..)
        })
    }

    /// Takes the oldest message of the lowest priority.
    pub(super) fn pop_lowest(&mut self) -> Option<Entry> {
        let entry = self.lanes.iter_mut().rev().find_map(|lane| lane.entries.pop_front())?;
        self.len -= 1;
        Some(entry)
    }

    /// Takes all messages.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Entry> + use<> {
        std::mem::take(self).lanes.into_iter().flat_map(|lane| lane.entries)
    }

    /// Takes the messages of which this is true.
    pub(super) fn take_where(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        for lane in &mut self.lanes {
            if lane.entries.iter().any(&wanted) {
                let (gone, left): (VecDeque<Entry>, _) =
                    std::mem::take(&mut lane.entries).into_iter().partition(&wanted);
                taken.extend(gone);
                lane.entries = left;
            }
        }
        self.len -= taken.len();
        taken
    }

    /// All messages, those of one priority in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.lanes.iter().flat_map(|lane| &lane.entries)
    }

    /// How many messages are ready.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

//! What is ready: one lane for each priority that has been in use, each in the order of positions.

use std::collections::VecDeque;

use super::Entry;

/// The ready messages of a queue. The next one is the first of the highest lane that is not empty.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By falling priority. Nearly all queues have one.
    lanes: Vec<Lane>,
    len: usize,
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

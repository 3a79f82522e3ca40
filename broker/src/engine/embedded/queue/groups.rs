//! Message groups: messages of one `JMSXGroupID` go to one consumer, in order, for as long as it is there.
//!
//! A group has no consumer until one takes its first message, and then no other gets any of it until that one goes, or a
//! message with a negative `JMSXGroupSeq` has closed the group. What waits for its group's consumer is passed by all others.
//!
//! A queue knows groups by a hash of their ids, in [`PLACES`] places. Groups in the same place have the same consumer, so
//! however many ids senders think up, the table is bounded and no group is ever given to two consumers at once.
//!
//! As soon as a queue has seen a group, each of its consumers is treated as one with a selector, see [`super::wanted`].

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use super::{Entry, QueueState, wanted::Wanted};
use crate::{
    engine::{EngineError, embedded::outlet::ReceiverId},
    message::Message,
};

/// The id of a message's group, as `ActiveMQ` and Artemis have it.
pub(super) const GROUP_ID: &str = "JMSXGroupID";
/// Its number in the group; a negative one closes the group.
pub(super) const GROUP_SEQ: &str = "JMSXGroupSeq";
/// Stands in the first message of a group that a consumer gets.
const FIRST_FOR_CONSUMER: &str = "JMSXGroupFirstForConsumer";

/// Places of groups in a queue.
const PLACES: u64 = 1024;
/// Groups that are told apart in one place; a further one makes the place forget which there were.
const MOST_KNOWN: usize = 8;

/// Hashes of ids, so that nobody can choose ids that share a place.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What a message says of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::embedded) struct Group {
    hash: u64,
    /// Whether the group ends with it.
    closes: bool,
}

/// Where groups stand that have the same consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine::embedded) struct Place(u16);

/// Which consumer has which groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    taken: HashMap<Place, Taken>,
}

#[derive(Debug)]
struct Taken {
    owner: ReceiverId,
    /// Groups of this place that the consumer has been given.
    known: Vec<u64>,
    /// Whether there may be others, so that the place cannot be given up before the consumer goes.
    forgotten: bool,
}

impl Group {
    /// The group of this id; none for an empty one.
    pub(in crate::engine::embedded) fn of(id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self { hash: HASHER.hash_one(id), closes: false })
    }

    /// Reads the number of a message in its group.
    ///
    /// # Errors
    /// When it is not a number.
    pub(super) fn closes(seq: &str) -> Result<bool, EngineError> {
        let number = seq.parse::<i64>().map_err(|_| EngineError::InvalidHeader {
            header: GROUP_SEQ.into(),
            value: seq.into(),
            expected: "a whole number, of which a negative one closes the group",
        })?;
        Ok(number < 0)
    }

    /// The same, but a message that may close its group.
    pub(super) const fn closing(self, closes: bool) -> Self {
        Self { closes, ..self }
    }

    /// Its place, which others may share.
    pub(in crate::engine::embedded) const fn place(self) -> Place {
        Place((self.hash % PLACES) as u16)
    }
}

impl Groups {
    /// Whether this consumer may be given a message.
    pub(super) fn allow(&self, id: ReceiverId, entry: &Entry) -> bool {
        entry.group().and_then(|group| self.owner(group)).is_none_or(|owner| owner == id)
    }

    fn owner(&self, group: Group) -> Option<ReceiverId> {
        self.taken.get(&group.place()).map(|taken| taken.owner)
    }

    /// The message as its consumer gets it, if it is the first of its group for that one.
    pub(super) fn mark_first(&self, entry: &Entry) -> Option<Arc<Message>> {
        let group = entry.group()?;
        if self.taken.get(&group.place()).is_some_and(|taken| taken.known.contains(&group.hash)) {
            return None;
        }
        let first = (FIRST_FOR_CONSUMER.into(), "true".into());
        Some(Arc::new(entry.message.sent_on(entry.message.destination.clone(), Some(first))))
    }

    /// A consumer was given a message of this group. Says whether the place of the group is given up with it.
    fn gave(&mut self, group: Group, id: ReceiverId) -> bool {
        let make = || Taken { owner: id, known: Vec::new(), forgotten: false };
        let taken = self.taken.entry(group.place()).or_insert_with(make);
        taken.known.retain(|known| *known != group.hash);
        if !group.closes {
            if taken.known.len() == MOST_KNOWN {
                taken.known.clear();
                taken.forgotten = true;
            }
            taken.known.push(group.hash);
        }
        let given_up = taken.known.is_empty() && !taken.forgotten;
        if given_up {
            self.taken.remove(&group.place());
        }
        given_up
    }

    /// Takes all groups from a consumer, or from all; says which places that frees.
    fn free(&mut self, of: Option<ReceiverId>) -> Vec<Place> {
        let freed = self.taken.extract_if(|_, taken| of.is_none_or(|id| taken.owner == id));
        freed.map(|(place, _)| place).collect()
    }
}

impl QueueState {
    /// The first message of a group comes to be ready.
    pub(super) fn begin_groups(&mut self) {
        self.groups = Some(Box::default());
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.wanted.is_none()) {
            consumer.wanted = Some(Box::default());
            self.selective += 1;
        }
    }

    /// A consumer was given a message of a group.
    pub(super) fn bind_group(&mut self, group: Group, id: ReceiverId) {
        if self.groups.as_mut().is_some_and(|groups| groups.gave(group, id)) {
            self.look_again(&[group.place()]);
        }
    }

    /// A consumer has gone, and its groups are anybody's.
    pub(super) fn free_groups_of(&mut self, id: ReceiverId) {
        self.free_groups(Some(id));
    }

    /// All groups are anybody's.
    pub(super) fn free_all_groups(&mut self) {
        self.free_groups(None);
    }

    fn free_groups(&mut self, of: Option<ReceiverId>) {
        if let Some(groups) = &mut self.groups {
            let freed = groups.free(of);
            self.look_again(&freed);
        }
    }

    /// Has all consumers look again at what is ready, if any of it was kept for one of them.
    fn look_again(&mut self, freed: &[Place]) {
        if !freed.iter().any(|place| self.ready.has_of(*place)) {
            return;
        }
        let mut all: Vec<(u64, ReceiverId)> = Vec::new();
        for (id, consumer) in &mut self.consumers {
            all.push((consumer.turn, *id));
            if let Some(wanted) = &mut consumer.wanted {
                **wanted = Wanted::default();
            }
        }
        all.sort_unstable();
        for (_, id) in all {
            self.invite(id);
        }
    }
}

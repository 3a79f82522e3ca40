//! Wildcard subscriptions by segments, so that a message meets only those that may match it.
//!
//! A destination is followed through the tree segment by segment, in all places at once where it may be by its wildcards.
//! No place is looked at twice for a segment, so that however wildcards are nested, a destination costs at most its
//! segments times the nodes of the tree.

use std::{collections::HashMap, ptr, sync::Arc};

use super::{
    outlet::ReceiverId,
    topics::{Subscriber, Subscribers, remove},
};
use crate::destination::{Segment, segments};

/// A node: the patterns that share the segments on the way to it. Its depth is bounded by `names::for_subscribe`.
#[derive(Debug, Default)]
pub(super) struct Trie {
    literals: HashMap<Box<str>, Trie>,
    any: Option<Box<Trie>>,
    /// Behind a wildcard for any number of segments.
    rest: Option<Box<Trie>>,
    /// Whether it stands behind such a wildcard itself, and so for all further segments, too.
    stays: bool,
    /// Patterns that end here.
    here: Subscribers,
}

impl Trie {
    /// Adds a subscription to a pattern.
    pub(super) fn insert(&mut self, pattern: &str, subscriber: Subscriber) {
        let mut node = self;
        for segment in segments(pattern) {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.into()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
                Segment::Rest => node.rest.get_or_insert_with(|| Box::new(Self { stays: true, ..Self::default() })),
            };
        }
        Arc::make_mut(&mut node.here).push(subscriber);
    }

    /// Removes a subscription to a pattern; says whether it was there.
    pub(super) fn remove(&mut self, pattern: &str, receiver: ReceiverId) -> bool {
        self.remove_below(segments(pattern), receiver)
    }

    fn remove_below<'a>(&mut self, mut path: impl Iterator<Item = Segment<'a>>, receiver: ReceiverId) -> bool {
        let child = match path.next() {
            None => return remove(&mut self.here, receiver),
            Some(Segment::Literal(text)) => {
                let Some(child) = self.literals.get_mut(text) else { return false };
                let removed = child.remove_below(path, receiver);
                if child.is_empty() {
                    self.literals.remove(text);
                }
                return removed;
            }
            Some(Segment::Any) => &mut self.any,
            Some(Segment::Rest) => &mut self.rest,
        };
        let removed = child.as_mut().is_some_and(|child| child.remove_below(path, receiver));
        child.take_if(|child| child.is_empty());
        removed
    }

    fn is_empty(&self) -> bool {
        let Self { literals, any, rest, stays: _, here } = self;
        literals.is_empty() && any.is_none() && rest.is_none() && here.is_empty()
    }

    /// The subscribers of one pattern.
    pub(super) fn get(&self, pattern: &str) -> Option<Subscribers> {
        let mut node = self;
        for segment in segments(pattern) {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text)?,
                Segment::Any => node.any.as_deref()?,
                Segment::Rest => node.rest.as_deref()?,
            };
        }
        Some(Arc::clone(&node.here))
    }

    /// Finds the subscribers of every pattern that this destination is of.
    pub(super) fn collect(&self, destination: &str, found: &mut Vec<Subscribers>) {
        let (mut places, mut next) = (Vec::new(), Vec::new());
        self.enter(&mut places);
        for segment in destination.split(['/', '.']) {
            for place in places.drain(..) {
                place.follow(segment, &mut next);
            }
            // The way to a place may be through a wildcard or past it.
            next.sort_unstable_by_key(|place| ptr::from_ref(*place).addr());
            next.dedup_by(|one, other| ptr::eq(*one, *other));
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return;
            }
        }
        places.iter().filter(|place| !place.here.is_empty()).for_each(|place| found.push(Arc::clone(&place.here)));
    }

    /// The places where one is who has come here: a wildcard may stand for no segment.
    fn enter<'a>(&'a self, places: &mut Vec<&'a Self>) {
        places.push(self);
        if let Some(rest) = &self.rest {
            rest.enter(places);
        }
    }

    /// The places where one is from here by one segment more.
    fn follow<'a>(&'a self, segment: &str, places: &mut Vec<&'a Self>) {
        if self.stays {
            self.enter(places);
        }
        for child in self.literals.get(segment).into_iter().chain(self.any.as_deref()) {
            child.enter(places);
        }
    }

    /// The subscribers of every pattern.
    pub(super) fn collect_all(&self, found: &mut Vec<Subscribers>) {
        if !self.here.is_empty() {
            found.push(Arc::clone(&self.here));
        }
        for child in self.literals.values().chain(self.any.as_deref()).chain(self.rest.as_deref()) {
            child.collect_all(found);
        }
    }
}

#[cfg(test)]
#[path = "trie_tests.rs"]
mod tests;

//! Wildcard subscriptions by segments, so that a message meets only those that may match it.

use std::{collections::HashMap, sync::Arc};

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
    /// Patterns that end here.
    here: Subscribers,
    /// Patterns whose wildcard for the rest comes next.
    rest: Subscribers,
}

impl Trie {
    /// Adds a subscription to a pattern.
    pub(super) fn insert(&mut self, pattern: &str, subscriber: Subscriber) {
        let mut node = self;
        for segment in segments(pattern) {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.into()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
                Segment::Rest => {
                    Arc::make_mut(&mut node.rest).push(subscriber);
                    return;
                }
            };
        }
        Arc::make_mut(&mut node.here).push(subscriber);
    }

    /// Removes a subscription to a pattern; says whether it was there.
    pub(super) fn remove(&mut self, pattern: &str, receiver: ReceiverId) -> bool {
        self.remove_below(segments(pattern), receiver)
    }

    fn remove_below<'a>(&mut self, mut path: impl Iterator<Item = Segment<'a>>, receiver: ReceiverId) -> bool {
        match path.next() {
            None => remove(&mut self.here, receiver),
            Some(Segment::Rest) => remove(&mut self.rest, receiver),
            Some(Segment::Any) => {
                let Some(child) = &mut self.any else { return false };
                let removed = child.remove_below(path, receiver);
                if child.is_empty() {
                    self.any = None;
                }
                removed
            }
            Some(Segment::Literal(text)) => {
                let Some(child) = self.literals.get_mut(text) else { return false };
                let removed = child.remove_below(path, receiver);
                if child.is_empty() {
                    self.literals.remove(text);
                }
                removed
            }
        }
    }

    fn is_empty(&self) -> bool {
        let Self { literals, any, here, rest } = self;
        literals.is_empty() && any.is_none() && here.is_empty() && rest.is_empty()
    }

    /// Finds the subscribers of every pattern that this destination is of.
    pub(super) fn collect(&self, destination: &str, found: &mut Vec<Subscribers>) {
        self.collect_below(destination.split(['/', '.']), found);
    }

    fn collect_below<'a>(&self, mut path: impl Iterator<Item = &'a str> + Clone, found: &mut Vec<Subscribers>) {
        add(&self.rest, found);
        let Some(segment) = path.next() else {
            add(&self.here, found);
            return;
        };
        if let Some(child) = self.literals.get(segment) {
            child.collect_below(path.clone(), found);
        }
        if let Some(child) = &self.any {
            child.collect_below(path, found);
        }
    }

    /// The subscribers of every pattern.
    pub(super) fn collect_all(&self, found: &mut Vec<Subscribers>) {
        add(&self.here, found);
        add(&self.rest, found);
        for child in self.literals.values().chain(self.any.as_deref()) {
            child.collect_all(found);
        }
    }
}

fn add(subscribers: &Subscribers, found: &mut Vec<Subscribers>) {
    if !subscribers.is_empty() {
        found.push(Arc::clone(subscribers));
    }
}

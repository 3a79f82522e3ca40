use std::{collections::BTreeSet, sync::Weak};

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{
        SubscriptionKey,
        embedded::outlet::{Outlet, Receiver},
    },
    mailbox::Mailbox,
};

fn subscriber(number: usize) -> Subscriber {
    let outlet = Outlet::new(Arc::new(Mailbox::new(1)));
    let id = ReceiverId(number as u64);
    Subscriber::new(Receiver::new(id, "".into(), SubscriptionKey(0), outlet, None, Weak::new()), None)
}

fn trie_of(patterns: &[impl AsRef<str>]) -> Trie {
    let mut trie = Trie::default();
    for (number, pattern) in patterns.iter().enumerate() {
        trie.insert(pattern.as_ref(), subscriber(number));
    }
    trie
}

/// Which patterns a destination is found to be of; each must be found once.
fn found(trie: &Trie, destination: &str) -> BTreeSet<u64> {
    let mut lists = Vec::new();
    trie.collect(destination, &mut lists);
    let mut found = BTreeSet::new();
    for subscriber in lists.iter().flat_map(|list| list.iter()) {
        assert!(found.insert(subscriber.id().0), "found twice");
    }
    found
}

#[test]
fn a_wildcard_stands_for_any_number_of_segments_wherever_it_is() {
    for rest in ["**", "#", ">"] {
        let trie = trie_of(&[format!("/topic/a/{rest}/z"), format!("/topic.{rest}.z.{rest}"), format!("/{rest}")]);
        for (destination, expected) in [
            ("/topic/a/z", &[0, 1, 2][..]),
            ("/topic/a/b.c/z", &[0, 1, 2]),
            ("/topic/a/b/z/c", &[1, 2]),
            ("/topic/z", &[1, 2]),
            ("/topic/a", &[2]),
            ("/topic/a/z/z", &[0, 1, 2]),
        ] {
            assert_eq!(found(&trie, destination), expected.iter().copied().collect(), "{rest} {destination}");
        }
    }
}

#[test]
fn nested_wildcards_do_not_multiply() {
    let nested = format!("/topic{}/end", "/**/a".repeat(30));
    let trie = trie_of(&[nested]);
    let long = format!("/topic{}", "/a".repeat(2000));
    assert!(found(&trie, &long).is_empty());
    assert_eq!(found(&trie, &format!("{long}/end")).len(), 1);
}

/// The meaning of patterns once more, as plainly as possible.
fn is_of(pattern: &[&str], destination: &[&str]) -> bool {
    match (pattern.split_first(), destination.split_first()) {
        (None, None) => true,
        (Some((&("**" | "#" | ">"), rest)), _) => {
            is_of(rest, destination) || destination.split_first().is_some_and(|(_, left)| is_of(pattern, left))
        }
        (Some((&p, pattern)), Some((&d, destination))) => (p == "*" || p == d) && is_of(pattern, destination),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn matches_pattern(pattern: &str, destination: &str) -> bool {
    let [pattern, destination] = [pattern, destination].map(|text| text.split(['/', '.']).collect::<Vec<_>>());
    is_of(&pattern, &destination)
}

fn path(segments: &'static [&'static str]) -> impl Strategy<Value = String> {
    let segment = (prop::sample::select(segments), prop::sample::select(vec!["/", "."]));
    prop::collection::vec(segment, 0..7).prop_map(|segments| {
        segments.into_iter().fold("/t".to_owned(), |path, (segment, separator)| path + separator + segment)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_destination_finds_the_patterns_that_it_is_of_before_and_after_others_are_removed(
        patterns in prop::collection::vec(path(&["a", "b", "*", "**", "#", ">"]), 0..8),
        destination in path(&["a", "b", ""]),
        removed in any::<u8>(),
    ) {
        let mut trie = trie_of(&patterns);
        let is_removed = |number: usize| removed >> number & 1 == 1;
        let expected = |left: &dyn Fn(usize) -> bool| -> BTreeSet<u64> {
            let hit = |(number, pattern): &(usize, &String)| left(*number) && matches_pattern(pattern, &destination);
            patterns.iter().enumerate().filter(hit).map(|(number, _)| number as u64).collect()
        };
        prop_assert_eq!(found(&trie, &destination), expected(&|_| true));
        for (number, pattern) in patterns.iter().enumerate().filter(|(number, _)| is_removed(*number)) {
            prop_assert!(trie.remove(pattern, ReceiverId(number as u64)));
            prop_assert!(!trie.remove(pattern, ReceiverId(number as u64)));
        }
        prop_assert_eq!(found(&trie, &destination), expected(&|number| !is_removed(number)));
        for (number, pattern) in patterns.iter().enumerate().filter(|(number, _)| !is_removed(*number)) {
            trie.remove(pattern, ReceiverId(number as u64));
        }
        prop_assert!(trie.is_empty(), "nothing is left of removed patterns");
    }
}

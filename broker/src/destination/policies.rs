//! Which entry of the configuration's `destinations` holds for a destination: the first that matches.

use std::sync::{Arc, LazyLock};

use stompbroker_config::DestinationPolicy;

use super::{Segment, spans};

/// The entries with their patterns taken apart, in order.
#[derive(Clone, Debug, Default)]
pub struct DestinationPolicies {
    entries: Box<[(Glob, Arc<DestinationPolicy>)]>,
}

/// What holds where no entry matches.
static DEFAULT: LazyLock<Arc<DestinationPolicy>> = LazyLock::new(Arc::default);

impl DestinationPolicies {
    /// Takes the entries that a checked configuration has.
    pub fn new(entries: &[DestinationPolicy]) -> Self {
        Self { entries: entries.iter().map(|entry| (Glob::new(&entry.r#match), Arc::new(entry.clone()))).collect() }
    }

    /// What holds for this destination, which has no wildcards; the defaults where no entry matches.
    pub fn of(&self, destination: &str) -> Arc<DestinationPolicy> {
        let found = self.entries.iter().find(|(glob, _)| glob.matches(destination));
        Arc::clone(found.map_or_else(|| &*DEFAULT, |(_, policy)| policy))
    }
}

/// A pattern whose segments may hold `*` for any text.
#[derive(Clone, Debug)]
struct Glob {
    segments: Box<[GlobSegment]>,
}

#[derive(Clone, Debug)]
enum GlobSegment {
    /// Any number of segments.
    Rest,
    /// The texts between its asterisks.
    Pieces(Box<[Box<str>]>),
}

impl Glob {
    fn new(pattern: &str) -> Self {
        let read = |segment: &str| match Segment::read(segment) {
            Segment::Rest => GlobSegment::Rest,
            Segment::Any | Segment::Literal(_) => GlobSegment::Pieces(segment.split('*').map(Into::into).collect()),
        };
        Self { segments: pattern.split(['/', '.']).map(read).collect() }
    }

    fn matches(&self, destination: &str) -> bool {
        let is_rest = |own: &GlobSegment| matches!(own, GlobSegment::Rest);
        spans(&self.segments, is_rest, destination.split(['/', '.']), |own, text| match own {
            GlobSegment::Rest => true,
            GlobSegment::Pieces(pieces) => segment_matches(pieces, text),
        })
    }
}

/// Whether the text begins with the first piece, ends with the last, and has the others between them in order.
fn segment_matches(pieces: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return pieces.iter().any(|piece| **piece == *text) };
    let Some(mut text) = text.strip_prefix(&**first).and_then(|text| text.strip_suffix(&**last)) else { return false };
    for piece in middle {
        let Some((_, behind)) = text.split_once(&**piece) else { return false };
        text = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policies(patterns: &[&str]) -> DestinationPolicies {
        let entry =
            |pattern: &&str| DestinationPolicy { r#match: (*pattern).to_owned(), ..DestinationPolicy::default() };
        DestinationPolicies::new(&patterns.iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn an_asterisk_is_anything_within_one_segment() {
        for (pattern, destination, matches) in [
            ("/queue/*-user*", "/queue/replies-user0b1c", true),
            ("/queue/*-user*", "/queue/-user", true),
            ("/queue/*-user*", "/queue/users", false),
            ("/queue/*-user*", "/queue/a/b-user1", false),
            ("/queue/*-user*", "/queue/a.b-user1", false),
            ("/queue/*", "/queue/a", true),
            ("/queue/*", "/queue/a/b", false),
            ("/queue/a*b*c", "/queue/a-b-b-c", true),
            ("/queue/a*a", "/queue/a", false),
            ("/queue/a.b", "/queue/a/b", true),
            ("/queue/**", "/queue/a.b/c", true),
            ("/queue/a/#", "/queue/a", true),
            ("/queue/**/a*", "/queue/b.c/ab", true),
            ("/queue/**/a*", "/queue/a/b", false),
            ("/**/a/**/b", "/queue/a.a/c/b", true),
            ("/**/a/**/b", "/queue/b/a", false),
            ("/queue/a/>", "/queue/ab", false),
            ("/queue/jobs", "/queue/jobs", true),
            ("/queue/jobs", "/queue/jobs/1", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(destination), matches, "{pattern} {destination}");
        }
    }

    #[test]
    fn the_first_entry_that_matches_counts_and_without_one_the_defaults_hold() {
        let policies = policies(&["/queue/a*", "/queue/**"]);
        assert_eq!(policies.of("/queue/ab").r#match, "/queue/a*");
        assert_eq!(policies.of("/queue/b").r#match, "/queue/**");
        assert_eq!(*policies.of("/topic/b"), DestinationPolicy::default());
    }

    /// The meaning of asterisks once more, as plainly as possible.
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                matches(rest, text) || text.split_first().is_some_and(|(_, t)| matches(pattern, t))
            }
            (Some((p, rest)), Some((t, text))) => p == t && matches(rest, text),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn a_segment_matches_when_some_reading_of_its_asterisks_does(pattern in "[ab*]{0,6}", text in "[ab]{0,7}") {
            prop_assume!(pattern != "**");
            let glob = Glob::new(&format!("/q/{pattern}"));
            prop_assert_eq!(glob.matches(&format!("/q/{text}")), matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

//! How a destination is read: as segments that `/` or `.` separate, some of which may be wildcards.
//!
//! Both separators mean the same wherever a wildcard or a rule looks at a destination, so `/topic/a.*` stands for
//! `/topic/a.b` and for `/topic/a/b`. Two destinations without wildcards are the same only if their texts are.

pub mod alias;
mod mask;
mod policies;
mod spans;
pub mod user;

pub(crate) use self::mask::{REPLY_QUEUE, REPLY_TOPIC, TEMP_QUEUE, TEMP_TOPIC, is_temporary, masked};
pub use policies::DestinationPolicies;
pub use spans::spans;
pub use user::UserDestinations;

/// What a segment stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// `*`: any one segment.
    Any,
    /// `**`, `#` or `>`: any number of segments, none included.
    Rest,
    /// Only itself.
    Literal(&'a str),
}

impl<'a> Segment<'a> {
    /// Reads one segment; a wildcard is one only when it is the whole segment.
    pub fn read(text: &'a str) -> Self {
        match text {
            "*" => Self::Any,
            "**" | "#" | ">" => Self::Rest,
            text => Self::Literal(text),
        }
    }
}

/// The segments of a destination or pattern; the first one is empty, for a slash comes first.
pub fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> + Clone {
    text.split(['/', '.']).map(Segment::read)
}

/// Whether a destination has wildcards, so that it stands for others than itself.
pub fn is_pattern(text: &str) -> bool {
    memchr::memchr3(b'*', b'#', b'>', text.as_bytes()).is_some()
        && segments(text).any(|segment| !matches!(segment, Segment::Literal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_split_and_only_whole_segments_are_wildcards() {
        use Segment::{Any, Literal, Rest};
        assert!(segments("/topic.a/*").eq([Literal(""), Literal("topic"), Literal("a"), Any]));
        assert!(segments("/a*.C#").eq([Literal(""), Literal("a*"), Literal("C#")]));
        for rest in ["/t/**", "/t.#", "/t.>"] {
            assert_eq!(segments(rest).last(), Some(Rest), "{rest}");
        }
    }

    #[test]
    fn a_pattern_is_what_has_a_wildcard_segment() {
        for (text, pattern) in [("/topic/a", false), ("/topic/C#", false), ("/topic/*", true), ("/topic/a.>", true)] {
            assert_eq!(is_pattern(text), pattern, "{text}");
        }
    }
}

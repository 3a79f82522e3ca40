//! Which destinations there are, and of what kind each is.

use crate::{
    destination::{Segment, is_pattern, segments},
    engine::EngineError,
    stomp::Header,
};

const TOPIC_PREFIX: &str = "/topic/";
const QUEUE_PREFIX: &str = "/queue/";
/// More segments in a wildcard subscription serve nobody and would make the index of wildcards deep.
const MAX_PATTERN_SEGMENTS: usize = 64;
/// The header by which Spring says what a user destination was before it resolved it.
const SPRING_ORIGINAL_DESTINATION: &str = "simpOrigDestination";
/// What Spring puts between the name of a user destination and the id of the user's session.
const SPRING_USER_INFIX: &str = "-user";

/// Of what kind a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Queue,
    Topic,
    /// Topics by wildcards; only for subscriptions.
    Pattern,
}

/// The kind of a destination that a message is sent to.
pub(super) fn for_send(destination: &str) -> Result<Kind, EngineError> {
    let kind = kind(destination)?;
    if is_pattern(destination) {
        return refuse(destination, "a message goes to one destination, and wildcards are for subscriptions");
    }
    Ok(kind)
}

/// The kind of a destination that is subscribed to.
pub(super) fn for_subscribe(destination: &str) -> Result<Kind, EngineError> {
    let kind = kind(destination)?;
    if !is_pattern(destination) {
        return Ok(kind);
    }
    if kind == Kind::Queue {
        return refuse(destination, "a queue is consumed by its own name; only /topic/... takes wildcards");
    }
    if segments(destination).count() > MAX_PATTERN_SEGMENTS {
        return refuse(destination, "with wildcards it may have at most 64 segments");
    }
    if segments(destination).skip_while(|segment| *segment != Segment::Rest).count() > 1 {
        return refuse(destination, "the wildcard for the rest (**, # or >) must come last; write * for one segment");
    }
    Ok(Kind::Pattern)
}

fn kind(destination: &str) -> Result<Kind, EngineError> {
    let named = |prefix| destination.strip_prefix(prefix).is_some_and(|name: &str| !name.is_empty());
    if named(TOPIC_PREFIX) {
        Ok(Kind::Topic)
    } else if named(QUEUE_PREFIX) {
        Ok(Kind::Queue)
    } else {
        refuse(destination, "use /topic/... to reach all subscribers or /queue/... to reach one consumer")
    }
}

fn refuse<T>(destination: &str, remedy: &str) -> Result<T, EngineError> {
    Err(EngineError::UnknownDestination { destination: destination.into(), remedy: remedy.into() })
}

/// Whether a queue is one that Spring made for one session of a user: the frame has `simpOrigDestination`, and the name
/// has `-user` in it (`/queue/replies-user<session id>`). The name alone would not do: `/queue/new-users` is not meant.
///
/// Such a queue lives as long as it has consumers. What is in it goes with the last of them, and what is sent to it
/// while it has none is dropped: the session that it was for is gone, and nobody else will ever ask for it.
pub(super) fn is_transient(destination: &str, headers: &[Header]) -> bool {
    destination.contains(SPRING_USER_INFIX) && headers.iter().any(|(name, _)| &**name == SPRING_ORIGINAL_DESTINATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(result: Result<Kind, EngineError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn other_prefixes_are_refused_with_the_ones_that_there_are() {
        for destination in ["/user/queue/a", "/app/a", "topic/a", "/topic", "/topic/", "/queue/", "/topics/a", ""] {
            for text in [remedy(for_send(destination)), remedy(for_subscribe(destination))] {
                assert!(text.contains(&format!("{destination:?}")), "{text}");
                assert!(text.contains("/topic/...") && text.contains("/queue/..."), "{text}");
            }
        }
    }

    #[test]
    fn wildcards_are_for_subscriptions_to_topics() {
        for pattern in ["/topic/*", "/topic/a.*.b", "/topic/**", "/topic/a/#", "/topic/a.>"] {
            assert_eq!(for_subscribe(pattern), Ok(Kind::Pattern), "{pattern}");
            assert!(remedy(for_send(pattern)).contains("one destination"));
        }
        assert!(remedy(for_subscribe("/queue/*")).contains("own name"));
        assert!(remedy(for_subscribe("/topic/**/a")).contains("must come last"));
        assert!(remedy(for_subscribe(&format!("/topic/*{}", "/a".repeat(64)))).contains("at most 64"));
        assert_eq!(for_subscribe("/topic/C#"), Ok(Kind::Topic));
        assert_eq!(for_send("/queue/a.b/c"), Ok(Kind::Queue));
    }

    #[test]
    fn only_springs_own_frames_make_a_queue_transient() {
        let spring = [("simpOrigDestination".into(), "/user/queue/a".into())];
        assert!(is_transient("/queue/a-user0b1c", &spring));
        assert!(!is_transient("/queue/a-users", &[]));
        assert!(!is_transient("/queue/a", &spring));
    }
}

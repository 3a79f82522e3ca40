//! Which destinations there are, and of what kind each is.

use super::temporary;
use crate::{
    destination::{alias, is_pattern, segments, user::ORIGINAL_DESTINATION},
    engine::EngineError,
    stomp::Header,
};

const TOPIC_PREFIX: &str = "/topic/";
const QUEUE_PREFIX: &str = "/queue/";
/// What the destinations begin with that mean nothing but themselves.
pub(super) const PLAIN_PREFIXES: [&str; 2] = [TOPIC_PREFIX, QUEUE_PREFIX];
/// More segments in a wildcard subscription serve nobody and would make the index of wildcards deep.
const MAX_PATTERN_SEGMENTS: usize = 64;
/// What Spring puts between the name of a user destination and the id of the user's session.
const SPRING_USER_INFIX: &str = "-user";

/// Of what kind a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Queue,
    Topic,
    /// Topics by wildcards; only for subscriptions.
    Pattern,
    /// What a session subscribes to for itself; no message has it for its destination.
    User,
}

/// The kind of a destination that a message is sent to, by the name that it has here.
pub(super) fn for_send(destination: &str) -> Result<Kind, EngineError> {
    let kind = kind(destination)?;
    if is_pattern(destination) && !is_literal(destination) {
        return refuse(destination, "a message goes to one destination, and wildcards are for subscriptions");
    }
    Ok(kind)
}

/// The kind of a destination that is subscribed to, by the name that it has here.
pub(super) fn for_subscribe(destination: &str) -> Result<Kind, EngineError> {
    let kind = kind(destination)?;
    if !is_pattern(destination) || is_literal(destination) {
        return Ok(kind);
    }
    if kind == Kind::Queue {
        return refuse(destination, "a queue is consumed by its own name; only /topic/... takes wildcards");
    }
    if segments(destination).count() > MAX_PATTERN_SEGMENTS {
        return refuse(destination, "with wildcards it may have at most 64 segments");
    }
    Ok(Kind::Pattern)
}

/// Whether a destination that messages are kept for is a topic.
pub(super) fn is_topic(destination: &str) -> bool {
    temporary::is_reply_topic(destination) || kind(destination) == Ok(Kind::Topic)
}

fn kind(destination: &str) -> Result<Kind, EngineError> {
    let named = |prefix| destination.strip_prefix(prefix).is_some_and(|name: &str| !name.is_empty());
    if named(TOPIC_PREFIX) || named(alias::DIRECT_EXCHANGE) || destination == alias::FANOUT_EXCHANGE {
        Ok(Kind::Topic)
    } else if named(QUEUE_PREFIX) {
        Ok(Kind::Queue)
    } else {
        refuse(destination, "use /topic/... to reach all subscribers or /queue/... to reach one consumer")
    }
}

/// Whether wildcards in it stand for themselves.
fn is_literal(destination: &str) -> bool {
    destination.starts_with(alias::DIRECT_EXCHANGE)
}

pub(super) fn refuse<T>(destination: &str, remedy: &str) -> Result<T, EngineError> {
    Err(EngineError::UnknownDestination { destination: destination.into(), remedy: remedy.into() })
}

/// Whether a queue is temporary, or one that Spring made for one session of a user: the frame has `simpOrigDestination`, and the name
/// has `-user` in it (`/queue/replies-user<session id>`). The name alone would not do: `/queue/new-users` is not meant.
///
/// Such a queue lives as long as it has consumers. What is in it goes with the last of them, and what is sent to it
/// while it has none is dropped: the session that it was for is gone, and nobody else will ever ask for it.
pub(super) fn is_transient(destination: &str, headers: &[Header]) -> bool {
    temporary::is_reply_queue(destination)
        || destination.contains(SPRING_USER_INFIX) && headers.iter().any(|(name, _)| &**name == ORIGINAL_DESTINATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(result: Result<Kind, EngineError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn other_prefixes_are_refused_with_the_ones_that_there_are() {
        for destination in [
            "/user/queue/a",
            "/app/a",
            "/exchange/mine/a",
            "/exchange/amq.direct/",
            "topic/a",
            "/topic",
            "/topic/",
            "/queue/",
            "/topics/a",
            "",
        ] {
            for text in [remedy(for_send(destination)), remedy(for_subscribe(destination))] {
                assert!(text.contains(&format!("{destination:?}")), "{text}");
                assert!(text.contains("/topic/...") && text.contains("/queue/..."), "{text}");
            }
        }
    }

    #[test]
    fn wildcards_are_for_subscriptions_to_topics() {
        for pattern in
            ["/topic/*", "/topic/a.*.b", "/topic/**", "/topic/a/#", "/topic/a.>", "/topic/**/a", "/topic/#.a.>"]
        {
            assert_eq!(for_subscribe(pattern), Ok(Kind::Pattern), "{pattern}");
            assert!(remedy(for_send(pattern)).contains("one destination"));
        }
        assert!(remedy(for_subscribe("/queue/*")).contains("own name"));
        assert!(remedy(for_subscribe(&format!("/topic/*{}", "/a".repeat(64)))).contains("at most 64"));
        assert_eq!(for_subscribe("/topic/C#"), Ok(Kind::Topic));
        assert_eq!(for_send("/queue/a.b/c"), Ok(Kind::Queue));
        assert_eq!(for_send("/exchange/amq.direct/a.*"), Ok(Kind::Topic));
        assert_eq!(for_subscribe("/exchange/amq.direct/a.*"), Ok(Kind::Topic));
        assert_eq!(for_subscribe("/exchange/amq.fanout"), Ok(Kind::Topic));
    }

    #[test]
    fn only_springs_own_frames_make_a_queue_transient() {
        let spring = [("simpOrigDestination".into(), "/user/queue/a".into())];
        assert!(is_transient("/queue/a-user0b1c", &spring));
        assert!(!is_transient("/queue/a-users", &[]));
        assert!(!is_transient("/queue/a", &spring));
    }
}

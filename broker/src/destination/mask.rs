//! Temporary destinations, whose names are secrets for all but one session and those whom it tells; and how people may be
//! told of them.

use std::borrow::Cow;

/// What a session calls its own temporary queues begins so.
pub(crate) const TEMP_QUEUE: &str = "/temp-queue/";
/// The same for its temporary topics.
pub(crate) const TEMP_TOPIC: &str = "/temp-topic/";
/// What others call the temporary queues of a session begins so; a secret of the session follows.
pub(crate) const REPLY_QUEUE: &str = "/reply-queue/";
/// The same for its temporary topics.
pub(crate) const REPLY_TOPIC: &str = "/reply-topic/";

/// What stands for a secret.
const MASK: &str = "***";

/// Whether a destination is one session's own and goes with it.
pub(crate) fn is_temporary(destination: &str) -> bool {
    [TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE, REPLY_TOPIC].into_iter().any(|prefix| destination.starts_with(prefix))
}

/// A destination, or a text in which there may be one, without the secrets in the names of temporary destinations: who
/// knows one may write to the session.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let first =
        [REPLY_QUEUE, REPLY_TOPIC].into_iter().filter_map(|prefix| Some(text.find(prefix)? + prefix.len())).min();
    let Some(begin) = first else { return Cow::Borrowed(text) };
    let (before, rest) = text.split_at(begin);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    Cow::Owned(format!("{before}{MASK}{}", masked(&rest[end..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_temporary_destinations_are_not_told() {
        for (text, told) in [
            ("/queue/reply", "/queue/reply"),
            ("/temp-queue/a", "/temp-queue/a"),
            ("/reply-queue/dGhpcyBp/a", "/reply-queue/***/a"),
            ("/reply-topic/dGhpcyBp", "/reply-topic/***"),
            (
                "let \"ann\" send to \"/reply-queue/dGhp/a\" or /reply-topic/xy/b",
                "let \"ann\" send to \"/reply-queue/***/a\" or /reply-topic/***/b",
            ),
        ] {
            assert_eq!(masked(text), told);
        }
    }
}

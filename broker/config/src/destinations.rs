//! What destinations keep and for how long, by pattern; and whose `/user/...` destinations are.

use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// What holds for the destinations that a pattern matches. Of a list, the first entry that matches counts, alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationPolicy {
    /// Pattern of destinations such as `/queue/*-user*`: segments are separated by `/` or `.`, `*` is anything within one
    /// segment, `**` (also `#` and `>`) is any number of segments, none included.
    pub r#match: String,
    /// Whether a queue goes, with all that is in it, when its last consumer does.
    #[serde(default)]
    pub auto_delete: bool,
    /// How long a queue or a durable subscription may be without consumers before it goes, with all that is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<GoDuration>,
    /// How long a message may wait, unless it says itself that it may wait for a shorter time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_ttl: Option<GoDuration>,
    /// How often a message is delivered to clients that settle what they get before it is a dead letter; 0 for any number
    /// of times. Absent: [`Self::DEFAULT_MAX_DELIVERIES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deliveries: Option<u32>,
    /// What becomes of a message when a client sends NACK for it and says nothing of `requeue`.
    #[serde(default, skip_serializing_if = "Nack::is_default")]
    pub nack: Nack,
    /// The queue to which messages go that were refused, delivered too often or have expired, or [`Self::DISCARD`].
    /// Absent: refused ones and those of too many deliveries go from queues to [`Self::DEFAULT_DEAD_LETTER`], all others
    /// are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

/// What becomes of a message that a client does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nack {
    /// It is delivered again, as long as it may be.
    #[default]
    Requeue,
    /// It is a dead letter.
    DeadLetter,
}

impl Nack {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Requeue)
    }
}

/// Destinations of users: SUBSCRIBE to `/user/queue/a` is for one session alone, SEND to `/user/ann/queue/a` reaches all
/// sessions of `ann` that have subscribed so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UserDestinations {
    /// What such destinations begin with.
    pub prefix: String,
    /// Where a message goes that reaches no session; absent: it is dropped, and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresolved_topic: Option<String>,
}

impl Default for UserDestinations {
    fn default() -> Self {
        Self { prefix: "/user/".to_owned(), unresolved_topic: None }
    }
}

/// What destinations of other kinds begin with, so that no user destination may.
pub(crate) const TAKEN_PREFIXES: [&str; 8] =
    ["/topic/", "/queue/", "/temp-queue/", "/temp-topic/", "/reply-queue/", "/reply-topic/", "/exchange/", "/amq/"];

impl DestinationPolicy {
    /// Deliveries of one message where nobody has said how many; as many as RabbitMQ's quorum queues have.
    pub const DEFAULT_MAX_DELIVERIES: u32 = 20;
    /// Where dead letters go where nobody has said it.
    pub const DEFAULT_DEAD_LETTER: &str = "/queue/dead-letter";
    /// Stands in [`Self::dead_letter`] for no queue at all.
    pub const DISCARD: &str = "discard";

    /// Most deliveries of one message; absent: any number.
    pub fn max_deliveries(&self) -> Option<u32> {
        Some(self.max_deliveries.unwrap_or(Self::DEFAULT_MAX_DELIVERIES)).filter(|&most| most > 0)
    }

    /// Checks that the entry can match something and be kept.
    ///
    /// # Errors
    /// The key below the entry, and what is wrong and would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let pattern = &self.r#match;
        let refuse = |problem: &str| Err(("match", format!("{pattern:?} {problem}")));
        if !pattern.starts_with('/') {
            return refuse("matches nothing, for every destination begins with a slash; write one, as in /queue/jobs");
        }
        if self.expires.is_some_and(|expires| expires.0.is_zero()) {
            return Err((
                "expires",
                "0s would leave no time to consume anything; make it longer, such as 60s".to_owned(),
            ));
        }
        if self.message_ttl.is_some_and(|ttl| ttl.0.is_zero()) {
            return Err((
                "messageTtl",
                "0s would leave no time to deliver anything; make it longer, such as 60s".to_owned(),
            ));
        }
        if let Some(destination) = &self.dead_letter
            && destination != Self::DISCARD
            && (!destination.starts_with("/queue/") || destination.len() == 7 || destination.contains(['*', '#', '>']))
        {
            let problem = format!(
                "{destination:?} is not one queue; write for example /queue/dead-letter, or discard to keep none"
            );
            return Err(("deadLetter", problem));
        }
        Ok(())
    }

    /// Checks a list: each entry, and that no pattern stands there twice.
    ///
    /// # Errors
    /// The key, beginning with the index, and what is wrong and would be right.
    pub fn check_all(policies: &[Self]) -> Result<(), (String, String)> {
        for (index, policy) in policies.iter().enumerate() {
            policy.check().map_err(|(key, problem)| (format!("[{index}].{key}"), problem))?;
            if policies[..index].iter().any(|earlier| earlier.r#match == policy.r#match) {
                let problem =
                    format!("{:?} is listed twice, and only the first counts; merge the two entries", policy.r#match);
                return Err((format!("[{index}].match"), problem));
            }
        }
        Ok(())
    }
}

impl UserDestinations {
    /// Whether nothing is said that does not hold anyway.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that the prefix is no other kind's, and that the topic is one.
    ///
    /// # Errors
    /// The key below `userDestinations`, and what is wrong and would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let prefix = &self.prefix;
        if prefix.len() < 3 || !prefix.starts_with('/') || !prefix.ends_with('/') {
            return Err(("prefix", format!("{prefix:?} must begin and end with a slash, with a name between them")));
        }
        if prefix.contains(['*', '#', '>']) || TAKEN_PREFIXES.iter().any(|taken| prefix.starts_with(taken)) {
            return Err((
                "prefix",
                format!("{prefix:?} has another meaning; choose a name of its own, such as /user/"),
            ));
        }
        match &self.unresolved_topic {
            Some(topic) if !topic.starts_with("/topic/") || topic.len() == 7 || topic.contains(['*', '#', '>']) => {
                let problem = format!("{topic:?} is not one topic; write for example /topic/unresolved-user");
                Err(("unresolvedTopic", problem))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pattern: &str) -> DestinationPolicy {
        DestinationPolicy { r#match: pattern.to_owned(), ..DestinationPolicy::default() }
    }

    #[test]
    fn entries_that_can_match_are_accepted() {
        for pattern in ["/**", "/queue/*-user*", "/queue/**/a", "/queue/a.*.b", "/topic/#", "/queue/jobs"] {
            assert_eq!(policy(pattern).check(), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn entries_that_cannot_work_are_named_with_the_remedy() {
        for (bad, key, remedy) in [
            (policy("queue/a"), "match", "begins with a slash"),
            (DestinationPolicy { expires: Some(GoDuration::from_secs(0)), ..policy("/a") }, "expires", "longer"),
            (DestinationPolicy { message_ttl: Some(GoDuration::from_secs(0)), ..policy("/a") }, "messageTtl", "longer"),
            (DestinationPolicy { dead_letter: Some("/topic/a".into()), ..policy("/a") }, "deadLetter", "discard"),
            (DestinationPolicy { dead_letter: Some("/queue/*".into()), ..policy("/a") }, "deadLetter", "not one queue"),
        ] {
            let (field, problem) = bad.check().unwrap_err();
            assert!(field == key && problem.contains(remedy), "{field}: {problem}");
        }
        let (key, problem) = DestinationPolicy::check_all(&[policy("/a"), policy("/b"), policy("/a")]).unwrap_err();
        assert!(key == "[2].match" && problem.contains("listed twice"), "{key}: {problem}");
    }

    #[test]
    fn a_prefix_of_another_kind_and_a_topic_that_is_none_are_refused() {
        let destinations = |prefix: &str, topic: Option<&str>| UserDestinations {
            prefix: prefix.to_owned(),
            unresolved_topic: topic.map(ToOwned::to_owned),
        };
        assert_eq!(destinations("/me/", Some("/topic/unresolved-user")).check(), Ok(()));
        for (prefix, topic, key) in [
            ("/user", None, "prefix"),
            ("user/", None, "prefix"),
            ("//", None, "prefix"),
            ("/topic/", None, "prefix"),
            ("/queue/user/", None, "prefix"),
            ("/user/", Some("/queue/a"), "unresolvedTopic"),
            ("/user/", Some("/topic/"), "unresolvedTopic"),
            ("/user/", Some("/topic/*"), "unresolvedTopic"),
        ] {
            assert_eq!(destinations(prefix, topic).check().unwrap_err().0, key, "{prefix} {topic:?}");
        }
    }
}

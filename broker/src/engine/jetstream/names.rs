//! What destinations are called in NATS. Pure.
//!
//! | destination | subject |
//! |---|---|
//! | `/topic/a.b`, `/topic/a/b` | `PREFIX.t.a.b`; both separators divide tokens, and the destination itself is in the message |
//! | other topics | `PREFIX.x.NAME` |
//! | `/queue/a.b` | `PREFIX.q.SHARD.=2Fqueue=2Fa=2Eb`, in the stream `PREFIX-queues-SHARD` |
//! | a temporary queue | `PREFIX.r.NAME` |
//! | all of a user or session | `PREFIX.u.NAME` |
//! | transactions that are not spread yet | `PREFIX.c`, in the stream `PREFIX-commits` |
//! | messages to topics that wait for their time | `PREFIX.d`, in the stream `PREFIX-delayed` |
//! | `/topic/a.b` for durable subscriptions | `PREFIX.s.a.b`, in the stream `PREFIX-topics` |
//!
//! Within a token everything but letters, digits, `-` and `_` is written as `=` and two hex digits, and an empty token as `=`
//! alone, so no two names meet and no wildcard or space of a name means anything to NATS.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::{
    destination::{Segment, is_pattern, segments},
    engine::{EngineError, embedded::durable::topic_of},
};

/// Octets that a subject may have; NATS bounds the line that it stands in.
const MOST_SUBJECT: usize = 2000;
/// Octets that the name of a consumer may have, as servers keep files by it.
const MOST_CONSUMER: usize = 200;
const TOPIC: &str = "/topic/";

/// Where messages are fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The stream.
    pub(super) stream: Box<str>,
    /// The consumer that all pods share.
    pub(super) consumer: Box<str>,
    /// The subjects of the stream that it is for.
    pub(super) subjects: Vec<Box<str>>,
}

/// Names under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: Box<str>,
    shards: u16,
}

impl Names {
    /// Names under this prefix, with queues in so many streams.
    pub(super) fn new(prefix: &str, shards: u16) -> Self {
        Self { prefix: prefix.into(), shards: shards.max(1) }
    }

    /// The subject of a topic.
    pub(super) fn topic(&self, topic: &str) -> Result<Box<str>, EngineError> {
        self.topic_of_kind('t', topic)
    }

    /// The subject of what durable subscriptions get of a topic.
    pub(super) fn stored_topic(&self, topic: &str) -> Result<Box<str>, EngineError> {
        self.topic_of_kind('s', topic)
    }

    fn topic_of_kind(&self, kind: char, topic: &str) -> Result<Box<str>, EngineError> {
        let Some(rest) = topic.strip_prefix(TOPIC) else { return self.whole('x', topic) };
        let mut subject = format!("{}.{kind}", self.prefix);
        for token in rest.split(['/', '.']) {
            subject.push('.');
            push(&mut subject, token);
        }
        checked(topic, subject)
    }

    /// The subjects that together are a pattern of topics.
    pub(super) fn pattern(&self, pattern: &str) -> Result<Vec<Box<str>>, EngineError> {
        self.pattern_of_kind('t', pattern)
    }

    fn pattern_of_kind(&self, kind: char, pattern: &str) -> Result<Vec<Box<str>>, EngineError> {
        let mut subject = format!("{}.{kind}", self.prefix);
        for (tokens, segment) in segments(pattern.strip_prefix(TOPIC).unwrap_or(pattern)).enumerate() {
            match segment {
                Segment::Literal(text) => {
                    subject.push('.');
                    push(&mut subject, text);
                }
                Segment::Any => subject.push_str(".*"),
                Segment::Rest => {
                    // The rest may be empty, which NATS's wildcard does not know. What follows it is looked at here.
                    let itself = (tokens > 0).then(|| checked(pattern, subject.clone()));
                    return itself.into_iter().chain([checked(pattern, subject + ".>")]).collect();
                }
            }
        }
        Ok(vec![checked(pattern, subject)?])
    }

    /// The subject of a queue.
    pub(super) fn queue(&self, queue: &str) -> Result<Box<str>, EngineError> {
        let mut subject = format!("{}.q.{}.", self.prefix, self.shard(queue));
        push(&mut subject, queue);
        checked(queue, subject)
    }

    /// Where what is consumed as a queue of this name comes from: a queue, or the durable subscription to a topic.
    pub(super) fn source(&self, queue: &str) -> Result<Source, EngineError> {
        let consumer = Self::consumer(queue);
        match topic_of(queue) {
            None => Ok(Source { stream: self.stream_of(queue), consumer, subjects: vec![self.queue(queue)?] }),
            Some(topic) => {
                let subjects =
                    if is_pattern(topic) { self.pattern_of_kind('s', topic)? } else { vec![self.stored_topic(topic)?] };
                Ok(Source { stream: self.topics().0, consumer, subjects })
            }
        }
    }

    /// The stream that a queue is in.
    fn stream_of(&self, queue: &str) -> Box<str> {
        self.stream(self.shard(queue))
    }

    /// The consumer that all pods share for a queue.
    fn consumer(queue: &str) -> Box<str> {
        let mut name = String::new();
        push(&mut name, queue);
        if name.len() > MOST_CONSUMER {
            name = Sha256::digest(queue).iter().fold(String::from("long-"), |mut name, octet| {
                let _ = write!(name, "{octet:02x}");
                name
            });
        }
        name.into()
    }

    /// Every stream of queues, and the subjects in it.
    pub(super) fn queue_streams(&self) -> impl Iterator<Item = (Box<str>, String)> {
        (0..self.shards).map(|shard| (self.stream(shard), format!("{}.q.{shard}.>", self.prefix)))
    }

    /// The stream of transactions that are not spread yet, and its subject.
    pub(super) fn commits(&self) -> (Box<str>, Box<str>) {
        (format!("{}-commits", self.prefix).into(), format!("{}.c", self.prefix).into())
    }

    /// The stream of messages to topics that wait for their time, and its subject.
    pub(super) fn delayed(&self) -> (Box<str>, Box<str>) {
        (format!("{}-delayed", self.prefix).into(), format!("{}.d", self.prefix).into())
    }

    /// The stream of what durable subscriptions get, and the subjects in it.
    pub(super) fn topics(&self) -> (Box<str>, Box<str>) {
        (format!("{}-topics", self.prefix).into(), format!("{}.s.>", self.prefix).into())
    }

    /// The subject of a queue that is in one process alone.
    pub(super) fn temporary(&self, queue: &str) -> Result<Box<str>, EngineError> {
        self.whole('r', queue)
    }

    /// The subject of all destinations of a user, or of a session.
    pub(super) fn user(&self, name: &str) -> Result<Box<str>, EngineError> {
        self.whole('u', name)
    }

    fn whole(&self, kind: char, name: &str) -> Result<Box<str>, EngineError> {
        let mut subject = format!("{}.{kind}.", self.prefix);
        push(&mut subject, name);
        checked(name, subject)
    }

    fn stream(&self, shard: u16) -> Box<str> {
        format!("{}-queues-{shard}", self.prefix).into()
    }

    /// FNV-1a, which is the same on every machine and in every version.
    fn shard(&self, queue: &str) -> u16 {
        let mix = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = queue.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        u16::try_from(hash % u64::from(self.shards)).unwrap_or_default()
    }
}

/// The one way to write a pattern of those that mean the same.
pub(super) fn canonical_pattern(pattern: &str) -> Box<str> {
    let segment = |segment| match segment {
        Segment::Literal(text) => text,
        Segment::Any => "*",
        Segment::Rest => "**",
    };
    segments(pattern).map(segment).collect::<Vec<_>>().join("/").into()
}

/// Appends a token, encoded.
fn push(subject: &mut String, token: &str) {
    if token.is_empty() {
        subject.push('=');
    }
    for octet in token.bytes() {
        if octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_' {
            subject.push(char::from(octet));
        } else {
            let _ = write!(subject, "={octet:02X}");
        }
    }
}

fn checked(destination: &str, subject: String) -> Result<Box<str>, EngineError> {
    if subject.len() <= MOST_SUBJECT {
        return Ok(subject.into());
    }
    let remedy = format!("its name has {} octets in NATS, more than {MOST_SUBJECT}; make it shorter", subject.len());
    Err(EngineError::UnknownDestination { destination: destination.into(), remedy: remedy.into() })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new("p", 8)
    }

    #[test]
    fn topics_become_tokens_that_mean_nothing_to_nats() {
        for (topic, subject) in [
            ("/topic/a", "p.t.a"),
            ("/topic/a.b/c", "p.t.a.b.c"),
            ("/topic/a b", "p.t.a=20b"),
            ("/topic/a*", "p.t.a=2A"),
            ("/topic/é>", "p.t.=C3=A9=3E"),
            ("/topic/a..b", "p.t.a.=.b"),
            ("/topic/a=2A", "p.t.a=3D2A"),
            ("/exchange/amq.direct/a.*", "p.x.=2Fexchange=2Famq=2Edirect=2Fa=2E=2A"),
        ] {
            assert_eq!(&*names().topic(topic).unwrap(), subject, "{topic}");
        }
    }

    #[test]
    fn wildcards_become_those_of_nats() {
        for (pattern, subjects) in [
            ("/topic/*", &["p.t.*"][..]),
            ("/topic/a.*/b", &["p.t.a.*.b"]),
            ("/topic/a/**", &["p.t.a", "p.t.a.>"]),
            ("/topic/a.#", &["p.t.a", "p.t.a.>"]),
            ("/topic/>", &["p.t.>"]),
            ("/topic/a.**.b", &["p.t.a", "p.t.a.>"]),
        ] {
            let found = names().pattern(pattern).unwrap();
            assert_eq!(found.iter().map(|subject| &**subject).collect::<Vec<_>>(), subjects, "{pattern}");
        }
    }

    #[test]
    fn patterns_that_mean_the_same_are_written_alike() {
        for pattern in ["/topic/a.*.#", "/topic.a/*/>", "/topic/a/*/**"] {
            assert_eq!(&*canonical_pattern(pattern), "/topic/a/*/**");
        }
    }

    #[test]
    fn a_queue_stays_in_its_stream_and_long_names_get_short_consumers() {
        assert_eq!(&*names().queue("/queue/a.b").unwrap(), "p.q.5.=2Fqueue=2Fa=2Eb");
        assert_eq!(&*names().stream_of("/queue/a.b"), "p-queues-5");
        assert_eq!(&*Names::consumer("/queue/a"), "=2Fqueue=2Fa");
        let long = format!("/queue/{}", "a".repeat(300));
        assert!(Names::consumer(&long).len() <= MOST_CONSUMER);
        assert_ne!(Names::consumer(&long), Names::consumer(&format!("{long}b")));
        let refusal = names().queue(&format!("/queue/{}", "é".repeat(1000))).unwrap_err().to_string();
        assert!(refusal.contains("shorter"), "{refusal}");
    }

    #[test]
    fn queues_are_spread_over_all_streams() {
        let mut found: HashMap<Box<str>, u32> = HashMap::new();
        for number in 0..8000 {
            *found.entry(names().stream_of(&format!("/queue/jobs.{number}"))).or_default() += 1;
        }
        assert_eq!(found.len(), 8);
        assert!(found.values().all(|count| (500..1500).contains(count)), "{found:?}");
    }

    proptest! {
        #[test]
        fn no_two_queues_share_a_subject(a in "\\PC{1,6}", b in "\\PC{1,6}") {
            let same = names().queue(&a).unwrap() == names().queue(&b).unwrap();
            prop_assert_eq!(same, a == b);
        }

        #[test]
        fn a_subject_has_no_character_that_nats_gives_a_meaning(topic in "(?s)/topic/.{1,20}") {
            let subject = names().topic(&topic).unwrap();
            let tokens_are_plain = subject.split('.').all(|token| {
                !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b))
            });
            prop_assert!(tokens_are_plain, "{}", subject);
        }
    }
}

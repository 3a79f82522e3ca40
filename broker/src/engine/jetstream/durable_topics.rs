//! Which topics JetStream keeps for durable subscriptions: those that the configuration names, for each message to them is
//! stored. Pure.

use stompbroker_config::JetStreamEngine;

use crate::{
    destination::{Segment, segments, spans},
    engine::EngineError,
};

/// The topics that the configuration names.
#[derive(Debug)]
pub(super) struct DurableTopics(Box<[Box<str>]>);

impl DurableTopics {
    /// As the configuration has them.
    pub(super) fn new(config: &JetStreamEngine) -> Self {
        Self(
            config
                .durable_topics
                .iter()
                .flat_map(|topics| &topics.r#match)
                .map(|topic| topic.as_str().into())
                .collect(),
        )
    }

    /// Whether messages to this topic are kept.
    pub(super) fn keeps(&self, topic: &str) -> bool {
        self.0.iter().any(|pattern| is_within(topic, pattern))
    }

    /// Refuses a durable subscription to a topic, or to topics by wildcards, that are not all kept by one entry.
    pub(super) fn check(&self, wanted: &str) -> Result<(), EngineError> {
        if self.keeps(wanted) {
            return Ok(());
        }
        let named = if self.0.is_empty() { "none".to_owned() } else { self.0.join(", ") };
        let remedy = format!(
            "NATS keeps durable subscriptions only to topics within an entry of engine.jetStream.durableTopics.match \
             ({named}); add one, or consume from a queue"
        );
        Err(EngineError::UnknownDestination { destination: wanted.into(), remedy: remedy.into() })
    }
}

/// Whether all that a topic or pattern means is meant by a pattern, too.
pub(super) fn is_within(wanted: &str, pattern: &str) -> bool {
    let path: Vec<Segment<'_>> = segments(pattern).collect();
    spans(
        &path,
        |own| *own == Segment::Rest,
        segments(wanted),
        |own, wanted| match own {
            Segment::Rest => true,
            Segment::Any => wanted != Segment::Rest,
            Segment::Literal(_) => *own == wanted,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_kept_when_all_that_it_means_is() {
        for (wanted, pattern, expected) in [
            ("/topic/a", "/topic/a", true),
            ("/topic/a", "/topic/b", false),
            ("/topic/a.b", "/topic/a/*", true),
            ("/topic/a.*", "/topic/a.*", true),
            ("/topic/a.*", "/topic/a.b", false),
            ("/topic/a.**", "/topic/a.*", false),
            ("/topic/a.#", "/topic/a/**", true),
            ("/topic/a.*.b.>", "/topic/a/**", true),
            ("/topic/a", "/topic/a.**", true),
            ("/topic/**", "/topic/a.**", false),
        ] {
            assert_eq!(is_within(wanted, pattern), expected, "{wanted} in {pattern}");
        }
    }

    #[test]
    fn what_is_not_kept_is_refused_with_what_is() {
        let topics = DurableTopics(["/topic/a".into(), "/topic/b.**".into()].into());
        assert!(topics.keeps("/topic/b.c") && topics.check("/topic/b.*").is_ok());
        let refusal = topics.check("/topic/c").unwrap_err().to_string();
        assert!(refusal.contains("(/topic/a, /topic/b.**)"), "{refusal}");
    }
}

//! Names that `RabbitMQ` has for destinations that have other names here. Pure; the destination rules go by it too, so that
//! no alias leads around a rule.

use std::borrow::Cow;

const TOPIC_EXCHANGE: &str = "/exchange/amq.topic/";
const EXISTING_QUEUE: &str = "/amq/queue/";
/// Routes by the whole key: a namespace of topics without wildcards.
pub const DIRECT_EXCHANGE: &str = "/exchange/amq.direct/";
/// Routes to everybody, whatever the key: one topic.
pub const FANOUT_EXCHANGE: &str = "/exchange/amq.fanout";

/// The name that a destination has here: `/exchange/amq.topic/KEY` is `/topic/KEY`, `/amq/queue/NAME` is `/queue/NAME`, and
/// `/exchange/amq.fanout` has no keys.
pub fn canonical(destination: &str) -> Cow<'_, str> {
    if let Some(key) = destination.strip_prefix(TOPIC_EXCHANGE) {
        Cow::Owned(format!("/topic/{key}"))
    } else if let Some(name) = destination.strip_prefix(EXISTING_QUEUE) {
        Cow::Owned(format!("/queue/{name}"))
    } else if destination.strip_prefix(FANOUT_EXCHANGE).is_some_and(|key| key.starts_with('/')) {
        Cow::Borrowed(FANOUT_EXCHANGE)
    } else {
        Cow::Borrowed(destination)
    }
}

/// Whether the destination names a queue that must be there already.
pub fn must_exist(destination: &str) -> bool {
    destination.starts_with(EXISTING_QUEUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_has_the_name_that_it_stands_for() {
        for (alias, name) in [
            ("/exchange/amq.topic/a.b", "/topic/a.b"),
            ("/exchange/amq.topic/a.#", "/topic/a.#"),
            ("/amq/queue/a", "/queue/a"),
            ("/exchange/amq.fanout/a", FANOUT_EXCHANGE),
            (FANOUT_EXCHANGE, FANOUT_EXCHANGE),
            ("/exchange/amq.fanouts/a", "/exchange/amq.fanouts/a"),
            ("/exchange/amq.direct/a", "/exchange/amq.direct/a"),
            ("/topic/a", "/topic/a"),
        ] {
            assert_eq!(canonical(alias), name, "{alias}");
        }
    }
}

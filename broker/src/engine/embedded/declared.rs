//! What clients say of the queue that they subscribe or send to, by the headers that `RabbitMQ` has for it.
//!
//! The first who says something decides it for as long as the queue is there; who says nothing takes it as it is, and who
//! says something else is refused. Where the configuration bounds the same thing, the tighter bound holds. What would send
//! messages past the destination rules, or is nothing that a queue here has, is refused by name; see the README.

use std::{sync::Arc, time::Duration};

use stompbroker_config::{DestinationPolicy, GoDuration};

use super::queue::X_DELAY;
use crate::{engine::EngineError, stomp::Header};

/// Milliseconds without consumers after which the queue goes.
const EXPIRES: &str = "x-expires";
/// Milliseconds that a message may wait.
const MESSAGE_TTL: &str = "x-message-ttl";
/// Ready messages.
const MAX_LENGTH: &str = "x-max-length";
/// Octets of all messages, unsettled ones included, as with `queueSize`.
const MAX_OCTETS: &str = "x-max-length-bytes";
/// Deliveries of one message.
const DELIVERY_LIMIT: &str = "x-delivery-limit";
/// Whether the queue goes with its last consumer.
const AUTO_DELETE: &str = "auto-delete";
/// What happens at the bound.
const OVERFLOW: &str = "x-overflow";
const QUEUE_TYPE: &str = "x-queue-type";

/// What no queue here can do, and what to do instead.
const REFUSED: [(&str, &str); 6] = [
    ("x-dead-letter-exchange", "left out; where dead letters go is said by destinations[].deadLetter"),
    ("x-dead-letter-routing-key", "left out; where dead letters go is said by destinations[].deadLetter"),
    ("x-stream-offset", "left out; there are no streams, but durable subscriptions"),
    ("x-stream-filter", "left out; there are no streams, but selectors"),
    ("x-stream-match-unfiltered", "left out; there are no streams, but selectors"),
    ("x-max-age", "left out; there are no streams, but x-message-ttl"),
];

/// What has been said of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    expires: Option<u64>,
    message_ttl: Option<u64>,
    max_length: Option<u64>,
    max_octets: Option<u64>,
    max_deliveries: Option<u64>,
    auto_delete: bool,
}

/// Whether a header of this name says something of the queue, so that it has to be read.
pub(super) fn is_about_queue(name: &str) -> bool {
    name == AUTO_DELETE || name.starts_with("x-") && name != X_DELAY
}

impl Declared {
    /// Reads the headers of a SUBSCRIBE or SEND; none when they say nothing of the queue.
    ///
    /// # Errors
    /// When a header has a value that means nothing, or asks for what no queue here can do.
    pub(super) fn read(headers: &[Header]) -> Result<Option<Self>, EngineError> {
        let mut declared = Self::default();
        for (name, value) in headers.iter().filter(|(name, _)| is_about_queue(name)) {
            let invalid =
                |expected| EngineError::InvalidHeader { header: (**name).into(), value: (**value).into(), expected };
            let number = |least: u64, expected| match value.parse() {
                Ok(number) if number >= least => Ok(Some(number)),
                _ => Err(invalid(expected)),
            };
            match &**name {
                EXPIRES => declared.expires = number(1, "a number of milliseconds, at least 1")?,
                MESSAGE_TTL => declared.message_ttl = number(1, "a number of milliseconds, at least 1")?,
                MAX_LENGTH => declared.max_length = number(1, "a number of messages, at least 1")?,
                MAX_OCTETS => declared.max_octets = number(1, "a number of octets, at least 1")?,
                DELIVERY_LIMIT => declared.max_deliveries = number(1, "a number of deliveries, at least 1")?,
                AUTO_DELETE => match &**value {
                    "true" => declared.auto_delete = true,
                    "false" => {}
                    _ => return Err(invalid("true or false")),
                },
                OVERFLOW if **value != *"drop-head" => {
                    return Err(invalid("drop-head, or left out; to refuse messages, bound engine.embedded.queueSize"));
                }
                QUEUE_TYPE if !["classic", "quorum"].contains(&&**value) => {
                    return Err(invalid(
                        "classic or quorum, which are the same here; for a stream use a durable subscription",
                    ));
                }
                name => {
                    if let Some((_, expected)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                        return Err(invalid(expected));
                    }
                }
            }
        }
        Ok((declared != Self::default()).then_some(declared))
    }

    /// Adds what somebody else says of the same queue.
    ///
    /// # Errors
    /// When that is something else; then nothing is changed.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), EngineError> {
        let Self { expires, message_ttl, max_length, max_octets, max_deliveries, auto_delete } = self.clone();
        let agreed = |name: &str, present: Option<u64>, value: Option<u64>| match (present, value) {
            (Some(present), Some(value)) if present != value => Err(EngineError::Declared {
                header: name.into(),
                value: value.to_string().into(),
                present: present.to_string().into(),
            }),
            (present, value) => Ok(present.or(value)),
        };
        *self = Self {
            expires: agreed(EXPIRES, expires, other.expires)?,
            message_ttl: agreed(MESSAGE_TTL, message_ttl, other.message_ttl)?,
            max_length: agreed(MAX_LENGTH, max_length, other.max_length)?,
            max_octets: agreed(MAX_OCTETS, max_octets, other.max_octets)?,
            max_deliveries: agreed(DELIVERY_LIMIT, max_deliveries, other.max_deliveries)?,
            auto_delete: auto_delete || other.auto_delete,
        };
        Ok(())
    }

    /// What holds for the queue, given what the configuration says of it: the tighter of both.
    pub(super) fn bound(&self, policy: &Arc<DestinationPolicy>) -> Arc<DestinationPolicy> {
        let millis = |millis: Option<u64>| millis.map(|millis| GoDuration(Duration::from_millis(millis)));
        let mut bounded = DestinationPolicy::clone(policy);
        bounded.auto_delete |= self.auto_delete;
        bounded.expires = tighter(policy.expires, millis(self.expires));
        bounded.message_ttl = tighter(policy.message_ttl, millis(self.message_ttl));
        let most = self.max_deliveries.map(|most| u32::try_from(most).unwrap_or(u32::MAX));
        bounded.max_deliveries = tighter(policy.max_deliveries(), most).or(Some(0));
        Arc::new(bounded)
    }

    /// Whether so many ready messages, or octets in all, are too much.
    pub(super) fn is_exceeded(&self, ready: usize, octets: usize) -> bool {
        let exceeds = |number: usize, most: Option<u64>| most.is_some_and(|most| number as u64 > most);
        exceeds(ready, self.max_length) || exceeds(octets, self.max_octets)
    }
}

fn tighter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

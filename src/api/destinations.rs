//! What destinations keep, and whose they are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{rules, scalars};

/// What holds for the destinations that a pattern matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::policy_pattern_begins_with_a_slash())]
#[x_kube(validation = rules::expiry_is_positive(), validation = rules::message_ttl_is_positive())]
#[x_kube(validation = rules::dead_letter_is_one_queue())]
pub struct DestinationPolicy {
    /// Pattern such as `/queue/*-user*`: segments are separated by `/` or `.`, `*` is anything within one segment, `**` is
    /// any number of segments.
    #[schemars(length(min = 1, max = 255))]
    pub r#match: String,
    /// Whether a queue goes, with all that is in it, when its last consumer does.
    #[serde(default)]
    pub auto_delete: bool,
    /// How long a queue or a durable subscription may be without consumers before it goes, with all that is in it.
    /// Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub expires: Option<GoDuration>,
    /// How long a message may wait before it is delivered no longer. Its own `expiration` or `expires` header can only
    /// make that shorter. Absent: as long as its headers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub message_ttl: Option<GoDuration>,
    /// How often a message is delivered to clients that acknowledge before it is a dead letter; 0 for any number of times.
    /// Absent: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 1_000_000))]
    pub max_deliveries: Option<u32>,
    /// What becomes of a message when a client sends NACK without `requeue`.
    #[serde(default)]
    pub nack: Nack,
    /// The queue for messages that were refused, delivered too often or have expired, or `discard`. Absent: refused ones
    /// and those of too many deliveries go from queues to /queue/dead-letter, all others are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub dead_letter: Option<String>,
}

/// What becomes of a message that a client does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Nack {
    /// It is delivered again, up to `maxDeliveries` times.
    #[default]
    Requeue,
    /// It is a dead letter.
    DeadLetter,
}

/// Destinations of users: SUBSCRIBE to `/user/queue/a` is for one session alone, SEND to `/user/ann/queue/a` reaches all
/// sessions of `ann` that have subscribed so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::user_prefix_is_a_name(), validation = rules::unresolved_topic_is_one_topic())]
pub struct UserDestinations {
    /// What such destinations begin with, slashes at both ends.
    #[serde(default = "prefix")]
    #[schemars(length(min = 1, max = 63))]
    pub prefix: String,
    /// Where a message goes that reaches no session, such as `/topic/unresolved-user`. Absent: it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub unresolved_topic: Option<String>,
}

impl Default for UserDestinations {
    fn default() -> Self {
        Self { prefix: prefix(), unresolved_topic: None }
    }
}

fn prefix() -> String {
    stompbroker_config::UserDestinations::default().prefix
}

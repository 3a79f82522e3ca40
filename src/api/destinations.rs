//! What destinations keep, and whose they are.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{rules, scalars};

/// What holds for the destinations that a pattern matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::policy_pattern_begins_with_a_slash(), validation = rules::policy_rest_wildcard_is_last())]
#[x_kube(validation = rules::expiry_is_positive())]
pub struct DestinationPolicy {
    /// Pattern such as `/queue/*-user*`: segments are separated by `/` or `.`, `*` is anything within one segment, `**` at
    /// the end is the rest.
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

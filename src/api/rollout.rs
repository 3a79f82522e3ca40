//! How pods are replaced: zone by zone, when, and what happens when a zone does not come up.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::scalars;

/// How pods are replaced when something changes that only a restart brings into effect: one zone after the other in the
/// order of `spec.zones`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// What to do when a zone does not come up: leave the other zones as they are and wait for a correction, or take all
    /// zones back to the last revision that worked.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The next zone waits at most so long for the sessions of the last one to be back.
    #[serde(default = "session_wait")]
    #[schemars(schema_with = "scalars::duration")]
    pub session_wait: GoDuration,
    /// A pod whose admin port gives the operator no answer holds up the next zone for at most so long, and a rotation of
    /// logins for so long or 3m, whichever is longer: by then it has taken up the Secrets by itself.
    #[serde(default = "silence_wait")]
    #[schemars(schema_with = "scalars::duration")]
    pub silence_wait: GoDuration,
    /// Any new text restarts every pod, zone by zone; customarily the time of the wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub restart: Option<String>,
}

/// What to do when a zone does not come up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// Leave the other zones as they are.
    #[default]
    Halt,
    /// Take all zones back to the last revision that worked.
    Rollback,
}

/// When pods are restarted only because a newer operator would make them otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradePolicy {
    /// With the next change of the spec that restarts them anyway, or in the maintenance window.
    #[default]
    OnChange,
    /// At once.
    Automatic,
}

/// A time of the week, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = super::rules::window_is_open_at_some_time())]
pub struct MaintenanceWindow {
    /// Days on which it opens. Empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<Weekday>,
    /// When it opens, as `hh:mm` in UTC.
    #[schemars(length(min = 5, max = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it stays open; at most a day.
    #[schemars(schema_with = "scalars::duration")]
    pub duration: GoDuration,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// The last time that pods were replaced by the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The revision that the zones are to have in the end, as in `status.zones[].revision`.
    pub revision: String,
    /// Why pods were restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub reasons: Vec<RestartReason>,
    /// The zone whose pods were replaced last; absent without zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// When the first zone began.
    pub started_at: Time,
    /// When the last zone was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Sessions over all zones when the zone began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_before: Option<i64>,
    /// When the pods of the zone were ready with their configuration; from then on its sessions are awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_ready_at: Option<Time>,
}

/// How far a rollout has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutPhase {
    /// Zones are being replaced.
    Progressing,
    /// A zone did not come up, and the others stay as they are.
    Halted,
    /// A zone did not come up, and all zones go back to the last revision that worked.
    RollingBack,
    /// All zones run the revision that worked before.
    RolledBack,
    /// All zones run the revision.
    Completed,
}

/// Why the operator restarts pods; there is no other reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RestartReason {
    /// `spec.image` has changed.
    ImageChanged,
    /// `spec.imagePullSecrets` has changed.
    PullSecretsChanged,
    /// `spec.resources` has changed.
    ResourcesChanged,
    /// Ports or other parts of `spec.listeners` that are read at the start have changed.
    ListenersChanged,
    /// `spec.engine` is of another kind or names other Secrets.
    EngineChanged,
    /// `spec.drain.deadline` has changed, which the kubelet has to know.
    DrainChanged,
    /// A part of `spec.overrides` that patches what pods are made from has changed.
    OverridesChanged,
    /// `spec.rollout.restart` has changed.
    RestartRequested,
    /// Another part of the spec that is read at the start has changed.
    ConfigurationChanged,
    /// A newer operator makes the pods otherwise.
    OperatorUpgraded,
    /// The revision did not come up somewhere.
    RolledBack,
}

impl RestartReason {
    /// The name as in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageChanged => "ImageChanged",
            Self::PullSecretsChanged => "PullSecretsChanged",
            Self::ResourcesChanged => "ResourcesChanged",
            Self::ListenersChanged => "ListenersChanged",
            Self::EngineChanged => "EngineChanged",
            Self::DrainChanged => "DrainChanged",
            Self::OverridesChanged => "OverridesChanged",
            Self::RestartRequested => "RestartRequested",
            Self::ConfigurationChanged => "ConfigurationChanged",
            Self::OperatorUpgraded => "OperatorUpgraded",
            Self::RolledBack => "RolledBack",
        }
    }
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::default(),
            session_wait: session_wait(),
            silence_wait: silence_wait(),
            restart: None,
        }
    }
}

fn session_wait() -> GoDuration {
    GoDuration::from_secs(60)
}

fn silence_wait() -> GoDuration {
    GoDuration::from_secs(300)
}

//! How logins get new values while clients go on logging in.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{rules, scalars};

/// Annotation of a StompBroker: any new text gives the generated logins new passwords; customarily the time of the wish.
pub const ROTATE_CREDENTIALS: &str = "stompbroker.dev/rotate-credentials";
/// Annotation of a StompBroker: any new text takes the rotation that is under way back.
pub const REVERT_CREDENTIALS: &str = "stompbroker.dev/revert-credentials";

/// How the logins get new values while clients go on logging in: pods accept the new value first, then consumers get it, and
/// the old one counts for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::rotation_outlasts_overlap())]
pub struct CredentialRotation {
    /// Age at which a generated password is replaced, at least twice the overlap. Absent: passwords are replaced on demand
    /// only, by a new text in the annotation stompbroker.dev/rotate-credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scalars::duration")]
    pub every: Option<GoDuration>,
    /// How long the old value is accepted after consumers were given the new one.
    #[serde(default = "overlap")]
    #[schemars(schema_with = "scalars::duration")]
    pub overlap: GoDuration,
}

/// Where the rotation of one login stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// The state.
    pub phase: RotationPhase,
    /// What is waited for; absent at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Pods that have taken up the Secret as it is, of those that clients may reach, for example `2/3`; absent at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// Since when consumers have the value in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_at: Option<Time>,
    /// When the old value is no longer accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_at: Option<Time>,
    /// When the value in use is replaced; absent when that is not on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

/// The states of a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RotationPhase {
    /// There is one value, and pods accept it.
    #[default]
    Idle,
    /// A new value is on its way to the pods; consumers have the old one.
    Staged,
    /// Every pod accepts the new value; consumers are about to get it.
    Distributed,
    /// Consumers have the new value, and pods are taking note of that.
    Active,
    /// Every pod knows that the old value goes; it is accepted until the overlap is over.
    Draining,
    /// The old value is on its way out of the pods.
    Retired,
}

impl RotationPhase {
    /// The name as in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Staged => "Staged",
            Self::Distributed => "Distributed",
            Self::Active => "Active",
            Self::Draining => "Draining",
            Self::Retired => "Retired",
        }
    }
}

impl fmt::Display for RotationPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for CredentialRotation {
    fn default() -> Self {
        Self { every: None, overlap: overlap() }
    }
}

fn overlap() -> GoDuration {
    GoDuration::from_secs(3600)
}

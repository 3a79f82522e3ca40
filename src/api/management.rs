//! How far the operator goes by itself, and what it would do.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the operator goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// It puts the spec into effect, and keeps it so.
    #[default]
    Manage,
    /// It writes nothing but `status`, where `plannedChanges` has what it would do.
    Observe,
}

impl ManagementPolicy {
    /// Whether it is the one that need not be said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn is_manage(&self) -> bool {
        *self == Self::Manage
    }
}

/// What the operator would do with one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChange {
    /// Kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What would be done.
    pub action: PlannedAction,
    /// The fields that would change, each as `path: before -> after`, with long values cut. Of Secrets no value is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub fields: Vec<String>,
}

/// What would be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlannedAction {
    /// It would be made.
    Create,
    /// It would be changed.
    Change,
    /// It would be deleted.
    Delete,
}

impl PlannedAction {
    /// The value in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Change => "Change",
            Self::Delete => "Delete",
        }
    }
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, action, fields } = self;
        write!(f, "{} {kind} {name}", action.as_str())?;
        if fields.is_empty() { Ok(()) } else { write!(f, " ({})", fields.join(", ")) }
    }
}

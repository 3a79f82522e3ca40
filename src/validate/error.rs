//! What is wrong with a spec, for people.

use std::fmt;

use crate::status::{ConditionType, Reason};

/// One thing that the user has to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// The condition that turns false.
    pub condition: ConditionType,
    /// Its reason.
    pub reason: Reason,
    /// Path of the field, for example `spec.drain.deadline`.
    pub field: String,
    /// The value as written.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub remedy: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition: _, reason: _, field, value, remedy } = self;
        if value.is_empty() { write!(f, "{field}: {remedy}") } else { write!(f, "{field} is {value}: {remedy}") }
    }
}

impl SpecError {
    /// Whether cert-manager, and not the user, has to do something.
    pub(crate) fn awaits_certificate(&self) -> bool {
        matches!(self.reason, Reason::CertificatePending | Reason::CertificateFailed)
    }

    /// Whether it passes by itself.
    pub(crate) fn passes(&self) -> bool {
        self.reason == Reason::CertificatePending
    }

    /// A value of the spec that cannot work.
    pub(super) fn invalid(field: impl Into<String>, value: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            condition: ConditionType::Accepted,
            reason: Reason::Invalid,
            field: field.into(),
            value: value.to_string(),
            remedy: remedy.into(),
        }
    }

    /// A patch of `spec.overrides` that cannot be done, or may not be.
    pub(crate) fn refused_override(
        field: impl Into<String>,
        value: impl fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self { reason: Reason::OverrideRefused, ..Self::invalid(field, value, remedy) }
    }
}

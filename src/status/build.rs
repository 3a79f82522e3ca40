//! Builds the status of one pass.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{StompBroker, StompBrokerStatus},
    observed::Observed,
    plan::Plan,
    status::Reason,
    validate::{SpecError, ValidatedBroker},
};

/// All that the status of one pass is made from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The object that the pass was for, with its previous status.
    pub broker: &'a StompBroker,
    /// What was seen; absent when observing failed.
    pub observed: Option<&'a Observed>,
    /// What was validated and planned; absent when the spec was refused or the pass did not get so far.
    pub planned: Option<(&'a ValidatedBroker, &'a Plan)>,
    /// What is wrong with the spec.
    pub errors: &'a [SpecError],
    /// What made the pass fail otherwise.
    pub failure: Option<&'a Failure>,
    /// The time of conditions that flip in this pass.
    pub now: Timestamp,
}

/// What made a pass fail although the spec is all right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`Reason::ObserveFailed`] or [`Reason::ApplyFailed`].
    pub reason: Reason,
    /// The error, for people.
    pub message: String,
}

/// The status that this pass reports.
pub fn build(input: &StatusInput<'_>) -> StompBrokerStatus {
    let mut status = input.broker.status.clone().unwrap_or_default();
    status.observed_generation = input.broker.metadata.generation;
    status
}

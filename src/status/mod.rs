//! Step `status` (pure part): from what was validated, planned and observed to the conditions that users read.
//!
//! Invariants: the same input gives the same status; `lastTransitionTime` moves only when a condition's `status` flips;
//! `observedGeneration` is set on the status and on every condition.

mod autoscaling;
mod build;
mod certificates;
mod conditions;
mod config;
mod drains;
mod exposure;
mod logins;
mod management;
mod nats;
mod pools;
mod relay;
mod rollout;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;
mod zones;

pub use build::{Failure, StatusInput, build};
pub(crate) use certificates::{awaited, notice_from};
pub(crate) use conditions::names;
pub use conditions::{ConditionType, Reason};

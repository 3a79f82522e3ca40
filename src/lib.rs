//! The operator: turns one `StompBroker` into a multi-zone STOMP messaging tier.
//!
//! | module | step | pure |
//! |---|---|---|
//! | [`api`] | the custom resource, its schema and its rules | yes |
//! | [`observed`] | what a pass has seen of the world | yes |
//! | [`validate`] | spec and world to [`validate::ValidatedBroker`] or user errors | yes |
//! | [`plan`] | validated broker to the desired objects | yes |
//! | [`status`] | all of that to conditions | yes |
//! | [`mod@reference`] | the tables of all that it tells, as documentation and alerts | yes |
//! | [`difference`] | what differs between two values, for people | yes |
//! | [`cli`] | command line; `crd`, `render` and `local` work without a cluster | no |

pub mod api;
mod backoff;
pub mod cli;
pub mod client;
mod controller;
mod custom_metrics;
pub mod difference;
pub mod error;
mod events;
pub mod health;
pub mod http;
mod label_selector;
mod leader;
pub mod metrics;
pub mod observed;
mod operator;
mod pki;
pub mod plan;
mod random;
pub mod rbac;
pub mod reference;
pub mod settings;
pub mod shutdown;
pub mod status;
pub mod telemetry;
mod typed;
pub mod validate;

pub use operator::{RunError, run};

/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "stompbroker-operator";

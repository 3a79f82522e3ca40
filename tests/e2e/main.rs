//! The product on a real cluster: the story of `make demo`, asserted, and what may go wrong in it.
//!
//! Run by `make test-e2e`, which sees to the cluster, the images, the operator and RabbitMQ. The scenarios disturb the one
//! cluster that they share, so they run one after the other.

#![allow(unreachable_pub, missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step ends its test")]
#![allow(clippy::print_stdout, reason = "measured times belong into the test's output")]

mod applications;
mod autoscaling;
mod clients;
mod disturbances;
#[path = "../fixtures/documents.rs"]
mod documents;
mod embedded;
mod gitops;
mod jetstream;
mod plugin;
mod refusals;
mod relay;
mod releases;
mod stomp;
mod uninstall;
mod upgrade;
mod walkthrough;
mod world;

//! The operator on a real API server: etcd and kube-apiserver, no nodes and no other controllers.
//!
//! Each test has a namespace of its own and runs the operator in its own process through the library, with the rights that the
//! chart gives it there. Where a kubelet is needed, the test plays it. Every request is held against the table of rights
//! ([`stompbroker_operator::rbac::RIGHTS`]), and all of them together are by `tests/rights_used.rs`, from the audit log.

#![allow(unreachable_pub, missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step ends its test")]

mod support;

mod certificates;
mod chart;
mod children;
mod conflicts;
mod custom_metrics;
mod disruptions;
mod exposure;
mod faults;
mod gitops;
mod keda;
mod leadership;
mod loose_schema;
mod management;
mod nats;
mod overrides;
mod persistence;
mod pods;
mod rollouts;
mod rotation;
mod scale;
mod scope;
mod secrets;
mod zones;

//! Ten minutes of faults: three zones with a broker and an upstream node each, clients that count, and a judge.
//!
//! A seeded schedule kills brokers, upstream nodes and leaders, and cuts zones off; producers and consumers in every zone come
//! back and go on. In the end everything is healed and drained, and [`judge`] says whether what docs/engines.md promises was
//! kept. `make faults` and `hack/faults` run it; `make test` does so for a short while.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of a test fail it by a panic")]
#![allow(clippy::print_stdout, reason = "a run says what it does")]

mod clients;
mod judge;
mod ledger;
mod run;
mod schedule;
mod servers;
mod zones;

use servers::Engine;

#[test]
#[ignore = "needs root for network namespaces; hack/faults runs it"]
fn jetstream_loses_nothing_and_repeats_nothing_whatever_dies_or_is_cut_off() {
    run::run(Engine::JetStream);
}

#[test]
#[ignore = "needs root for network namespaces; hack/faults runs it"]
fn relay_loses_nothing_and_repeats_nothing_whatever_dies_or_is_cut_off() {
    run::run(Engine::Relay);
}

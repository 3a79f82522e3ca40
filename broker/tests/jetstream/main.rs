//! Brokers over a real NATS: what is special to it, and the tests of every broker once more.
//!
//! The program is the one that `hack/cluster/cluster bin nats-server` builds, or `STOMPBROKER_TEST_NATS_SERVER`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, unused_imports, reason = "the tests of every broker are shared, and so is all that they need")]

#[path = "../common/authority.rs"]
mod authority;
mod behaviours;
#[path = "../common/behaviours/mod.rs"]
mod behaviours_table;
mod durable_topics;
mod faults;
mod logins;
mod nats;
mod queues;
mod silence;
mod topics;
mod transactions;

#[path = "../broker/support/mod.rs"]
mod any_broker;

/// What tests of every broker do, here with brokers that have queues in JetStream.
mod support {
    pub(crate) use crate::any_broker::*;
    use crate::nats::Nats;

    /// As for the other tests, with an engine of its own within the NATS that all tests share.
    pub(crate) fn config(more: &str) -> String {
        config_on(Nats::shared(), &Nats::prefix(), more)
    }

    /// The same on this NATS, shared by all that give the same prefix.
    pub(crate) fn config_on(nats: &Nats, prefix: &str, more: &str) -> String {
        config_with(&format!("servers: ['{}'], prefix: {prefix}", nats.url()), more)
    }

    /// The same with these keys of the engine. Topics of one segment may have durable subscriptions, so that those tests are
    /// about both ways of a topic through NATS.
    pub(crate) fn config_with(engine: &str, more: &str) -> String {
        crate::any_broker::config(&format!("{}\n{more}", engine_with(engine)))
    }

    /// Its engine alone.
    pub(crate) fn engine_with(engine: &str) -> String {
        format!(
            "engine: {{jetStream: {{{engine}, replicas: 1, queueStreams: 2, ackWait: 3s, \
             durableTopics: {{match: [/topic/*], size: 8Mi}}}}}}"
        )
    }

    /// Brokers that are one.
    pub(crate) fn pods<const N: usize>(more: &str) -> [BrokerUnderTest; N] {
        let config = config(more);
        std::array::from_fn(|_| BrokerUnderTest::start(&config))
    }
}

#[path = "../broker/sockjs/http.rs"]
mod sockjs;

#[path = "../broker/applications/mod.rs"]
mod applications;
#[path = "../broker/closing.rs"]
mod closing;
#[path = "../broker/cluster.rs"]
mod cluster;
#[path = "../broker/destinations.rs"]
mod destinations;
#[path = "../broker/durable.rs"]
mod durable;
#[path = "../broker/handed_on.rs"]
mod handed_on;
#[path = "../broker/heartbeats.rs"]
mod heartbeats;
#[path = "../broker/limits.rs"]
mod limits;
#[path = "../broker/messages.rs"]
mod messages;
#[path = "../broker/rules.rs"]
mod rules;
#[path = "../broker/sessions.rs"]
mod sessions;
#[path = "../broker/slow_consumers.rs"]
mod slow_consumers;
#[path = "../broker/temp_queues.rs"]
mod temp_queues;
#[path = "../broker/user_destinations.rs"]
mod user_destinations;

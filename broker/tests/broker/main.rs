//! The broker from outside: real sockets against [`stompbroker::server::Server`], or against the binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod admin;
mod applications;
#[path = "../common/authority.rs"]
mod authority;
mod behaviours;
#[path = "../common/behaviours/mod.rs"]
mod behaviours_table;
mod bench;
mod clients;
mod closing;
mod cluster;
mod command_line;
mod console;
mod destinations;
mod documentation;
mod drain;
mod durable;
mod handed_on;
mod heartbeats;
mod limits;
mod logging;
mod logins;
mod memory;
mod messages;
mod peers;
mod persistence;
mod proxies;
mod queue_features;
mod recovery;
mod relay;
mod reload;
mod rules;
#[path = "../common/servers.rs"]
mod servers;
mod sessions;
mod shared_users;
mod slow_consumers;
mod sockjs;
mod spring;
mod support;
/// As where the tests of other engines share its helpers.
use support as any_broker;
mod temp_queues;
mod tls;
mod tokens;
mod traces;
mod user_destinations;
mod websocket;
mod websocket_options;

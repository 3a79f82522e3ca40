//! The relay engine against an upstream that the tests play themselves, and against a real `RabbitMQ`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of a test fail it by a panic")]

#[path = "../common/authority.rs"]
mod authority;
mod flow;
mod harness;
mod multiplex;
mod rabbitmq;
mod real;
mod reload;
#[path = "../common/servers.rs"]
mod servers;
mod sessions;
mod system;
mod tls;
mod upstream;

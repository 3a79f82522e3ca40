//! The Stompbroker data plane: clients speak STOMP over TCP or WebSocket, an engine takes their messages.
//!
//! ```text
//! transport ── octets ──► stomp (codec) ── Frame ──► session ── Operation ──► engine
//!     ▲                                                  │  ▲                    │
//!     └────────────── encoded frames ◄───────────────────┘  └── Event ◄─ mailbox ┘
//! ```
//!
//! * [`stomp`] is a codec without I/O; [`session`] is a pure state machine and owns every STOMP rule.
//! * [`engine`] sees destinations and messages, never sockets or frames; transports see frames, never destinations.
//! * [`selector`] tells which messages a subscription wants, by their headers; it is pure, too.
//! * What clients send to `applications` is posted to HTTP services, and their answers are sent on to the engine.
//! * One [`mailbox`] a session is the only way back from an engine: bounded, batched, woken once per batch.
//! * `trace` follows messages through all of this and tells a collector, which nothing waits for.
//! * `peers` are the other pods of the same broker: they are asked for their sessions, and handed
//!   requests that came to the wrong pod.
//! * A connection drives one session: a single future over a socket, whatever the transport's framing.
//! * [`server`] binds the ports and runs it all; [`configuration`] is read at the start and brought into force again whenever
//!   its files change.

mod addresses;
mod admin;
mod applications;
pub mod bench;
mod broker;
pub mod cli;
pub mod configuration;
mod connection;
pub mod destination;
mod drain;
mod endpoint;
pub mod engine;
mod engines;
pub mod mailbox;
mod memory;
pub mod message;
pub mod metrics;
mod peers;
pub mod security;
pub mod selector;
pub mod server;
pub mod session;
pub mod shutdown;
mod stats;
pub mod stomp;
pub mod telemetry;
mod timestamp;
mod trace;
pub mod transport;

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
//! * One [`mailbox`] a session is the only way back from an engine: bounded, batched, woken once per batch.

pub mod destination;
pub mod engine;
pub mod mailbox;
pub mod message;
pub mod security;
pub mod session;
pub mod stomp;

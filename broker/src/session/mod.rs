//! One client's session: a pure state machine that owns every STOMP rule and does no I/O.
//!
//! ```text
//!            CONNECT              login accepted
//! Expecting ────────► LoggingIn ────────────────► Live ──── DISCONNECT ──► Closed
//!     │                   │  refused               │  protocol error, limit, engine failure
//!     └───────────────────┴────────── ERROR ───────┴──────────────────────► Closed
//! ```
//!
//! Inputs are decoded frames, the outcome of the login, events from the engine, and time. Outputs are frames for the
//! client, written to a [`FrameSink`], and [`Effects`] for the connection that drives the session.

mod effects;

pub use effects::{Close, CloseReason, Effects, FrameSink, Login};

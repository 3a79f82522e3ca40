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
//!
//! Invariants:
//! * An ERROR is the last frame, and [`Effects::close`] follows it; a closed session ignores everything.
//! * Nothing here grows without a bound: subscriptions, transactions, answers owed and unsettled deliveries each have one.
//! * A RECEIPT is written only after the engine has taken what it is for, and in the order of the client's frames.

mod acknowledge;
mod applications;
mod deliveries;
mod effects;
mod error;
mod handshake;
mod heartbeat;
mod live;
mod output;
mod receipts;
mod replies;
mod send;
mod settings;
mod state;
mod subscribe;
mod subscriptions;
mod transact;
mod transactions;

pub use effects::{Close, CloseReason, Effects, FrameSink, Login};
pub use settings::Settings;
pub use state::Session;

#[cfg(test)]
mod tests;

//! What pods say of themselves when they are asked, again and again. Nothing here writes to the API server.
//!
//! [`pods`] asks brokers through the [`admin`] port, [`nats_pods`] asks NATS servers; what they answer is kept in [`reports`], and [`asked`]
//! tells of whom somebody else wants to know it.

mod admin;
pub(crate) mod asked;
pub(crate) mod nats_pods;
pub(crate) mod pods;
pub(crate) mod reports;

//! What the watches show, reduced to what passes and pollers look at.
//!
//! Only [`streams`] has a client; everything else here is pure. An event goes through [`shapes`] (the parts of an object that are read),
//! [`seen`] (read and reduced at once), the views of its kind, and is kept in a [`cache`] of the [`world`]; StompBrokers are [`kept`]
//! whole and packed.

mod autoscalers;
mod brokers;
pub(crate) mod cache;
pub(crate) mod certificates;
pub(crate) mod exposed;
pub(crate) mod kept;
mod managed_fields;
mod obstacle;
mod packed;
pub(crate) mod pod_views;
pub(crate) mod seen;
pub(crate) mod shapes;
pub(crate) mod streams;
pub(crate) mod uid;
pub(crate) mod views;
pub(crate) mod world;

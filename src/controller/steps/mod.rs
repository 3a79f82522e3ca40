//! The steps of a pass that are not pure, each in a file: they read from and write to the API server. `reconcile` gives the order.

pub(crate) mod apis;
pub(crate) mod apply;
mod budget;
mod logins;
pub(crate) mod nats_secret;
pub(crate) mod observe;
pub(crate) mod preview;
pub(crate) mod prune;
mod secrets;
pub(crate) mod status;
pub(crate) mod trial;

//! Settings of the running operator.

/// Arguments of `stompbroker-operator run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {}

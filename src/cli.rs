//! The command line. `crd` and `render` need no cluster.

use clap::{Parser, Subcommand};

use crate::settings::RunArgs;

/// Turns one StompBroker manifest into a multi-zone STOMP messaging tier.
#[derive(Debug, Parser)]
#[command(name = "stompbroker-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch StompBrokers and keep their objects as they are to be.
    Run(RunArgs),
}

//! The command line. `crd`, `render` and `local` need no cluster.

mod crd;
mod local;
mod manifest;
mod render;

use clap::{Parser, Subcommand};
pub use crd::{CrdArgs, CrdError, crd};
pub use local::{LocalArgs, LocalError, local};
pub use manifest::{ManifestError, brokers, read_manifests};
pub use render::{RenderArgs, RenderError, render};

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
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinition as YAML, or write it to a folder.
    Crd(CrdArgs),
    /// Print the objects that StompBroker manifests lead to, without a cluster.
    ///
    /// The same manifests and settings always give the same octets. Secrets are printed without their random values, and
    /// Secrets that the manifests refer to are taken to exist.
    Render(RenderArgs),
    /// Run on this machine what one pod of a StompBroker would run, without a cluster, and print how to reach it.
    Local(LocalArgs),
}

//! The command line: every flag of `run` has an environment variable.

use std::path::PathBuf;

use clap::{
    Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use stompbroker_config::LogFormat;

use crate::bench::BenchArguments;

/// STOMP broker over TCP and WebSocket.
#[derive(Debug, Parser)]
#[command(name = "stompbroker", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM or SIGINT, then drain; a second signal ends at once.
    Run(RunArguments),
    /// Read a password from the standard input and print its hash for the file of `authentication.users`.
    HashPassword,
    /// Check a configuration file, print `OK` or `file:line: key: problem`, and exit with 0 or 64.
    Check {
        /// The broker.yaml to check, with all the files that it refers to: certificates, keys, credentials, users, token.
        file: PathBuf,
        /// Leave out the files that it refers to, where they exist only in the pod.
        #[arg(long)]
        no_files: bool,
    },
    /// Put load on a STOMP broker, this one or any other, and print figures.
    Bench(BenchArguments),
}

/// What `run` needs.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// The broker.yaml to serve by; watched for changes.
    #[arg(long, env = "STOMPBROKER_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// How log lines look, whatever `logging.format` says. In the same way `RUST_LOG`, for example `info` or
    /// `stompbroker=debug`, says which ones there are, whatever `logging.level` says.
    #[arg(long, env = "STOMPBROKER_LOG_FORMAT", value_name = "FORMAT", value_parser = log_format())]
    pub log_format: Option<LogFormat>,
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(LogFormat::NAMES).try_map(|name| name.parse::<LogFormat>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}

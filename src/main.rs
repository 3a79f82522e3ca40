//! Wires the command line to the library.

use std::{io, process::ExitCode};

use clap::Parser as _;
use stompbroker_operator::cli::{self, Cli, Command};

/// Exit code of `sysexits.h` for input that the user has to correct.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let result: Result<(), Box<dyn std::error::Error>> = match Cli::parse().command {
        Command::Crd(args) => cli::crd(&args, &mut out).map_err(Into::into),
        Command::Render(args) => cli::render(&args, &mut out).map_err(Into::into),
        Command::Run(_) => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::from(USAGE)
        }
    }
}

#[allow(clippy::print_stderr, reason = "the one place where errors of offline commands reach the user")]
fn report(error: &dyn std::error::Error) {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    eprintln!("{text}");
}

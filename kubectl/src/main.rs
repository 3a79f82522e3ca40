//! Wires the command line to the library.

use std::{io, process::ExitCode};

use clap::Parser as _;
use kubectl_stompbroker::{Failure, cli::Cli, run};

/// Exit code of `sysexits.h` for input that the user has to correct.
const USAGE: u8 = 64;
/// Exit code when the command could not do what it is for; above that of a difference that was found.
const FAILED: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { scope, command } = Cli::parse();
    match run(&scope, command, &mut anstream::stdout()).await {
        Ok(answer) => answer.into(),
        // The reader has gone away, for example `head`.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(if failure.is_usage() { USAGE } else { FAILED })
        }
    }
}

#[allow(clippy::print_stderr, reason = "the one place where the error that ends the program reaches the user")]
fn report(failure: &Failure) {
    eprintln!("error: {}", stompbroker_operator::error::chain(failure));
}

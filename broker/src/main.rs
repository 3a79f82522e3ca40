//! Wires the command line to the library.

use std::{io::Write as _, path::Path, process::ExitCode};

use clap::Parser as _;
use stompbroker::{
    bench::{self, BenchArguments, BenchError},
    cli::{Cli, Command, RunArguments},
    configuration, security,
    server::Server,
    shutdown::Signals,
    telemetry::Log,
};
use tokio_util::sync::CancellationToken;

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong, trying again does not help.
const USAGE: u8 = 64;
/// Anything else that went wrong.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli { command: Command::Check { file, no_files } }) => check(&file, no_files),
        Ok(Cli { command: Command::HashPassword }) => hash_password(),
        Ok(Cli { command: Command::Run(arguments) }) => run(&arguments),
        Ok(Cli { command: Command::Bench(arguments) }) => measure(arguments),
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Help that nobody reads is no failure.
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}

fn check(file: &Path, no_files: bool) -> ExitCode {
    if let Err(error) = configuration::check(file) {
        return fail(&error, USAGE);
    }
    if !no_files && let Err(error) = configuration::check_files(file) {
        // There is no other place to say so.
        let _ = writeln!(std::io::stderr(), "The file itself is right; --no-files leaves out what it refers to.");
        return fail(&error, USAGE);
    }
    print("OK")
}

/// Never from the command line, where other processes could read it.
fn hash_password() -> ExitCode {
    let mut password = String::new();
    if let Err(error) = std::io::stdin().read_line(&mut password) {
        return fail(&error, FAILURE);
    }
    match security::hash_password(password.trim_end_matches(['\r', '\n'])) {
        Ok(hash) => print(&hash),
        Err(error) => fail(&error, USAGE),
    }
}

fn print(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILURE),
    }
}

#[tokio::main]
async fn run(arguments: &RunArguments) -> ExitCode {
    let log = match Log::install(arguments.log_format) {
        Ok(log) => log,
        Err(error) => return fail(&error, USAGE),
    };
    let (server, signals) = match (Server::bind_logging_to(&arguments.config, log), Signals::install()) {
        (Ok(server), Ok(signals)) => (server, signals),
        (Err(error), _) => {
            tracing::error!(%error, "the broker does not start");
            return ExitCode::from(if error.is_configuration() { USAGE } else { FAILURE });
        }
        (_, Err(error)) => {
            tracing::error!(%error, "cannot handle signals");
            return ExitCode::from(FAILURE);
        }
    };
    let shutdown = CancellationToken::new();
    tokio::select! {
        outcome = server.run(shutdown.clone()) => match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(FAILURE),
        },
        () = Signals::relay(signals, shutdown) => ExitCode::from(FAILURE),
    }
}

#[tokio::main]
async fn measure(arguments: BenchArguments) -> ExitCode {
    let outcome = tokio::select! {
        outcome = bench::run(arguments) => outcome,
        // What a broken run has opened is closed by the end of the process.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(FAILURE),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ BenchError::Argument { .. }) => fail(&error, USAGE),
        Err(error) => fail(&error, FAILURE),
    }
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // There is no other place to say so.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(code)
}

//! Wires the command line to the library.

use std::{error::Error, io, process::ExitCode};

use clap::Parser as _;
use stompbroker_operator::{
    cli::{self, Cli, Command, LocalArgs},
    client::Clients,
    metrics::Metrics,
    settings::{RunArgs, Settings},
    shutdown, telemetry,
};
use tokio::net::TcpListener;

/// Exit code of `sysexits.h` for input that the user has to correct.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let result: Result<(), Failure> = match Cli::parse().command {
        Command::Crd(args) => cli::crd(&args, &mut out).map_err(usage),
        Command::Render(args) => cli::render(&args, &mut out).map_err(usage),
        Command::Local(args) => local(&args, &mut out),
        Command::Run(args) => run(*args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(failure.error.as_ref());
            ExitCode::from(failure.code)
        }
    }
}

/// Why the program ends, and with which code.
struct Failure {
    code: u8,
    error: Box<dyn Error>,
}

fn usage(error: impl Into<Box<dyn Error>>) -> Failure {
    Failure { code: USAGE, error: error.into() }
}

fn failure(error: impl Into<Box<dyn Error>>) -> Failure {
    Failure { code: 1, error: error.into() }
}

/// One thread: the operator waits nearly all of the time, and each thread would have a heap of its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failure)
}

fn local(args: &LocalArgs, out: &mut impl io::Write) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let shutdown = shutdown::on_signal().map_err(failure)?;
        let result = Box::pin(cli::local(args, out, shutdown)).await; // some 17 KiB
        result.map_err(|error| if error.is_usage() { usage(error) } else { failure(error) })
    })
}

fn run(args: RunArgs) -> Result<(), Failure> {
    let settings = Settings::try_from(args).map_err(usage)?;
    telemetry::start(settings.log_format, &settings.log).map_err(usage)?;
    runtime()?.block_on(async {
        let shutdown = shutdown::on_signal().map_err(failure)?;
        let metrics = Metrics::new();
        let config = kube::Config::infer().await.map_err(failure)?;
        let clients = Clients::new(&config, &metrics).map_err(failure)?;
        let listener = TcpListener::bind(settings.http_address).await.map_err(failure)?;
        stompbroker_operator::run(settings, clients, metrics, listener, shutdown).await.map_err(failure)
    })
}

#[allow(clippy::print_stderr, reason = "the one place where the errors that end the program reach the user")]
fn report(error: &(dyn Error + 'static)) {
    eprintln!("{}", stompbroker_operator::error::chain(error));
}

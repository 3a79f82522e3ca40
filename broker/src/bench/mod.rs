//! `stompbroker bench`: a load generator for any STOMP broker, and the do-nothing peer that shows what the machine allows.
//!
//! ```text
//! workload (fan_out, queues, sessions, memory) ── frames ──► client ──► the broker that is measured
//!        │                                                     │
//!        └── gate or pace: how much may be under way           └── scan: octets back into frames
//! ```
//!
//! * [`scan`], [`gate`], [`frames`] and [`report`] are pure; [`client`] has the sockets, [`measure`] reads `/proc`.
//! * Every message is counted where it arrives: what did not is reported as lost.
//! * Latency is taken from the time at which a message was due, not from when it could at last be written, so that a
//!   broker that stalls cannot hide it.

mod arguments;
mod client;
mod fan_out;
mod frames;
mod gate;
mod measure;
mod memory;
mod pace;
mod peer;
mod queues;
mod report;
mod run;
mod scan;
mod sessions;

use std::io::{self, Write as _};

pub use self::{
    arguments::{BenchArguments, Header, PeerTransport, Target, Timing, Url, Work},
    client::ClientError,
    peer::Peer,
    report::{Latency, Memory, Report, ServerUse},
};

/// Why a run gives no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A session broke or could not be opened.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The figures of `--server-pid` cannot be read.
    #[error("cannot read what process {pid} uses: {source}; --server-pid needs processes of this machine")]
    Server {
        /// The process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// The passcode cannot be read.
    #[error("cannot read the passcode from {file:?}: {source}")]
    Passcode {
        /// As given.
        file: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The peer cannot listen.
    #[error("the do-nothing peer cannot listen on {address}: {source}")]
    Listen {
        /// As given.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// An argument makes no sense.
    #[error("{flag} is {value}; {remedy}")]
    Argument {
        /// Which one.
        flag: &'static str,
        /// What it was.
        value: String,
        /// What it should be.
        remedy: &'static str,
    },
    /// The report cannot be printed.
    #[error("cannot print the report: {0}")]
    Print(#[source] io::Error),
}

/// Runs what the command line asks for and prints the report.
///
/// # Errors
/// When there are no figures to print.
pub async fn run(arguments: BenchArguments) -> Result<(), BenchError> {
    let json = arguments.json;
    if let Work::Peer { listen, transport } = arguments.work {
        let peer = Peer::bind(listen, transport).await?;
        writeln!(io::stdout(), "{}", peer.url()).map_err(BenchError::Print)?;
        peer.serve().await;
        return Ok(());
    }
    let report = measure(arguments).await?;
    let text = if json { report.to_json() } else { report.to_string() };
    writeln!(io::stdout(), "{text}").map_err(BenchError::Print)
}

/// Runs a workload and gives its figures.
///
/// # Errors
/// When there are none.
pub async fn measure(arguments: BenchArguments) -> Result<Report, BenchError> {
    let target = arguments.target.resolve()?;
    let timing = arguments.timing;
    match arguments.work {
        Work::FanOut(work) => fan_out::measure(&target, timing, &work).await,
        Work::Queues(work) => queues::measure(&target, timing, &work).await,
        Work::Sessions(work) => sessions::measure(&target, timing, &work).await,
        Work::Memory(work) => memory::measure(&target, &work).await,
        Work::Peer { .. } => Err(BenchError::Argument {
            flag: "bench",
            value: "peer".to_owned(),
            remedy: "the peer is served, not measured",
        }),
    }
}

//! What can be asked of `stompbroker bench`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use stompbroker_config::GoDuration;

use super::{BenchError, client::Login, measure::Processes};

/// Holds the passcode where there is no `--passcode-file`.
const PASSCODE: &str = "STOMPBROKER_BENCH_PASSCODE";

/// What `bench` needs.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The passcode is read from --passcode-file, or from STOMPBROKER_BENCH_PASSCODE; never from an argument."
)]
pub struct BenchArguments {
    /// Which load.
    #[command(subcommand)]
    pub work: Work,
    /// Where to.
    #[command(flatten)]
    pub target: Target,
    /// How long.
    #[command(flatten)]
    pub timing: Timing,
    /// Print JSON instead of a table.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The broker that is measured.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The broker: `tcp://HOST:PORT` or `ws://HOST:PORT/PATH`; several, with commas between, for one of several nodes: each
    /// session goes to the next, and the two of a queue pair to different ones.
    #[arg(
        long = "url",
        value_name = "URL",
        global = true,
        env = "STOMPBROKER_BENCH_URL",
        value_delimiter = ',',
        default_value = "tcp://127.0.0.1:61613"
    )]
    pub urls: Vec<Url>,
    /// Whom to log in as; nobody by default.
    #[arg(long, global = true, env = "STOMPBROKER_BENCH_LOGIN")]
    pub login: Option<String>,
    /// A file that holds the passcode.
    #[arg(long, global = true, value_name = "FILE")]
    pub passcode_file: Option<PathBuf>,
    /// The `host` header of CONNECT: RabbitMQ takes it for the virtual host.
    #[arg(long, global = true, default_value = "/")]
    pub virtual_host: String,
    /// The broker's process, or all of them with commas between, if they run on this machine: their processor time and
    /// memory are reported too.
    #[arg(long = "server-pid", value_name = "PID", global = true, value_delimiter = ',')]
    pub server_pids: Vec<u32>,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, Args)]
pub struct Timing {
    /// How long to measure.
    #[arg(long, global = true, default_value = "5s")]
    pub duration: GoDuration,
    /// How long to load the broker before that.
    #[arg(long, global = true, default_value = "1s")]
    pub warm_up: GoDuration,
}

/// The loads.
#[derive(Clone, Debug, Subcommand)]
pub enum Work {
    /// Publishers to one topic, subscribers that all get everything.
    FanOut(FanOut),
    /// Queues with one producer and one consumer each; every message is acknowledged by itself (client-individual).
    Queues(Queues),
    /// Many sessions with a topic each, and messages to one after the other at a fixed rate.
    Sessions(Sessions),
    /// Memory of the broker per idle, subscribed session; wants --server-pid.
    Memory(MemoryWork),
    /// Serve as the do-nothing peer: it reads frames and writes prepared ones, which no broker can do faster. Prints its URL.
    Peer {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// What to speak.
        #[arg(long, value_enum, default_value_t = PeerTransport::Tcp)]
        transport: PeerTransport,
    },
}

/// Fan-out of a topic.
#[derive(Clone, Copy, Debug, Args)]
pub struct FanOut {
    /// Sessions that send.
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Sessions that receive.
    #[arg(long, default_value_t = 100)]
    pub subscribers: usize,
    /// Octets of a body, at least 16.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Messages a second of all publishers; as fast as the slowest subscriber takes them by default.
    #[arg(long)]
    pub rate: Option<u32>,
    /// Messages written in one go when there is no rate.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Batches that may be under way when there is no rate.
    #[arg(long, default_value_t = 8)]
    pub window: usize,
}

/// Pairs on queues.
#[derive(Clone, Debug, Args)]
pub struct Queues {
    /// Queues, each with its producer and its consumer.
    #[arg(long, default_value_t = 50)]
    pub pairs: usize,
    /// Octets of a body, at least 16.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Messages of a pair under way at once.
    #[arg(long, default_value_t = 128)]
    pub window: usize,
    /// Ask for a receipt for each message; until it comes, the message counts as under way.
    #[arg(long)]
    pub receipts: bool,
    /// A header of every SEND and SUBSCRIBE, such as persistent:true or x-queue-type:quorum; may be repeated. By default
    /// brokers are asked to remove the queues after the run; for those that take SEND for a declaration it must stand
    /// there too.
    #[arg(long = "header", value_name = "NAME:VALUE", default_value = "auto-delete:true")]
    pub headers: Vec<Header>,
}

/// Many sessions at a fixed rate.
#[derive(Clone, Copy, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "named as on the command line")]
pub struct Sessions {
    /// Sessions; two files each are open on a machine that runs both sides.
    #[arg(long, default_value_t = 10_000)]
    pub sessions: usize,
    /// Messages a second to all of them together.
    #[arg(long, default_value_t = 5000)]
    pub rate: u32,
    /// Octets of a body, at least 16.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
}

/// Memory per session.
#[derive(Clone, Copy, Debug, Args)]
pub struct MemoryWork {
    /// Sessions.
    #[arg(long, default_value_t = 10_000)]
    pub sessions: usize,
}

/// What the do-nothing peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PeerTransport {
    /// STOMP over TCP.
    Tcp,
    /// STOMP over WebSocket.
    Websocket,
}

/// A header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What stands before the first colon.
    pub name: String,
    /// What stands after it.
    pub value: String,
}

/// The text is not a header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a header; write NAME:VALUE")]
pub struct ParseHeaderError(String);

impl FromStr for Header {
    type Err = ParseHeaderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
            _ => Err(ParseHeaderError(text.to_owned())),
        }
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// How to speak to it.
    pub transport: PeerTransport,
    /// `HOST:PORT`.
    pub authority: String,
    /// The path of a WebSocket.
    pub path: String,
}

/// The text is not the address of a broker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not the address of a broker; write tcp://HOST:PORT or ws://HOST:PORT/PATH")]
pub struct ParseUrlError(String);

impl FromStr for Url {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseUrlError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (transport, path) = match (scheme, path) {
            ("tcp", "" | "/") => (PeerTransport::Tcp, ""),
            ("ws", "") => (PeerTransport::Websocket, "/"),
            ("ws", path) => (PeerTransport::Websocket, path),
            _ => return Err(refuse()),
        };
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) || authority.contains(char::is_whitespace) {
            return Err(refuse());
        }
        Ok(Self { transport, authority: authority.to_owned(), path: path.to_owned() })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.transport {
            PeerTransport::Tcp => "tcp",
            PeerTransport::Websocket => "ws",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// A [`Target`] with its passcode.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// At least one.
    urls: Vec<Url>,
    pub(super) login: Arc<Login>,
    server_pids: Vec<u32>,
}

impl Resolved {
    /// Where the session of this number goes.
    pub(super) fn url(&self, session: usize) -> &Url {
        &self.urls[session % self.urls.len()]
    }

    /// All of them, for people.
    pub(super) fn address(&self) -> String {
        self.urls.iter().map(Url::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The broker's processes, if they are known.
    pub(super) fn server(&self) -> Option<Processes<'_>> {
        (!self.server_pids.is_empty()).then_some(Processes(&self.server_pids))
    }
}

impl Target {
    /// Reads the passcode.
    pub(super) fn resolve(self) -> Result<Resolved, BenchError> {
        let Self { urls, login, passcode_file, virtual_host, server_pids } = self;
        if urls.is_empty() {
            let remedy = "give the address of a broker";
            return Err(BenchError::Argument { flag: "--url", value: "not given".to_owned(), remedy });
        }
        let passcode = match passcode_file {
            Some(file) => match std::fs::read_to_string(&file) {
                Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(source) => return Err(BenchError::Passcode { file, source }),
            },
            None => std::env::var(PASSCODE).ok(),
        };
        Ok(Resolved { urls, login: Arc::new(Login { name: login, passcode, virtual_host }), server_pids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["tcp://a.example:61613", "ws://[::1]:8080/chat/x", "ws://127.0.0.1:80/"] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
        assert_eq!("ws://h:1".parse::<Url>().unwrap().path, "/");
    }

    #[test]
    fn a_header_is_a_name_and_a_value_that_may_have_colons_or_be_empty() {
        for (text, name, value) in [("a:b:c", "a", "b:c"), ("a:", "a", "")] {
            assert_eq!(text.parse(), Ok(Header { name: name.to_owned(), value: value.to_owned() }));
        }
        for text in ["a", ":b", ""] {
            assert_eq!(text.parse::<Header>(), Err(ParseHeaderError(text.to_owned())));
        }
    }

    #[test]
    fn what_is_no_address_is_told_how_one_looks() {
        for text in ["h:1", "tcp://h", "tcp://:1", "tcp://h:x", "tcp://h:1/path", "http://h:1", "ws://h h:1"] {
            let error = text.parse::<Url>().unwrap_err();
            assert_eq!(error, ParseUrlError(text.to_owned()));
            assert!(error.to_string().contains("tcp://HOST:PORT"), "{error}");
        }
    }
}

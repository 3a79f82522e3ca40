//! The command line, in the words of `kubectl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use stompbroker_config::GoDuration;

/// What a StompBroker is doing and why, what a change would do, and the handles for day 2.
#[derive(Debug, Parser)]
#[command(name = "kubectl-stompbroker", bin_name = "kubectl stompbroker", version)]
pub struct Cli {
    /// Which cluster and namespace.
    #[command(flatten)]
    pub scope: Scope,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster and namespace, by the flags of `kubectl`.
#[derive(Clone, Debug, Args)]
pub struct Scope {
    /// Namespace; the one of the context by default.
    #[arg(long, short = 'n', global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; the current one by default.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// File with the kubeconfig; what `kubectl` takes by default.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How to print.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; in colours on a terminal unless `NO_COLOR` is set.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show zones, pods, sessions, relay and rollout as a tree.
    Status(Broker),
    /// Tell why it is not ready, was restarted, was scaled, or is blocked.
    Why(Why),
    /// Tell what a manifest would do: each changed field, whether it restarts pods, and how many sessions that hits.
    Plan(Manifest),
    /// Show the objects that a manifest would change, line by line.
    Diff(Manifest),
    /// List live sessions over all pods, or end one.
    Sessions(Sessions),
    /// Let the sessions of a pod go at the configured pace, or call that off.
    Drain(Drain),
    /// Give the logins that the operator makes new passwords without a refused login, or take that back.
    Rotate(Rotate),
    /// Print the messages of a destination as they come.
    Tail(Tail),
    /// Measure the broker from inside the cluster with a Job that is removed afterwards.
    Bench(Bench),
    /// Print the completion script of a shell.
    Completion {
        /// Which shell.
        shell: Shell,
    },
}

/// Which broker.
#[derive(Clone, Debug, Args)]
pub struct Broker {
    /// Name of the StompBroker; may be left out where the namespace has one only.
    pub name: Option<String>,
}

/// Arguments of `why`.
#[derive(Clone, Debug, Args)]
pub struct Why {
    /// Which broker.
    #[command(flatten)]
    pub broker: Broker,
    /// Only this question; all by default.
    #[arg(long, value_enum)]
    pub about: Option<Question>,
}

/// What people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Question {
    /// Why is it not ready?
    Ready,
    /// Why were pods restarted?
    Restarted,
    /// Why has the number of pods changed, or why has it not?
    Scaled,
    /// What is waiting, and for what?
    Blocked,
}

/// Arguments of `plan` and `diff`.
#[derive(Clone, Debug, Args)]
pub struct Manifest {
    /// File with one StompBroker; - is standard input.
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `sessions`.
#[derive(Clone, Debug, Args)]
pub struct Sessions {
    /// Which broker.
    #[command(flatten)]
    pub broker: Broker,
    /// Only sessions of this user.
    #[arg(long)]
    pub user: Option<String>,
    /// End the session with this id instead of listing; the client gets an ERROR.
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    pub end: Option<String>,
}

/// Arguments of `drain`.
#[derive(Clone, Debug, Args)]
pub struct Drain {
    /// Name of the pod.
    pub pod: String,
    /// Make it serve again.
    #[arg(long)]
    pub cancel: bool,
}

/// Arguments of `rotate`.
#[derive(Clone, Debug, Args)]
pub struct Rotate {
    /// Which broker.
    #[command(flatten)]
    pub broker: Broker,
    /// Give pods and consumers the old passwords back, as long as the overlap is not over.
    #[arg(long)]
    pub revert: bool,
    /// Print each step, and end when consumers have the new passwords (with --revert: the old ones) and every pod knows.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most, such as 90s or 10m.
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
    pub timeout: GoDuration,
}

/// Arguments of `tail`.
#[derive(Clone, Debug, Args)]
pub struct Tail {
    /// What to listen to: a topic, wildcards included.
    pub destination: String,
    /// Which broker.
    #[command(flatten)]
    pub broker: Broker,
    /// End after so many messages.
    #[arg(long)]
    pub count: Option<u64>,
    /// Only messages that this selector matches.
    #[arg(long)]
    pub selector: Option<String>,
}

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// Name of the StompBroker.
    pub name: String,
    /// What to measure, as for `stompbroker bench`: `fan-out`, `queues` or `sessions`, and their flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub work: Vec<String>,
}

//! `kubectl stompbroker`: what a StompBroker is doing and why, what a change would do, and the handles for day 2.
//!
//! | module | holds | I/O |
//! |---|---|---|
//! | [`cluster`], [`admin`], [`bench`], [`rotate`], [`tail`] | what is asked of the API server and, through it, of pods | yes |
//! | [`facts`], [`status`], [`why`], [`plan`], [`diff`] | what is made of the answers | none |

mod admin;
mod bench;
pub mod cli;
mod cluster;
mod diff;
mod error;
mod facts;
mod paint;
mod plan;
mod rotate;
mod status;
mod tail;
mod why;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::CommandFactory as _;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::json;
use stompbroker_config::admin::SessionStatus;
use stompbroker_operator::{api::StompBroker, cli as manifests, plan::Settings, settings::NATS_IMAGE};

pub use crate::error::Failure;
use crate::{
    admin::Admin,
    cli::{Cli, Command, Manifest, Output, Scope, Sessions, Why},
    cluster::Cluster,
    paint::{Painted, Tone},
};

/// What a command found, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Done,
    /// `diff`: something differs.
    Differs,
    /// `plan`: the manifest would be refused.
    Refused,
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::SUCCESS,
            Answer::Differs => Self::from(1),  // as of `kubectl diff`
            Answer::Refused => Self::from(64), // input that the user has to correct, by `sysexits.h`
        }
    }
}

/// Does what the command line asks for.
///
/// # Errors
/// When it cannot be done.
pub async fn run(scope: &Scope, command: Command, out: &mut impl Write) -> Result<Answer, Failure> {
    if let Command::Completion { shell } = command {
        clap_complete::generate(shell, &mut Cli::command(), "kubectl-stompbroker", out);
        return Ok(Answer::Done);
    }
    let cluster = Cluster::connect(scope).await?;
    let output = scope.output;
    match command {
        Command::Status(broker) => {
            let facts = cluster.facts(broker.name.as_deref()).await?;
            match output {
                Output::Text => status::print(&facts, Timestamp::now(), out)?,
                Output::Json => print_json(&status::to_json(&facts), out)?,
            }
        }
        Command::Why(why) => explain(&cluster, &why, output, out).await?,
        Command::Plan(manifest) => return preview(&cluster, &manifest, output, out).await,
        Command::Diff(manifest) => return difference(&cluster, &manifest, out).await,
        Command::Sessions(sessions) => list_or_end(&cluster, &sessions, output, out).await?,
        Command::Drain(drain) => {
            let broker = cluster.broker_of(&drain.pod).await?;
            let token = cluster.admin_token(&broker).await?;
            let state = Admin::new(&cluster, &drain.pod, &token).drain(!drain.cancel).await?;
            match (output, state) {
                (Output::Json, state) => print_json(&state, out)?,
                (Output::Text, None) => writeln!(out, "pod {} serves", drain.pod)?,
                (Output::Text, Some(state)) => writeln!(
                    out,
                    "pod {} lets {} connections go until {}; --cancel makes it serve again",
                    drain.pod, state.connections_left, state.deadline
                )?,
            }
        }
        Command::Rotate(arguments) => rotate::rotate(&cluster, &arguments, output, out).await?,
        Command::Tail(arguments) => tail::tail(&cluster, &arguments, output, out).await?,
        Command::Bench(arguments) => bench::bench(&cluster, &arguments.name, &arguments.work, out).await?,
        Command::Completion { .. } => {}
    }
    Ok(Answer::Done)
}

async fn explain(cluster: &Cluster, arguments: &Why, output: Output, out: &mut impl Write) -> Result<(), Failure> {
    let facts = cluster.facts(arguments.broker.name.as_deref()).await?;
    let findings = why::findings(&facts, arguments.about);
    match output {
        Output::Text => why::print(&facts, &findings, Timestamp::now(), out)?,
        Output::Json => print_json(&findings, out)?,
    }
    Ok(())
}

async fn preview(
    cluster: &Cluster,
    manifest: &Manifest,
    output: Output,
    out: &mut impl Write,
) -> Result<Answer, Failure> {
    let wanted = read(&manifest.file, &cluster.namespace)?;
    let name = wanted.name_any();
    let live = cluster.existing(&name).await?;
    let mut preview = plan::preview(live.as_ref(), &wanted, &settings(live.as_ref()))?;
    // The API server knows more: other policies of the cluster, quotas, fields that this program is too old for.
    if preview.refused.is_empty()
        && let Err(refusal) = cluster.dry_run(&wanted).await
    {
        preview.refused.push(stompbroker_operator::error::chain(&refusal));
    }
    match output {
        Output::Text => plan::print(&name, live.is_none(), &preview, out)?,
        Output::Json => print_json(&preview, out)?,
    }
    Ok(if preview.refused.is_empty() { Answer::Done } else { Answer::Refused })
}

async fn difference(cluster: &Cluster, manifest: &Manifest, out: &mut impl Write) -> Result<Answer, Failure> {
    let mut wanted = read(&manifest.file, &cluster.namespace)?;
    let live = cluster.existing(&wanted.name_any()).await?;
    let settings = settings(live.as_ref());
    let old = match &live {
        Some(live) => {
            wanted.metadata.uid.clone_from(&live.metadata.uid);
            diff::objects(live, &settings)?
        }
        None => String::new(),
    };
    let differs = diff::print(&old, &diff::objects(&wanted, &settings)?, out)?;
    Ok(if differs { Answer::Differs } else { Answer::Done })
}

async fn list_or_end(
    cluster: &Cluster,
    arguments: &Sessions,
    output: Output,
    out: &mut impl Write,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        pod: String,
        #[serde(flatten)]
        session: SessionStatus,
    }
    let broker = cluster.broker(arguments.broker.name.as_deref()).await?.name_any();
    let pods = cluster.serving(&broker).await?;
    let token = cluster.admin_token(&broker).await?;
    let mut lines = Vec::new();
    for pod in pods.iter().filter(|pod| facts::is_ready(pod)) {
        let admin = Admin::new(cluster, &pod.name_any(), &token);
        if let Some(id) = &arguments.end {
            if admin.end_session(id).await? {
                writeln!(out, "session {id} on pod {} ends", pod.name_any())?;
                return Ok(());
            }
            continue;
        }
        let sessions = admin.sessions(arguments.user.as_deref()).await?;
        lines.extend(sessions.into_iter().map(|session| Line { pod: pod.name_any(), session }));
    }
    if let Some(id) = &arguments.end {
        return Err(Failure::NoSession { broker, id: id.clone() });
    }
    match output {
        Output::Json => print_json(&lines, out)?,
        Output::Text => {
            let headings = ["POD", "SESSION", "USER", "TRANSPORT", "VERSION", "ADDRESS", "SUBSCRIPTIONS", "WAITING"];
            let cells = lines.iter().map(|Line { pod, session }| {
                [
                    pod.clone(),
                    session.id.clone(),
                    session.user.clone().unwrap_or_else(|| "-".to_owned()),
                    session.transport.clone(),
                    session.version.clone(),
                    session.address.clone(),
                    session.subscriptions.to_string(),
                    session.octets_waiting.to_string(),
                ]
            });
            table(headings, &cells.collect::<Vec<_>>(), out)?;
        }
    }
    Ok(())
}

fn read(file: &Path, namespace: &str) -> Result<StompBroker, Failure> {
    let text = manifests::read_manifests(file);
    let text = text.map_err(|source| Failure::Read { file: file.to_owned(), source })?;
    let brokers = manifests::brokers(&text).map_err(|source| Failure::Manifest { file: file.to_owned(), source })?;
    match <[StompBroker; 1]>::try_from(brokers) {
        Ok([mut broker]) => {
            broker.metadata.namespace = Some(namespace.to_owned());
            Ok(broker)
        }
        Err(brokers) => Err(Failure::NotOne { file: file.to_owned(), count: brokers.len() }),
    }
}

/// The operator's settings as far as they show in what it makes. Both sides of a comparison get the same, so that only
/// what the manifest changes shows.
fn settings(live: Option<&StompBroker>) -> Settings {
    let image = live.and_then(|live| live.status.as_ref()?.image.clone());
    Settings {
        image: image.unwrap_or_else(|| concat!("stompbroker:", env!("CARGO_PKG_VERSION")).to_owned()),
        nats_image: NATS_IMAGE.to_owned(),
        operator_namespace: "stompbroker-system".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        custom_metrics: true,
    }
}

fn print_json(value: &impl Serialize, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "{}", json!(value))?;
    Ok(())
}

fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], out: &mut impl Write) -> io::Result<()> {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", Painted(Tone::Strong, line(headings)))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(std::array::from_fn(|column| row[column].as_str()))))
}

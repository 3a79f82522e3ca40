//! `stompbroker-operator local`: what one pod of a broker would run, on this machine and without any Kubernetes.
//!
//! The manifest goes through the operator's own `validate` and `plan`. What the planned pod mounts is written into a folder
//! of the user, and the broker is started with the pod's arguments. When the manifest changes, the files follow, as they do
//! in a pod, and the broker is started anew only for what needs a restart in a cluster, too.

mod pod;
mod process;
mod state;
mod summary;

use std::{
    env, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    pod::{Pod, Secrets},
    process::Broker,
    state::State,
};
use super::{ManifestError, brokers, manifest};
use crate::{
    api::StompBroker,
    observed::{Observed, SecretView},
    plan::{self, PlanError, Settings},
    validate::{SpecError, ValidatedBroker, referenced_secrets, validate},
};

/// How often the manifest is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Arguments of `stompbroker-operator local`.
#[derive(Clone, Debug, clap::Args)]
pub struct LocalArgs {
    /// File with one StompBroker, and the Secrets that it refers to. It is followed: an edit is in force within a second.
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub file: PathBuf,
    /// Program of the broker; without it, the `stompbroker` beside this program, or on the PATH.
    #[arg(long, env = "STOMPBROKER_BROKER", value_name = "PROGRAM")]
    pub broker: Option<PathBuf>,
    /// Port of the broker's admin endpoints; give another one to run two brokers at once.
    #[arg(long, env = "STOMPBROKER_ADMIN_PORT", default_value_t = crate::api::ADMIN_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub admin_port: u16,
    /// Folder for generated logins and the broker's files; without it, one below the user's state folder.
    #[arg(long, env = "STOMPBROKER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Why no broker runs.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something that is no manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The file holds no StompBroker, or several.
    #[error("the file holds {0} StompBrokers; one pod runs one, so give a file with exactly one")]
    NotOne(usize),
    /// The spec leaves NATS to the operator.
    #[error(
        "spec.engine.jetStream.managed: there is no cluster to run NATS in; set external.servers to a NATS on this machine"
    )]
    ManagedNats,
    /// A Secret that the spec names is not in the file.
    #[error(
        "{field}: {name:?}: there is no cluster to look for this Secret in; put a Secret of this name into the file"
    )]
    SecretMissing {
        /// The field that names it.
        field: String,
        /// Its name.
        name: String,
    },
    /// A Secret lacks a key that the pod mounts.
    #[error("{name} has no value for the key {key}; add it to the Secret in the file")]
    SecretKeyMissing {
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// The spec cannot be put into effect.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused {
        /// What is wrong with it.
        errors: Vec<SpecError>,
    },
    /// There is no plan.
    #[error("failed to plan the objects")]
    Plan(#[from] PlanError),
    /// The plan has no pod.
    #[error("the plan holds no pod to run")]
    NoPod,
    /// The configuration cannot be read back.
    #[error("failed to read the planned configuration")]
    Config(#[source] stompbroker_config::LoadError),
    /// The configuration cannot be rewritten.
    #[error("failed to rewrite the planned configuration")]
    Rewrite(#[from] serde_json::Error),
    /// The system has no random numbers.
    #[error("failed to generate a login")]
    Random(#[source] rand::rand_core::OsError),
    /// The broker's program cannot be started.
    #[error("failed to start {}; build it with `cargo build -p stompbroker`, or name it with --broker", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The broker ended by itself.
    #[error("the broker ended by itself with {0}; its last lines above say why")]
    Ended(String),
    /// There is nowhere to keep state.
    #[error("there is no home folder to keep generated logins in; name a folder with --state")]
    NoHome,
    /// Nothing can be printed.
    #[error("failed to write to standard output")]
    Print(#[source] io::Error),
}

impl LocalError {
    /// Whether the user's input is to blame rather than the machine.
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Manifest(_)
                | Self::NotOne(_)
                | Self::ManagedNats
                | Self::SecretMissing { .. }
                | Self::SecretKeyMissing { .. }
                | Self::Refused { .. }
                | Self::NoHome
        )
    }
}

/// A manifest made ready to run.
struct Prepared {
    broker: ValidatedBroker,
    pod: Pod,
    secrets: Secrets,
    /// What only a restart brings into effect.
    start: Vec<String>,
}

/// Runs the broker of the manifest until `shutdown`, and follows the manifest meanwhile.
///
/// # Errors
/// When it cannot be started, or ends by itself.
pub async fn local(args: &LocalArgs, out: &mut impl io::Write, shutdown: CancellationToken) -> Result<(), LocalError> {
    let mut text = read(&args.file)?;
    let state = State::open(state_folder(args, &text)?)?;
    let mut prepared = prepare(&text, args, &state)?;
    let program = process::program(args.broker.as_deref());
    state::write_files(&prepared.pod)?;
    let mut broker = Broker::start(&program, &prepared.pod)?;
    greet(&mut broker, &prepared, args, &state, out).await?;
    let mut looks = interval(PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => {
                broker.stop().await;
                return Ok(());
            }
            ended = broker.ended() => {
                return Err(LocalError::Ended(ended.map_or_else(|error| error.to_string(), |status| status.to_string())));
            }
            _ = looks.tick() => {}
        }
        // An editor may be half-way through saving: what cannot be read now is looked at again.
        let Ok(new) = read(&args.file) else { continue };
        if new == text {
            continue;
        }
        text = new;
        match prepare(&text, args, &state) {
            Ok(new) => {
                state::write_files(&new.pod)?;
                let restart = new.start != prepared.start;
                prepared = new;
                if restart {
                    say(out, "The edit needs a restart, as it would in a cluster.")?;
                    broker.stop().await;
                    broker = Broker::start(&program, &prepared.pod)?;
                    greet(&mut broker, &prepared, args, &state, out).await?;
                } else {
                    say(out, "The edit is handed to the running broker.")?;
                }
            }
            Err(error) => {
                let why = crate::error::chain(&error);
                say(out, &format!("The edit is refused, what ran before still runs: {why}"))?;
            }
        }
    }
}

/// Tells the user how to reach the broker once it is ready.
async fn greet(
    broker: &mut Broker,
    prepared: &Prepared,
    args: &LocalArgs,
    state: &State,
    out: &mut impl io::Write,
) -> Result<(), LocalError> {
    let Prepared { broker: validated, pod, secrets, .. } = prepared;
    let head = match broker.ready(pod.config.admin.port).await {
        Ok(()) => format!("{} is ready.", validated.name),
        Err(why) => format!("{} runs but is not ready: {why}", validated.name),
    };
    let summary = summary::summary(validated, &pod.config, secrets, state.root());
    let tail = format!("Edit {} and it follows. Ctrl-C stops it.", args.file.display());
    say(out, &format!("\n{head}\n{summary}{tail}\n"))
}

fn say(out: &mut impl io::Write, text: &str) -> Result<(), LocalError> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(LocalError::Print)
}

fn read(path: &Path) -> Result<String, LocalError> {
    std::fs::read_to_string(path).map_err(|source| LocalError::Read { path: path.to_owned(), source })
}

/// The folder that the arguments name, or one for the broker's name below the user's state folder.
fn state_folder(args: &LocalArgs, text: &str) -> Result<PathBuf, LocalError> {
    if let Some(named) = &args.state {
        return Ok(named.clone());
    }
    let base = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")));
    let name = one(text)?.metadata.name.unwrap_or_default();
    Ok(base.ok_or(LocalError::NoHome)?.join("stompbroker").join(name))
}

fn one(text: &str) -> Result<StompBroker, LocalError> {
    let mut brokers = brokers(text)?;
    match brokers.pop() {
        Some(broker) if brokers.is_empty() => Ok(broker),
        Some(_) => Err(LocalError::NotOne(brokers.len() + 1)),
        None => Err(LocalError::NotOne(0)),
    }
}

/// What the manifest leads to.
fn prepare(text: &str, args: &LocalArgs, state: &State) -> Result<Prepared, LocalError> {
    let broker = one(text)?;
    let mut secrets = manifest::secrets(text)?;
    let mut observed = Observed::default();
    for used in referenced_secrets(&broker) {
        let values = secrets.get(&used.secret_name);
        let Some(values) = values else {
            return Err(LocalError::SecretMissing { field: used.field, name: used.secret_name });
        };
        observed.referenced_secrets.insert(used.secret_name, SecretView::Present(values.keys().cloned().collect()));
    }
    let validated = validate(&broker, &observed).map_err(|errors| LocalError::Refused { errors })?;
    if validated.managed_nats().is_some() {
        return Err(LocalError::ManagedNats);
    }
    let settings = Settings {
        image: String::new(),
        nats_image: String::new(),
        operator_namespace: String::new(),
        cluster_domain: "cluster.local".to_owned(),
        custom_metrics: true,
    };
    let plan = plan::plan(&validated, &observed, &settings).map_err(|error| match error {
        PlanError::Overrides(errors) => LocalError::Refused { errors },
        error => error.into(),
    })?;
    for login in &plan.objects.logins {
        state.add_login(login, &mut secrets)?;
    }
    for secret in &plan.objects.secrets {
        state.add_generated(secret, &mut secrets)?;
    }
    let pod = Pod::new(&plan, &secrets, args.admin_port, &state.volumes())?;
    let mut start = pod.args.clone();
    start.push(pod.config.start_hash()?);
    Ok(Prepared { broker: validated, pod, secrets, start })
}

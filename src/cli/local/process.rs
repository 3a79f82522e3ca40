//! The broker that `local` runs: one child process.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{LocalError, pod::Pod};

/// What the broker's program is called.
const PROGRAM: &str = "stompbroker";
/// How long the broker may take to let its sessions go; nobody waits longer at a terminal.
const STOP: Duration = Duration::from_secs(10);
/// How long the broker may take until it is ready before the reason is told.
const START: Duration = Duration::from_secs(10);
/// Time between two questions whether it is ready.
const PAUSE: Duration = Duration::from_millis(100);
/// Deadline of one question, and most octets of its answer.
const QUESTION: Duration = Duration::from_secs(2);
const ANSWER: usize = 64 << 10;

/// A running broker.
#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
}

/// The broker's program: the one named, or the one beside this program, or the one on the `PATH`.
pub(super) fn program(named: Option<&Path>) -> PathBuf {
    if let Some(named) = named {
        return named.to_owned();
    }
    let beside = env::current_exe().ok().and_then(|this| Some(this.parent()?.join(PROGRAM)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM))
}

impl Broker {
    /// Starts the broker as a pod would.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(super) fn start(program: &Path, pod: &Pod) -> Result<Self, LocalError> {
        let child = Command::new(program)
            .args(&pod.args)
            .arg("--log-format=text")
            .stdin(Stdio::null())
            // A Ctrl-C is for us: the broker would take it and our SIGTERM for two, and end at once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| LocalError::Start { program: program.to_owned(), source })?;
        Ok(Self { child })
    }

    /// Waits for its end, which should not come by itself. Safe to cancel.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Waits until it is ready; gives the reason when that takes too long, and nothing when the broker ends before.
    pub(super) async fn ready(&mut self, port: u16) -> Result<(), String> {
        let mut why = String::from("its admin port does not answer");
        let asking = async {
            loop {
                match timeout(QUESTION, ask(port)).await {
                    Ok(Some((true, _))) => return,
                    Ok(Some((false, reason))) => why = reason,
                    Ok(None) | Err(_) => {}
                }
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            asked = timeout(START, asking) => asked.map_err(|_| why),
            _ = self.child.wait() => Ok(()),
        }
    }

    /// Lets it drain and end; ends it by force when that takes too long.
    pub(super) async fn stop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && kill_process(pid, Signal::TERM).is_ok()
            && timeout(STOP, self.child.wait()).await.is_ok()
        {
            return;
        }
        // What fails here has ended already.
        let _ = self.child.kill().await;
    }
}

/// Whether the broker says that it is ready, and what it says.
async fn ask(port: u16) -> Option<(bool, String)> {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(format!("http://127.0.0.1:{port}/readyz").parse().ok()?).await.ok()?;
    let ready = answer.status().is_success();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await.ok()?.to_bytes();
    Some((ready, String::from_utf8_lossy(&body).trim().replace('\n', "; ")))
}

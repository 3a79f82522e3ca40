//! Real brokers for the relay, which end with the tests: `broker/tests/upstreams` installs and starts them.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// What sessions log in with.
pub(crate) const LOGIN: (&str, &str) = ("relay", "se:cret");
/// How long a broker may take to listen; machines of tests are slow and busy.
const PATIENCE: Duration = Duration::from_mins(3);
/// Ends the broker, and all that it has started, when the tests are gone, however they went.
const GUARD: &str = r#"setsid "$0" "$@" >>"$LOG" 2>&1 </dev/null & echo $!; read -r _; kill -TERM -- -$! 2>/dev/null
for _ in {1..100}; do kill -0 -- -$! 2>/dev/null || exit 0; sleep 0.1; done; kill -KILL -- -$!"#;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(dead_code, reason = "not every program of tests uses all of them")]
pub(crate) enum Kind {
    RabbitMq,
    ActiveMq,
    Artemis,
}

/// Brokers are heavy, so tests that start their own take turns, for as long as they hold this.
#[allow(dead_code, reason = "not every program of tests uses all of them")]
pub(crate) async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}

/// A broker on ports of its own.
pub(crate) struct Server {
    kind: Kind,
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
    management_port: Option<u16>,
    running: Option<Child>,
}

#[allow(dead_code, reason = "not every program of tests uses all of them")]
impl Server {
    /// Starts a broker and waits until it listens.
    pub(crate) fn start(kind: Kind) -> Self {
        let mut server = Self::stopped(kind);
        server.run();
        server
    }

    /// A broker that will listen where the others of this process do not.
    pub(crate) fn stopped(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kind, folder, port: free_ports(), tls_port: None, management_port: None, running: None }
    }

    /// Has a `RabbitMQ` that is not running speak TLS too, with what `prepare` puts into its folder.
    pub(crate) fn with_tls(mut self, prepare: impl FnOnce(&Path)) -> Self {
        prepare(self.folder.path());
        self.tls_port = Some(self.port + 3);
        self
    }

    /// Has a `RabbitMQ` that is not running serve its management too.
    pub(crate) fn with_management(mut self) -> Self {
        self.management_port = Some(self.port + 4);
        self
    }

    /// Which one it is.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where its management is.
    pub(crate) fn management_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.management_port.expect("it has no management")))
    }

    /// Where it speaks STOMP.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where it speaks STOMP over TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tls_port.expect("it has no TLS")))
    }

    /// Starts it, again with what it had stored.
    pub(crate) fn run(&mut self) {
        let java = install();
        let folder = self.folder.path();
        let mut command = Command::new("bash");
        let log = folder.join("server.log");
        command.args(["-c", GUARD]).env("LOG", &log).stdin(Stdio::piped()).stdout(Stdio::piped());
        match self.kind {
            Kind::RabbitMq => {
                command.arg(scripts().join("rabbitmq"));
            }
            Kind::ActiveMq | Kind::Artemis => {
                let path = format!("{}:{}", java.join("classes").display(), java.join("lib/*").display());
                let class = if self.kind == Kind::ActiveMq { "upstreams.ActiveMq" } else { "upstreams.Artemis" };
                command.args(["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &path, class]);
            }
        }
        command.arg(self.port.to_string()).arg(folder).args([LOGIN.0, LOGIN.1]);
        command.args(self.tls_port.map(|port| port.to_string()));
        command.envs(self.management_port.map(|port| ("MANAGEMENT_PORT", port.to_string())));
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        self.running = Some(child);
        let deadline = Instant::now() + PATIENCE;
        let more = [self.tls_port.map(|_| self.tls_address()), self.management_port.map(|_| self.management_address())];
        for address in [self.address()].into_iter().chain(more.into_iter().flatten()) {
            while TcpStream::connect(address).is_err() {
                let log = || std::fs::read_to_string(&log).unwrap_or_default();
                assert!(Instant::now() < deadline, "{:?} does not listen: {}", self.kind, log());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Ends it, and keeps what it has stored.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstreams")
}

/// Installs the brokers where they are not there; returns the folder of the Java ones.
fn install() -> PathBuf {
    let setup = Command::new(scripts().join("setup")).output().unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    PathBuf::from(String::from_utf8(setup.stdout).unwrap().trim())
}

/// The first of five ports in a row that nobody listens on.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX - 5 && (1..5).all(|next| TcpListener::bind(("127.0.0.1", port + next)).is_ok()) {
            return port;
        }
    }
}

//! Real NATS servers, which end with the tests.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAM: &str = "STOMPBROKER_TEST_NATS_SERVER";
/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ends the server when the tests are gone, however they went.
const GUARD: &str = r#""$0" "$@" >/dev/null 2>&1 & echo $!; read -r _; kill -9 $! 2>/dev/null"#;

/// A NATS server with JetStream.
pub(crate) struct Nats {
    folder: TempDir,
    port: u16,
    running: Option<(Child, String)>,
}

impl Nats {
    /// The one for all tests that do it no harm.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Nats> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(""))
    }

    /// A prefix that no other test uses.
    pub(crate) fn prefix() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A server of one's own, with more lines in its configuration; `FOLDER` stands for its folder.
    pub(crate) fn start(more: &str) -> Self {
        let mut nats = Self::prepare(free_port(), more);
        nats.run();
        nats
    }

    /// Three servers that are one cluster.
    pub(crate) fn cluster() -> [Self; 3] {
        let ports = [(); 3].map(|()| (free_port(), free_port()));
        let routes = ports.map(|(_, route)| format!("nats-route://127.0.0.1:{route}")).join(", ");
        let mut servers = ports.map(|(port, route)| {
            let more =
                format!("server_name: s{port}\ncluster {{name: c, listen: \"127.0.0.1:{route}\", routes: [{routes}]}}");
            Self::prepare(port, &more)
        });
        servers.iter_mut().for_each(Self::run);
        servers
    }

    fn prepare(port: u16, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let more = more.replace("FOLDER", path);
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nmax_payload: 8MB\njetstream {{store_dir: \"{path}/store\"}}\n{more}\n"
        );
        std::fs::write(folder.path().join("nats.conf"), text).unwrap();
        Self { folder, port, running: None }
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it calls itself in a cluster.
    pub(crate) fn name(&self) -> String {
        format!("s{}", self.port)
    }

    /// Runs it, again with what it stored.
    pub(crate) fn run(&mut self) {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(program())
            .arg("-c")
            .arg(self.folder.path().join("nats.conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.running = Some((guard, pid.trim().to_owned()));
        let (address, deadline) = (SocketAddr::from(([127, 0, 0, 1], self.port)), Instant::now() + PATIENCE);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has not been killed.
    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some((mut guard, pid)) = self.running.take() {
            assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(path) = std::env::var_os(PROGRAM) {
            return path.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hack/cluster/cluster");
        let built = Command::new(script).args(["bin", "nats-server"]).stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "nats-server cannot be built; set {PROGRAM} to the path of one");
        String::from_utf8(built.stdout).unwrap().trim().into()
    })
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

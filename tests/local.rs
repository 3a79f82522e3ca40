//! `local` as a developer uses it: a real broker, its printed login, edits of the manifest, and the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_mins(1);

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stompbroker-local-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write_manifest(&self, spec: &str) -> PathBuf {
        let file = self.0.join("broker.yaml");
        let text = format!(
            "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata:\n  name: trading\nspec: {spec}\n"
        );
        fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Local {
    child: Child,
    lines: Receiver<String>,
}

impl Local {
    fn start(manifest: &Path, state: &Path, admin_port: u16) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_stompbroker-operator"));
        let broker = program.with_file_name("stompbroker");
        assert!(broker.is_file(), "{} is missing; run: cargo build -p stompbroker", broker.display());
        let mut child = Command::new(program)
            .args(["local", "--filename"])
            .arg(manifest)
            .arg("--state")
            .arg(state)
            .arg(format!("--admin-port={admin_port}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines }
    }

    /// The next line that holds `text`.
    fn line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The generated login of `who`, as printed.
    fn login(&self, who: &str) -> (String, String) {
        let line = self.line(who);
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[0], words[1], words[3]), (who, "login", "passcode"), "{line}");
        (words[2].to_owned(), words[4].to_owned())
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What the broker answers to a CONNECT with this login.
fn connect(port: u16, (login, passcode): &(String, String)) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT\naccept-version:1.2\nhost:x\nlogin:{login}\npasscode:{passcode}\n\n\0").unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(0, &mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn spec(stomp: u16, more: &str) -> String {
    format!("{{listeners: {{stomp: {{port: {stomp}}}}}{more}}}")
}

#[test]
fn a_broker_runs_with_the_printed_login_and_follows_the_manifest() {
    let folder = Folder::new("follow");
    let state = folder.0.join("state");
    let (first, second) = (free_port(), free_port());
    let manifest = folder.write_manifest(&spec(first, ""));
    let local = Local::start(&manifest, &state, free_port());

    local.line("trading is ready");
    assert!(local.line("STOMP").ends_with(&format!("localhost:{first}")));
    let login = local.login("clients");
    assert!(connect(first, &login).starts_with("CONNECTED"));
    assert!(connect(first, &("client".to_owned(), "wrong".to_owned())).starts_with("ERROR"));

    folder.write_manifest(&spec(first, ", heartbeat: 7s"));
    local.line("handed to the running broker");
    let deadline = Instant::now() + PATIENCE;
    while !connect(first, &login).contains("heart-beat:7000,7000") {
        assert!(Instant::now() < deadline, "the edit is never in force");
        thread::sleep(Duration::from_millis(50));
    }

    folder.write_manifest(&spec(first, ", heartbeat: soon"));
    assert!(local.line("refused").contains("spec.heartbeat"));
    assert!(connect(first, &login).contains("heart-beat:7000,7000"));

    folder.write_manifest(&spec(second, ""));
    local.line("needs a restart");
    local.line("trading is ready");
    assert!(connect(second, &login).starts_with("CONNECTED"));
    local.stop();
    TcpStream::connect(("127.0.0.1", second)).unwrap_err();

    let again = Local::start(&manifest, &state, free_port());
    assert_eq!(again.login("clients"), login, "the login stays from one start to the next");
}

#[test]
fn secrets_that_the_manifest_names_come_from_the_same_file() {
    let folder = Folder::new("secrets");
    let port = free_port();
    let manifest = folder.write_manifest(&spec(port, ", credentials: {client: {secretName: mine}}"));
    let refused = Command::new(env!("CARGO_BIN_EXE_stompbroker-operator"))
        .args(["local", "--filename"])
        .arg(&manifest)
        .arg("--state")
        .arg(folder.0.join("state"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("spec.credentials.client.secretName") && error.contains("\"mine\""), "{error}");

    let mut text = fs::read_to_string(&manifest).unwrap();
    text.push_str(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: mine}\nstringData: {username: ann, password: s3same}\n",
    );
    fs::write(&manifest, text).unwrap();
    let local = Local::start(&manifest, &folder.0.join("state"), free_port());
    local.line("trading is ready");
    assert!(connect(port, &("ann".to_owned(), "s3same".to_owned())).starts_with("CONNECTED"));
}

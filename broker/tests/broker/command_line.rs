//! The binary: exit codes, what it prints, signals.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Authority, Peer, Process, StompClient, stompbroker};

fn check(text: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    fs::write(&file, text).unwrap();
    stompbroker(&["check", file.to_str().unwrap()]).output().unwrap()
}

#[test]
fn check_accepts_the_example_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker.example.yaml");
    let output = stompbroker(&["check", file.to_str().unwrap()]).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), "OK\n"));
}

#[test]
fn check_names_file_line_key_and_remedy() {
    for (text, problem) in [
        ("listeners:\n  stomp:\n    prot: 1\n", "broker.yaml:3: listeners.stomp.prot: unknown field `prot`"),
        ("listeners:\n  stomp:\n    port: x\n", "broker.yaml:3: listeners.stomp.port: "),
        ("listeners: {stomp: {port: 1}}\nheartbeat: 20s\n", "broker.yaml:1: sessionTimeout: 30s is too short"),
        ("limits: {}\n", "missing field `listeners`"),
        ("listeners: [\n", "broker.yaml:"),
    ] {
        let output = check(text);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(64) && error.contains(problem), "{error}");
    }
    let output = stompbroker(&["check", "/nonexistent/broker.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("/nonexistent/broker.yaml: cannot be read: "));
}

#[test]
fn check_reads_the_files_that_the_configuration_names_unless_told_not_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (one, other) = (Authority::new(), Authority::new());
    one.issue(&path("tls"));
    other.issue(&path("other"));
    fs::create_dir(path("mixed")).unwrap();
    fs::copy(path("tls/tls.crt"), path("mixed/tls.crt")).unwrap();
    fs::copy(path("other/tls.key"), path("mixed/tls.key")).unwrap();
    fs::create_dir(path("login")).unwrap();
    fs::write(path("login/username"), "ann").unwrap();
    fs::write(path("login/password"), "never-shown").unwrap();
    for (file, text) in [("empty", ""), ("users", "users: [{name: ann, passwordHash: never-shown}]"), ("keys", "{}")] {
        fs::write(path(file), text).unwrap();
    }
    fs::write(
        path("good-keys"),
        r#"{"keys": [{"kty": "oct", "kid": "a", "k": "bmV2ZXItc2hvd24tbmV2ZXItc2hvd24tbmV2ZXItc2hvd24"}]}"#,
    )
    .unwrap();
    let write = |text: &str| {
        fs::write(path("broker.yaml"), text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        path("broker.yaml").to_str().unwrap().to_owned()
    };

    let good = "listeners: {stomp: {port: 1, tls: {directory: FOLDER/tls}}}\nadmin: {tokenFile: FOLDER/login/password}\n\
                credentials: {system: {directory: FOLDER/login}}\nauthentication:\n  jwt:\n    - {issuer: a, audiences: [b], jwksFile: FOLDER/good-keys}\n    \
                - {issuer: c, audiences: [b], jwksUrl: 'https://id.example.com/keys', caFile: FOLDER/tls/tls.crt}\n";
    let output = stompbroker(&["check", &write(good)]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for (begin, keys, says) in [
        ("", "admin: {tokenFile: FOLDER/missing}", &["broker.yaml:2: admin.tokenFile", "missing"][..]),
        ("", "admin: {tokenFile: FOLDER/empty}", &["admin.tokenFile", "empty is empty; put the token"]),
        ("", "credentials: {system: {directory: FOLDER/tls}}", &["credentials.system.directory", "tls/username"]),
        (
            "",
            "authentication: {users: {file: FOLDER/users}}",
            &["authentication.users.file", "users: ", "hash-password"],
        ),
        (
            "",
            "authentication: {jwt: [{issuer: a, audiences: [b], jwksFile: FOLDER/keys}]}",
            &["jwt[0].jwksFile", "keys"],
        ),
        (
            "",
            "authentication: {jwt: [{issuer: a, audiences: [b], jwksUrl: 'https://a', caFile: FOLDER/keys}]}",
            &["jwt[0].caFile", "keys"],
        ),
        (
            "tls: {directory: FOLDER/mixed}",
            "",
            &["broker.yaml:1: listeners.stomp.tls.directory", "does not fit its private key"],
        ),
        ("tls: {directory: FOLDER/login}", "", &["listeners.stomp.tls.directory", "login/tls.crt"]),
    ] {
        let file = write(&format!("listeners: {{stomp: {{port: 1, {begin}}}}}\n{keys}\n"));
        let output = stompbroker(&["check", &file]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(
            says.iter().all(|words| error.contains(words)) && !error.contains("never-shown"),
            "{keys} {begin}: {error}"
        );
        assert!(error.contains("--no-files"), "{error}");
        let output = stompbroker(&["check", "--no-files", &file]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{keys}{begin}");
    }
}

#[test]
fn usage_errors_exit_with_64_and_help_with_0() {
    assert_eq!(stompbroker(&["run"]).output().unwrap().status.code(), Some(64));
    assert_eq!(stompbroker(&["serve"]).output().unwrap().status.code(), Some(64));
    assert_eq!(stompbroker(&["--help"]).output().unwrap().status.code(), Some(0));
    let version = stompbroker(&["--version"]).output().unwrap();
    let expected = format!("stompbroker {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[test]
fn run_stops_at_a_secret_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    let text =
        "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\ncredentials:\n  client:\n    directory: /nonexistent\n";
    fs::write(&file, text).unwrap();
    let output = stompbroker(&["run", "--config", file.to_str().unwrap()]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(
        error.contains("broker.yaml:5: credentials.client.directory: cannot read /nonexistent/username"),
        "{error}"
    );
}

#[test]
fn run_names_a_port_that_is_taken_and_exits_with_1() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    fs::write(&file, format!("listeners: {{stomp: {{port: {port}}}}}\nadmin: {{port: 0}}\n")).unwrap();
    let output = stompbroker(&["run", "--config", file.to_str().unwrap()]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("port {port} (listeners.stomp.port)")), "{error}");
}

fn write_config(folder: &Path, drain: &str) -> PathBuf {
    let file = folder.join("broker.yaml");
    let text = format!(
        "listeners: {{stomp: {{port: 0}}}}\nadmin: {{port: 0}}\nauthentication: {{anonymous: true}}\ndrain: {drain}\n"
    );
    fs::write(&file, text).unwrap();
    file
}

fn start(folder: &Path, drain: &str) -> Process {
    let file = write_config(folder, drain);
    Process::spawn(stompbroker(&["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", file))
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0_and_the_log_tells_the_session_but_not_its_passcode() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), "{delay: 0s, connectionsPerSecond: 100, deadline: 10s}");
    let mut client = StompClient::connect(([127, 0, 0, 1], process.port).into()).await;
    client.log_in("").await;
    let mut wrong = StompClient::connect(([127, 0, 0, 1], process.port).into()).await;
    wrong.send_frame("CONNECT\naccept-version:1.2\nhost:x\nlogin:ann\npasscode:topsecret\n\n").await;
    wrong.frame().await.assert_error("login");
    process.signal("-TERM");
    client.frame().await.assert_error("lets its sessions go");
    client.end().await;
    let (code, log) = process.end().await;
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let closed: Vec<_> = lines.iter().filter(|line| line["message"] == "closed").collect();
    assert_eq!(closed.len(), 2, "{log}");
    assert!(closed.iter().any(|line| line["reason"] == "login_refused"), "{log}");
    assert!(closed.iter().any(|line| line["reason"] == "drained" && line["session.id"].is_string()), "{log}");
    assert!(lines.iter().any(|line| line["message"] == "connected" && line["client.addr"].is_string()), "{log}");
    assert!(!log.contains("topsecret"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), "{delay: 60s, connectionsPerSecond: 1, deadline: 100s}");
    let begun = Instant::now();
    process.signal("-INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal("-TERM");
    let (code, log) = process.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_lack_of_descriptors_passes() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), "{delay: 0s}");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 48; exec \"$0\" run --log-format json --config \"$1\""]);
    let process = Process::spawn(command.arg(env!("CARGO_BIN_EXE_stompbroker")).arg(file));
    let address = ([127, 0, 0, 1], process.port).into();
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(StompClient::connect(address).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(clients);
    let mut client = StompClient::connect(address).await;
    client.log_in("").await;
    process.signal("-TERM");
    client.frame().await.assert_error("lets its sessions go");
    client.end().await;
    let (code, log) = process.end().await;
    assert_eq!(code, Some(0), "{log}");
    let refused = log.lines().filter(|line| line.contains("cannot accept")).count();
    assert!((1..30).contains(&refused), "{refused} lines about it: {log}");
}

#[test]
fn run_stops_at_an_upstream_secret_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.yaml");
    let text = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\nengine:\n  relay:\n    destinationPrefixes: [/topic]\n    \
                upstreams: [{host: a, port: 1}]\n    systemCredentials: {directory: /nonexistent}\n    \
                clientCredentials: {directory: /nonexistent}\n";
    fs::write(&file, text).unwrap();
    let output = stompbroker(&["run", "--config", file.to_str().unwrap()]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    let problem = "broker.yaml:7: engine.relay.systemCredentials.directory: cannot read /nonexistent/username";
    assert!(error.contains(problem), "{error}");
}

#[test]
fn a_password_from_the_standard_input_becomes_a_hash() {
    use std::io::Write as _;
    let hash = |input: &[u8]| {
        let mut command = stompbroker(&["hash-password"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = hash(b"pass word\n");
    assert!(output.status.success() && output.stdout.starts_with(b"$argon2id$v=19$"), "{output:?}");
    let output = hash(b"\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(64) && error.contains("empty"), "{error}");
}

//! Scripts with the clients that people use, and what these log in with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;

use super::BrokerUnderTest;

/// How long a script with all its waits may take; each of them has a shorter one.
pub(crate) const SCRIPT_TIME: Duration = Duration::from_mins(5);

/// Where the clients are installed.
pub(crate) fn clients() -> PathBuf {
    let folder = |variable| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let clients = folder("STOMPBROKER_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("stompbroker")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/stompbroker")))
        .unwrap()
        .join("clients");
    assert!(
        clients.join("versions").exists(),
        "the STOMP clients are not installed in {}; run broker/tests/clients/setup.sh",
        clients.display()
    );
    clients
}

/// A folder with the login of `ann`.
pub(crate) fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("client")).unwrap();
    fs::write(folder.path().join("client/username"), "ann").unwrap();
    fs::write(folder.path().join("client/password"), "pa:ss").unwrap();
    folder
}

/// The same with the token of the admin port.
pub(crate) fn secrets_with_token() -> TempDir {
    let folder = secrets();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    folder
}

/// Runs a client's script, which must print a line `ok`.
pub(crate) async fn assert_ok(mut command: tokio::process::Command) {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(SCRIPT_TIME, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("the script has not ended within {SCRIPT_TIME:?}")).unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    let done = out.lines().any(|line| line == "ok");
    assert!(output.status.success() && done, "{}\n{out}\n{error}", output.status);
}

/// A script of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

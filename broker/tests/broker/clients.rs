//! The clients that people use, against the broker: `broker/tests/clients/setup.sh` installs them.

use std::{fs, path::Path, process::Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::support::{Authority, BrokerUnderTest, SCRIPT_TIME, assert_ok, clients, script, secrets, within};

const CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\nadmin: {port: 0}\n\
                      credentials: {client: {directory: FOLDER/client}}\nheartbeat: 500ms\nsessionTimeout: 2s\n\
                      limits: {messageSize: 256Ki}\n";

#[tokio::test]
async fn stomp_py_works_in_every_version() {
    let clients = clients();
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let mut command = tokio::process::Command::new("python3");
    command.arg("-B").arg(script("stomp_py.py")).arg(broker.stomp().port().to_string());
    command.env("PYTHONPATH", clients.join("python"));
    assert_ok(command).await;
}

#[tokio::test]
async fn stomp_py_works_over_tls() {
    let (clients, authority, folder) = (clients(), Authority::new(), secrets());
    authority.issue(&folder.path().join("tls"));
    authority.write_certificate(&folder.path().join("ca.crt"));
    let ca = folder.path().join("ca.crt");
    let config = CONFIG.replace("stomp: {port: 0}", "stomp: {port: 0, tls: {directory: FOLDER/tls}}");
    let broker = BrokerUnderTest::start_in(folder, &config);
    let mut command = tokio::process::Command::new("python3");
    command.arg("-B").arg(script("stomp_py.py")).arg(broker.stomp().port().to_string()).arg(ca);
    command.env("PYTHONPATH", clients.join("python"));
    assert_ok(command).await;
}

#[tokio::test]
async fn an_application_in_python_verifies_what_stompjs_sends_it() {
    let (clients, folder) = (clients(), secrets());
    let key = "0123456789-0123456789-0123456789";
    fs::write(folder.path().join("key"), key).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/applications/app.py");
    let mut command = tokio::process::Command::new("python3");
    command.arg("-B").arg(example).arg("0").env("PYTHONPATH", clients.join("python"));
    command.env("KEY_FILE", folder.path().join("key"));
    let mut application = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
    let line = within("the application to listen", lines.next_line()).await.unwrap().unwrap();
    let port = line.strip_prefix("listening ").unwrap();
    let config = format!(
        "{CONFIG}applications: [{{name: greeter, prefix: /app, url: 'http://127.0.0.1:{port}', reply: {{destination: \
         /user/queue/replies}}, signature: {{keyFile: FOLDER/key}}}}]\n"
    );
    let broker = BrokerUnderTest::start_in(folder, &config);
    let mut command = tokio::process::Command::new("node");
    command.arg(script("application.mjs")).arg(broker.websocket().port().to_string()).arg(clients.join("node"));
    assert_ok(command).await;
}

#[tokio::test]
async fn stompjs_works_over_websocket() {
    let clients = clients();
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let mut command = tokio::process::Command::new("node");
    command.arg(script("stompjs.mjs")).arg(broker.websocket().port().to_string()).arg(clients.join("node"));
    assert_ok(command).await;
}

/// The configuration with SockJS, for pages of any origin.
fn with_sockjs(keys: &str) -> String {
    CONFIG.replace("path: /chat", &format!("path: /chat, allowedOrigins: ['*'], sockJs: {{{keys}}}"))
}

#[tokio::test]
async fn sockjs_client_works_in_node_through_every_transport() {
    let clients = clients();
    let broker = BrokerUnderTest::start_in(secrets(), &with_sockjs("responseLimit: 4Ki"));
    let mut command = tokio::process::Command::new("node");
    command.arg(script("sockjs.mjs")).arg(broker.websocket().port().to_string()).arg(clients.join("node"));
    assert_ok(command).await;
}

#[tokio::test]
async fn sockjs_client_works_in_a_browser_through_every_transport() {
    let mut command = tokio::process::Command::new("node");
    command.arg(script("sockjs_browser.mjs")).arg(clients().join("node"));
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut pages = command.spawn().unwrap();
    let mut lines = BufReader::new(pages.stdout.take().unwrap()).lines();
    let line = within("the pages to be served", lines.next_line()).await.unwrap().unwrap();
    let port = line.strip_prefix("pages ").unwrap();
    let keys = format!("clientUrl: 'http://127.0.0.1:{port}/sockjs.js'");
    let broker = BrokerUnderTest::start_in(secrets(), &with_sockjs(&keys));
    let told = format!("{}\n", broker.websocket().port());
    pages.stdin.as_mut().unwrap().write_all(told.as_bytes()).await.unwrap();
    let mut passed = String::new();
    let mut stderr = pages.stderr.take().unwrap();
    let run = async { tokio::join!(lines.next_line(), stderr.read_to_string(&mut passed)) };
    let (outcome, _) = tokio::time::timeout(SCRIPT_TIME, run).await.expect("the browser ends in time");
    assert_eq!(outcome.unwrap().as_deref(), Some("ok"), "{passed}");
}

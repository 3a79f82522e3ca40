//! The clients that users have, stomp.py and `@stomp/stompjs`, across zones.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

use crate::{
    relay::{ZONES, three_zones},
    stomp::Login,
    world::{World, address, hack_output},
};

/// Longest that a client may take for a step; its own deadlines are shorter.
const PATIENCE: Duration = Duration::from_mins(1);

/// Folder of the installed packages, and what they log in with.
struct Clients {
    folder: PathBuf,
    login: Login,
}

impl Clients {
    fn service(&self, action: &str, at: std::net::SocketAddr) -> Command {
        let mut command = Command::new("python3");
        command.arg(program("service.py")).arg(action).arg(at.ip().to_string()).arg(at.port().to_string());
        self.environment(command)
    }

    fn browser(&self, action: &str, at: std::net::SocketAddr) -> Command {
        let mut command = Command::new("node");
        command.arg(program("browser.mjs")).arg(action).arg(format!("ws://{at}/ws"));
        self.environment(command)
    }

    fn environment(&self, mut command: Command) -> Command {
        command
            .env("PYTHONPATH", self.folder.join("python"))
            .env("NODE_PACKAGES", self.folder.join("node"))
            .env("STOMP_LOGIN", &self.login.username)
            .env("STOMP_PASSCODE", &self.login.password)
            .kill_on_drop(true);
        command
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/demo/clients").join(name)
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a client must not hang").unwrap();
    line.expect("the client must not end before it has said what it received")
}

/// One message from `publisher` to `receiver`.
async fn exchange(mut publisher: Command, mut receiver: Command, text: &str) {
    let mut receiving = receiver.arg("/topic/prices").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(receiving.stdout.take().unwrap()).lines();
    assert_eq!(line(&mut lines).await, "subscribed");
    let published = timeout(PATIENCE, publisher.args(["/topic/prices", text]).status()).await.unwrap().unwrap();
    assert!(published.success(), "{publisher:?} must get its RECEIPT");
    assert_eq!(line(&mut lines).await, text);
    assert!(timeout(PATIENCE, receiving.wait()).await.unwrap().unwrap().success(), "{receiver:?} must end well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stomp_py_and_stomp_js_exchange_messages_across_zones() {
    let world = World::new("e2e-clients").await;
    let name = three_zones(&world).await;
    let folder = hack_output("demo/clients/setup", &[]);
    let clients =
        Clients { folder: Path::new(folder.trim()).to_owned(), login: world.login(&format!("{name}-client")).await };
    let here = world.pod_in_zone(&name, ZONES[0]).await;
    let there = world.pod_in_zone(&name, ZONES[2]).await;
    let (tcp, web) = (61613, 8080);

    let publisher = clients.service("publish", address(&here, tcp));
    exchange(publisher, clients.service("receive", address(&there, tcp)), "service to service").await;
    let publisher = clients.service("publish", address(&here, tcp));
    exchange(publisher, clients.browser("receive", address(&there, web)), "service to browser").await;
    let publisher = clients.browser("publish", address(&there, web));
    exchange(publisher, clients.service("receive", address(&here, tcp)), "browser to service").await;
    world.remove().await;
}

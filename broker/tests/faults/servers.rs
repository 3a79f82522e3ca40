//! What runs in the zones: in each a broker and a node of its upstream. Killed as the kernel kills, and run again on what they
//! have written.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    judge::Promises,
    schedule::Kind,
    zones::{Zone, Zones},
};

/// Where clients connect.
pub(crate) const STOMP: u16 = 61613;
/// Where the broker tells whether it is ready.
pub(crate) const ADMIN: u16 = 15020;
const NATS: u16 = 4222;
const ROUTES: u16 = 6222;
/// `RabbitMQ` takes the two ports after it as well.
const RABBITMQ: u16 = 61620;
const LOGIN: (&str, &str) = ("relay", "se:cret");
const NATS_PROGRAM: &str = "STOMPBROKER_TEST_NATS_SERVER";

/// What the brokers are before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Three `nats-server`s that are one cluster, every queue on all of them.
    JetStream,
    /// Three nodes of `RabbitMQ` that are one cluster, with quorum queues.
    Relay,
}

impl Engine {
    /// What can go wrong.
    pub(crate) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::JetStream => &[Kind::Broker, Kind::Node, Kind::Leader, Kind::Cut],
            Self::Relay => &[Kind::Broker, Kind::Node, Kind::Cut],
        }
    }

    /// What docs/engines.md promises.
    pub(crate) const fn promises(self) -> Promises {
        match self {
            // JetStream says that it cannot now, or nothing at all; the shortest pause before a SEND is repeated.
            Self::JetStream => {
                Promises { sent_again_after: Some(Duration::from_millis(250)), acks_forgotten_within: None }
            }
            // `RabbitMQ` confirms an ACK before its other nodes know.
            Self::Relay => Promises { sent_again_after: None, acks_forgotten_within: Some(Duration::from_secs(5)) },
        }
    }

    /// Where a node listens.
    pub(crate) const fn node_port(self) -> u16 {
        match self {
            Self::JetStream => NATS,
            Self::Relay => RABBITMQ,
        }
    }

    /// What a SEND and a SUBSCRIBE need besides, so that a queue is safe.
    pub(crate) const fn queue_headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::JetStream => &[],
            Self::Relay => &[("x-queue-type", "quorum")],
        }
    }

    fn node(self, zones: &Zones, zone: Zone) -> Command {
        let folder = folder(zones, zone, "node");
        match self {
            Self::JetStream => {
                let routes = Zone::ALL.map(|zone| format!("nats-route://{}", zone.port(ROUTES))).join(", ");
                let text = format!(
                    "listen: \"{}\"\nserver_name: {zone}\nmax_payload: 8MB\njetstream {{store_dir: \"{}\"}}\n\
                     cluster {{name: faults, listen: \"{}\", routes: [{routes}]}}\n",
                    zone.port(NATS),
                    folder.join("store").display(),
                    zone.port(ROUTES),
                );
                let config = folder.join("nats.conf");
                fs::write(&config, text).unwrap();
                let program = std::env::var_os(NATS_PROGRAM).expect("hack/faults names the program");
                let mut command = zones.command(zone, PathBuf::from(program));
                command.arg("-c").arg(config);
                command
            }
            Self::Relay => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstreams/rabbitmq");
                let mut command = zones.command(zone, script);
                command.arg(RABBITMQ.to_string()).arg(folder).args([LOGIN.0, LOGIN.1]);
                command.env("ADDRESS", zone.address().to_string());
                command.env("CLUSTER", Zone::ALL.map(|zone| zone.address().to_string()).join(" "));
                command
            }
        }
    }

    fn broker(self, zones: &Zones, zone: Zone) -> Command {
        let folder = folder(zones, zone, "broker");
        let engine = match self {
            Self::JetStream => {
                let urls = Zone::ALL.map(|zone| format!("'nats://{}'", zone.port(NATS))).join(", ");
                format!("jetStream: {{servers: [{urls}], queueStreams: 2, ackWait: 4s}}")
            }
            Self::Relay => {
                fs::write(folder.join("username"), LOGIN.0).unwrap();
                fs::write(folder.join("password"), LOGIN.1).unwrap();
                let upstreams = Zone::ALL
                    .map(|zone| format!("{{host: {}, port: {RABBITMQ}, zone: {zone}}}", zone.address()))
                    .join(", ");
                let login = folder.display();
                // In one zone sessions share connections, in the others each has its own.
                let multiplex = if zone == Zone::ALL[1] { "multiplex: {connections: 2}, " } else { "" };
                format!(
                    "relay: {{destinationPrefixes: [/queue], upstreams: [{upstreams}], {multiplex}\
                     heartbeat: {{send: 2s, receive: 2s}}, connectTimeout: 5s, \
                     systemCredentials: {{directory: {login}}}, clientCredentials: {{directory: {login}}}}}"
                )
            }
        };
        let text = format!(
            "zone: {zone}\nlisteners: {{stomp: {{port: {STOMP}}}}}\nadmin: {{port: {ADMIN}}}\n\
             authentication: {{anonymous: true}}\nheartbeat: 1s\nsessionTimeout: 5s\nengine: {{{engine}}}\n"
        );
        let config = folder.join("broker.yaml");
        fs::write(&config, text).unwrap();
        let mut command = zones.command(zone, env!("CARGO_BIN_EXE_stompbroker"));
        command.args(["run", "--log-format", "json"]).env("STOMPBROKER_CONFIG", config);
        command.env("RUST_LOG", "info,stompbroker::engine=debug");
        command
    }
}

/// The folder of a server, which is there from then on.
fn folder(zones: &Zones, zone: Zone, role: &str) -> PathBuf {
    let folder = zones.folder().join(format!("{role}-{zone}"));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A server that may be killed and run again.
#[derive(Debug)]
pub(crate) struct Server {
    log: PathBuf,
    running: Option<Child>,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Node,
    Broker,
}

impl Server {
    /// One that does not run.
    pub(crate) fn new(zones: &Zones, zone: Zone, role: Role) -> Self {
        let name = if role == Role::Node { "node" } else { "broker" };
        Self { log: zones.folder().join(format!("{name}-{zone}.log")), running: None }
    }

    /// Runs it; does not wait until it listens.
    pub(crate) fn run(&mut self, engine: Engine, zones: &Zones, zone: Zone, role: Role) {
        let mut command = match role {
            Role::Node => engine.node(zones, zone),
            Role::Broker => engine.broker(zones, zone),
        };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.running = Some(command.spawn().unwrap());
    }

    /// `kill -9` of the whole group of processes.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let group = format!("-{}", child.id());
            assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
            child.wait().unwrap();
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// The pauses before another try that a broker has logged.
    pub(crate) fn pauses(&self) -> Vec<String> {
        let lines = BufReader::new(File::open(&self.log).unwrap()).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
            .filter_map(|line| line["pause"].as_str().map(ToOwned::to_owned))
            .collect()
    }
}

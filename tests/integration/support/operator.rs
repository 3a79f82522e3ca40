//! The operator in this process.

use std::{net::SocketAddr, time::Duration};

use kube::core::{Expression, Selector};
use stompbroker_operator::{
    RunError,
    client::Clients,
    metrics::{Metrics, ResultLabel},
    plan,
    settings::{LeaderElection, LogFormat, Scope, Settings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, Wire, World, chart, check, eventually, within};

/// A running operator.
pub struct Operator {
    pub wire: Wire,
    pub metrics: Metrics,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Operator {
    /// Looks after the namespace of `world`.
    pub async fn start(world: &World) -> Self {
        Self::with(world, Wire::default(), |_| {}).await
    }

    /// Looks at everything again every half second, as if much time went by.
    pub async fn restless(world: &World) -> Self {
        Self::with(world, Wire::default(), |settings| settings.resync = Duration::from_millis(500)).await
    }

    /// Looks after those StompBrokers of the namespace that have this label.
    pub async fn of_label(world: &World, key: &str, value: &str) -> Self {
        let selector = Expression::Equal(key.to_owned(), value.to_owned()).into();
        Self::with(world, Wire::default(), |settings| settings.selector = selector).await
    }

    /// Takes part in the election for the namespace of `world`.
    pub async fn candidate(world: &World, identity: &str) -> Self {
        Self::with(world, Wire::default(), |settings| {
            settings.leader_election = Some(LeaderElection {
                namespace: world.namespace.clone(),
                lease_name: "stompbroker-operator".to_owned(),
                identity: identity.to_owned(),
                duration: Duration::from_secs(3),
            });
        })
        .await
    }

    /// It has the rights of the chart's ServiceAccount and no others.
    pub async fn with(world: &World, wire: Wire, adapt: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            scope: Scope::Namespaces([world.namespace.clone()].into()),
            selector: Selector::default(),
            plan: plan::Settings {
                image: "registry.test/stompbroker:1".to_owned(),
                nats_image: "registry.example/nats:2".to_owned(),
                operator_namespace: "operator".to_owned(),
                cluster_domain: "cluster.local".to_owned(),
                custom_metrics: true,
            },
            leader_election: None,
            pod_name: "operator-0".to_owned(),
            http_address: ([127, 0, 0, 1], 0).into(),
            log_format: LogFormat::Text,
            log: String::new(),
            poll_interval: Duration::from_millis(300),
            resync: Duration::from_mins(30),
            reconcile_timeout: Duration::from_mins(1),
            concurrency: 8,
            shutdown_grace: Duration::from_secs(10),
            custom_metrics: None,
        };
        adapt(&mut settings);
        let metrics = Metrics::new();
        let config = chart::as_the_operator(&world.plane.config);
        let clients = Clients { api: wire.client(&config), lease: wire.client(&config) };
        let listener = TcpListener::bind(settings.http_address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(stompbroker_operator::run(settings, clients, metrics.clone(), listener, stop.clone()));
        Self { wire, metrics, address, stop, task }
    }

    /// Tells it to end, as SIGTERM does.
    pub fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    /// Lets it end in order; it must have done nothing without a right.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        assert_eq!(self.wire.violations(), [].into(), "requests without a right in the table");
    }

    /// Ends it at once, as a power failure would.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// How it ended by itself.
    pub async fn ended(self) -> Result<(), RunError> {
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Waits for `more` further passes without an error.
    pub async fn passes(&self, more: u64) {
        self.passes_since_its_start(self.count_of_passes() + more).await;
    }

    /// Waits until there have been `goal` passes without an error, whenever they were.
    pub async fn passes_since_its_start(&self, goal: u64) {
        let count = || self.count_of_passes();
        within(2 * PATIENCE, "passes", async || check(count() >= goal, (count(), goal))).await;
    }

    fn count_of_passes(&self) -> u64 {
        let of = |result| self.metrics.reconciles.get_or_create(&ResultLabel { result }).get();
        of("success") + of("refused")
    }

    /// Waits for `more` further answers of pods.
    pub async fn polls(&self, more: u64) {
        let count = || self.metrics.pod_polls.get_or_create(&ResultLabel { result: "answered" }).get();
        let goal = count() + more;
        eventually("answers of pods", async || check(count() >= goal, (count(), goal))).await;
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) {
        eventually("readiness", async || {
            let (status, body) = self.get("/readyz").await;
            check(status == 200, body)
        })
        .await;
    }
}

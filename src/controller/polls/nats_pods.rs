//! Asks NATS servers whether they have caught up, again and again, and wishes for a pass when the answer is another one.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::admin::{AdminClient, AskError};
use crate::{
    controller::{
        managed::Managed,
        triggers::Triggers,
        watches::{cache::Key, world::World},
    },
    metrics::{Metrics, ResultLabel},
    observed::NatsReport,
    plan::nats::MONITOR_PORT,
};

/// Servers asked at once.
const QUESTIONS: usize = 16;

type Report = Result<NatsReport, String>;

/// The last report of every server, by its pod's UID.
#[derive(Debug, Default)]
pub(crate) struct NatsReports(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    report: Report,
    /// The last question got no answer. One alone may be the network's fault, and is not believed.
    failed: bool,
}

impl NatsReports {
    /// The last report of a server; absent when it was not asked yet.
    pub(crate) fn of(&self, uid: &str) -> Option<Report> {
        self.0.lock().get(uid).map(|entry| entry.report.clone())
    }

    /// Takes a new report and says whether it is another one.
    fn put(&self, uid: &str, report: Report) -> bool {
        let mut entries = self.0.lock();
        let failed = report.is_err();
        let Some(entry) = entries.get_mut(uid) else {
            entries.insert(uid.to_owned(), Entry { report, failed });
            return true;
        };
        let believed = !failed || entry.failed || entry.report.is_err();
        entry.failed = failed;
        let differs = believed && entry.report != report;
        if differs {
            entry.report = report;
        }
        differs
    }

    fn retain(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid, _| uids.contains(uid));
    }
}

/// Asks the servers.
pub(crate) struct NatsPoller {
    /// The servers of all others are none of ours to ask.
    pub(crate) managed: Managed,
    pub(crate) world: Arc<World>,
    pub(crate) reports: Arc<NatsReports>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) metrics: Metrics,
}

/// A server to ask.
struct Server {
    uid: String,
    address: String,
    broker: Key,
}

/// The answer of `/healthz`.
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
}

/// What is wanted of the answer of `/varz`.
#[derive(Deserialize)]
struct Variables {
    #[serde(default)]
    version: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Default, Deserialize)]
struct JetStream {
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    leader: String,
}

impl NatsPoller {
    /// Asks all servers every `every`, until `stop`; while another replica leads, none.
    pub(crate) async fn run(self, every: Duration, stop: CancellationToken) {
        let client = AdminClient::new();
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { () = stop.cancelled() => return, _ = ticks.tick() => {} }
            let servers = self.servers();
            let round = stream::iter(servers)
                .map(|server| self.ask(server, &client))
                .buffer_unordered(QUESTIONS)
                .filter_map(std::future::ready)
                .collect::<BTreeSet<Key>>();
            let touched = tokio::select! { () = stop.cancelled() => return, touched = round => touched };
            self.triggers.reconcile(touched).await;
        }
    }

    fn servers(&self) -> Vec<Server> {
        let mut servers = Vec::new();
        if self.triggers.leading() {
            for (namespace, _, pod) in self.world.nats_pods.lock().iter() {
                if let (Some(broker), Some(address)) = (&pod.broker, &pod.address) {
                    let broker = Key::new(namespace, broker.clone());
                    if self.managed.has(&broker) {
                        servers.push(Server { uid: pod.view.uid.clone(), address: address.clone(), broker });
                    }
                }
            }
        }
        self.reports.retain(&servers.iter().map(|server| server.uid.clone()).collect());
        servers
    }

    /// Asks one server; gives its broker when the answer is news.
    async fn ask(&self, server: Server, client: &AdminClient) -> Option<Key> {
        let report = ask(&server.address, client).await.map_err(|error| error.to_string());
        let result = if report.is_ok() { "answered" } else { "failed" };
        self.metrics.pod_polls.get_or_create(&ResultLabel { result }).inc();
        self.reports.put(&server.uid, report).then_some(server.broker)
    }
}

async fn ask(address: &str, client: &AdminClient) -> Result<NatsReport, AskError> {
    let (status, body) = client.get(address, MONITOR_PORT, "/healthz").await?;
    let health: Health = parse(&body)?;
    let unhealthy = if status == StatusCode::OK && health.status == "ok" {
        None
    } else if health.error.is_empty() {
        Some(format!("it answers {status}"))
    } else {
        Some(health.error)
    };
    let (status, body) = client.get(address, MONITOR_PORT, "/varz").await?;
    if status != StatusCode::OK {
        return Err(AskError::Failed(format!("the server answered {status}")));
    }
    let Variables { version, jetstream } = parse(&body)?;
    Ok(NatsReport { version, unhealthy, leader: jetstream.meta.map(|meta| meta.leader) })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AskError> {
    serde_json::from_slice(body)
        .map_err(|error| AskError::Failed(format!("the server's answer is not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_alone_is_not_believed_and_an_answer_at_once() {
        let reports = NatsReports::default();
        let well = NatsReport { version: "2".to_owned(), ..NatsReport::default() };
        let behind = NatsReport { unhealthy: Some("a stream is behind".to_owned()), ..well.clone() };
        assert!(reports.put("a", Ok(well.clone())));
        assert!(!reports.put("a", Err("no answer".to_owned())));
        assert_eq!(reports.of("a"), Some(Ok(well.clone())));
        assert!(reports.put("a", Err("no answer".to_owned())));
        assert!(reports.put("a", Ok(behind.clone())));
        assert!(!reports.put("a", Ok(behind)));
        assert!(reports.put("a", Ok(well)));
        reports.retain(&HashSet::new());
        assert_eq!(reports.of("a"), None);
    }

    #[test]
    fn what_a_server_says_of_itself_is_understood() {
        let text = br#"{"server_name": "x", "version": "2.15.2", "jetstream": {"stats": {}, "meta": {"leader": "y", "cluster_size": 3}}}"#;
        let variables: Variables = parse(text).unwrap();
        assert_eq!(variables.version, "2.15.2");
        assert_eq!(variables.jetstream.meta.unwrap().leader, "y");
        let alone: Variables = parse(br#"{"version": "2.15.2", "jetstream": {}}"#).unwrap();
        assert!(alone.jetstream.meta.is_none());
        let health: Health = parse(br#"{"status": "unavailable", "status_code": 503, "error": "behind"}"#).unwrap();
        assert_eq!((health.status.as_str(), health.error.as_str()), ("unavailable", "behind"));
    }
}

//! What the operator counts, in Prometheus' text form.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Instant,
};

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// Labels of a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Method of HTTP; everything but GET writes.
    pub method: String,
    /// Plural of the kind, with the subresource: `deployments`, `stompbrokers/status`.
    pub resource: String,
    /// Status of the answer, or `timeout` or `error` when there was none.
    pub code: String,
}

/// Label of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// Name of the kind.
    pub kind: &'static str,
}

/// Label of an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// Name of the outcome.
    pub result: &'static str,
}

/// Label of a cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Name of the error, or of the reason of a restart; from a closed list.
    pub reason: &'static str,
}

/// Labels of one StompBroker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BrokerLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Labels of a certificate of one StompBroker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// The StompBroker's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Secret with the certificate.
    pub secret: String,
}

/// All that is counted. Clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    resident: Gauge,
    /// Requests to the API server.
    pub kube_requests: Family<RequestLabels, Counter>,
    /// Watches that broke or were refused.
    pub watch_errors: Family<KindLabel, Counter>,
    /// Passes by outcome: `success`, `refused` (the user has to change something) or `error`.
    pub reconciles: Family<ResultLabel, Counter>,
    /// Passes that failed.
    pub reconcile_errors: Family<ReasonLabel, Counter>,
    /// Length of a pass.
    pub reconcile_duration: Histogram,
    /// Questions to pods: `answered`, `failed` or `unauthorized`.
    pub pod_polls: Family<ResultLabel, Counter>,
    /// Events: `published`, `failed` or `dropped` because too many waited.
    pub events: Family<ResultLabel, Counter>,
    /// Zones whose pods were replaced, by reason.
    pub zone_restarts: Family<ReasonLabel, Counter>,
    /// Steps of the rotations of logins.
    pub rotation_steps: Family<ReasonLabel, Counter>,
    /// 1 when this replica is the one that works.
    pub leader: Gauge,
    /// 1 when the API server does not know the kind StompBroker.
    pub crd_missing: Gauge,
    /// 1 when kube-apiserver is told to come to this replica for custom metrics.
    pub custom_metrics_registered: Gauge,
    /// Questions for custom metrics: `answered`, `forbidden`, `refused` or `failed`.
    pub custom_metrics_requests: Family<ResultLabel, Counter>,
    /// 1 when the condition Ready of the StompBroker is true, else 0.
    pub broker_ready: Family<BrokerLabels, Gauge>,
    /// Sessions of the StompBroker over all pods that answer.
    pub broker_sessions: Family<BrokerLabels, Gauge>,
    /// When a certificate ends, in seconds since 1970.
    pub certificate_expiry: Family<CertificateLabels, Gauge>,
    /// When a certificate is told of because it ends soon, in seconds since 1970.
    pub certificate_renewal_deadline: Family<CertificateLabels, Gauge>,
    /// The Secrets of the two, by namespace and name of the StompBroker.
    certificates: Arc<Mutex<CertificateSecrets>>,
}

type CertificateSecrets = HashMap<(String, String), BTreeSet<String>>;

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut root = Registry::default();
        let resident = Gauge::default();
        root.register_with_unit("process_resident_memory", "Resident memory", Unit::Bytes, resident.clone());
        let registry = root.sub_registry_with_prefix("stompbroker_operator");
        let metrics = Self {
            registry: Arc::new(Mutex::new(Registry::default())),
            resident,
            kube_requests: Family::default(),
            watch_errors: Family::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_duration: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0]),
            pod_polls: Family::default(),
            events: Family::default(),
            zone_restarts: Family::default(),
            rotation_steps: Family::default(),
            leader: Gauge::default(),
            crd_missing: Gauge::default(),
            custom_metrics_registered: Gauge::default(),
            custom_metrics_requests: Family::default(),
            broker_ready: Family::default(),
            broker_sessions: Family::default(),
            certificate_expiry: Family::default(),
            certificate_renewal_deadline: Family::default(),
            certificates: Arc::default(),
        };
        registry.register("kube_requests", "Requests to the API server", metrics.kube_requests.clone());
        registry.register("watch_errors", "Watches that broke or were refused", metrics.watch_errors.clone());
        registry.register("reconciles", "Passes over StompBrokers by outcome", metrics.reconciles.clone());
        registry.register("reconcile_errors", "Passes that failed", metrics.reconcile_errors.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Length of a pass",
            Unit::Seconds,
            metrics.reconcile_duration.clone(),
        );
        registry.register("pod_polls", "Questions to broker pods by outcome", metrics.pod_polls.clone());
        registry.register("events", "Events by outcome", metrics.events.clone());
        registry.register("zone_restarts", "Zones whose pods were replaced", metrics.zone_restarts.clone());
        registry.register("rotation_steps", "Steps of the rotations of logins", metrics.rotation_steps.clone());
        registry.register("leader", "1 on the replica that works", metrics.leader.clone());
        registry.register("crd_missing", "1 when the CRD is not installed", metrics.crd_missing.clone());
        registry.register(
            "custom_metrics_registered",
            "1 when custom metrics are served and registered",
            metrics.custom_metrics_registered.clone(),
        );
        registry.register(
            "custom_metrics_requests",
            "Questions for custom metrics by outcome",
            metrics.custom_metrics_requests.clone(),
        );
        registry.register("broker_ready", "1 when the StompBroker is Ready", metrics.broker_ready.clone());
        registry.register("broker_sessions", "Sessions of the StompBroker", metrics.broker_sessions.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate ends, in seconds since 1970",
            metrics.certificate_expiry.clone(),
        );
        registry.register(
            "certificate_renewal_deadline_timestamp_seconds",
            "When the certificate has to be renewed by, in seconds since 1970",
            metrics.certificate_renewal_deadline.clone(),
        );
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        *metrics.registry.lock() = root;
        metrics
    }

    /// Everything at zero, but with one series of every family: a family without series is not in the text.
    pub fn with_every_series() -> Self {
        let metrics = Self::new();
        let none = String::new;
        let request = RequestLabels { method: none(), resource: none(), code: none() };
        drop(metrics.kube_requests.get_or_create(&request));
        drop(metrics.watch_errors.get_or_create(&KindLabel { kind: "" }));
        for family in [&metrics.reconciles, &metrics.pod_polls, &metrics.events, &metrics.custom_metrics_requests] {
            drop(family.get_or_create(&ResultLabel { result: "" }));
        }
        for family in [&metrics.reconcile_errors, &metrics.zone_restarts, &metrics.rotation_steps] {
            drop(family.get_or_create(&ReasonLabel { reason: "" }));
        }
        for family in [&metrics.broker_ready, &metrics.broker_sessions] {
            drop(family.get_or_create(&BrokerLabels { namespace: none(), name: none() }));
        }
        let certificate = CertificateLabels { namespace: none(), name: none(), secret: none() };
        for family in [&metrics.certificate_expiry, &metrics.certificate_renewal_deadline] {
            drop(family.get_or_create(&certificate));
        }
        metrics
    }

    /// All numbers in Prometheus' text form.
    ///
    /// # Errors
    /// Never in practice: the text is written to memory.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        self.resident.set(resident_bytes().unwrap_or_default());
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }

    /// Measures a pass until the guard is dropped.
    pub fn time_reconcile(&self) -> ReconcileTimer<'_> {
        ReconcileTimer { metrics: self, start: Instant::now() }
    }

    /// Forgets a StompBroker that is gone.
    pub fn forget_broker(&self, namespace: &str, name: &str) {
        let labels = BrokerLabels { namespace: namespace.to_owned(), name: name.to_owned() };
        self.broker_ready.remove(&labels);
        self.broker_sessions.remove(&labels);
        self.set_certificates(namespace, name, []);
    }

    /// Tells of these certificates of a StompBroker, each with its end and the time to renew it by, and of no others.
    pub fn set_certificates<'a>(
        &self,
        namespace: &str,
        name: &str,
        certificates: impl IntoIterator<Item = (&'a str, Timestamp, Timestamp)>,
    ) {
        let labels = |secret: &str| CertificateLabels {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            secret: secret.to_owned(),
        };
        let mut told = BTreeSet::new();
        for (secret, until, renewed_by) in certificates {
            self.certificate_expiry.get_or_create(&labels(secret)).set(until.as_second());
            self.certificate_renewal_deadline.get_or_create(&labels(secret)).set(renewed_by.as_second());
            told.insert(secret.to_owned());
        }
        let mut all = self.certificates.lock();
        let key = (namespace.to_owned(), name.to_owned());
        for secret in all.remove(&key).unwrap_or_default().difference(&told) {
            self.certificate_expiry.remove(&labels(secret));
            self.certificate_renewal_deadline.remove(&labels(secret));
        }
        if !told.is_empty() {
            all.insert(key, told);
        }
    }
}

/// Measures a pass until it is dropped.
#[derive(Debug)]
pub struct ReconcileTimer<'a> {
    metrics: &'a Metrics,
    start: Instant,
}

impl Drop for ReconcileTimer<'_> {
    fn drop(&mut self) {
        self.metrics.reconcile_duration.observe(self.start.elapsed().as_secs_f64());
    }
}

/// Resident memory of this process; absent where there is no `/proc`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_operators_prefix() {
        let metrics = Metrics::new();
        metrics
            .kube_requests
            .get_or_create(&RequestLabels { method: "PATCH".into(), resource: "services".into(), code: "200".into() })
            .inc();
        drop(metrics.time_reconcile());
        let text = metrics.encode().unwrap();
        let line = r#"stompbroker_operator_kube_requests_total{method="PATCH",resource="services",code="200"} 1"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("stompbroker_operator_reconcile_duration_seconds_count 1"), "{text}");
    }

    #[test]
    fn resident_memory_is_read_at_each_scrape() {
        let text = Metrics::new().encode().unwrap();
        let line = text.lines().find(|line| line.starts_with("process_resident_memory_bytes ")).unwrap();
        assert!(line.split(' ').nth(1).unwrap().parse::<f64>().unwrap() > 1_000_000.0, "{line}");
    }

    #[test]
    fn a_certificate_is_told_of_as_long_as_the_spec_refers_to_it() {
        let metrics = Metrics::new();
        let [until, by] = [2000, 1000].map(|second| Timestamp::from_second(second).unwrap());
        metrics.set_certificates("markets", "trading", [("old", until, by), ("kept", until, by)]);
        metrics.set_certificates("markets", "trading", [("kept", until, by)]);
        let text = metrics.encode().unwrap();
        let labels = r#"{namespace="markets",name="trading",secret="kept"}"#;
        for (series, value) in [("expiry", 2000), ("renewal_deadline", 1000)] {
            let line = format!("stompbroker_operator_certificate_{series}_timestamp_seconds{labels} {value}");
            assert!(text.contains(&line), "{text}");
        }
        assert!(!text.contains("old"), "{text}");
        metrics.forget_broker("markets", "trading");
        assert!(!metrics.encode().unwrap().contains("kept"));
    }

    #[test]
    fn a_broker_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        let labels = BrokerLabels { namespace: "markets".into(), name: "trading".into() };
        metrics.broker_ready.get_or_create(&labels).set(1);
        assert!(metrics.encode().unwrap().contains("trading"));
        metrics.forget_broker("markets", "trading");
        assert!(!metrics.encode().unwrap().contains("trading"));
    }
}

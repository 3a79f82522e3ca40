//! Settings of the running operator: arguments and environment, checked once.

use std::{borrow::Cow, collections::BTreeSet, net::SocketAddr, time::Duration};

use clap::{ArgAction, Args, ValueEnum};
use kube::core::{Expression, Selector};
use rand::{Rng, distr::Alphanumeric};
use sha2::{Digest as _, Sha256};
use stompbroker_config::GoDuration;

use crate::{label_selector, plan};

/// NATS image that is tried by the tests of this version.
pub const NATS_IMAGE: &str = "docker.io/library/nats:2.15.2";

/// Name of the Lease of an operator that looks after all StompBrokers.
const LEASE_NAME: &str = "stompbroker-operator";

/// Arguments of `stompbroker-operator run`. Every one can be given by its environment variable.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Namespaces whose StompBrokers are looked after, separated by commas; empty for all.
    #[arg(long, env = "STOMPBROKER_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Labels of the StompBrokers that are looked after, as in `kubectl -l`; empty for all. Each is to match one operator only.
    #[arg(long, env = "STOMPBROKER_WATCH_LABEL_SELECTOR", default_value = "")]
    watch_label_selector: String,
    /// Namespace that the operator runs in: that of its lease, and the one that may reach the pods' admin ports.
    #[arg(long, env = "STOMPBROKER_NAMESPACE")]
    namespace: String,
    /// Broker image of StompBrokers that name none.
    #[arg(long, env = "STOMPBROKER_BROKER_IMAGE")]
    broker_image: String,
    /// NATS image of StompBrokers that leave NATS to the operator and name none.
    #[arg(long, env = "STOMPBROKER_NATS_IMAGE", default_value = NATS_IMAGE)]
    nats_image: String,
    /// DNS domain of the cluster.
    #[arg(long, env = "STOMPBROKER_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Whether replicas of the operator elect the one that works; false only when there is never a second one.
    #[arg(long, env = "STOMPBROKER_LEADER_ELECTION", action = ArgAction::Set, default_value_t = true)]
    leader_election: bool,
    /// Name of the Lease by which they elect. Absent: stompbroker-operator, with a number of the label selector where there is one.
    #[arg(long, env = "STOMPBROKER_LEASE_NAME")]
    lease_name: Option<String>,
    /// How long the lease holds without being renewed.
    #[arg(long, env = "STOMPBROKER_LEASE_DURATION", default_value = "15s")]
    lease_duration: GoDuration,
    /// Name of this replica in the lease and in events, customarily the pod's name.
    #[arg(long, env = "STOMPBROKER_POD_NAME", default_value = "stompbroker-operator")]
    pod_name: String,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "STOMPBROKER_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Form of the log.
    #[arg(long, env = "STOMPBROKER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// What is logged, for example `info` or `info,stompbroker_operator=debug`.
    #[arg(long, env = "STOMPBROKER_LOG", default_value = "info")]
    log: String,
    /// How often the pods are asked for their state.
    #[arg(long, env = "STOMPBROKER_POLL_INTERVAL", default_value = "5s")]
    poll_interval: GoDuration,
    /// How often a StompBroker is looked at when nothing happens to it.
    #[arg(long, env = "STOMPBROKER_RESYNC", default_value = "5m")]
    resync: GoDuration,
    /// How long one pass over a StompBroker may take.
    #[arg(long, env = "STOMPBROKER_RECONCILE_TIMEOUT", default_value = "60s")]
    reconcile_timeout: GoDuration,
    /// StompBrokers looked after at the same time.
    #[arg(long, env = "STOMPBROKER_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How long passes may go on after SIGTERM; less than the pod's terminationGracePeriodSeconds.
    #[arg(long, env = "STOMPBROKER_SHUTDOWN_GRACE", default_value = "20s")]
    shutdown_grace: GoDuration,
    /// Address on which autoscalers get sessions and message rates of pods, as custom.metrics.k8s.io. Absent: they do not.
    #[arg(long, env = "STOMPBROKER_CUSTOM_METRICS_ADDRESS")]
    custom_metrics_address: Option<SocketAddr>,
    /// Service in the operator's namespace that leads there, which the APIService names.
    #[arg(long, env = "STOMPBROKER_CUSTOM_METRICS_SERVICE", default_value = "stompbroker-operator-custom-metrics")]
    custom_metrics_service: String,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// An argument that cannot work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{argument} is {value:?}: {remedy}")]
pub struct SettingsError {
    argument: &'static str,
    value: String,
    remedy: Cow<'static, str>,
}

/// In which namespaces StompBrokers are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In those of the whole cluster.
    Cluster,
    /// In these; not empty.
    Namespaces(BTreeSet<String>),
}

/// How the replica that works is elected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// This replica; no other one, and no earlier life of this one, has the same.
    pub identity: String,
    /// How long the lease holds without being renewed, as the others are told; at least a second.
    pub duration: Duration,
}

/// Settings of the running operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// In which namespaces StompBrokers are looked after.
    pub scope: Scope,
    /// Which labels those have that are looked after.
    pub selector: Selector,
    /// What children are made with.
    pub plan: plan::Settings,
    /// Absent: this is the only replica.
    pub leader_election: Option<LeaderElection>,
    /// Name of this replica in events.
    pub pod_name: String,
    /// Address of the probes and metrics.
    pub http_address: SocketAddr,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Directives of what is logged.
    pub log: String,
    /// Time between two questions to one pod.
    pub poll_interval: Duration,
    /// Time between two passes over one object when nothing happens.
    pub resync: Duration,
    /// Most time of one pass.
    pub reconcile_timeout: Duration,
    /// Passes at the same time.
    pub concurrency: u16,
    /// Most time from the wish to stop to the end.
    pub shutdown_grace: Duration,
    /// How custom metrics are served. Absent: they are not.
    pub custom_metrics: Option<CustomMetrics>,
}

/// How what the pods have to do is served to autoscalers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomMetrics {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Namespace of the Service.
    pub namespace: String,
    /// The Service that leads there.
    pub service: String,
}

impl TryFrom<RunArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: RunArgs) -> Result<Self, SettingsError> {
        let RunArgs {
            watch_namespaces,
            watch_label_selector,
            namespace,
            broker_image,
            nats_image,
            cluster_domain,
            leader_election,
            lease_name,
            lease_duration,
            pod_name,
            http_address,
            log_format,
            log,
            poll_interval,
            resync,
            reconcile_timeout,
            concurrency,
            shutdown_grace,
            custom_metrics_address,
            custom_metrics_service,
        } = args;
        let namespaces: BTreeSet<String> =
            watch_namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        for name in namespaces.iter().chain([&namespace]) {
            let argument = if *name == namespace { "namespace" } else { "watch-namespaces" };
            check(is_label(name), argument, name, "write names of namespaces such as markets")?;
        }
        let selector = label_selector::parse(&watch_label_selector).map_err(|error| SettingsError {
            argument: "watch-label-selector",
            value: watch_label_selector,
            remedy: error.to_string().into(),
        })?;
        check(!broker_image.trim().is_empty(), "broker-image", &broker_image, "name an image, registry/name:tag")?;
        check(!nats_image.trim().is_empty(), "nats-image", &nats_image, "name an image, registry/name:tag")?;
        check(!pod_name.is_empty(), "pod-name", &pod_name, "give the pod's name by the downward API")?;
        let least = |argument, value: GoDuration, seconds: u64, remedy| {
            check(value.0 >= Duration::from_secs(seconds), argument, &value.to_string(), remedy).map(|()| value.0)
        };
        let duration = least("lease-duration", lease_duration, 3, "write at least 3s")?;
        let poll_interval = least("poll-interval", poll_interval, 1, "write at least 1s")?;
        let resync = least("resync", resync, 10, "write at least 10s")?;
        let reconcile_timeout = least("reconcile-timeout", reconcile_timeout, 5, "write at least 5s")?;
        let shutdown_grace = least("shutdown-grace", shutdown_grace, 1, "write at least 1s")?;
        let leader_election = leader_election.then(|| LeaderElection {
            namespace: namespace.clone(),
            lease_name: lease_name.unwrap_or_else(|| self::lease_name(&selector)),
            identity: identity(&pod_name),
            duration,
        });
        let custom_metrics = custom_metrics_address.map(|address| CustomMetrics {
            address,
            namespace: namespace.clone(),
            service: custom_metrics_service,
        });
        Ok(Self {
            scope: if namespaces.is_empty() { Scope::Cluster } else { Scope::Namespaces(namespaces) },
            selector,
            plan: plan::Settings {
                image: broker_image,
                nats_image,
                operator_namespace: namespace,
                cluster_domain,
                custom_metrics: custom_metrics.is_some(),
            },
            leader_election,
            pod_name,
            http_address,
            log_format,
            log,
            poll_interval,
            resync,
            reconcile_timeout,
            concurrency,
            shutdown_grace,
            custom_metrics,
        })
    }
}

/// A name of the Lease that operators with other labels in the same namespace do not share.
fn lease_name(selector: &Selector) -> String {
    if selector.selects_all() {
        return LEASE_NAME.to_owned();
    }
    let requirements: BTreeSet<String> = selector.clone().into_iter().map(|one: Expression| one.to_string()).collect();
    let mut hash = Sha256::new();
    for requirement in requirements {
        hash.update(requirement);
        hash.update(",");
    }
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    format!("{LEASE_NAME}-{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// A name in the lease that a restarted pod of the same name does not share.
fn identity(pod_name: &str) -> String {
    let suffix: String = rand::rng().sample_iter(Alphanumeric).take(8).map(char::from).collect();
    format!("{pod_name}_{suffix}")
}

fn check(holds: bool, argument: &'static str, value: &str, remedy: &'static str) -> Result<(), SettingsError> {
    if holds { Ok(()) } else { Err(SettingsError { argument, value: value.to_owned(), remedy: remedy.into() }) }
}

/// Whether `name` is a DNS label, as names of namespaces are.
fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|c| inner(c) || c == '-')
        && name.starts_with(inner)
        && name.ends_with(inner)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn settings(args: &[&str]) -> Result<Settings, SettingsError> {
        let required = ["run", "--namespace", "messaging", "--broker-image", "registry/stompbroker:1"];
        Cli::try_parse_from(required.iter().chain(args)).unwrap().run.try_into()
    }

    #[test]
    fn no_namespaces_means_the_whole_cluster() {
        assert_eq!(settings(&[]).unwrap().scope, Scope::Cluster);
        assert_eq!(settings(&["--watch-namespaces", ""]).unwrap().scope, Scope::Cluster);
    }

    #[test]
    fn namespaces_are_a_set_without_blanks() {
        let names = ["markets", "shop"].map(str::to_owned).into();
        assert_eq!(settings(&["--watch-namespaces", "shop, markets,shop"]).unwrap().scope, Scope::Namespaces(names));
    }

    #[test]
    fn a_refusal_names_the_argument_the_value_and_the_remedy() {
        let error = settings(&["--watch-namespaces", "Markets"]).unwrap_err();
        assert_eq!(error.to_string(), "--watch-namespaces is \"Markets\": write names of namespaces such as markets");
        let error = settings(&["--resync", "1s"]).unwrap_err();
        assert_eq!(error.to_string(), "--resync is \"1s\": write at least 10s");
        let error = settings(&["--watch-label-selector", "team=a b"]).unwrap_err();
        let expected =
            "--watch-label-selector is \"team=a b\": \"team=a b\" is no requirement; write for example app=a,";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_label_selector_is_read_and_blank_selects_all() {
        let selector = |text: &str| settings(&["--watch-label-selector", text]).unwrap().selector;
        assert!(settings(&[]).unwrap().selector.selects_all());
        assert!(selector(" ").selects_all());
        assert_eq!(selector("team in (a,b), !canary").to_string(), "team in (a,b),!canary");
    }

    #[test]
    fn operators_with_other_labels_have_another_lease_unless_it_is_named() {
        let lease = |args: &[&str]| settings(args).unwrap().leader_election.unwrap().lease_name;
        assert_eq!(lease(&[]), "stompbroker-operator");
        let blue = lease(&["--watch-label-selector", "operator=blue,!canary"]);
        assert!(blue.starts_with("stompbroker-operator-") && blue.len() <= 63, "{blue}");
        assert_eq!(lease(&["--watch-label-selector", "!canary, operator = blue"]), blue, "the same in another order");
        assert_ne!(lease(&["--watch-label-selector", "operator=green,!canary"]), blue);
        assert_eq!(lease(&["--watch-label-selector", "operator=blue", "--lease-name", "mine"]), "mine");
    }

    #[test]
    fn every_life_of_a_pod_has_its_own_identity() {
        let identity = || settings(&["--pod-name", "operator-0"]).unwrap().leader_election.unwrap().identity;
        let (one, other) = (identity(), identity());
        assert!(one.starts_with("operator-0_"));
        assert_ne!(one, other);
    }

    #[test]
    fn leader_election_can_be_switched_off() {
        assert_eq!(settings(&["--leader-election", "false"]).unwrap().leader_election, None);
    }
}

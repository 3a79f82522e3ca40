//! What all connections of the process share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use rand::{Rng as _, distr::Alphanumeric};
use stompbroker_config::admin::{ConfigStatus, DestinationStats, Sessions, Status, WebSocketStats};
use tokio_util::task::TaskTracker;

use crate::{
    addresses::{Addresses, RefusedLogins},
    applications::Applications,
    configuration::Configuration,
    connection::{ConnectionRegistry, Throttle},
    drain::Drain,
    engine::{DestinationStatus, Engine},
    engines::RunningEngine,
    memory::Memory,
    metrics::{EngineCollector, Metrics},
    peers::{Pass, Peers},
    stats::Rates,
    telemetry::Log,
    trace::{Origin, Tracer},
    transport::{ConnectionLimit, Transport, sockjs},
};

/// Octets of the random part of session ids, so that two pods, or one before and after a restart, share none.
const INSTANCE: usize = 10;

/// What all connections of the process share.
pub(crate) struct Broker {
    current: ArcSwap<Configuration>,
    config_status: Mutex<ConfigStatus>,
    instance: String,
    /// Host name of this pod, for people.
    pub(crate) pod: String,
    next_session: AtomicU64,
    serving: AtomicBool,
    log: Log,
    /// The engine with its life.
    pub(crate) running_engine: RunningEngine,
    /// Where messages go.
    pub(crate) engine: Arc<dyn Engine>,
    /// Where messages go that HTTP services handle.
    pub(crate) applications: Arc<Applications>,
    /// What traces messages.
    pub(crate) tracer: Tracer,
    /// What `/metrics` shows.
    pub(crate) metrics: Metrics,
    /// The open connections, to be counted and limited.
    pub(crate) connections: ConnectionLimit,
    /// The open connections, to be told what concerns all of them.
    pub(crate) registry: ConnectionRegistry,
    /// The open connections by address, for `limits.connectionsPerAddress`.
    pub(crate) addresses: Addresses,
    /// The refused logins by address.
    pub(crate) refused_logins: RefusedLogins,
    /// `limits.memory`.
    pub(crate) memory: Memory,
    /// The SockJS sessions whose clients come by HTTP requests.
    pub(crate) sockjs: sockjs::Service,
    /// The other pods of this broker.
    pub(crate) peers: Peers,
    /// `limits.messagesPerSecondPerPod`.
    pub(crate) throttle: Throttle,
    /// Messages a second.
    pub(crate) rates: Rates,
    /// How the pod lets its sessions go.
    pub(crate) drain: Drain,
    /// Owner of every task that serves a client.
    pub(crate) tasks: TaskTracker,
}

impl Broker {
    pub(crate) fn new(mut configuration: Configuration, running_engine: RunningEngine, log: Log) -> Self {
        let engine = running_engine.as_engine();
        let mut metrics = Metrics::new();
        metrics.register_engine(EngineCollector(Arc::clone(&engine)));
        let throttle = Throttle::default();
        throttle.set_rate(configuration.config.limits.messages_per_second_per_pod);
        let memory = Memory::new();
        memory.set_bound(configuration.config.limits.memory.map(|size| size.0));
        metrics.certificates_expire(configuration.tls.expiries());
        let tracer = Tracer::new(configuration.config.tracing.as_ref(), metrics.spans.clone());
        let instance: String = rand::rng().sample_iter(Alphanumeric).take(INSTANCE).map(char::from).collect();
        let applications = std::mem::take(&mut configuration.applications);
        let applications = Arc::new(Applications::new(applications, &instance, metrics.applications.clone()));
        let config_status =
            ConfigStatus { hash: configuration.hash.clone(), rejected: None, needs_restart: Vec::new() };
        let peers = Peers::new(metrics.peers.clone());
        Self {
            current: ArcSwap::from_pointee(configuration),
            config_status: Mutex::new(config_status),
            pod: host_name().unwrap_or_else(|| instance.clone()),
            instance,
            next_session: AtomicU64::new(1),
            serving: AtomicBool::new(false),
            log,
            running_engine,
            engine,
            applications,
            tracer,
            metrics,
            connections: ConnectionLimit::default(),
            registry: ConnectionRegistry::default(),
            addresses: Addresses::default(),
            refused_logins: RefusedLogins::default(),
            sockjs: sockjs::Service::counted_in(memory.share()),
            memory,
            peers,
            throttle,
            rates: Rates::default(),
            drain: Drain::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The configuration in force.
    pub(crate) fn current(&self) -> Guard<Arc<Configuration>> {
        self.current.load()
    }

    /// Brings a configuration into force, for live sessions too.
    pub(crate) fn apply(&self, mut configuration: Configuration, needs_restart: Vec<String>) {
        configuration.authenticator.adopt(&self.current().authenticator);
        self.log.configure(configuration.config.logging);
        self.tracer.configure(configuration.config.tracing.as_ref());
        self.running_engine.configure(&configuration.config);
        self.applications.configure(std::mem::take(&mut configuration.applications));
        self.throttle.set_rate(configuration.config.limits.messages_per_second_per_pod);
        self.memory.set_bound(configuration.config.limits.memory.map(|size| size.0));
        *self.config_status.lock() = ConfigStatus { hash: configuration.hash.clone(), rejected: None, needs_restart };
        self.metrics.certificates_expire(configuration.tls.expiries());
        self.current.store(Arc::new(configuration));
        self.registry.settings_changed();
    }

    /// Remembers why the files on disk are not in force.
    pub(crate) fn reject(&self, reason: String) {
        self.config_status.lock().rejected = Some(reason);
    }

    /// Who the spans of this process are of.
    pub(crate) fn origin(&self) -> Origin {
        Origin { instance: self.instance.clone(), zone: self.current().config.zone.clone() }
    }

    /// A session id that no other session of the cluster has.
    pub(crate) fn next_session_id(&self) -> Arc<str> {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.instance).into()
    }

    /// What the ids of all sessions of this process begin with.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// What this pod shows to its peers.
    pub(crate) fn peer_pass(&self) -> Pass {
        self.peers.pass(self.current().peer_token.as_ref())
    }

    /// Says that all ports accept.
    pub(crate) fn is_serving(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// What `/config-hash` answers.
    pub(crate) fn config_status(&self) -> ConfigStatus {
        self.config_status.lock().clone()
    }

    /// Why clients should not be sent here; empty when they should. What is wrong but hinders no client is not in it.
    pub(crate) fn reasons_against_readiness(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.serving.load(Ordering::Relaxed) {
            reasons.push("starting".to_owned());
        }
        if self.drain.has_begun() {
            reasons.push("draining".to_owned());
        }
        if let Err(reason) = self.engine.ready() {
            reasons.push(format!("engine not ready: {reason}"));
        }
        reasons
    }

    /// What is wrong but hinders no client yet, for people.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let rejected = self.config_status().rejected;
        let rejected = rejected.map(|reason| format!("configuration rejected, the one before is in force: {reason}"));
        let trouble = self.engine.store_status().and_then(|store| store.trouble);
        rejected.into_iter().chain(trouble).chain(self.current().tls.warnings(SystemTime::now())).collect()
    }

    /// What `/metrics` answers.
    pub(crate) fn encode_metrics(&self) -> Result<String, fmt::Error> {
        let octets = |octets: u64| i64::try_from(octets).unwrap_or(i64::MAX);
        self.metrics.memory_held.set(octets(self.memory.held(self.connections.open())));
        self.metrics.memory_limit.set(octets(self.memory.bound().unwrap_or(0)));
        self.metrics.encode()
    }

    /// Live sessions and rates.
    pub(crate) fn sessions(&self) -> Sessions {
        let count = |transport| u64::try_from(self.metrics.transport(transport).sessions.get()).unwrap_or(0);
        let total = |transport| self.metrics.transport(transport).sessions_opened.get();
        let (inbound_per_second, outbound_per_second) = self.rates.get();
        Sessions {
            stomp: count(Transport::Tcp),
            websocket: count(Transport::WebSocket),
            sock_js_websocket: count(Transport::SockJsWebSocket),
            sock_js_streaming: count(Transport::SockJsStreaming),
            sock_js_polling: count(Transport::SockJsPolling),
            total: Transport::ALL.into_iter().map(total).sum(),
            closed_abnormally: self.metrics.closed_abnormally.get(),
            inbound_per_second,
            outbound_per_second,
        }
    }

    /// What `/status` answers.
    pub(crate) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.config_status(),
            logins: self.current().logins.clone(),
            sessions: self.sessions(),
            relay: self.engine.relay_status(),
            draining: self.drain.has_begun(),
            drain: self.drain.status(self.registry.len()),
        }
    }

    /// What `/websocket-stats` answers.
    pub(crate) fn websocket_stats(&self) -> WebSocketStats {
        WebSocketStats {
            sessions: self.sessions(),
            closed_abnormally_by_reason: self.metrics.closed_abnormally_by_reason(),
            destinations: self.destinations(),
        }
    }

    /// What the engine knows of each destination.
    pub(crate) fn destinations(&self) -> BTreeMap<String, DestinationStats> {
        let stats = |(name, status): (Box<str>, DestinationStatus)| {
            let DestinationStatus { depth, unsettled, consumers } = status;
            (name.into(), DestinationStats { depth, unsettled, consumers })
        };
        self.engine.destinations().into_iter().map(stats).collect()
    }
}

/// The name of this machine, which in Kubernetes is that of the pod.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("instance", &self.instance).finish_non_exhaustive()
    }
}

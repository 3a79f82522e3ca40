//! Which engine the configuration asks for, and its life.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stompbroker_config::{Config, Engine as EngineConfig, RelayEngine};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::engine::{
    Engine,
    embedded::{EmbeddedEngine, StoreError},
    jetstream::JetStream,
    relay::Relay,
};

/// How long the tasks of an engine may take to end.
const STOP_TIME: Duration = Duration::from_secs(5);

/// How often an engine does what is due by time.
const SWEEP_PERIOD: Duration = Duration::from_millis(100);

/// The engine that was started; its kind is for the life of the process, its settings are not.
pub(crate) enum RunningEngine {
    /// Messages stay in this process.
    Embedded(Arc<EmbeddedEngine>),
    /// Messages go upstream.
    Relay {
        /// The engine.
        relay: Arc<Relay>,
        /// Where it looks for its configuration.
        config: watch::Sender<Arc<RelayEngine>>,
        /// Owner of its tasks.
        tasks: TaskTracker,
        /// Ends them.
        stop: CancellationToken,
    },
    /// Messages go over NATS.
    JetStream {
        /// The engine.
        engine: Arc<JetStream>,
        /// Owner of its tasks.
        tasks: TaskTracker,
        /// Ends them.
        stop: CancellationToken,
    },
}

impl RunningEngine {
    /// Starts the configured engine.
    pub(crate) fn start(config: &Config) -> Result<Self, StoreError> {
        Ok(match &config.engine {
            EngineConfig::Embedded(embedded) => {
                let engine = EmbeddedEngine::open(embedded)?;
                engine.set_policies(&config.destinations);
                engine.set_user_destinations(&config.user_destinations);
                Self::Embedded(Arc::new(engine))
            }
            EngineConfig::Relay(relay) => {
                let (sender, receiver) = watch::channel(Arc::new(relay.clone()));
                let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
                let relay = Relay::start(receiver, config.zone.as_deref(), &tasks, stop.clone());
                Self::Relay { relay, config: sender, tasks, stop }
            }
            EngineConfig::JetStream(jetstream) => {
                let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
                let engine = JetStream::start(jetstream, &tasks, stop.clone());
                engine.configure(config);
                Self::JetStream { engine: Arc::new(engine), tasks, stop }
            }
        })
    }

    /// As sessions see it.
    pub(crate) fn as_engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Embedded(engine) => Arc::clone(engine) as Arc<dyn Engine>,
            Self::Relay { relay, .. } => Arc::clone(relay) as Arc<dyn Engine>,
            Self::JetStream { engine, .. } => Arc::clone(engine) as Arc<dyn Engine>,
        }
    }

    /// Puts changed settings of the same kind of engine in force; another kind waits for a restart.
    pub(crate) fn configure(&self, config: &Config) {
        match (self, &config.engine) {
            (Self::Embedded(engine), EngineConfig::Embedded(embedded)) => {
                engine.configure(embedded);
                engine.set_policies(&config.destinations);
                engine.set_user_destinations(&config.user_destinations);
            }
            (Self::Relay { config, .. }, EngineConfig::Relay(relay)) => {
                config.send_if_modified(|current| {
                    let differs = **current != *relay;
                    if differs {
                        *current = Arc::new(relay.clone());
                    }
                    differs
                });
            }
            (Self::JetStream { engine, .. }, EngineConfig::JetStream(_)) => engine.configure(config),
            (Self::Embedded(_) | Self::Relay { .. } | Self::JetStream { .. }, _) => {}
        }
    }

    /// Has the engine do what is due by time, for ever; ends only when it is dropped.
    pub(crate) fn keep_time(&self) -> impl Future<Output = ()> + use<> {
        let sweep: Option<Box<dyn Fn(Instant) + Send + Sync>> = match self {
            Self::Embedded(engine) => {
                let engine = Arc::clone(engine);
                Some(Box::new(move |now| engine.sweep(now)))
            }
            Self::JetStream { engine, .. } => {
                let engine = Arc::clone(engine);
                Some(Box::new(move |now| engine.sweep(now)))
            }
            Self::Relay { .. } => None,
        };
        async move {
            let Some(sweep) = sweep else { return };
            let mut ticks = interval(SWEEP_PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                sweep(ticks.tick().await.into_std());
            }
        }
    }

    /// Ends the engine once no session needs it any more.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Embedded(engine) => {
                let engine = Arc::clone(engine);
                // Not cut short: what is written here was promised, and the disk is all that it waits for.
                if let Err(error) = spawn_blocking(move || engine.close()).await {
                    tracing::error!(%error, "the engine has not ended in order");
                }
            }
            Self::Relay { tasks, stop, .. } | Self::JetStream { tasks, stop, .. } => {
                stop.cancel();
                tasks.close();
                if timeout(STOP_TIME, tasks.wait()).await.is_err() {
                    tracing::warn!("the engine has not ended within {STOP_TIME:?}");
                }
            }
        }
    }
}

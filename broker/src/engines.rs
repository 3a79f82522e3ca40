//! Which engine the configuration asks for.

use std::sync::Arc;

use stompbroker_config::{Config, Engine as EngineConfig};

use crate::{
    engine::{Engine, embedded::EmbeddedEngine},
    server::StartError,
};

/// The engine that was started; its kind is for the life of the process, its settings are not.
pub(crate) enum RunningEngine {
    /// Messages stay in this process.
    Embedded(Arc<EmbeddedEngine>),
}

impl RunningEngine {
    /// Starts the configured engine.
    ///
    /// # Errors
    /// When the engine cannot work as configured.
    pub(crate) fn start(config: &Config) -> Result<Self, StartError> {
        match &config.engine {
            EngineConfig::Embedded(embedded) => Ok(Self::Embedded(Arc::new(EmbeddedEngine::new(embedded)))),
            EngineConfig::Relay(_) => Err(StartError::Engine("this build has no relay engine".to_owned())),
        }
    }

    /// As sessions see it.
    pub(crate) fn as_engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Embedded(engine) => Arc::clone(engine) as Arc<dyn Engine>,
        }
    }

    /// Puts changed settings of the same kind of engine in force; another kind waits for a restart.
    pub(crate) fn configure(&self, config: &Config) {
        if let (Self::Embedded(engine), EngineConfig::Embedded(embedded)) = (self, &config.engine) {
            engine.configure(embedded);
        }
    }
}

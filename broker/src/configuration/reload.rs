//! Brings changed files into force while the broker serves.

use std::{sync::Arc, time::Duration};

use stompbroker_config::Config;
use tokio::time::{MissedTickBehavior, interval};

use super::{Configuration, ConfigurationError, Source, changed_keys, diff::needing_restart};
use crate::{broker::Broker, metrics::ReloadResult};

/// How often the files are looked at. Kubernetes itself takes up to a minute to bring a change to a pod.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks at the files for ever; ends only when it is dropped.
pub(crate) async fn watch(broker: Arc<Broker>, mut source: Source, at_start: Config) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked = tokio::task::spawn_blocking(move || {
            let result = source.load_if_changed();
            (source, result)
        });
        let result;
        (source, result) = match looked.await {
            Ok(looked) => looked,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the runtime cancels it.
                Err(_) => return,
            },
        };
        match result {
            Some(Ok(configuration)) => apply(&broker, configuration, &at_start),
            Some(Err(error)) => reject(&broker, &error),
            None => {}
        }
    }
}

fn apply(broker: &Broker, configuration: Configuration, at_start: &Config) {
    let changed = changed_keys(&broker.current().config, &configuration.config);
    let needs_restart = needing_restart(at_start, &configuration.config);
    tracing::info!(
        hash = configuration.hash,
        changed = changed.join(" "),
        needs_restart = needs_restart.join(" "),
        "the configuration or a Secret has changed and is in force"
    );
    broker.apply(configuration, needs_restart);
    broker.metrics.reloaded(ReloadResult::applied);
}

fn reject(broker: &Broker, error: &ConfigurationError) {
    tracing::error!(%error, "the configuration on disk is rejected; the one before stays in force");
    broker.reject(error.to_string());
    broker.metrics.reloaded(ReloadResult::rejected);
}

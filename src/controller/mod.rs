//! The work loop: which StompBroker gets a pass when, and what a pass may use.
//!
//! | module | step | holds a client |
//! |---|---|---|
//! | `watches` | what the watches show | in `streams` |
//! | `polls` | what the pods say | of the pods |
//! | `triggers` | who wants a pass | no |
//! | `reconcile` | the order of the steps of one pass | no |
//! | `steps` | the steps that are not pure | yes |
//! | `managed` | which StompBrokers are looked after at all | no |
//! | `memory` | what is remembered between passes | no |

mod kinds;
pub(crate) mod managed;
pub(crate) mod memory;
pub(crate) mod polls;
mod reconcile;
pub(crate) mod steps;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod triggers;
pub(crate) mod watches;

#[cfg(test)]
pub(crate) use steps::observe::outages;

use std::{
    future::ready,
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Client, Resource as _, ResourceExt as _,
    runtime::{
        Controller,
        controller::{Config, Error as ControllerError},
        reflector::Store,
    },
};
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{error::chain, events::Events, health::Health, metrics::Metrics, settings::Settings};
use managed::Managed;
use memory::Memory;
use polls::{nats_pods::NatsReports, reports::Reports};
use steps::apis::Apis;
use triggers::{BrokerRef, Triggers, Wishes};
use watches::{cache::Key, kept::KeptBroker, world::World};

/// A number of anything, the same for as long as the process lives.
fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// How often the work loop shows that it is alive.
const BEAT: Duration = Duration::from_secs(10);

/// What a pass may use.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) managed: Managed,
    pub(crate) world: Arc<World>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) nats_reports: Arc<NatsReports>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) apis: Apis,
    pub(crate) events: Events,
}

impl Context {
    /// Forgets a StompBroker again that has left while a pass over it was under way, and was forgotten before the pass ended.
    fn forget_if_gone(&self, broker: &KeptBroker) {
        let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
        let uid = broker.meta().uid.as_deref().unwrap_or_default();
        if !self.managed.is(&key, uid) {
            self.memory.forget(uid);
        }
        if !self.managed.has(&key) {
            self.metrics.forget_broker(&key.namespace, &key.name);
        }
    }
}

/// Makes passes until `stop`, then finishes those that are under way. All lists have to be there by now.
pub(crate) async fn work(
    context: Arc<Context>,
    store: Store<KeptBroker>,
    triggers: Arc<Triggers>,
    wishes: Wishes,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    // In this order: what changes from here on is wished for, and what has changed before is in the store.
    triggers.lead();
    let first: Vec<BrokerRef> = store.state().iter().map(|broker| BrokerRef::from_obj(&**broker)).collect();
    let config = Config::default().concurrency(context.settings.concurrency);
    Controller::for_stream(stream::pending(), store)
        .with_config(config)
        .reconcile_on(stream::iter(first).chain(alive(wishes, health, context.memory.clone())))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile::reconcile, reconcile::error_policy, context)
        .for_each(|result| {
            match result {
                Ok(_) => {}
                Err(ControllerError::ObjectNotFound(broker)) => debug!(%broker, "is gone"),
                Err(ControllerError::ReconcilerFailed(error, broker)) => {
                    warn!(%broker, reason = error.reason(), error = chain(&error), "a pass failed and is tried again");
                }
                Err(error) => warn!(error = chain(&error), "the work loop stumbled"),
            }
            ready(())
        })
        .await;
}

/// `wishes`, with a beat whenever the work loop looks for the next one while time goes by.
fn alive(wishes: Wishes, health: Arc<Health>, memory: Arc<Memory>) -> impl Stream<Item = BrokerRef> {
    health.beat();
    let beats = IntervalStream::new(interval(BEAT)).filter_map(move |_| {
        health.beat();
        memory.tidy();
        ready(None)
    });
    stream::select(wishes.into_stream(), beats)
}

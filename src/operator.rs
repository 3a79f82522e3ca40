//! The running operator: starts the tasks, elects, works, and stops in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kube::{Client, Resource as _, runtime::reflector};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    api::StompBroker,
    client::Clients,
    controller::{
        self, Context,
        managed::Managed,
        memory::Memory,
        polls::{
            asked::Asked,
            nats_pods::{NatsPoller, NatsReports},
            pods::Poller,
            reports::Reports,
        },
        steps::apis::Apis,
        triggers::Triggers,
        watches::{streams::Watches, world::World},
    },
    custom_metrics::CustomMetrics,
    error::chain,
    events,
    health::Health,
    http,
    leader::Elector,
    metrics::Metrics,
    settings::Settings,
};

/// How often the API server is asked whether the CRD is there by now.
const CRD_EVERY: Duration = Duration::from_secs(2);
/// What a pod has said is believed for so many times of asking.
const REPORTS_GOOD_FOR: u32 = 4;
/// Deadline of giving up the lease and of writing the last events.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the operator ended though nobody wished it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another replica may work now, so this one must not.
    #[error("the lease is lost")]
    LeaseLost,
    /// The port for custom metrics cannot be had.
    #[error("failed to listen on {address} for custom metrics")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part that has to live as long as the operator has ended.
    #[error("the task {0} has ended")]
    TaskEnded(&'static str),
}

/// Looks after StompBrokers until `shutdown`, answering probes on `listener`; then finishes the passes that are under
/// way, gives up the lease and comes back.
///
/// # Errors
/// When it has to end before that; the process is to be started anew then.
pub async fn run(
    settings: Settings,
    clients: Clients,
    metrics: Metrics,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let health = Arc::new(Health::new());
    // The probes live longer than everything that they speak of.
    let probes_stop = CancellationToken::new();
    let probes = tokio::spawn(http::serve(listener, health.clone(), metrics.clone(), probes_stop.clone()));
    let result = with_probes(settings, clients, metrics, health, shutdown).await;
    probes_stop.cancel();
    let _ = timeout(FAREWELL, probes).await;
    info!("stopped");
    result
}

async fn with_probes(
    settings: Settings,
    clients: Clients,
    metrics: Metrics,
    health: Arc<Health>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = crd(&clients.api, &health, &metrics) => {}
    }
    let (triggers, wishes) = Triggers::new();
    let watches = Watches {
        client: clients.api.clone(),
        scope: settings.scope.clone(),
        selector: settings.selector.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        world: Arc::new(World::default()),
        triggers: Arc::new(triggers),
        memory: Arc::new(Memory::default()),
    };
    let (store, writer) = reflector::store();
    let managed = Managed::new(store.clone());
    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    let brokers = watches.brokers(writer);
    tasks.spawn(async move {
        brokers.await;
        "watch of StompBrokers"
    });
    for (name, watch) in watches.children() {
        tasks.spawn(async move {
            watch.await;
            name
        });
    }
    let stop = CancellationToken::new();
    let said = ask_pods(&mut tasks, &clients.api, &settings, &watches, &managed, &stop);
    if let Some(custom_metrics) = settings.custom_metrics.clone() {
        let address = custom_metrics.address;
        let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
        let custom_metrics = CustomMetrics {
            client: clients.api.clone(),
            settings: custom_metrics,
            good_for: settings.poll_interval * REPORTS_GOOD_FOR,
            managed: managed.clone(),
            world: watches.world.clone(),
            reports: said.reports.clone(),
            asked: said.asked,
            metrics: metrics.clone(),
        };
        tasks.spawn(until_stopped(stop.clone(), custom_metrics.run(listener, stop.clone())));
    }
    health.there(Health::STARTED);
    let mut elector = settings.leader_election.clone().map(|election| Elector::new(clients.lease.clone(), election));
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        ended = ended(&mut tasks) => return Err(ended),
        () = async {
            health.ready().await;
            if let Some(elector) = &mut elector {
                elector.acquire().await;
            }
        } => {}
    }
    metrics.leader.set(1);
    let (events, publisher) = events::queue(clients.api.clone(), &settings.pod_name, &metrics);
    let context = Arc::new(Context {
        client: clients.api.clone(),
        settings,
        metrics: metrics.clone(),
        managed,
        world: watches.world.clone(),
        reports: said.reports,
        nats_reports: said.nats_reports,
        memory: watches.memory.clone(),
        apis: Apis::default(),
        events,
    });
    let farewell = CancellationToken::new();
    let publisher = tokio::spawn(publisher.run(farewell.clone()));
    let grace = context.settings.shutdown_grace;
    let work = controller::work(context, store, watches.triggers, wishes, health, stop.clone());
    let result = lead(work, &mut tasks, elector.as_mut(), grace, &shutdown, &stop).await;
    metrics.leader.set(0);
    if let Some(elector) = elector.as_mut().filter(|_| result.is_ok()) {
        let _ = timeout(FAREWELL, elector.release()).await;
    }
    farewell.cancel();
    let _ = timeout(FAREWELL, publisher).await;
    tasks.shutdown().await;
    result
}

/// What pods say of themselves, and of which of them somebody wants to know it.
struct Said {
    reports: Arc<Reports>,
    nats_reports: Arc<NatsReports>,
    asked: Arc<Asked>,
}

/// Asks pods again and again, by tasks of their own.
fn ask_pods(
    tasks: &mut JoinSet<&'static str>,
    client: &Client,
    settings: &Settings,
    watches: &Watches,
    managed: &Managed,
    stop: &CancellationToken,
) -> Said {
    let said = Said { reports: Arc::default(), nats_reports: Arc::default(), asked: Arc::default() };
    let poller = Poller {
        client: client.clone(),
        managed: managed.clone(),
        world: watches.world.clone(),
        reports: said.reports.clone(),
        triggers: watches.triggers.clone(),
        metrics: watches.metrics.clone(),
        asked: said.asked.clone(),
    };
    tasks.spawn(until_stopped(stop.clone(), poller.run(settings.poll_interval, stop.clone())));
    let poller = NatsPoller {
        managed: managed.clone(),
        world: watches.world.clone(),
        reports: said.nats_reports.clone(),
        triggers: watches.triggers.clone(),
        metrics: watches.metrics.clone(),
    };
    tasks.spawn(until_stopped(stop.clone(), poller.run(settings.poll_interval, stop.clone())));
    said
}

/// A task that may end when it is told to, which is no failure: then it waits for the others. Its name.
async fn until_stopped(stop: CancellationToken, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    if stop.is_cancelled() {
        std::future::pending::<()>().await;
    }
    "of the questions to pods or of their answers"
}

/// Works as long as this replica may and is to; then lets the passes that are under way come to their end.
async fn lead(
    work: impl Future<Output = ()>,
    tasks: &mut JoinSet<&'static str>,
    elector: Option<&mut Elector>,
    grace: Duration,
    shutdown: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let mut work = std::pin::pin!(work);
    let released = CancellationToken::new();
    let (share, hold) = match elector {
        Some(elector) => (Some(elector.share()), futures::future::Either::Left(elector.hold(&released))),
        None => (None, futures::future::Either::Right(std::future::pending())),
    };
    let mut hold = std::pin::pin!(hold);
    let (result, grace) = tokio::select! {
        () = &mut work => (Err(RunError::TaskEnded("work loop")), Duration::ZERO),
        () = shutdown.cancelled() => (Ok(()), grace),
        ended = ended(tasks) => (Err(ended), grace),
        // Soon another replica works: what is under way has only the rest of the lease.
        _ = &mut hold => (Err(RunError::LeaseLost), share.unwrap_or(grace).min(grace)),
    };
    stop.cancel();
    if !matches!(result, Err(RunError::TaskEnded("work loop"))) {
        // The lease is held until nothing is under way any more.
        let finished = async {
            if matches!(result, Err(RunError::LeaseLost)) {
                work.await;
            } else {
                tokio::select! { () = &mut work => {}, _ = &mut hold => {} }
            }
        };
        if timeout(grace, finished).await.is_err() {
            warn!(seconds = grace.as_secs(), "passes that took too long to finish were broken off");
        }
    }
    result
}

/// Ends with the name of the first task that ends; none is to.
async fn ended(tasks: &mut JoinSet<&'static str>) -> RunError {
    match tasks.join_next().await {
        Some(Ok(name)) => RunError::TaskEnded(name),
        Some(Err(error)) => {
            warn!(error = chain(&error), "a task broke");
            RunError::TaskEnded("of a watch or of the questions to pods")
        }
        None => std::future::pending().await,
    }
}

/// Ends when the API server knows the kind. Discovery needs no permission that every ServiceAccount does not have.
async fn crd(client: &Client, health: &Health, metrics: &Metrics) {
    const WHAT: &str = "the CustomResourceDefinition";
    let group = StompBroker::api_version(&());
    health.wait_for(WHAT, "not looked for yet");
    let mut said = String::new();
    loop {
        let why = match client.list_api_group_resources(&group).await {
            Ok(list) if list.resources.iter().any(|resource| resource.kind == StompBroker::kind(&())) => break,
            Ok(_) => format!("{group} has no StompBroker; install the CRD of this version of the operator"),
            // In plain text, so that only the code says it.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                metrics.crd_missing.set(1);
                format!("the API server does not know {group}; install the CRD (stompbroker-operator crd)")
            }
            Err(error) => chain(&error),
        };
        if why != said {
            warn!(why, "waiting for the CustomResourceDefinition");
            said.clone_from(&why);
        }
        health.still(WHAT, why);
        tokio::time::sleep(CRD_EVERY).await;
    }
    metrics.crd_missing.set(0);
    health.there(WHAT);
}

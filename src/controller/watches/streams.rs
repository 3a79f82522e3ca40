//! The watches: one task for each kind, each with its own backoff, so that a kind whose watch fails (no permission, no
//! such kind) holds up no other.

use std::{fmt::Debug, future::Future, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::apps::v1::{Deployment, StatefulSet},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::Selector,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::{
    cache::{Key, Step},
    kept::KeptBroker,
    seen::{Seen, Shape},
    shapes::PodShape,
    views::version,
    world::World,
};
use crate::{
    FIELD_MANAGER,
    controller::{
        kinds::{Child, ChildKind},
        memory::Memory,
        triggers::Triggers,
    },
    error::chain,
    health::Health,
    metrics::{KindLabel, Metrics},
    plan::labels,
    settings::Scope,
};

/// Objects in one page of a list: bounds what is held in memory at once, some 20 KiB for a Deployment.
const PAGE: u32 = 50;
/// Length of one watch; load balancers of some clouds silently drop connections that are idle for 240 s.
const WATCH_SECONDS: u32 = 200;

/// What all watches need.
#[derive(Clone)]
pub(crate) struct Watches {
    pub(crate) client: Client,
    pub(crate) scope: Scope,
    /// Labels of the StompBrokers that are watched, and of nothing else.
    pub(crate) selector: Selector,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Metrics,
    pub(crate) world: Arc<World>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) memory: Arc<Memory>,
}

impl Watches {
    /// Every watch but that of the StompBrokers, as endless futures with their names.
    pub(crate) fn children(&self) -> Vec<(&'static str, futures::future::BoxFuture<'static, ()>)> {
        use k8s_openapi::api::{
            autoscaling::v2::HorizontalPodAutoscaler,
            core::v1::{ConfigMap, Service, ServiceAccount},
            networking::v1::{Ingress, NetworkPolicy},
            policy::v1::PodDisruptionBudget,
        };
        let tasks: Vec<(ChildKind, futures::future::BoxFuture<'static, ()>)> = World::WATCHED
            .into_iter()
            .filter_map(|kind| {
                let this = self.clone();
                let task: futures::future::BoxFuture<'static, ()> = match kind {
                    ChildKind::ServiceAccount => Box::pin(this.follow::<ServiceAccount>()),
                    ChildKind::ConfigMap => Box::pin(this.follow::<ConfigMap>()),
                    ChildKind::Service => Box::pin(this.follow::<Service>()),
                    ChildKind::Ingress => Box::pin(this.follow::<Ingress>()),
                    ChildKind::NetworkPolicy => Box::pin(this.follow::<NetworkPolicy>()),
                    ChildKind::PodDisruptionBudget => Box::pin(this.follow::<PodDisruptionBudget>()),
                    ChildKind::HorizontalPodAutoscaler => Box::pin(this.follow::<HorizontalPodAutoscaler>()),
                    ChildKind::StatefulSet => Box::pin(this.follow::<StatefulSet>()),
                    ChildKind::Deployment => Box::pin(this.follow::<Deployment>()),
                    ChildKind::Secret
                    | ChildKind::Certificate
                    | ChildKind::PersistentVolumeClaim
                    | ChildKind::ScaledObject
                    | ChildKind::HttpRoute
                    | ChildKind::TlsRoute => return None,
                };
                Some((kind, task))
            })
            .collect();
        let pods: futures::future::BoxFuture<'static, ()> = Box::pin(self.clone().pods());
        tasks.into_iter().map(|(kind, task)| (kind.name(), task)).chain([("Pod", pods)]).collect()
    }

    /// Watches the StompBrokers into `writer`, from which the work loop reads them.
    pub(crate) fn brokers(&self, mut writer: reflector::store::Writer<KeptBroker>) -> impl Future<Output = ()> + use<> {
        let this = self.clone();
        let mut config = watcher::Config::default().page_size(PAGE);
        if !this.selector.selects_all() {
            config = config.labels_from(&this.selector);
        }
        let mut events = this.events::<KeptBroker>("StompBroker", config);
        async move {
            let reader = writer.as_reader();
            let mut brokers = super::brokers::Brokers::default();
            // Filled before it is read: the work loop starts when the probes say that every list is there.
            writer.apply_watcher_event(&watcher::Event::Init);
            writer.apply_watcher_event(&watcher::Event::InitDone);
            while let Some((scope, event)) = events.next().await {
                let change = brokers.take(scope.as_deref(), event, &reader);
                for event in change.events {
                    writer.apply_watcher_event(&event);
                    // Only now: a pass between the two would take the older status for the newest.
                    if let watcher::Event::Apply(broker) = &event {
                        this.memory.shown(broker.meta().uid.as_deref().unwrap_or_default(), version(broker.meta()));
                    }
                }
                for (gone, uid) in &change.gone {
                    this.metrics.forget_broker(&gone.namespace, &gone.name);
                    this.memory.forget(uid);
                }
                this.triggers.reconcile(change.touched).await;
            }
        }
    }

    async fn follow<K: Child>(self) {
        let mut events = self.events::<Seen<K::Shape>>(K::KIND.name(), selected(FIELD_MANAGER));
        while let Some((scope, event)) = events.next().await {
            let touched = self.world.step(K::KIND, scope.as_deref(), step(event));
            self.triggers.news(touched).await;
        }
    }

    async fn pods(self) {
        let mut events = self.events::<Seen<PodShape>>("Pod", selected(FIELD_MANAGER));
        while let Some((scope, event)) = events.next().await {
            let touched = self.world.step_pods(scope.as_deref(), step(event));
            self.triggers.news(touched).await;
        }
    }

    fn scopes(&self) -> Vec<Option<String>> {
        match &self.scope {
            Scope::Cluster => vec![None],
            Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }

    /// The steps of the watches of one kind in all scopes. Errors are logged, counted and said by the probes, and the
    /// watch tries again after a time of its own.
    fn events<K>(
        &self,
        kind: &'static str,
        config: watcher::Config,
    ) -> impl Stream<Item = (Option<String>, watcher::Event<K>)> + Send + Unpin + 'static + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let config = config.timeout(WATCH_SECONDS);
        let watches = self.scopes().into_iter().map(|scope| {
            let api: Api<K> = match &scope {
                None => Api::all(self.client.clone()),
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            };
            let what = match &scope {
                None => format!("the first list of {kind}"),
                Some(namespace) => format!("the first list of {kind} in {namespace}"),
            };
            self.health.wait_for(&what, "not answered yet");
            let (health, metrics) = (self.health.clone(), self.metrics.clone());
            watcher(api, config.clone())
                .default_backoff()
                .filter_map(move |event| {
                    let event = match event {
                        Ok(event) => {
                            if matches!(event, watcher::Event::InitDone) {
                                health.there(&what);
                            }
                            Some((scope.clone(), event))
                        }
                        Err(error) => {
                            let error = chain(&error);
                            warn!(kind, namespace = scope, error, "a watch failed and is tried again");
                            metrics.watch_errors.get_or_create(&KindLabel { kind }).inc();
                            health.still(&what, error);
                            None
                        }
                    };
                    std::future::ready(event)
                })
                .boxed()
        });
        stream::select_all(watches)
    }
}

/// A watch of what the operator itself has made.
fn selected(manager: &str) -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={manager}", labels::MANAGED_BY)).page_size(PAGE)
}

fn step<S: Shape>(event: watcher::Event<Seen<S>>) -> Step<S::Kept> {
    let key = |object: &Seen<S>| Key::new(object.namespace().unwrap_or_default(), object.name_any());
    match event {
        watcher::Event::Init => Step::Init,
        watcher::Event::InitDone => Step::InitDone,
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => Step::Upsert(key(&object), object.kept),
        watcher::Event::Delete(object) => Step::Delete(key(&object), object.uid().unwrap_or_default()),
    }
}

//! Step `observe`: everything that a pass looks at, without changing anything.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::{logins, nats_secret::NatsSight};
use crate::{
    api::{StompBroker, StompBrokerStatus, ZoneOutage},
    controller::{
        Context,
        kinds::{Child, ChildKind},
        memory::{GeneratedSight, SecretSight},
        watches::{
            cache::Key,
            certificates, exposed,
            views::{ChildEntry, Owner},
        },
    },
    error::Error,
    observed::{
        AutoscalerView, BudgetView, CertificateView, DeploymentView, ExposedView, ForeignObject, GatewayApi,
        NatsServerView, Observed, RouteView, SecretView, StatefulSetView, TlsRoutes,
    },
    pki,
    plan::{
        Objects, ScaledObject,
        certificate::Certificate,
        custom::CustomKind,
        gateway::{Http, Route, RouteStatus, Tls, TlsAlpha},
        labels, names,
    },
    validate::{TLS_KEYS, referenced_secrets},
};

/// What was seen.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// For the pure steps.
    pub(crate) observed: Observed,
    /// For `apply`.
    pub(crate) secrets: BTreeMap<String, GeneratedSight>,
}

/// Looks at everything around `broker`.
pub(crate) async fn observe(broker: &StompBroker, context: &Context) -> Result<Gathered, Error> {
    let namespace = broker.namespace().unwrap_or_default();
    let uid = broker.uid().unwrap_or_default();
    let generation = broker.metadata.generation;
    let known = context.memory.of(&uid, |memory| memory.secrets(generation));
    let sight = if let Some(sight) = known {
        sight
    } else {
        let sight = secrets(broker, &context.client, &namespace).await?;
        context.memory.of(&uid, |memory| memory.remember_secrets(generation, &sight));
        sight
    };
    let key = Key::new(namespace, broker.name_any());
    let mut pods: Vec<_> = {
        let cache = context.world.pods.lock();
        cache.of_broker(&key).map(|(_, pod)| pod.view.clone()).collect()
    };
    for view in &mut pods {
        // That one which ends again and again does not answer now and then is no news either.
        if let Some(report) = context.reports.of(&view.uid).filter(|report| report.is_ok() || view.waiting.is_none()) {
            view.admin = Some(report);
            view.silent_since = context.reports.silent_since(&view.uid);
        }
    }
    let servers = {
        let cache = context.world.nats_pods.lock();
        let servers: Vec<_> = cache.of_broker(&key).map(|(_, pod)| pod.view.clone()).collect();
        servers.into_iter().map(|view| NatsServerView { report: context.nats_reports.of(&view.uid), ..view }).collect()
    };
    let nats = sight.generated.get(&names::nats(&key.name)).and_then(|seen| seen.nats.as_ref());
    let observed = Observed {
        stateful_sets: stateful_sets(broker, context),
        nats_servers: servers,
        nats_renewal: nats.map(|nats| nats.renewal.clone()).unwrap_or_default(),
        referenced_secrets: sight.referenced,
        generated_secrets: sight.generated.iter().map(|(name, seen)| (name.clone(), seen.view.clone())).collect(),
        logins: sight.generated.iter().filter_map(|(name, seen)| Some((name.clone(), seen.login.clone()?))).collect(),
        deployments: deployments(broker, context),
        autoscalers: autoscalers(broker, context),
        budget: budget(broker, context),
        keda: broker.spec.wants_keda() && knows::<ScaledObject>(context).await?,
        gateway_api: gateway_api(broker, context).await?,
        cert_manager: broker.spec.wants_cert_manager() && knows::<Certificate>(context).await?,
        certificates: BTreeMap::new(),
        validities: sight.validities,
        service: exposure(broker, ChildKind::Service, context),
        ingress: exposure(broker, ChildKind::Ingress, context),
        routes: BTreeMap::new(),
        pods,
        foreign: Vec::new(),
        outages: outages(broker.status.as_ref()),
        last_rollout: broker.status.as_ref().and_then(|status| status.last_rollout.clone()),
        now: Timestamp::now(),
    };
    Ok(Gathered { observed, secrets: sight.generated })
}

/// The broker's own Deployments as last seen or written.
pub(crate) fn deployments(broker: &StompBroker, context: &Context) -> BTreeMap<String, DeploymentView> {
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    let uid = broker.uid().unwrap_or_default();
    let Some(cache) = context.world.children(ChildKind::Deployment) else { return BTreeMap::new() };
    let cache = cache.lock();
    let own = cache.of_broker(&key).filter(|(_, entry)| entry.is_of(&uid) && !entry.deleting);
    own.filter_map(|(name, entry)| {
        Some((name.to_owned(), DeploymentView { version: entry.version, ..entry.deployment()?.view() }))
    })
    .collect()
}

/// The broker's own StatefulSets as last seen.
fn stateful_sets(broker: &StompBroker, context: &Context) -> BTreeMap<String, StatefulSetView> {
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    let uid = broker.uid().unwrap_or_default();
    let Some(cache) = context.world.children(ChildKind::StatefulSet) else { return BTreeMap::new() };
    let cache = cache.lock();
    let own = cache.of_broker(&key).filter(|(_, entry)| entry.is_of(&uid) && !entry.deleting);
    own.filter_map(|(name, entry)| Some((name.to_owned(), entry.stateful_set()?.clone()))).collect()
}

/// The broker's own autoscalers as last seen.
fn autoscalers(broker: &StompBroker, context: &Context) -> BTreeMap<String, AutoscalerView> {
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    let uid = broker.uid().unwrap_or_default();
    let Some(cache) = context.world.children(ChildKind::HorizontalPodAutoscaler) else { return BTreeMap::new() };
    let cache = cache.lock();
    let own = cache.of_broker(&key).filter(|(_, entry)| entry.is_of(&uid) && !entry.deleting);
    own.filter_map(|(name, entry)| Some((name.to_owned(), entry.autoscaler()?.clone()))).collect()
}

/// Outages of zones as a status tells them.
pub(crate) fn outages(status: Option<&StompBrokerStatus>) -> BTreeMap<String, ZoneOutage> {
    let zones = status.into_iter().flat_map(|status| &status.zones);
    zones.filter_map(|zone| Some((zone.name.clone(), zone.outage.clone()?))).collect()
}

/// The broker's own PodDisruptionBudget as last seen or written.
pub(crate) fn budget(broker: &StompBroker, context: &Context) -> Option<BudgetView> {
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    let entry = context.world.child(ChildKind::PodDisruptionBudget, &key)?;
    let own = entry.is_of(&broker.uid().unwrap_or_default()) && !entry.deleting;
    own.then(|| BudgetView { drained_zone: entry.drained_zone().map(str::to_owned) })
}

/// How the broker's own Service or Ingress is reached from outside, as last seen or written.
pub(crate) fn exposure(broker: &StompBroker, kind: ChildKind, context: &Context) -> Option<ExposedView> {
    let name = names::service(&broker.name_any());
    let entry = context.world.child(kind, &Key::new(broker.namespace().unwrap_or_default(), name))?;
    let own = entry.is_of(&broker.uid().unwrap_or_default()) && !entry.deleting;
    entry.exposed().filter(|_| own).cloned()
}

/// Whether the API server knows a kind that not every cluster has.
async fn knows<K: Child>(context: &Context) -> Result<bool, Error> {
    context.apis.knows(&context.client, &K::api_version(&()), &K::kind(&())).await
}

/// Which of the routes that the spec wants the API server knows.
async fn gateway_api(broker: &StompBroker, context: &Context) -> Result<GatewayApi, Error> {
    let Some(exposure) = &broker.spec.exposure else { return Ok(GatewayApi::default()) };
    let tls_routes = if exposure.tls_route.is_none() {
        None
    } else if knows::<Route<Tls>>(context).await? {
        Some(TlsRoutes::V1)
    } else if knows::<Route<TlsAlpha>>(context).await? {
        Some(TlsRoutes::V1Alpha2)
    } else {
        None
    };
    let http_routes = exposure.http_route.is_some() && knows::<Route<Http>>(context).await?;
    Ok(GatewayApi { http_routes, tls_routes })
}

async fn secrets(broker: &StompBroker, client: &Client, namespace: &str) -> Result<SecretSight, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut sight = SecretSight::default();
    let credentials = &broker.spec.credentials;
    let sources = [&credentials.system.secret_name, &credentials.client.secret_name];
    let mut followed: BTreeMap<String, Secret> = BTreeMap::new();
    let uses = referenced_secrets(broker);
    let certificates: BTreeSet<_> =
        uses.iter().filter(|used| used.is_certificate()).map(|used| used.secret_name.clone()).collect();
    let named: BTreeSet<String> = uses.into_iter().map(|secret| secret.secret_name).collect();
    for name in named {
        let secret = secret(&api, &name).await?;
        sight.referenced.insert(name.clone(), view(&secret));
        if let Ok(Some(secret)) = &secret
            && certificates.contains(&name)
            && let Some(validity) = certificate(secret).and_then(pki::validity)
        {
            sight.validities.insert(name.clone(), validity);
        }
        if let Ok(Some(secret)) = secret
            && sources.contains(&&Some(name.clone()))
        {
            followed.insert(name, secret);
        }
    }
    let name = broker.name_any();
    let admin = secret(&api, &names::admin_secret(&name)).await?;
    let key = admin.as_ref().ok().and_then(Option::as_ref).and_then(logins::digest_key);
    sight.generated.insert(names::admin_secret(&name), GeneratedSight::new(&admin));
    for (name, source) in [names::system_secret(&name), names::client_secret(&name)].into_iter().zip(sources) {
        let secret = secret(&api, &name).await?;
        let mut seen = GeneratedSight::new(&secret);
        if let Ok(Some(secret)) = &secret {
            let source = source.as_ref().and_then(|source| followed.get(source));
            seen.login = Some(logins::view(secret, source, key.as_ref()));
        }
        sight.generated.insert(name, seen);
    }
    if broker.spec.manages_nats() {
        let secret = secret(&api, &names::nats(&name)).await?;
        let mut seen = GeneratedSight::new(&secret);
        seen.nats = secret.ok().flatten().as_ref().map(NatsSight::of);
        sight.generated.insert(names::nats(&name), seen);
    }
    Ok(sight)
}

/// A Secret, or that there is none, or why it cannot be read. Its values go no further than [`secrets`].
async fn secret(api: &Api<Secret>, name: &str) -> Result<Result<Option<Secret>, String>, Error> {
    match api.get_opt(name).await {
        Ok(secret) => Ok(Ok(secret)),
        // What only somebody's action can cure is said by a condition; what passes is tried again.
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.code == 401 => Ok(Err(status.message)),
        Err(source) => Err(Error::Observe { kind: "Secret", name: name.to_owned(), source }),
    }
}

/// The certificate in a Secret, which everybody may see.
fn certificate(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref()?.get(TLS_KEYS[0]).map(|value| value.0.as_slice())
}

/// Which keys a Secret has.
fn view(secret: &Result<Option<Secret>, String>) -> SecretView {
    match secret {
        Ok(None) => SecretView::Missing,
        Ok(Some(secret)) => present(secret),
        Err(why) => SecretView::Unreadable(why.clone()),
    }
}

fn present(secret: &Secret) -> SecretView {
    let data = secret.data.iter().flatten();
    SecretView::Present(data.filter(|(_, value)| !value.0.is_empty()).map(|(key, _)| key.clone()).collect())
}

impl GeneratedSight {
    fn new(secret: &Result<Option<Secret>, String>) -> Self {
        match secret {
            Ok(Some(secret)) => Self::of(secret, ChildEntry::from_meta(&secret.metadata)),
            _ => Self { view: view(secret), entry: None, login: None, nats: None },
        }
    }

    /// A Secret of which neither login nor NATS is to be seen, with what is kept of it.
    pub(crate) fn of(secret: &Secret, entry: ChildEntry) -> Self {
        Self { view: present(secret), entry: Some(entry), login: None, nats: None }
    }
}

/// What stands where the plan puts its objects.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// The objects of others that have the name of a desired object.
    pub(crate) foreign: Vec<ForeignObject>,
    /// Our PersistentVolumeClaims, which no watch shows, by name.
    pub(crate) claims: BTreeMap<String, ChildEntry>,
    /// Our children of other kinds that no watch shows.
    pub(crate) unwatched: BTreeMap<(ChildKind, String), ChildEntry>,
    /// What gateways say of our routes, by kind.
    pub(crate) routes: BTreeMap<&'static str, RouteView>,
    /// What cert-manager says of our Certificates, by name.
    pub(crate) certificates: BTreeMap<String, CertificateView>,
}

/// Looks at what stands where the desired objects go.
pub(crate) async fn sites(
    broker: &StompBroker,
    objects: &Objects,
    secrets: &BTreeMap<String, GeneratedSight>,
    context: &Context,
) -> Result<Sites, Error> {
    let Objects {
        service_accounts,
        logins,
        secrets: generated,
        nats_secrets,
        certificates,
        persistent_volume_claims,
        config_maps,
        services,
        ingresses,
        http_routes,
        tls_routes,
        tls_alpha_routes,
        network_policies,
        pod_disruption_budgets,
        stateful_sets,
        deployments,
        horizontal_pod_autoscalers,
        scaled_objects,
    } = objects;
    let mut search = Search { broker, context, found: Sites::default() };
    search.all(service_accounts).await?;
    let login_names = logins.iter().map(|login| &login.metadata.name);
    let generated_names = generated.iter().map(|secret| &secret.metadata.name);
    let nats_names = nats_secrets.iter().map(|secret| &secret.metadata.name);
    for name in login_names.chain(generated_names).chain(nats_names) {
        let name = name.as_deref().unwrap_or_default();
        let seen = secrets.get(name).and_then(|seen| seen.entry.as_ref());
        search.judge(ChildKind::Secret, name, seen)?;
    }
    search.certificates(certificates).await?;
    search.claims(persistent_volume_claims).await?;
    search.all(config_maps).await?;
    search.all(services).await?;
    search.all(ingresses).await?;
    search.routes(http_routes).await?;
    search.routes(tls_routes).await?;
    search.routes(tls_alpha_routes).await?;
    search.all(network_policies).await?;
    search.all(pod_disruption_budgets).await?;
    search.all(stateful_sets).await?;
    search.all(deployments).await?;
    search.all(horizontal_pod_autoscalers).await?;
    search.scaled_objects(scaled_objects).await?;
    Ok(search.found)
}

/// A child as the API server has it.
pub(crate) async fn ask<K: Child>(
    broker: &StompBroker,
    name: &str,
    context: &Context,
) -> Result<Option<ChildEntry>, Error> {
    Ok(metadata::<K>(broker, name, context).await?.map(|live| ChildEntry::from_meta(&live)))
}

/// The metadata of an object as the API server has it.
async fn metadata<K: Child>(broker: &StompBroker, name: &str, context: &Context) -> Result<Option<ObjectMeta>, Error> {
    let api: Api<K> = Api::namespaced(context.client.clone(), &broker.namespace().unwrap_or_default());
    let live = api.get_metadata_opt(name).await;
    let live = live.map_err(|source| Error::Observe { kind: K::KIND.name(), name: name.to_owned(), source })?;
    Ok(live.map(|live| live.metadata))
}

struct Search<'a> {
    broker: &'a StompBroker,
    context: &'a Context,
    found: Sites,
}

impl Search<'_> {
    async fn all<K: Child>(&mut self, objects: &[K]) -> Result<(), Error> {
        let namespace = self.broker.namespace().unwrap_or_default();
        for object in objects {
            let name = object.name_any();
            let key = Key::new(namespace.clone(), name.clone());
            if let Some(entry) = self.context.world.child(K::KIND, &key) {
                self.judge(K::KIND, &name, Some(&entry))?;
                continue;
            }
            // The watches show only what carries our label. Before something is written for the first time, the API
            // server itself is asked.
            let entry = ask::<K>(self.broker, &name, self.context).await?;
            self.judge(K::KIND, &name, entry.as_ref())?;
        }
        Ok(())
    }

    async fn scaled_objects(&mut self, objects: &[ScaledObject]) -> Result<(), Error> {
        for object in objects {
            let name = object.name_any();
            let Some(entry) = ask::<ScaledObject>(self.broker, &name, self.context).await? else { continue };
            self.judge(ChildKind::ScaledObject, &name, Some(&entry))?;
            self.found.unwatched.insert((ChildKind::ScaledObject, name), entry);
        }
        Ok(())
    }

    /// Routes with what gateways say of them.
    async fn routes<K: CustomKind<Status = RouteStatus>>(&mut self, objects: &[Route<K>]) -> Result<(), Error>
    where
        Route<K>: Child,
    {
        for object in objects {
            if let Some(live) = self.whole(object).await? {
                self.found.routes.insert(K::KIND, exposed::route(&live));
            }
        }
        Ok(())
    }

    /// Certificates with what cert-manager says of them.
    async fn certificates(&mut self, objects: &[Certificate]) -> Result<(), Error> {
        for object in objects {
            if let Some(live) = self.whole(object).await? {
                self.found.certificates.insert(object.name_any(), certificates::view(&live));
            }
        }
        Ok(())
    }

    /// An object of a kind that no watch shows, as it is.
    async fn whole<K: Child>(&mut self, object: &K) -> Result<Option<K>, Error> {
        let name = object.name_any();
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.broker.namespace().unwrap_or_default());
        let live = api.get_opt(&name).await;
        let live = live.map_err(|source| Error::Observe { kind: K::KIND.name(), name: name.clone(), source })?;
        if let Some(live) = &live {
            let entry = ChildEntry::from_meta(live.meta());
            self.judge(K::KIND, &name, Some(&entry))?;
            self.found.unwatched.insert((K::KIND, name), entry);
        }
        Ok(live)
    }

    /// Volumes outlive their StompBroker, so they have no owner and are known by their labels.
    async fn claims(&mut self, claims: &[PersistentVolumeClaim]) -> Result<(), Error> {
        for claim in claims {
            let name = claim.name_any();
            let Some(live) = metadata::<PersistentVolumeClaim>(self.broker, &name, self.context).await? else {
                continue;
            };
            // But for the zone: a claim stays where it is.
            let ours = claim.labels().iter().filter(|(key, _)| *key != labels::ZONE);
            let has = |key: &String, value| live.labels.as_ref().and_then(|labels| labels.get(key)) == Some(value);
            if ours.into_iter().all(|(key, value)| has(key, value)) {
                self.found.claims.insert(name, ChildEntry::from_meta(&live));
            } else {
                let kind = ChildKind::PersistentVolumeClaim.name().to_owned();
                self.found.foreign.push(ForeignObject { kind, name, owner: "somebody else, by its labels".to_owned() });
            }
        }
        Ok(())
    }

    fn judge(&mut self, kind: ChildKind, name: &str, entry: Option<&ChildEntry>) -> Result<(), Error> {
        let Some(entry) = entry.filter(|entry| !entry.is_of(self.broker.uid().as_deref().unwrap_or_default())) else {
            return Ok(());
        };
        let namespace = self.broker.namespace().unwrap_or_default();
        let owner = match &entry.owner {
            None => "nobody".to_owned(),
            // Ours in an earlier life: the garbage collector has not come by yet.
            Some(Owner::Broker { name: owner, .. }) if **owner == *self.broker.name_any() => {
                return Err(Error::Leftover { kind: kind.name(), name: name.to_owned() });
            }
            Some(Owner::Broker { name, .. }) => format!("{} {namespace}/{name}", StompBroker::kind(&())),
            Some(Owner::Other { kind, name }) => format!("{kind} {namespace}/{name}"),
        };
        self.found.foreign.push(ForeignObject { kind: kind.name().to_owned(), name: name.to_owned(), owner });
        Ok(())
    }
}

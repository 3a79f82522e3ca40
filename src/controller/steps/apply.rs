//! Step `apply`: writes what differs, in the order in which the objects need each other, Deployments last (a pod must not
//! start before what it mounts is there) but for the autoscalers, which need a Deployment to scale.
//!
//! A Deployment whose pods are replaced is only written if it still is what the decision was made on: a zone must not lose
//! its pods because it was seen as it was some time ago. So is one whose number of pods is passed on to an autoscaler.
//!
//! A child is not written when its desired form is the one that was last written and nobody has touched a field of ours
//! since, so that a pass over an unchanged world writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams, Preconditions},
    core::SelectorExt as _,
};
use serde::Serialize;
use serde_json::json;
use tracing::{debug, info, warn};

use super::{budget, logins, nats_secret, observe::Sites, secrets};
use crate::{
    FIELD_MANAGER,
    api::StompBroker,
    controller::{
        Context, hash,
        kinds::{Child, ChildKind},
        memory::{Applied, BrokerMemory, GeneratedSight},
        watches::{cache::Key, seen::Seen, shapes::StatusShape, views::ChildEntry},
    },
    error::{Error, chain},
    metrics::ReasonLabel,
    observed::Observed,
    plan::{
        DELETION_COST, DeletionCost, Objects, Plan, ZoneStep, certificate::Certificate, gate::Act, names,
        nats::Evicted, rotation::Step,
    },
};

/// The children that are to exist now, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) wanted: BTreeSet<(ChildKind, String)>,
    /// Those of them that were written, so that what was seen of them before is of no use any more.
    pub(crate) written: BTreeSet<(ChildKind, String)>,
    /// How many of them were not there before.
    pub(crate) created: usize,
    /// A decision was made on a world that had changed by then; it has to be made again.
    pub(crate) outdated: bool,
    /// A NATS server is being replaced, or is to be as soon as its disruption budget allows it.
    pub(crate) evicting: bool,
    /// The steps of rotations that were done, by the login's Secret.
    pub(crate) steps: BTreeMap<String, Step>,
    /// The Secrets that were made, as far as the next pass need not read them again.
    pub(crate) made: BTreeMap<String, GeneratedSight>,
}

/// Writes the objects of `plan`, which was made of `observed`, as far as they differ from what is there.
pub(crate) async fn apply(
    broker: &StompBroker,
    plan: &Plan,
    observed: &Observed,
    secrets: &BTreeMap<String, GeneratedSight>,
    sites: &Sites,
    context: &Context,
) -> Result<Outcome, Error> {
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
    } = &plan.objects;
    let mut pass = Pass::new(broker, context);
    pass.all(service_accounts).await?;
    // The key of the logins' digests is in one of them.
    for secret in generated {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        secrets::apply(&mut pass, secret, secrets.get(name)).await?;
    }
    for login in logins {
        let name = login.metadata.name.as_deref().unwrap_or_default();
        logins::apply(&mut pass, login, secrets.get(name), observed).await?;
    }
    for secret in nats_secrets {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        nats_secret::apply(&mut pass, secret, secrets.get(name), observed.now).await?;
    }
    pass.unwatched(certificates, sites).await?;
    for claim in persistent_volume_claims {
        pass.one(claim, sites.claims.get(&claim.name_any())).await?;
    }
    pass.all(config_maps).await?;
    pass.all(services).await?;
    pass.all(ingresses).await?;
    pass.unwatched(http_routes, sites).await?;
    pass.unwatched(tls_routes, sites).await?;
    pass.unwatched(tls_alpha_routes, sites).await?;
    pass.all(network_policies).await?;
    for disruption_budget in pod_disruption_budgets {
        if disruption_budget.name_any() == names::nats(&pass.broker) {
            pass.all(std::slice::from_ref(disruption_budget)).await?;
        } else {
            budget::apply(&mut pass, disruption_budget, plan, observed).await?;
        }
    }
    pass.all(stateful_sets).await?;
    if let Some(server) = plan.nats.as_ref().and_then(|nats| nats.evicted.as_ref()) {
        pass.evict(server).await?;
    }
    pass.deletion_costs(&plan.deletion_costs).await?;
    for (deployment, zone) in deployments.iter().zip(&plan.rollout.zones) {
        pass.deployment(deployment, zone, observed).await?;
    }
    pass.all(horizontal_pod_autoscalers).await?;
    pass.unwatched(scaled_objects, sites).await?;
    Ok(pass.outcome)
}

/// Writes nothing but Certificates: what else there is waits for what cert-manager makes of them.
pub(crate) async fn certificates(
    broker: &StompBroker,
    certificates: &[Certificate],
    sites: &Sites,
    context: &Context,
) -> Result<usize, Error> {
    let mut pass = Pass::new(broker, context);
    pass.unwatched(certificates, sites).await?;
    Ok(pass.outcome.created)
}

/// One pass of writing.
pub(crate) struct Pass<'a> {
    pub(crate) context: &'a Context,
    pub(crate) namespace: String,
    pub(crate) broker: String,
    uid: String,
    autoscaled: bool,
    /// Whether the API server has said in this pass that the StompBroker is not on its way out, and still ours.
    alive: bool,
    /// The key of the logins' digests, when it was made in this pass.
    pub(crate) digest_key: Option<[u8; 32]>,
    pub(crate) outcome: Outcome,
}

impl<'a> Pass<'a> {
    fn new(broker: &StompBroker, context: &'a Context) -> Self {
        Self {
            context,
            namespace: broker.namespace().unwrap_or_default(),
            broker: broker.name_any(),
            uid: broker.uid().unwrap_or_default(),
            autoscaled: broker.spec.autoscaling.is_some(),
            alive: false,
            digest_key: None,
            outcome: Outcome::default(),
        }
    }

    async fn all<K: Child>(&mut self, objects: &[K]) -> Result<(), Error> {
        for object in objects {
            let key = Key::new(self.namespace.clone(), object.name_any());
            let live = self.context.world.child(K::KIND, &key);
            self.one(object, live.as_ref()).await?;
        }
        Ok(())
    }

    /// The same of kinds that no watch shows.
    async fn unwatched<K: Child>(&mut self, objects: &[K], sites: &Sites) -> Result<(), Error> {
        for object in objects {
            self.one(object, sites.unwatched.get(&(K::KIND, object.name_any()))).await?;
        }
        Ok(())
    }

    /// Has a NATS server replaced, unless that would leave too few of them.
    async fn evict(&mut self, server: &Evicted) -> Result<(), Error> {
        self.check_managed()?;
        let Evicted { pod, uid } = server;
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let preconditions = Some(Preconditions { uid: Some(uid.clone()), resource_version: None });
        let parameters = EvictParams {
            delete_options: Some(DeleteParams { preconditions, ..DeleteParams::default() }),
            ..EvictParams::default()
        };
        match pods.evict(pod, &parameters).await {
            Ok(_) => info!(pod, "replacing a NATS server"),
            // Gone already, or another one by now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(kube::Error::Api(status)) if status.code == 429 => {
                debug!(pod, why = status.message, "a NATS server cannot be replaced yet");
            }
            Err(source) => return Err(Error::Apply { kind: "Eviction", name: pod.clone(), source }),
        }
        self.outcome.evicting = true;
        Ok(())
    }

    /// The next pass reads the Secrets again.
    pub(crate) fn forget_secrets(&self) {
        self.context.memory.of(&self.uid, BrokerMemory::forget_secrets);
    }

    /// Tells ReplicaSets which pods go first. Should it fail, others go: no reason to hold everything else up.
    async fn deletion_costs(&self, costs: &[DeletionCost]) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        for DeletionCost { pod, cost } in costs {
            self.check_managed()?;
            let patch = json!({"metadata": {"annotations": {DELETION_COST: cost.to_string()}}});
            match pods.patch_metadata(pod, &parameters, &Patch::Merge(patch)).await {
                Ok(_) => info!(pod, sessions = cost, "told which pods go first"),
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => warn!(pod, error = chain(&error), "failed to tell which pods go first"),
            }
        }
        Ok(())
    }

    /// Writes a Deployment, and counts why its pods are replaced.
    async fn deployment(&mut self, object: &Deployment, zone: &ZoneStep, observed: &Observed) -> Result<(), Error> {
        let name = object.name_any();
        let live = self.context.world.child(ChildKind::Deployment, &Key::new(self.namespace.clone(), name.clone()));
        let replaces = matches!(zone.act, Act::Roll | Act::Return);
        // The number of pods is only repeated until its new owner writes it, and must not undo what that one has written.
        let repeats = self.autoscaled && object.spec.as_ref().is_some_and(|spec| spec.replicas.is_some());
        let as_seen = replaces || (repeats && live.is_some());
        if !as_seen {
            return self.one(object, live.as_ref()).await;
        }
        let seen = observed.deployments.get(&name).map(|seen| seen.version.to_string());
        let written = self.guarded(object, seen, live.as_ref()).await;
        if self.unless_outdated(written)?.is_none() || !replaces {
            return Ok(());
        }
        let names: Vec<_> = zone.reasons.iter().map(|reason| reason.as_str()).collect();
        info!(name, revision = zone.revision.id, reasons = names.join(","), "replacing pods");
        for reason in names {
            self.context.metrics.zone_restarts.get_or_create(&ReasonLabel { reason }).inc();
        }
        Ok(())
    }

    /// What a write that names the version that was seen has made. An object that has another one by now is left for the next
    /// pass.
    pub(crate) fn unless_outdated<T>(&mut self, written: Result<T, Error>) -> Result<Option<T>, Error> {
        match written {
            Err(Error::Apply { source: kube::Error::Api(status), .. }) if status.is_conflict() => {
                self.outcome.outdated = true;
                Ok(None)
            }
            written => written.map(Some),
        }
    }

    /// Writes `object` unless `live` still is what was made of it before.
    pub(crate) async fn one<K: Child>(&mut self, object: &K, live: Option<&ChildEntry>) -> Result<(), Error> {
        self.guarded(object, None, live).await
    }

    /// [`Self::one`], which fails when the object no longer has the version that was `seen`.
    pub(crate) async fn guarded<K: Child>(
        &mut self,
        object: &K,
        seen: Option<String>,
        live: Option<&ChildEntry>,
    ) -> Result<(), Error> {
        let name = object.name_any();
        let kind = K::KIND;
        self.outcome.wanted.insert((kind, name.clone()));
        let desired = fingerprint(object)?;
        if live.is_some_and(|live| self.is_as_applied(kind, &name, desired, live)) {
            return Ok(());
        }
        let mut body = object.clone();
        body.meta_mut().resource_version = seen;
        self.write(&body, desired, live).await.map(drop)
    }

    /// Writes `object`, whose desired form has this number; gives what is kept of it as the API server has it.
    pub(crate) async fn write<K: Child>(
        &mut self,
        object: &K,
        desired: u64,
        live: Option<&ChildEntry>,
    ) -> Result<ChildEntry, Error> {
        let name = object.name_any();
        let kind = K::KIND;
        self.check_managed()?;
        if live.is_none() {
            self.check_alive().await?;
        }
        let api: Api<Seen<K::Shape>> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&name, &parameters, &Patch::Apply(object)).await;
        let Seen { kept: entry, .. } =
            written.map_err(|source| Error::Apply { kind: kind.name(), name: name.clone(), source })?;
        self.outcome.created += usize::from(live.is_none());
        if live.is_none_or(|live| live.uid != entry.uid || live.fields != entry.fields) {
            info!(kind = kind.name(), name, "applied");
        }
        self.wrote(kind, name, desired, entry.clone());
        Ok(entry)
    }

    /// Remembers a write.
    pub(crate) fn wrote(&mut self, kind: ChildKind, name: String, desired: u64, entry: ChildEntry) {
        let applied = Applied::new(desired, &entry);
        self.outcome.written.insert((kind, name.clone()));
        self.context.memory.of(&self.uid, |memory| {
            if kind == ChildKind::Secret {
                memory.forget_secrets();
            }
            memory.remember_applied(kind, &name, applied);
        });
        self.context.world.wrote(kind, &Key::new(self.namespace.clone(), name), entry);
    }

    /// Whether the StompBroker still is ours to write for.
    pub(crate) fn check_managed(&self) -> Result<(), Error> {
        self.context.managed.require(&Key::new(self.namespace.clone(), self.broker.clone()), &self.uid)
    }

    /// Asks the API server itself, once in a pass, before something is made: children may be seen to go before their broker is.
    async fn check_alive(&mut self) -> Result<(), Error> {
        if self.alive {
            return Ok(());
        }
        let api: Api<Seen<StatusShape>> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let failed = |source| Error::Observe { kind: "StompBroker", name: self.broker.clone(), source };
        let broker = match api.get_status(&self.broker).await {
            Ok(broker) => broker.kept.metadata,
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(Error::Gone),
            Err(source) => return Err(failed(source)),
        };
        self.alive = broker.deletion_timestamp.is_none()
            && broker.uid.as_ref() == Some(&self.uid)
            && self.context.settings.selector.matches(&broker.labels.unwrap_or_default());
        if self.alive { Ok(()) } else { Err(Error::Gone) }
    }

    /// Creates an object that must not be there yet.
    pub(crate) async fn create<K: Child>(&mut self, object: &K) -> Result<K, Error> {
        let (kind, name) = (K::KIND.name(), object.name_any());
        self.check_managed()?;
        self.check_alive().await?;
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let created = api.create(&parameters, object).await;
        let created = created.map_err(|source| Error::Apply { kind, name: name.clone(), source })?;
        info!(kind, name, "created");
        self.outcome.created += 1;
        Ok(created)
    }

    /// Whether what was last applied has this number, and is still there as the API server took it.
    pub(crate) fn is_as_applied(&self, kind: ChildKind, name: &str, desired: u64, live: &ChildEntry) -> bool {
        self.context.memory.is_as_applied(&self.uid, kind, name, desired, live)
    }
}

/// A number of the desired form of an object.
pub(crate) fn fingerprint<K: Child>(object: &K) -> Result<u64, Error> {
    number(object).map_err(|source| Error::Serialize { kind: K::KIND.name(), name: object.name_any(), source })
}

/// A number of anything that has a JSON form.
pub(crate) fn number(value: &impl Serialize) -> Result<u64, serde_json::Error> {
    Ok(hash(serde_json::to_vec(value)?))
}

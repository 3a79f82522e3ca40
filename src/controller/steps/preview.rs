//! What a pass would write, without writing it: the API server is asked what it would make of each object (a dry run), and
//! that is compared with what there is. Of Secrets only that they would be written is told.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::Value;

use super::{apply::fingerprint, observe::Sites, prune};
use crate::{
    FIELD_MANAGER,
    api::{PlannedAction, PlannedChange, StompBroker},
    controller::{
        Context,
        kinds::{Child, ChildKind},
        memory::{Applied, GeneratedSight},
        watches::{cache::Key, views::ChildEntry},
    },
    difference::Difference,
    error::Error,
    observed::SecretView,
    plan::{Objects, Plan, rotation::Step},
};

/// Most fields of one object that are told.
const FIELDS: usize = 8;

/// What putting `plan` into effect would change.
pub(crate) async fn preview(
    broker: &StompBroker,
    plan: &Plan,
    secrets: &BTreeMap<String, GeneratedSight>,
    sites: &Sites,
    context: &Context,
) -> Result<Vec<PlannedChange>, Error> {
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
    let mut look = Look { broker, context, wanted: BTreeSet::new(), changes: Vec::new() };
    look.all(service_accounts).await?;
    for login in logins {
        look.secret(login.metadata.name.as_deref(), login.step, secrets);
    }
    let generated = generated.iter().map(|secret| &secret.metadata);
    for metadata in generated.chain(nats_secrets.iter().map(|secret| &secret.metadata)) {
        look.secret(metadata.name.as_deref(), Step::Keep, secrets);
    }
    look.unwatched(certificates, sites).await?;
    for claim in persistent_volume_claims {
        look.one(claim, sites.claims.get(&claim.name_any())).await?;
    }
    look.all(config_maps).await?;
    look.all(services).await?;
    look.all(ingresses).await?;
    look.unwatched(http_routes, sites).await?;
    look.unwatched(tls_routes, sites).await?;
    look.unwatched(tls_alpha_routes, sites).await?;
    look.all(network_policies).await?;
    look.all(pod_disruption_budgets).await?;
    look.all(stateful_sets).await?;
    look.all(deployments).await?;
    look.all(horizontal_pod_autoscalers).await?;
    look.unwatched(scaled_objects, sites).await?;
    for (kind, name) in prune::orphans(broker, &look.wanted, context) {
        look.tell(kind, name, PlannedAction::Delete, Vec::new());
    }
    Ok(look.changes)
}

struct Look<'a> {
    broker: &'a StompBroker,
    context: &'a Context,
    wanted: BTreeSet<(ChildKind, String)>,
    changes: Vec<PlannedChange>,
}

impl Look<'_> {
    fn tell(&mut self, kind: ChildKind, name: String, action: PlannedAction, fields: Vec<String>) {
        self.changes.push(PlannedChange { kind: kind.name().to_owned(), name, action, fields });
    }

    fn secret(&mut self, name: Option<&str>, step: Step, secrets: &BTreeMap<String, GeneratedSight>) {
        let name = name.unwrap_or_default().to_owned();
        self.wanted.insert((ChildKind::Secret, name.clone()));
        if secrets.get(&name).is_some_and(|seen| seen.view == SecretView::Missing) {
            self.tell(ChildKind::Secret, name, PlannedAction::Create, Vec::new());
        } else if step != Step::Keep {
            self.tell(ChildKind::Secret, name, PlannedAction::Change, vec![format!("rotation: {}", step.as_str())]);
        }
    }

    async fn all<K: Child>(&mut self, objects: &[K]) -> Result<(), Error> {
        for object in objects {
            let key = Key::new(self.broker.namespace().unwrap_or_default(), object.name_any());
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

    async fn one<K: Child>(&mut self, object: &K, live: Option<&ChildEntry>) -> Result<(), Error> {
        let name = object.name_any();
        self.wanted.insert((K::KIND, name.clone()));
        let Some(live) = live else {
            self.tell(K::KIND, name, PlannedAction::Create, Vec::new());
            return Ok(());
        };
        let uid = self.broker.uid().unwrap_or_default();
        let key = (K::KIND, name.clone());
        let now = Applied::new(fingerprint(object)?, live);
        let known = self.context.memory.of(&uid, |memory| {
            let applied = memory.is_applied(K::KIND, &name, now);
            let looked = memory.looked.get(&key).filter(|(at, _)| *at == now).map(|(_, fields)| fields.clone());
            if applied { Some(Vec::new()) } else { looked }
        });
        let fields = if let Some(fields) = known {
            fields
        } else {
            let fields = self.differences(object, &name).await?;
            self.context.memory.of(&uid, |memory| memory.looked.insert(key, (now, fields.clone())));
            fields
        };
        if !fields.is_empty() {
            self.tell(K::KIND, name, PlannedAction::Change, fields);
        }
        Ok(())
    }

    /// What the API server would change of an object; more than [`FIELDS`] are counted.
    async fn differences<K: Child>(&self, object: &K, name: &str) -> Result<Vec<String>, Error> {
        let kind = K::KIND.name();
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.broker.namespace().unwrap_or_default());
        let failed = |source| Error::Observe { kind, name: name.to_owned(), source };
        let now = api.get(name).await.map_err(failed)?;
        let dry_run = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).force() };
        let would = api.patch(name, &dry_run, &Patch::Apply(object)).await;
        let would = would.map_err(|source| Error::Apply { kind, name: name.to_owned(), source })?;
        let [now, would] = [bare(&now, name)?, bare(&would, name)?];
        let all = Difference::within_lists(&now, &would);
        let mut fields: Vec<_> = all.iter().take(FIELDS).map(Difference::to_text).collect();
        if all.len() > FIELDS {
            fields.push(format!("and {} more", all.len() - FIELDS));
        }
        Ok(fields)
    }
}

/// An object without what the API server writes by itself, and without revisions, which repeat what else is told.
fn bare<K: Child>(object: &K, name: &str) -> Result<Value, Error> {
    let mut object = object.clone();
    let meta = object.meta_mut();
    (meta.managed_fields, meta.resource_version, meta.generation) = (None, None, None);
    meta.annotations.iter_mut().for_each(|all| {
        all.retain(|name, _| ![crate::plan::REVISION, crate::plan::PREVIOUS].contains(&name.as_str()));
    });
    let failed = |source| Error::Serialize { kind: K::KIND.name(), name: name.to_owned(), source };
    let mut value = serde_json::to_value(&object).map_err(failed)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    Ok(value)
}

//! Step `prune`: deletes own children that the spec no longer wants, after everything that it wants was written.
//!
//! Only what a watch has shown to be owned by this very StompBroker, and only while it still is the object that was
//! seen. Generated Secrets stay until the StompBroker goes: somebody may still log in with them. Volumes stay for ever: the
//! messages on them are the user's.

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Preconditions, PropagationPolicy},
};
use tracing::info;

use super::{
    Context,
    apply::Outcome,
    cache::Key,
    kinds::{Child, ChildKind},
    observe,
};
use crate::{
    api::{AutoscalingMode, StompBroker},
    error::Error,
    plan::ScaledObject,
};

/// Deletes the children of `broker` that are not among those that `outcome` wants.
pub(crate) async fn prune(broker: &StompBroker, outcome: &Outcome, context: &Context) -> Result<(), Error> {
    let pass = Pruning { broker, outcome, context };
    // Against the order of applying: nothing may lose what it needs before it goes itself.
    pass.scaled_objects().await?;
    pass.kind::<HorizontalPodAutoscaler>().await?;
    pass.kind::<Deployment>().await?;
    pass.kind::<PodDisruptionBudget>().await?;
    pass.kind::<NetworkPolicy>().await?;
    pass.kind::<Service>().await?;
    pass.kind::<ConfigMap>().await?;
    pass.kind::<ServiceAccount>().await
}

struct Pruning<'a> {
    broker: &'a StompBroker,
    outcome: &'a Outcome,
    context: &'a Context,
}

impl Pruning<'_> {
    async fn kind<K: Child>(&self) -> Result<(), Error> {
        let Some(cache) = self.context.world.children(K::KIND) else { return Ok(()) };
        let namespace = self.broker.namespace().unwrap_or_default();
        let uid = self.broker.uid().unwrap_or_default();
        let key = Key::new(namespace, self.broker.name_any());
        let orphans: Vec<(String, String)> = {
            let cache = cache.lock();
            cache
                .of_broker(&key)
                .filter(|(name, entry)| {
                    entry.is_of(&uid)
                        && !entry.deleting
                        && !self.outcome.wanted.contains(&(K::KIND, (*name).to_owned()))
                })
                .map(|(name, entry)| (name.to_owned(), entry.uid.clone()))
                .collect()
        };
        for (name, uid) in orphans {
            self.delete::<K>(name, uid).await?;
        }
        Ok(())
    }

    /// No watch shows ScaledObjects; the status tells which there may be.
    async fn scaled_objects(&self) -> Result<(), Error> {
        let before = self.broker.status.as_ref().and_then(|status| status.autoscaling.as_ref());
        let Some(before) = before.filter(|before| before.mode == AutoscalingMode::Keda) else { return Ok(()) };
        for pool in &before.pools {
            let name = pool.deployment.clone();
            if self.outcome.wanted.contains(&(ChildKind::ScaledObject, name.clone())) {
                continue;
            }
            let uid = self.broker.uid().unwrap_or_default();
            if let Some(entry) = observe::ask::<ScaledObject>(self.broker, &name, self.context).await?
                && entry.is_of(&uid)
            {
                self.delete::<ScaledObject>(name, entry.uid).await?;
            }
        }
        Ok(())
    }

    async fn delete<K: Child>(&self, name: String, uid: String) -> Result<(), Error> {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.broker.namespace().unwrap_or_default());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match api.delete(&name, &parameters).await {
            Ok(_) => info!(kind = K::KIND.name(), name, "deleted, no longer wanted"),
            // Gone already, or replaced by another object: either way it is not ours to delete.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(source) => return Err(Error::Prune { kind: K::KIND.name(), name, source }),
        }
        Ok(())
    }
}

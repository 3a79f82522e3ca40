//! Step `prune`: deletes own children that the spec no longer wants, after everything that it wants was written.
//!
//! Only what a watch has shown to be owned by this very StompBroker, and only while it still is the object that was
//! seen. Generated Secrets stay until the StompBroker goes: somebody may still log in with them. Volumes stay for ever: the
//! messages on them are the user's.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Preconditions, PropagationPolicy},
};
use tracing::info;

use super::{apply::Outcome, observe};
use crate::{
    api::{AutoscalingMode, CertificateStatus, ExposureStatus, StompBroker},
    controller::{
        Context,
        kinds::{Child, ChildKind},
        watches::{cache::Key, views::ChildEntry, world::World},
    },
    error::Error,
    plan::{
        ScaledObject,
        certificate::Certificate,
        custom::CustomKind as _,
        gateway::{Http, Route, Tls, TlsAlpha},
    },
};

/// Deletes the children of `broker` that are not among those that `outcome` wants.
pub(crate) async fn prune(broker: &StompBroker, outcome: &Outcome, context: &Context) -> Result<(), Error> {
    let pass = Pruning { broker, outcome, context };
    // Against the order of applying: nothing may lose what it needs before it goes itself.
    pass.scaled_objects().await?;
    pass.kind::<HorizontalPodAutoscaler>().await?;
    pass.kind::<Deployment>().await?;
    pass.kind::<StatefulSet>().await?;
    pass.kind::<PodDisruptionBudget>().await?;
    pass.kind::<NetworkPolicy>().await?;
    pass.routes().await?;
    pass.kind::<Ingress>().await?;
    pass.kind::<Service>().await?;
    pass.kind::<ConfigMap>().await?;
    pass.kind::<ServiceAccount>().await?;
    pass.certificates().await
}

/// The children of `broker` that are not among the `wanted`, as far as watches show them.
pub(crate) fn orphans(
    broker: &StompBroker,
    wanted: &BTreeSet<(ChildKind, String)>,
    context: &Context,
) -> Vec<(ChildKind, String)> {
    let of = |kind| of_kind(broker, kind, wanted, context).into_iter().map(move |(name, _)| (kind, name));
    World::WATCHED.into_iter().flat_map(of).collect()
}

/// Names and UIDs of the children of one kind that are not among the `wanted`.
fn of_kind(
    broker: &StompBroker,
    kind: ChildKind,
    wanted: &BTreeSet<(ChildKind, String)>,
    context: &Context,
) -> Vec<(String, String)> {
    let Some(cache) = context.world.children(kind) else { return Vec::new() };
    let uid = broker.uid().unwrap_or_default();
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    let cache = cache.lock();
    let orphan = |(name, entry): &(&str, &ChildEntry)| {
        entry.is_of(&uid) && !entry.deleting && !wanted.contains(&(kind, (*name).to_owned()))
    };
    let orphans = cache.of_broker(&key).filter(orphan);
    orphans.map(|(name, entry)| (name.to_owned(), entry.uid.to_string())).collect()
}

struct Pruning<'a> {
    broker: &'a StompBroker,
    outcome: &'a Outcome,
    context: &'a Context,
}

impl Pruning<'_> {
    async fn kind<K: Child>(&self) -> Result<(), Error> {
        for (name, uid) in of_kind(self.broker, K::KIND, &self.outcome.wanted, self.context) {
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
            self.unwatched::<ScaledObject>(name).await?;
        }
        Ok(())
    }

    /// No watch shows routes; the status tells which there may be.
    async fn routes(&self) -> Result<(), Error> {
        let told = self.broker.status.iter().flat_map(|status| &status.exposure);
        for ExposureStatus { kind, name, .. } in told {
            let wanted = |kind| self.outcome.wanted.contains(&(kind, name.clone()));
            if *kind == Http::KIND && !wanted(ChildKind::HttpRoute) {
                self.unwatched::<Route<Http>>(name.clone()).await?;
            }
            if *kind == Tls::KIND && !wanted(ChildKind::TlsRoute) {
                self.unwatched::<Route<Tls>>(name.clone()).await?;
                self.unwatched::<Route<TlsAlpha>>(name.clone()).await?;
            }
        }
        Ok(())
    }

    /// No watch shows Certificates; the status tells which there may be. Their Secrets stay, as cert-manager leaves them.
    async fn certificates(&self) -> Result<(), Error> {
        let told = self.broker.status.iter().flat_map(|status| &status.certificates);
        for CertificateStatus { secret_name, .. } in told.filter(|told| told.issuer.is_some()) {
            if !self.outcome.wanted.contains(&(ChildKind::Certificate, secret_name.clone())) {
                self.unwatched::<Certificate>(secret_name.clone()).await?;
            }
        }
        Ok(())
    }

    /// Deletes a child that no watch shows, if there is one.
    async fn unwatched<K: Child>(&self, name: String) -> Result<(), Error> {
        let entry = match observe::ask::<K>(self.broker, &name, self.context).await {
            Ok(entry) => entry,
            // Nor does the API server know the kind; it says so in plain text.
            Err(Error::Observe { source: kube::Error::Api(status), .. }) if status.code == 404 => None,
            Err(error) => return Err(error),
        };
        let uid = self.broker.uid().unwrap_or_default();
        match entry.filter(|entry| entry.is_of(&uid)) {
            Some(entry) => self.delete::<K>(name, entry.uid.to_string()).await,
            None => Ok(()),
        }
    }

    async fn delete<K: Child>(&self, name: String, uid: String) -> Result<(), Error> {
        let broker = Key::new(self.broker.namespace().unwrap_or_default(), self.broker.name_any());
        self.context.managed.require(&broker, self.broker.uid().as_deref().unwrap_or_default())?;
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &broker.namespace);
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

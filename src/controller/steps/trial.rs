//! Step `trial`: whether the API server takes what patches make of custom objects, asked by a dry run. Which fields those have only
//! its CRDs tell. What it refuses refuses the whole spec before anything is written, like a patch that cannot be done.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    core::Status,
};

use super::{apply::fingerprint, observe::Sites};
use crate::{
    FIELD_MANAGER,
    api::{OverrideKind, StompBroker},
    controller::{Context, kinds::Child, watches::seen::Seen},
    error::Error,
    plan::Objects,
    validate::{SpecError, ValidatedBroker},
};

/// How the API server begins to tell of a field that the CRD does not have, or has of another type. It calls that an internal error.
const UNLIKE_THE_SCHEMA: &str = "failed to create typed patch object";

/// What the API server refuses of the patched custom objects that are to be written.
pub(crate) async fn refusals(
    broker: &StompBroker,
    validated: &ValidatedBroker,
    objects: &Objects,
    sites: &Sites,
    context: &Context,
) -> Result<Vec<SpecError>, Error> {
    let Objects {
        service_accounts: _,
        logins: _,
        secrets: _,
        nats_secrets: _,
        certificates,
        persistent_volume_claims: _,
        config_maps: _,
        services: _,
        ingresses: _,
        http_routes,
        tls_routes,
        tls_alpha_routes,
        network_policies: _,
        pod_disruption_budgets: _,
        stateful_sets: _,
        deployments: _,
        horizontal_pod_autoscalers: _,
        scaled_objects,
    } = objects;
    let mut trial = Trial { broker, validated, sites, context, refusals: Vec::new() };
    trial.all(OverrideKind::Certificate, certificates).await?;
    trial.all(OverrideKind::HttpRoute, http_routes).await?;
    trial.all(OverrideKind::TlsRoute, tls_routes).await?;
    trial.all(OverrideKind::TlsRoute, tls_alpha_routes).await?;
    trial.all(OverrideKind::ScaledObject, scaled_objects).await?;
    Ok(trial.refusals)
}

struct Trial<'a> {
    broker: &'a StompBroker,
    validated: &'a ValidatedBroker,
    sites: &'a Sites,
    context: &'a Context,
    refusals: Vec<SpecError>,
}

impl Trial<'_> {
    async fn all<K: Child>(&mut self, kind: OverrideKind, objects: &[K]) -> Result<(), Error> {
        for object in objects {
            let name = object.name_any();
            let Some(patch) = self.validated.overrides.iter().find(|patch| patch.is_for(kind, &name)) else { continue };
            if self.is_applied(object, &name)? {
                continue;
            }
            let namespace = self.broker.namespace().unwrap_or_default();
            let api: Api<Seen<K::Shape>> = Api::namespaced(self.context.client.clone(), &namespace);
            let dry_run = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).force() };
            // Whatever else it has to say it says again when the object is written.
            if let Err(kube::Error::Api(status)) = api.patch(&name, &dry_run, &Patch::Apply(object)).await
                && is_refusal(&status)
            {
                let remedy = format!("the API server refuses what comes out: {}", status.message);
                let object = format!("{} {name}", kind.as_str());
                self.refusals.push(SpecError::refused_override(patch.field.clone(), object, remedy));
            }
        }
        Ok(())
    }

    fn is_applied<K: Child>(&self, object: &K, name: &str) -> Result<bool, Error> {
        let Some(live) = self.sites.unwatched.get(&(K::KIND, name.to_owned())) else { return Ok(false) };
        let uid = self.broker.uid().unwrap_or_default();
        Ok(self.context.memory.is_as_applied(&uid, K::KIND, name, fingerprint(object)?, live))
    }
}

fn is_refusal(status: &Status) -> bool {
    status.is_invalid() || status.message.starts_with(UNLIKE_THE_SCHEMA)
}

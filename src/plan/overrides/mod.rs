//! `spec.overrides`: patches of objects, done last.
//!
//! What pods are made from is patched before its revision is known, so that a patch of it is a rollout like every other
//! change of pods; everything else is patched when all objects are there. A patch that cannot be done as it is written, or
//! that changes what others rely on, refuses the whole spec, so that nothing is put into effect by halves.

pub(crate) mod guards;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::{Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use self::guards::Violation;
use super::{Objects, PlanError};
use crate::{
    api::{OverrideKind, OverrideStatus, PatchOperation, PatchVerb},
    difference::{Difference, short},
    typed,
    validate::{Operation, Override, SpecError, ValidatedBroker},
};

/// Maps that are there for patches to add to, also where the operator has no entries.
const MAPS: [&str; 2] = ["labels", "annotations"];

/// The operations on what the pods of the object of this kind and name are made from.
pub(super) fn on_template(broker: &ValidatedBroker, kind: OverrideKind, name: &str) -> Vec<PatchOperation> {
    let overrides = broker.overrides.iter().filter(|patch| patch.is_for(kind, name));
    let operations = overrides.flat_map(|patch| &patch.operations).map(|operation| &operation.written);
    operations.filter(|written| written.is_of_template()).cloned().collect()
}

/// What the pods of the object of this kind and name are made from, when they were to be made from `template`.
pub(super) fn template(
    broker: &ValidatedBroker,
    kind: OverrideKind,
    name: &str,
    template: PodTemplateSpec,
) -> Result<PodTemplateSpec, PlanError> {
    let mut template = template;
    for patch in broker.overrides.iter().filter(|patch| patch.is_for(kind, name)) {
        let operations = || patch.operations.iter().filter(|operation| operation.written.is_of_template());
        if operations().next().is_none() {
            continue;
        }
        let subject = Subject { kind, name, patch };
        let before = json!({"spec": {"template": template}});
        let mut after = subject.patched(&before, "/spec/template/metadata", operations()).map_err(refused)?;
        subject.check(guards::of_template(&before, &after)).map_err(refused)?;
        let after = after.pointer_mut("/spec/template").map(Value::take).unwrap_or_default();
        template = subject.typed("/spec/template", &after).map_err(refused)?;
    }
    Ok(template)
}

/// Patches all but what pods are made from; says what is patched, of these too. Objects of kinds that are `missing` from the API
/// server wait for them, and so do their patches.
pub(super) fn patch(
    objects: &mut Objects,
    broker: &ValidatedBroker,
    missing: &[&str],
) -> Result<Vec<OverrideStatus>, PlanError> {
    if broker.overrides.is_empty() {
        return Ok(Vec::new());
    }
    let Objects {
        service_accounts,
        logins: _,
        secrets: _,
        nats_secrets: _,
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
    let mut pass =
        Pass { overrides: &broker.overrides, names: BTreeMap::new(), errors: Vec::new(), active: Vec::new() };
    pass.all(OverrideKind::ServiceAccount, service_accounts);
    pass.all(OverrideKind::Certificate, certificates);
    pass.all(OverrideKind::PersistentVolumeClaim, persistent_volume_claims);
    pass.all(OverrideKind::ConfigMap, config_maps);
    pass.all(OverrideKind::Service, services);
    pass.all(OverrideKind::Ingress, ingresses);
    pass.all(OverrideKind::HttpRoute, http_routes);
    pass.all(OverrideKind::TlsRoute, tls_routes);
    pass.all(OverrideKind::TlsRoute, tls_alpha_routes);
    pass.all(OverrideKind::NetworkPolicy, network_policies);
    pass.all(OverrideKind::PodDisruptionBudget, pod_disruption_budgets);
    pass.all(OverrideKind::StatefulSet, stateful_sets);
    pass.all(OverrideKind::Deployment, deployments);
    pass.all(OverrideKind::HorizontalPodAutoscaler, horizontal_pod_autoscalers);
    pass.all(OverrideKind::ScaledObject, scaled_objects);
    pass.require_targets(missing);
    if pass.errors.is_empty() { Ok(pass.active) } else { Err(PlanError::Overrides(pass.errors)) }
}

fn refused(error: SpecError) -> PlanError {
    PlanError::Overrides(vec![error])
}

/// One pass over all objects.
struct Pass<'a> {
    overrides: &'a [Override],
    /// The objects that there are.
    names: BTreeMap<OverrideKind, Vec<String>>,
    errors: Vec<SpecError>,
    active: Vec<OverrideStatus>,
}

impl Pass<'_> {
    fn all<K>(&mut self, kind: OverrideKind, objects: &mut [K])
    where
        K: Resource + Serialize + DeserializeOwned,
    {
        for object in objects.iter_mut() {
            self.one(kind, object);
        }
        self.names.entry(kind).or_default().extend(objects.iter().map(ResourceExt::name_any));
    }

    /// Refuses patches that are for none of the objects.
    fn require_targets(&mut self, missing: &[&str]) {
        for patch in self.overrides.iter().filter(|patch| !missing.contains(&patch.target.kind.as_str())) {
            let kind = patch.target.kind;
            let names = self.names.get(&kind).map(Vec::as_slice).unwrap_or_default();
            if !names.iter().any(|name| patch.is_for(kind, name)) {
                let there = if names.is_empty() {
                    "there is none".to_owned()
                } else {
                    format!("there is {}", names.join(", "))
                };
                let name = patch.target.name.as_deref().unwrap_or_default();
                let remedy = format!("no such object is made of this spec; {there}");
                let value = format!("{} {name}", kind.as_str());
                self.errors.push(SpecError::refused_override(format!("{}.target", patch.field), value.trim(), remedy));
            }
        }
    }

    fn one<K>(&mut self, kind: OverrideKind, object: &mut K)
    where
        K: Resource + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let mut paths: Vec<String> = Vec::new();
        for patch in self.overrides.iter().filter(|patch| patch.is_for(kind, &name)) {
            let changes = patch.operations.iter().filter(|operation| operation.written.op != PatchVerb::Test);
            paths.extend(changes.map(|operation| operation.written.path.clone()));
            match (Subject { kind, name: &name, patch }).object(object) {
                Ok(Some(patched)) => *object = patched,
                Ok(None) => {}
                Err(error) => self.errors.push(error),
            }
        }
        if !paths.is_empty() {
            self.active.push(OverrideStatus { kind, name, paths });
        }
    }
}

/// An object and a patch for it.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: OverrideKind,
    name: &'a str,
    patch: &'a Override,
}

impl Subject<'_> {
    /// The object as patched, but for what its pods are made from; absent when nothing else is patched.
    fn object<K: Serialize + DeserializeOwned>(self, object: &K) -> Result<Option<K>, SpecError> {
        let operations = || self.patch.operations.iter().filter(|operation| !operation.written.is_of_template());
        if operations().next().is_none() {
            return Ok(None);
        }
        let before = serde_json::to_value(object).map_err(|error| self.refuse(error.to_string()))?;
        let after = self.patched(&before, "/metadata", operations())?;
        self.check(guards::of_object(self.kind, &before, &after))?;
        self.typed("", &after).map(Some)
    }

    /// `before` with these operations done; its metadata are at `metadata`.
    fn patched<'o>(
        self,
        before: &Value,
        metadata: &str,
        operations: impl Iterator<Item = &'o Operation>,
    ) -> Result<Value, SpecError> {
        let mut after = before.clone();
        if let Some(fields) = after.pointer_mut(metadata).and_then(Value::as_object_mut) {
            for name in MAPS {
                fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
            }
        }
        for operation in operations {
            let done = json_patch::patch(&mut after, std::slice::from_ref(&operation.patch));
            if done.is_err() {
                return Err(self.failed(operation, after.pointer(&operation.written.path)));
            }
        }
        if let Some(fields) = after.pointer_mut(metadata).and_then(Value::as_object_mut) {
            fields.retain(|name, value| {
                !MAPS.contains(&name.as_str()) || value.as_object().is_none_or(|entries| !entries.is_empty())
            });
        }
        Ok(after)
    }

    fn failed(self, operation: &Operation, there: Option<&Value>) -> SpecError {
        let subject = self.to_text();
        let remedy = match there {
            Some(value) if operation.written.op == PatchVerb::Test => {
                format!("in {subject} there is {}; adapt the overrides to what the operator makes now", short(value))
            }
            _ => format!(
                "there is no such place in {subject}; add what is missing above it, or look at the object by kubectl stompbroker \
                 diff"
            ),
        };
        SpecError::refused_override(operation.field.clone(), &operation.written, remedy)
    }

    fn check(self, violation: Option<Violation>) -> Result<(), SpecError> {
        match violation {
            None => Ok(()),
            Some(Violation { path, why }) => Err(self.refuse(format!("it changes {path}, which is protected: {why}"))),
        }
    }

    /// Reads what came out, which is to be found below `path` of the object.
    fn typed<K: Serialize + DeserializeOwned>(self, path: &str, after: &Value) -> Result<K, SpecError> {
        let no_such_kind = |error: &dyn std::fmt::Display| {
            self.refuse(format!("what comes out is no {}: {error}", self.kind.as_str()))
        };
        let read: K = typed::read(after).map_err(|error| no_such_kind(&error))?;
        let known = serde_json::to_value(&read).map_err(|error| no_such_kind(&error))?;
        match Difference::within_lists(after, &known).first() {
            None => Ok(read),
            Some(unknown) if unknown.before.is_null() => {
                Err(self.refuse(format!("{path}/{} is missing", unknown.path.join("/"))))
            }
            Some(unknown) => Err(self.refuse(format!(
                "{path}/{} is no field that is known of this kind; look for a typing mistake",
                unknown.path.join("/")
            ))),
        }
    }

    fn refuse(self, remedy: String) -> SpecError {
        SpecError::refused_override(self.patch.field.clone(), self.to_text(), remedy)
    }

    fn to_text(self) -> String {
        format!("{} {}", self.kind.as_str(), self.name)
    }
}

//! Step `status`: writes what the pure part has built, when it says anything new.

use std::time::{Duration, Instant};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::json;

use crate::{
    FIELD_MANAGER,
    api::{StompBroker, StompBrokerStatus},
    controller::{
        Context,
        watches::{cache::Key, kept::Unreadable, seen::Seen, shapes::StatusShape, views::version},
    },
    error::Error,
    events::transitions,
    metrics::BrokerLabels,
    status::{ConditionType, Reason, notice_from},
};

/// Numbers of sessions alone are written at most so often.
const SESSIONS_EVERY: Duration = Duration::from_secs(10);

/// The status as last written: the watch may not have shown it yet.
pub(crate) fn latest(broker: &StompBroker, context: &Context) -> Option<StompBrokerStatus> {
    let uid = broker.uid().unwrap_or_default();
    context.memory.of(&uid, |memory| {
        if memory.status.as_ref().is_some_and(|written| written.0 <= version(&broker.metadata)) {
            memory.status = None;
        }
        memory.status.as_ref().map(|written| written.1.clone()).or_else(|| broker.status.clone())
    })
}

/// Writes `new` over `old` if it differs; gives the time after which to come again when it was too early to write.
pub(crate) async fn write(
    broker: &StompBroker,
    old: Option<&StompBrokerStatus>,
    new: StompBrokerStatus,
    context: &Context,
) -> Result<Option<Duration>, Error> {
    let uid = broker.uid().unwrap_or_default();
    let key = Key::new(broker.namespace().unwrap_or_default(), broker.name_any());
    // It has left meanwhile, and another operator may have written by now.
    if !context.managed.is(&key, &uid) {
        return Ok(None);
    }
    report(broker, &new, context);
    if old == Some(&new) {
        return Ok(None);
    }
    if old.is_some_and(|old| same_but_sessions(old, &new)) {
        let written = context.memory.of(&uid, |memory| memory.status_written);
        let wait = written.and_then(|written| SESSIONS_EVERY.checked_sub(written.elapsed()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
    }
    let api: Api<Seen<StatusShape>> = Api::namespaced(context.client.clone(), &key.namespace);
    // With the UID, so that the status of one broker is never written to its successor of the same name.
    let body = body(&broker.metadata, &new);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let written = match api.patch_status(&key.name, &parameters, &Patch::Apply(&body)).await {
        Ok(written) => written.kept,
        // Deleted, or replaced by a successor, in the meantime.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(None),
        Err(source) => return Err(Error::WriteStatus(source)),
    };
    context.memory.of(&uid, |memory| {
        memory.status_written = Some(Instant::now());
        memory.status = written.status.map(|status| Box::new((written.metadata.version(), status)));
    });
    // The watch may have been faster than the answer.
    if let Some(shown) = context.managed.version(&key) {
        context.memory.shown(&uid, shown);
    }
    let regarding = broker.object_ref(&());
    for transition in transitions(old, &new) {
        context.events.publish(&regarding, transition);
    }
    Ok(None)
}

/// Says on the object itself that it cannot be read. What is there of its children stays as it is.
pub(crate) async fn write_unreadable(metadata: &ObjectMeta, why: &Unreadable, context: &Context) -> Result<(), Error> {
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let resource = ApiResource::erase::<StompBroker>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let live = match api.get_status(&name).await {
        Ok(live) => live,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(source) => return Err(Error::WriteStatus(source)),
    };
    let conditions: Vec<Condition> = live
        .data
        .pointer("/status/conditions")
        .and_then(|conditions| serde_json::from_value(conditions.clone()).ok())
        .unwrap_or_default();
    let message = format!("this object cannot be read: {why}; correct it or apply it anew");
    let wanted = [ConditionType::Ready, ConditionType::Accepted].map(|kind| Condition {
        type_: kind.as_str().to_owned(),
        status: "False".to_owned(),
        reason: Reason::Invalid.as_str().to_owned(),
        message: message.clone(),
        observed_generation: metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    });
    let says = |wanted: &Condition, said: &Condition| {
        said.type_ == wanted.type_
            && said.status == wanted.status
            && said.message == wanted.message
            && said.observed_generation == wanted.observed_generation
    };
    if wanted.iter().all(|wanted| conditions.iter().any(|said| says(wanted, said))) {
        return Ok(());
    }
    let new = StompBrokerStatus {
        observed_generation: metadata.generation,
        conditions: wanted.to_vec(),
        ..StompBrokerStatus::default()
    };
    let old = StompBrokerStatus { conditions, ..StompBrokerStatus::default() };
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&name, &parameters, &Patch::Apply(&body(metadata, &new))).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(()),
        Err(source) => return Err(Error::WriteStatus(source)),
    }
    let mut regarding = live.object_ref(&resource);
    regarding.uid.clone_from(&metadata.uid);
    for transition in transitions(Some(&old), &new) {
        context.events.publish(&regarding, transition);
    }
    Ok(())
}

fn body(metadata: &ObjectMeta, status: &StompBrokerStatus) -> serde_json::Value {
    json!({
        "apiVersion": StompBroker::api_version(&()),
        "kind": StompBroker::kind(&()),
        "metadata": {"name": metadata.name, "uid": metadata.uid},
        "status": status,
    })
}

fn report(broker: &StompBroker, status: &StompBrokerStatus, context: &Context) {
    let labels = BrokerLabels { namespace: broker.namespace().unwrap_or_default(), name: broker.name_any() };
    let ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    context.metrics.broker_ready.get_or_create(&labels).set(ready.into());
    context.metrics.broker_sessions.get_or_create(&labels).set(status.sessions);
    let certificates = status.certificates.iter().filter_map(|certificate| {
        let (from, until) = (certificate.not_before.as_ref()?.0, certificate.not_after.as_ref()?.0);
        Some((certificate.secret_name.as_str(), until, notice_from(from, until)))
    });
    context.metrics.set_certificates(&labels.namespace, &labels.name, certificates);
}

fn same_but_sessions(old: &StompBrokerStatus, new: &StompBrokerStatus) -> bool {
    let without = |status: &StompBrokerStatus| {
        let mut status = status.clone();
        status.sessions = 0;
        status.zones.iter_mut().for_each(|zone| zone.sessions = 0);
        let drains = status.zones.iter_mut().map(|zone| &mut zone.draining).chain([&mut status.draining]);
        drains.flatten().for_each(|drain| drain.connections_left = 0);
        status
    };
    without(old) == without(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ZoneStatus;

    #[test]
    fn only_numbers_of_sessions_may_wait() {
        let zone = |sessions, ready| ZoneStatus { name: "eu-1".to_owned(), sessions, ready, ..ZoneStatus::default() };
        let status = |sessions, ready| StompBrokerStatus {
            sessions,
            zones: vec![zone(sessions, ready)],
            ..StompBrokerStatus::default()
        };
        assert!(same_but_sessions(&status(1, 2), &status(9, 2)));
        assert!(!same_but_sessions(&status(1, 2), &status(9, 1)));
    }
}

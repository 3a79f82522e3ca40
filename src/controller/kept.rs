//! A StompBroker as it is kept between passes (pure): of its metadata what is looked at, the rest packed as the API server sent it.
//! A pass reads it again; meanwhile it needs a quarter of the room.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use super::{packed::Packed, shapes::Metadata};
use crate::{
    api::{REVERT_CREDENTIALS, ROTATE_CREDENTIALS, StompBroker},
    typed::{self, FieldError},
};

/// A StompBroker, readable or not. One that cannot be read must not harm the others.
#[derive(Clone, Debug)]
pub(crate) struct KeptBroker {
    metadata: ObjectMeta,
    rest: Packed,
}

/// Why a StompBroker cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A field is not what the schema says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// What was kept has been spoilt, which nothing does.
    #[error("what was kept of it is spoilt")]
    Spoilt,
}

impl KeptBroker {
    /// The StompBroker, without managed fields and without annotations that are the user's own business.
    ///
    /// # Errors
    /// Names the field that cannot be read.
    pub(crate) fn read(&self) -> Result<StompBroker, Unreadable> {
        let text = self.rest.text().ok_or(Unreadable::Spoilt)?;
        let mut broker = match serde_json::from_str::<StompBroker>(&text) {
            Ok(broker) => broker,
            Err(_) => locate(&text)?,
        };
        broker.metadata = self.metadata.clone();
        Ok(broker)
    }
}

/// Reads again, more slowly, for the name of the field.
fn locate(text: &str) -> Result<StompBroker, Unreadable> {
    let value: Value = serde_json::from_str(text).map_err(|_| Unreadable::Spoilt)?;
    Ok(typed::read(&value)?)
}

impl<'de> Deserialize<'de> for KeptBroker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Sent {
            metadata: Metadata,
            spec: Option<Box<RawValue>>,
            status: Option<Box<RawValue>>,
        }
        let Sent { metadata, spec, status } = Sent::deserialize(deserializer)?;
        let mut text = r#"{"metadata":{}"#.to_owned();
        for (name, value) in [("spec", spec), ("status", status)] {
            if let Some(value) = value {
                text = format!(r#"{text},"{name}":{value}"#);
            }
        }
        text.push('}');
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| [ROTATE_CREDENTIALS, REVERT_CREDENTIALS].contains(&name.as_str()));
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deletion_timestamp: metadata.deletion_timestamp,
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, rest: Packed::new(&text) })
    }
}

impl Resource for KeptBroker {
    type DynamicType = ();
    type Scope = <StompBroker as Resource>::Scope;

    fn kind(kind: &()) -> Cow<'_, str> {
        StompBroker::kind(kind)
    }

    fn group(kind: &()) -> Cow<'_, str> {
        StompBroker::group(kind)
    }

    fn version(kind: &()) -> Cow<'_, str> {
        StompBroker::version(kind)
    }

    fn plural(kind: &()) -> Cow<'_, str> {
        StompBroker::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::{ResourceExt as _, core::WatchEvent};
    use serde_json::json;

    use super::*;

    fn kept(sent: &Value) -> KeptBroker {
        serde_json::from_str(&sent.to_string()).unwrap()
    }

    #[test]
    fn a_broker_comes_back_as_it_was_sent_but_for_what_nobody_looks_at() {
        let sent = json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
            "metadata": {"name": "trading", "namespace": "markets", "uid": "u", "resourceVersion": "7", "generation": 3,
                "annotations": {ROTATE_CREDENTIALS: "now", "example.com/own": "x"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"replicas": 3, "engine": {"type": "Simple"}}, "status": {"sessions": 5},
        });
        let broker = kept(&sent).read().unwrap();
        let mut expected: StompBroker = serde_json::from_value(sent).unwrap();
        expected.metadata.managed_fields = None;
        expected.annotations_mut().remove("example.com/own");
        assert_eq!(broker, expected);
    }

    #[test]
    fn a_watch_tells_of_a_broker_in_one_line() {
        let line = r#"{"type":"MODIFIED","object":{"metadata":{"name":"trading"},"spec":{"replicas":3}}}"#;
        let event: WatchEvent<KeptBroker> = serde_json::from_str(line).unwrap();
        let WatchEvent::Modified(broker) = event else { panic!("{event:?}") };
        assert_eq!(broker.read().unwrap().spec.replicas, Some(3));
    }

    #[test]
    fn a_broker_that_cannot_be_read_is_kept_and_names_the_field() {
        let metadata = json!({"name": "trading", "namespace": "markets", "generation": 3});
        let broker = kept(&json!({"metadata": metadata, "spec": {"drain": {"deadline": 5}}}));
        assert_eq!(broker.meta().generation, Some(3));
        let Err(Unreadable::Field(FieldError { field, .. })) = broker.read() else { panic!("it was read") };
        assert_eq!(field, "spec.drain.deadline");
        assert!(kept(&json!({"metadata": metadata})).read().unwrap_err().to_string().contains("missing field `spec`"));
    }
}

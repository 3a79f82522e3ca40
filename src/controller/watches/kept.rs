//! A StompBroker as it is kept between passes (pure): of its metadata what is looked at, the rest packed as the API server sent it.
//! A pass reads it again; meanwhile it needs a quarter of the room.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use serde_json::Value;

use super::{
    packed::Packed,
    seen::{Seen, Shape},
    shapes::{BrokerShape, Metadata},
};
use crate::{
    api::{REVERT_CREDENTIALS, ROTATE_CREDENTIALS, StompBroker},
    typed::{self, FieldError},
};

/// A StompBroker, readable or not. One that cannot be read must not harm the others.
pub(crate) type KeptBroker = Seen<BrokerShape>;

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
        let text = self.kept.text().ok_or(Unreadable::Spoilt)?;
        let mut broker = match serde_json::from_str::<StompBroker>(&text) {
            Ok(broker) => broker,
            Err(_) => locate(&text)?,
        };
        broker.metadata = self.meta().clone();
        Ok(broker)
    }
}

/// Reads again, more slowly, for the name of the field.
fn locate(text: &str) -> Result<StompBroker, Unreadable> {
    let value: Value = serde_json::from_str(text).map_err(|_| Unreadable::Spoilt)?;
    Ok(typed::read(&value)?)
}

impl Shape for BrokerShape {
    type Kept = Packed;
    type Kind = StompBroker;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn identity(&self) -> ObjectMeta {
        let Metadata { name, namespace, uid, resource_version, generation, deletion_timestamp, annotations, .. } =
            self.metadata.clone();
        let ours = |name: &String| [ROTATE_CREDENTIALS, REVERT_CREDENTIALS].contains(&name.as_str());
        let annotations: BTreeMap<_, _> = annotations.into_iter().flatten().filter(|(name, _)| ours(name)).collect();
        ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            deletion_timestamp,
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }
    }

    fn kept(self) -> Packed {
        let mut text = r#"{"metadata":{}"#.to_owned();
        for (name, value) in [("spec", self.spec), ("status", self.status)] {
            if let Some(value) = value {
                text.extend([",\"", name, "\":", value.get()]);
            }
        }
        text.push('}');
        Packed::new(&text)
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

//! Metadata that all children share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::labels;
use crate::validate::{Pool, ValidatedBroker};

/// Metadata of a child called `name` that all pools share.
pub(super) fn shared(broker: &ValidatedBroker, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(broker.namespace.clone()),
        labels: Some(labels::common(&broker.name)),
        owner_references: broker.owner.clone().map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Metadata of a child that has the broker's name and annotations of the user's.
pub(super) fn annotated(broker: &ValidatedBroker, annotations: &BTreeMap<String, String>) -> ObjectMeta {
    let annotations = Some(annotations.clone()).filter(|all| !all.is_empty());
    ObjectMeta { annotations, ..shared(broker, broker.name.as_str()) }
}

/// Metadata of a child called `name` that is there for NATS servers.
pub(super) fn nats(broker: &ValidatedBroker, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta { labels: Some(labels::nats_common(&broker.name)), ..shared(broker, name) }
}

/// Metadata of a child of one pool, which has the pool's name.
pub(super) fn of_pool(broker: &ValidatedBroker, pool: &Pool) -> ObjectMeta {
    let mut metadata = shared(broker, pool.name.as_str());
    if let Some(labels) = &mut metadata.labels {
        labels.insert(labels::ZONE.to_owned(), zone_label(pool));
    }
    metadata
}

/// Value of the label [`labels::ZONE`].
pub(super) fn zone_label(pool: &Pool) -> String {
    pool.zone.clone().unwrap_or_default()
}

/// Selects all pods of the broker.
pub(super) fn all_pods(broker: &ValidatedBroker) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::selector(&broker.name)), match_expressions: None }
}

/// Selects all NATS servers of the broker.
pub(super) fn all_nats(broker: &ValidatedBroker) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::nats_selector(&broker.name)), match_expressions: None }
}

/// Selects the pods of one pool; never changes, for a Deployment's selector cannot.
pub(super) fn pods_of_pool(broker: &ValidatedBroker, pool: &Pool) -> LabelSelector {
    let mut selector = labels::selector(&broker.name);
    selector.insert(labels::ZONE.to_owned(), zone_label(pool));
    LabelSelector { match_labels: Some(selector), match_expressions: None }
}

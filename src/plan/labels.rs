//! Labels of children and pods. The user's own labels and annotations are never copied.

use std::collections::BTreeMap;

/// Product that an object is part of the installation of.
pub const NAME: &str = "app.kubernetes.io/name";
/// The `StompBroker` that an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Role of the object in the product.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who writes the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The larger product.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Zone of a pod and its Deployment; empty without zones.
pub const ZONE: &str = "stompbroker.dev/zone";
/// On a namespace, with the value `true`: its pods may reach the admin ports, for example Prometheus.
pub const MONITORING: &str = "stompbroker.dev/monitoring";

/// Value of [`NAME`] and [`PART_OF`].
pub const PRODUCT: &str = "stompbroker";
/// Value of [`COMPONENT`] of everything that a `StompBroker` has.
pub const BROKER: &str = "broker";

/// Value of [`NAME`] and [`COMPONENT`] of the NATS servers that the operator runs, and of what is there for them.
pub const NATS: &str = "nats";

/// Labels of every child.
pub fn common(broker: &str) -> BTreeMap<String, String> {
    managed(selector(broker))
}

/// Labels of what is there for NATS servers.
pub fn nats_common(broker: &str) -> BTreeMap<String, String> {
    managed(nats_selector(broker))
}

fn managed(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.insert(MANAGED_BY.to_owned(), crate::FIELD_MANAGER.to_owned());
    labels.insert(PART_OF.to_owned(), PRODUCT.to_owned());
    labels
}

/// Labels by which all pods of a broker are selected; they never change.
pub fn selector(broker: &str) -> BTreeMap<String, String> {
    select(PRODUCT, broker, BROKER)
}

/// Labels by which all NATS servers of a broker are selected; they never change.
pub fn nats_selector(broker: &str) -> BTreeMap<String, String> {
    select(NATS, broker, NATS)
}

fn select(name: &str, broker: &str, component: &str) -> BTreeMap<String, String> {
    [(NAME, name), (INSTANCE, broker), (COMPONENT, component)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The labels as a text that `kubectl -l` and `/scale` understand.
pub fn to_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

//! ConfigMap: the `broker.yaml` of a pool.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{metadata, names};
use crate::validate::{Pool, ValidatedBroker};

/// The ConfigMap that carries `yaml`. Pods follow its changes; it is not in the pod template.
pub(super) fn config_map(broker: &ValidatedBroker, pool: &Pool, yaml: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata::of_pool(broker, pool),
        data: Some(BTreeMap::from([(names::CONFIG_KEY.to_owned(), yaml)])),
        ..ConfigMap::default()
    }
}

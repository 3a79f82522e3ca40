//! PersistentVolumeClaim: what the one pod of the embedded engine keeps over restarts.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::metadata;
use crate::{
    api::Persistence,
    validate::{Engine, Pool, PoolSize, ValidatedBroker},
};

/// The persistence of the pods of `pool`, where they have one. A zone without a pod needs no volume.
pub(super) fn persistence<'a>(broker: &'a ValidatedBroker, pool: &Pool) -> Option<&'a Persistence> {
    match &broker.engine {
        Engine::Embedded(embedded) if pool.size != PoolSize::Fixed(0) => embedded.persistence.as_ref(),
        Engine::Embedded(_) | Engine::Relay(_) | Engine::JetStream(_) => None,
    }
}

/// The claim of `pool`, which has the pool's name. It has no owner, so that the messages do not go with the StompBroker.
pub(super) fn persistent_volume_claim(broker: &ValidatedBroker, pool: &Pool) -> Option<PersistentVolumeClaim> {
    let Persistence { size, storage_class_name } = persistence(broker, pool)?;
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.to_string()))]);
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta { owner_references: None, ..metadata::of_pool(broker, pool) },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
            storage_class_name: storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

//! The one volume of a pod: configuration and Secrets together, so that they change together.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeProjection,
};

use super::names;
use crate::validate::{Engine, LOGIN_KEYS, Pool, ValidatedBroker};

/// Name of the volume.
pub(super) const NAME: &str = "configuration";
/// Readable by the broker's group, by nobody else.
const MODE: i32 = 0o440;

/// The volume of the pods of `pool`. The kubelet brings changes of its sources to running pods.
pub(super) fn volume(broker: &ValidatedBroker, pool: &Pool) -> Volume {
    let admin = names::admin_secret(&broker.name);
    let mut sources = vec![
        config(&pool.name),
        secret(&admin, names::ADMIN_FOLDER, &[names::ADMIN_TOKEN_KEY]),
        secret(broker.system_credential.secret_name(), names::SYSTEM_FOLDER, &LOGIN_KEYS),
        secret(broker.client_credential.secret_name(), names::CLIENT_FOLDER, &LOGIN_KEYS),
    ];
    if let Engine::Relay(relay) = &broker.engine {
        sources.push(secret(&relay.system_credentials.secret_name, names::RELAY_SYSTEM_FOLDER, &LOGIN_KEYS));
        sources.push(secret(&relay.client_credentials.secret_name, names::RELAY_CLIENT_FOLDER, &LOGIN_KEYS));
    }
    Volume {
        name: NAME.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources) }),
        ..Volume::default()
    }
}

fn config(name: &str) -> VolumeProjection {
    let item = KeyToPath { key: names::CONFIG_KEY.to_owned(), path: names::CONFIG_KEY.to_owned(), mode: None };
    VolumeProjection {
        config_map: Some(ConfigMapProjection { name: name.to_owned(), items: Some(vec![item]), optional: None }),
        ..VolumeProjection::default()
    }
}

/// The `keys` of a Secret as files of the same names in `folder`.
fn secret(name: &str, folder: &str, keys: &[&str]) -> VolumeProjection {
    let item = |key: &&str| KeyToPath { key: (*key).to_owned(), path: format!("{folder}/{key}"), mode: None };
    VolumeProjection {
        secret: Some(SecretProjection {
            name: name.to_owned(),
            items: Some(keys.iter().map(item).collect()),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

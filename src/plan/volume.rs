//! The volumes of a pod: configuration and Secrets in one, so that they change together, and the store where there is one.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretProjection, Volume,
    VolumeMount, VolumeProjection,
};

use super::{names, persistent_volume_claim::persistence};
use crate::{
    api::{Application, ExternalNats, ListenerTls, NatsLogin, UpstreamTls},
    validate::{
        APPLICATION_KEYS, CA_KEYS, Engine, JWKS_KEYS, LOGIN_KEYS, Pool, TLS_KEYS, USERS_KEYS, ValidatedBroker,
        further_login_keys, nats_login_keys,
    },
};

/// Name of the volume with configuration and Secrets.
const CONFIGURATION: &str = "configuration";
/// Name of the volume of the store.
const STORE: &str = "store";
/// Readable by the broker's group, by nobody else.
const MODE: i32 = 0o440;

/// The volumes of the pods of `pool`.
pub(super) fn volumes(broker: &ValidatedBroker, pool: &Pool) -> Vec<Volume> {
    let store = persistence(broker, pool).map(|_| Volume {
        name: STORE.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: pool.name.clone(),
            read_only: None,
        }),
        ..Volume::default()
    });
    [configuration(broker, pool)].into_iter().chain(store).collect()
}

/// Where the container finds the [`volumes`].
pub(super) fn mounts(broker: &ValidatedBroker, pool: &Pool) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let store = persistence(broker, pool).map(|_| mount(STORE, names::STORE_PATH, None));
    [mount(CONFIGURATION, names::MOUNT_PATH, Some(true))].into_iter().chain(store).collect()
}

/// Configuration and Secrets. The kubelet brings changes of the sources to running pods.
fn configuration(broker: &ValidatedBroker, pool: &Pool) -> Volume {
    let admin = names::admin_secret(&broker.name);
    let mut sources = vec![config(&pool.name), secret(&admin, names::ADMIN_FOLDER, &[names::ADMIN_TOKEN_KEY])];
    for (credential, folder) in
        [(&broker.system_credential, names::SYSTEM_FOLDER), (&broker.client_credential, names::CLIENT_FOLDER)]
    {
        let further: Vec<_> = further_login_keys().collect();
        sources.push(secret(&credential.secret_name, folder, &LOGIN_KEYS));
        sources.push(optional(secret(&credential.secret_name, folder, &further)));
    }
    if let Engine::Relay(relay) = &broker.engine {
        let logins =
            [(relay.system_secret(), names::RELAY_SYSTEM_FOLDER), (relay.client_secret(), names::RELAY_CLIENT_FOLDER)];
        sources.extend(logins.into_iter().filter_map(|(name, folder)| Some(secret(&name?, folder, &LOGIN_KEYS))));
        sources.extend(relay.tls.iter().flat_map(upstream_certificates));
    }
    if let Engine::JetStream(engine) = &broker.engine {
        sources.extend(engine.external.iter().flat_map(nats));
        sources.extend(engine.managed.iter().flat_map(|_| managed_nats(&names::nats(&broker.name))));
    }
    sources.extend(broker.listeners.tls().flat_map(|(listener, tls)| {
        let folder = if listener == "stomp" { names::STOMP_TLS_FOLDER } else { names::WEBSOCKET_TLS_FOLDER };
        certificates(&names::listener_secret(&broker.name, listener, tls), tls, folder)
    }));
    let authentication = &broker.authentication;
    sources
        .extend(authentication.users.iter().map(|users| secret(&users.secret_name, names::USERS_FOLDER, &USERS_KEYS)));
    sources.extend(authentication.jwt.iter().enumerate().filter_map(|(index, issuer)| {
        Some(secret(issuer.jwks_secret_name.as_ref()?, &names::issuer_folder(index), &JWKS_KEYS))
    }));
    sources.extend(broker.spec.applications.iter().flat_map(application));
    Volume {
        name: CONFIGURATION.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources) }),
        ..Volume::default()
    }
}

/// What requests to an application are trusted by, both ways.
fn application(application: &Application) -> impl Iterator<Item = VolumeProjection> + use<> {
    let folder = names::application_folder(&application.name);
    let signature = application.signature.as_ref();
    let signature = signature.map(|signature| secret(&signature.secret_name, &folder, &APPLICATION_KEYS));
    let tls = application.tls.as_ref();
    let tls = tls.map(|tls| shown_upstream(tls.ca_secret_name.as_ref(), tls.certificate_secret_name.as_ref(), &folder));
    signature.into_iter().chain(tls.into_iter().flatten())
}

/// What pods log in to NATS with, and its certificates.
fn nats(external: &ExternalNats) -> Vec<VolumeProjection> {
    let login = external.credentials.iter();
    let login = login.map(|login| secret(&login.secret_name, names::NATS_FOLDER, nats_login_keys(login.kind)));
    let tls = external.tls.iter();
    let tls = tls.flat_map(|tls| {
        shown_upstream(tls.ca_secret_name.as_ref(), tls.certificate_secret_name.as_ref(), names::NATS_TLS_FOLDER)
    });
    login.chain(tls).collect()
}

/// The same for NATS that the operator runs: one Secret has it all.
fn managed_nats(secret_name: &str) -> [VolumeProjection; 2] {
    [
        secret(secret_name, names::NATS_FOLDER, nats_login_keys(NatsLogin::NKey)),
        secret(secret_name, names::NATS_TLS_FOLDER, &CA_KEYS),
    ]
}

/// The same, whether the Secret has these keys or not.
fn optional(mut projection: VolumeProjection) -> VolumeProjection {
    if let Some(secret) = &mut projection.secret {
        secret.optional = Some(true);
    }
    projection
}

/// The certificate of a listener, and the authorities of its clients.
fn certificates(name: &str, tls: &ListenerTls, folder: &str) -> impl Iterator<Item = VolumeProjection> + use<> {
    let clients = tls.client_certificates.as_ref().map(|clients| secret(&clients.secret_name, folder, &CA_KEYS));
    std::iter::once(secret(name, folder, &TLS_KEYS)).chain(clients)
}

/// The authorities of upstreams, and the certificate that is shown to them.
fn upstream_certificates(tls: &UpstreamTls) -> impl Iterator<Item = VolumeProjection> + use<> {
    shown_upstream(tls.ca_secret_name.as_ref(), tls.certificate_secret_name.as_ref(), names::RELAY_TLS_FOLDER)
}

/// Authorities to trust, and a certificate to show, as files in `folder`.
fn shown_upstream(
    authorities: Option<&String>,
    certificate: Option<&String>,
    folder: &str,
) -> impl Iterator<Item = VolumeProjection> + use<> {
    let authorities = authorities.map(|name| secret(name, folder, &CA_KEYS));
    authorities.into_iter().chain(certificate.map(|name| secret(name, folder, &TLS_KEYS)))
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

//! The Secret of NATS servers: certificates, who may log in, and what brokers log in with. No value leaves this file.
//!
//! As with other generated Secrets it is created only after the API server has said by name that there is none. Its values are
//! no part of any desired state: a certificate that ends soon is replaced by a write that names the version that was looked at.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use nkeys::{KeyPair, KeyPairType};
use rand::{TryRngCore as _, rngs::OsRng};
use serde_json::json;
use tracing::info;

use super::apply::Pass;
use crate::{
    FIELD_MANAGER,
    controller::{kinds::ChildKind, memory::GeneratedSight, watches::views::ChildEntry},
    error::Error,
    observed::SecretView,
    pki::{self, NatsCertificates},
    plan::nats::{
        ACCOUNTS_KEY, CA_KEY, CA_PRIVATE_KEY, CERTIFICATE_KEY, NatsSecret, PRIVATE_KEY, RENEWAL_KEY, SECRET_KEYS,
        SEED_KEY,
    },
    random,
};

type Data = BTreeMap<String, ByteString>;

/// What a pass may know of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsSight {
    /// The servers' certificate, which everybody may see.
    certificate: Vec<u8>,
    /// See [`RENEWAL_KEY`].
    pub(crate) renewal: String,
}

impl NatsSight {
    pub(super) fn of(secret: &Secret) -> Self {
        let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone());
        Self {
            certificate: value(CERTIFICATE_KEY).unwrap_or_default(),
            renewal: String::from_utf8_lossy(&value(RENEWAL_KEY).unwrap_or_default()).into_owned(),
        }
    }
}

/// Creates the Secret, or renews the certificate, or keeps current what is no secret of it.
pub(super) async fn apply(
    pass: &mut Pass<'_>,
    secret: &NatsSecret,
    seen: Option<&GeneratedSight>,
    now: Timestamp,
) -> Result<(), Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let fixed = secret.without_values();
    let Some(seen) = seen else {
        return Err(Error::SecretUnreadable { name, why: "it was not looked at".to_owned() });
    };
    match &seen.view {
        SecretView::Missing => create(pass, secret, &fixed, now).await,
        SecretView::Unreadable(why) => Err(Error::SecretUnreadable { name, why: why.clone() }),
        SecretView::Present(keys) => {
            if let Some(key) = SECRET_KEYS.into_iter().find(|key| !keys.contains(*key)) {
                return Err(Error::SecretKeyLost { name, key });
            }
            let is_current = |sight: &NatsSight| pki::is_current(&sight.certificate, &secret.hosts, now);
            if !seen.nats.as_ref().is_some_and(is_current) {
                return renew(pass, secret, &name, now).await;
            }
            pass.one(&fixed, seen.entry.as_ref()).await
        }
    }
}

/// Certificates by the authority with this key, or by a new one.
fn certificates(secret: &NatsSecret, authority_key: Option<&str>, now: Timestamp) -> Result<Data, Error> {
    let broker = format!("{}/{}", text(secret.metadata.namespace.as_ref()), text(secret.metadata.name.as_ref()));
    let made = NatsCertificates::make(&broker, &secret.hosts, authority_key, now);
    let NatsCertificates { authority, authority_key, server, server_key } = made.map_err(Error::Certificate)?;
    let values =
        [(CA_KEY, authority), (CA_PRIVATE_KEY, authority_key), (CERTIFICATE_KEY, server), (PRIVATE_KEY, server_key)];
    Ok(values.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect())
}

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

async fn create(pass: &mut Pass<'_>, secret: &NatsSecret, fixed: &Secret, now: Timestamp) -> Result<(), Error> {
    let mut data = certificates(secret, None, now)?;
    let mut entropy = [0; 32];
    OsRng.try_fill_bytes(&mut entropy).map_err(Error::Random)?;
    let login = KeyPair::new_from_raw(KeyPairType::User, entropy).map_err(Error::NKey)?;
    let seed = login.seed().map_err(Error::NKey)?;
    // The servers learn only what the brokers' login is proven by.
    let accounts = format!(
        "accounts {{\n  STOMPBROKER {{\n    jetstream: enabled\n    users: [{{nkey: {}}}]\n  }}\n}}\n",
        login.public_key()
    );
    let mut values = vec![(SEED_KEY, seed), (ACCOUNTS_KEY, accounts)];
    if secret.has_servers {
        // They know another authority and another login.
        values.push((RENEWAL_KEY, random::value().map_err(Error::Random)?));
    }
    data.extend(values.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))));
    let created = pass.create(&Secret { data: Some(data), ..fixed.clone() }).await?;
    // Applied at once as well, so that the next life of the operator finds nothing to write.
    pass.one(fixed, Some(&ChildEntry::from_meta(&created.metadata))).await
}

/// Replaces the servers' certificate. The next pass sees it, and has the servers replaced one after the other.
async fn renew(pass: &mut Pass<'_>, secret: &NatsSecret, name: &str, now: Timestamp) -> Result<(), Error> {
    pass.outcome.wanted.insert((ChildKind::Secret, name.to_owned()));
    let api: Api<Secret> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let live = api.get(name).await;
    let live = live.map_err(|source| Error::Observe { kind: "Secret", name: name.to_owned(), source })?;
    let key = live.data.as_ref().and_then(|data| data.get(CA_PRIVATE_KEY)).map(|key| key.0.as_slice());
    let key = key.and_then(|key| std::str::from_utf8(key).ok());
    let mut data = certificates(secret, Some(key.unwrap_or_default()), now)?;
    data.insert(RENEWAL_KEY.to_owned(), ByteString(random::value().map_err(Error::Random)?.into_bytes()));
    pass.check_managed()?;
    // No server-side apply: what is applied later without these values would take them away.
    let patch = json!({"metadata": {"resourceVersion": live.metadata.resource_version}, "data": data});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(name, &parameters, &Patch::Merge(patch)).await {
        Ok(_) => info!(name, "renewed the certificate of NATS servers"),
        Err(kube::Error::Api(status)) if status.is_conflict() => {}
        Err(source) => return Err(Error::Apply { kind: "Secret", name: name.to_owned(), source }),
    }
    pass.outcome.outdated = true;
    pass.forget_secrets();
    Ok(())
}

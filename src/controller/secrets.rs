//! Secrets whose values are made once.
//!
//! A Secret is created only after the API server has said by name that there is none, and by a request that fails if
//! there is one after all. What keeps it current owns the keys that are no secrets, and never the random ones. No value
//! leaves this file.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::PostParams};
use tracing::info;

use super::{apply::Pass, kinds::Child as _, memory::GeneratedSight};
use crate::{FIELD_MANAGER, error::Error, observed::SecretView, plan::GeneratedSecret, random};

/// Creates `secret`, or keeps current what is no secret of it.
pub(super) async fn apply(
    pass: &mut Pass<'_>,
    secret: &GeneratedSecret,
    seen: Option<&GeneratedSight>,
) -> Result<(), Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let fixed = with(secret, bytes(&secret.fixed));
    match seen.map(|seen| &seen.view) {
        Some(SecretView::Present(keys)) => {
            if let Some(key) = secret.random.iter().find(|key| !keys.contains(**key)) {
                return Err(Error::SecretKeyLost { name, key });
            }
            pass.one(&fixed, seen.and_then(|seen| seen.entry.as_ref())).await
        }
        Some(SecretView::Missing) => create(pass, secret, &fixed).await,
        Some(SecretView::Unreadable(why)) => Err(Error::SecretUnreadable { name, why: why.clone() }),
        None => Err(Error::SecretUnreadable { name, why: "it was not looked at".to_owned() }),
    }
}

async fn create(pass: &mut Pass<'_>, secret: &GeneratedSecret, fixed: &Secret) -> Result<(), Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let mut data = bytes(&secret.fixed);
    for key in &secret.random {
        data.insert((*key).to_owned(), ByteString(random::value().map_err(Error::Random)?.into_bytes()));
    }
    let api: Api<Secret> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let created = api.create(&parameters, &with(secret, data)).await;
    let created = created.map_err(|source| Error::Apply { kind: "Secret", name: name.clone(), source })?;
    info!(kind = "Secret", name, "created");
    pass.created();
    // Applied at once as well, so that the next life of the operator finds nothing to write.
    pass.one(fixed, Some(&created.entry())).await
}

fn with(secret: &GeneratedSecret, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: secret.metadata.clone(),
        type_: Some(secret.type_.clone()),
        data: (!data.is_empty()).then_some(data),
        ..Secret::default()
    }
}

fn bytes(values: &BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    values.iter().map(|(key, value)| (key.clone(), ByteString(value.clone().into_bytes()))).collect()
}

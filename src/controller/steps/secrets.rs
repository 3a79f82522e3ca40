//! Secrets whose values are made once.
//!
//! A Secret is created only after the API server has said by name that there is none, and by a request that fails if
//! there is one after all. What keeps it current never owns the values, none of which leaves this file.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt as _;

use super::{
    apply::{Pass, fingerprint},
    logins,
};
use crate::{
    controller::{kinds::ChildKind, memory::GeneratedSight, watches::views::ChildEntry},
    error::Error,
    observed::SecretView,
    plan::GeneratedSecret,
    random,
};

/// Creates `secret`, or keeps current what is no secret of it.
pub(super) async fn apply(
    pass: &mut Pass<'_>,
    secret: &GeneratedSecret,
    seen: Option<&GeneratedSight>,
) -> Result<(), Error> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let fixed = secret.without_values();
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
    let mut data = BTreeMap::new();
    for key in &secret.random {
        data.insert((*key).to_owned(), ByteString(random::value().map_err(Error::Random)?.into_bytes()));
    }
    let created = pass.create(&Secret { data: Some(data), ..fixed.clone() }).await?;
    // Applied at once as well, so that the next life of the operator finds nothing to write.
    let entry = ChildEntry::from_meta(&created.metadata);
    let entry = pass.write(fixed, fingerprint(fixed)?, Some(&entry)).await?;
    pass.digest_key = logins::digest_key(&created);
    let name = created.name_any();
    pass.outcome.wanted.insert((ChildKind::Secret, name.clone()));
    pass.outcome.made.insert(name, GeneratedSight::of(&created, entry));
    Ok(())
}

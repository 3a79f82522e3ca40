//! Which kinds that not every cluster has the API server knows. Discovery needs no permission, and one answer is good for all
//! StompBrokers for some time.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use kube::Client;
use parking_lot::Mutex;

use crate::error::Error;

/// How long an answer is good for, and so how soon a kind that is installed later is found.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(15);

/// What was answered last, by group and version.
#[derive(Debug, Default)]
pub(crate) struct Apis(Mutex<HashMap<String, (Instant, BTreeSet<String>)>>);

impl Apis {
    /// Whether `kind` is known in `group_version`, such as `keda.sh/v1alpha1`.
    pub(crate) async fn knows(&self, client: &Client, group_version: &str, kind: &str) -> Result<bool, Error> {
        if let Some((at, kinds)) = self.0.lock().get(group_version)
            && at.elapsed() < GOOD_FOR
        {
            return Ok(kinds.contains(kind));
        }
        let kinds: BTreeSet<_> = match client.list_api_group_resources(group_version).await {
            Ok(list) => list.resources.into_iter().map(|resource| resource.kind).collect(),
            // In plain text, so that only the code says it.
            Err(kube::Error::Api(status)) if status.code == 404 => BTreeSet::new(),
            Err(source) => return Err(Error::Observe { kind: "API group", name: group_version.to_owned(), source }),
        };
        let known = kinds.contains(kind);
        self.0.lock().insert(group_version.to_owned(), (Instant::now(), kinds));
        Ok(known)
    }
}

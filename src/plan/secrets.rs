//! The Secret that is generated once: the admin token.

use super::{GeneratedSecret, metadata, names};
use crate::validate::ValidatedBroker;

/// The Secrets that are generated for `broker`, but for its logins.
pub(super) fn secrets(broker: &ValidatedBroker) -> Vec<GeneratedSecret> {
    vec![GeneratedSecret {
        metadata: metadata::shared(broker, names::admin_secret(&broker.name)),
        random: vec![names::ADMIN_TOKEN_KEY],
    }]
}

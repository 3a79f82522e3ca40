//! ServiceAccount: an identity of the pods' own, so that no right given to `default` reaches them.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;
use crate::validate::ValidatedBroker;

/// The pods' identity. Brokers do not talk to the API server, so there is no token.
pub(super) fn service_account(broker: &ValidatedBroker) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata::shared(broker, broker.name.as_str()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

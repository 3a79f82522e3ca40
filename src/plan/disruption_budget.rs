//! PodDisruptionBudget: how many pods may be evicted at once.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata;
use crate::validate::ValidatedBroker;

/// One pod at a time over all zones. `maxUnavailable` also lets the only pod of a broker go, where `minAvailable: 1` would
/// block the drain of its node for ever; a pod that is broken anyway may always go.
pub(super) fn disruption_budget(broker: &ValidatedBroker) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata::shared(broker, broker.name.as_str()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::all_pods(broker)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

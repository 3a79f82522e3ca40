//! Where the pods of a pool may run.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, TopologySpreadConstraint,
};

use super::metadata;
use crate::validate::{Pool, ValidatedBroker};

/// Label of nodes: their zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Label of nodes: their name.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label that the Deployment controller gives the pods of one template.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Keeps pods in their zone.
pub(super) fn affinity(zone: Option<&str>) -> Option<Affinity> {
    let in_zone = NodeSelectorRequirement {
        key: ZONE.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![zone?.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![in_zone]), match_fields: None };
    Some(Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            preferred_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    })
}

/// Spreads the pods over nodes, and over whatever zones there are when the spec names none. Old and new pods of a rollout are
/// counted apart.
pub(super) fn spread(broker: &ValidatedBroker, pool: &Pool) -> Vec<TopologySpreadConstraint> {
    over_nodes(pool.zone.is_some(), || TopologySpreadConstraint {
        label_selector: Some(metadata::pods_of_pool(broker, pool)),
        match_label_keys: Some(vec![TEMPLATE_HASH.to_owned()]),
        ..TopologySpreadConstraint::default()
    })
}

/// Spreads `pods` as above. A preference: a pod that shares a node is better than none.
pub(super) fn over_nodes(zoned: bool, pods: impl Fn() -> TopologySpreadConstraint) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..pods()
    };
    if zoned { vec![over(HOSTNAME)] } else { vec![over(ZONE), over(HOSTNAME)] }
}

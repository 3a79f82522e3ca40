//! What the operator may do, and why. The chart's roles are checked against this table, and so is every request that the
//! tests see; a right that none of them uses fails `tests/rights_used.rs`.

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In every namespace that is watched: a ClusterRole, or a Role in each of them.
    Watched,
    /// In the namespace that the operator runs in: a Role.
    Own,
    /// Over the cluster, where the chart is installed with `customMetrics.enabled`: a ClusterRole for one APIService.
    CustomMetrics,
    /// In the namespace that the operator runs in, with `customMetrics.enabled`: a Role for one Secret.
    CustomMetricsSecret,
    /// In `kube-system`, with `customMetrics.enabled`: the Role that every cluster has for this.
    Authentication,
}

/// Rights on one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Plural of the kind, with the subresource.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// Where.
    pub place: Place,
    /// What it is needed for.
    pub why: &'static str,
}

/// Of a kind of children whose every object is watched, applied and pruned.
const CHILD: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const CHILD_WHY: &str =
    "a child: server-side apply (create, patch), drift (list, watch), names in use (get), prune (delete)";

/// Every right that the operator needs, and no other.
pub const RIGHTS: &[Right] = &[
    Right {
        group: "stompbroker.dev",
        resource: "stompbrokers",
        verbs: &["list", "watch"],
        place: Place::Watched,
        why: "what is asked for; never written",
    },
    Right {
        group: "stompbroker.dev",
        resource: "stompbrokers/status",
        verbs: &["get", "patch"],
        place: Place::Watched,
        why: "what is reported; get for an object that cannot be read, and before a child is made",
    },
    child("", "serviceaccounts"),
    child("", "configmaps"),
    child("", "services"),
    child("networking.k8s.io", "networkpolicies"),
    child("networking.k8s.io", "ingresses"),
    child("policy", "poddisruptionbudgets"),
    child("apps", "deployments"),
    child("apps", "statefulsets"),
    child("autoscaling", "horizontalpodautoscalers"),
    Right {
        group: "keda.sh",
        resource: "scaledobjects",
        verbs: &["get", "create", "patch", "delete"],
        place: Place::Watched,
        why: "a child with the autoscaling mode Keda: server-side apply (create, patch), prune (delete), by name only",
    },
    Right {
        group: "cert-manager.io",
        resource: "certificates",
        verbs: &["get", "create", "patch", "delete"],
        place: Place::Watched,
        why: "a child with issuerRef: server-side apply (create, patch), what cert-manager says (get), prune (delete), by name only",
    },
    Right { resource: "httproutes", ..ROUTES },
    Right { resource: "tlsroutes", ..ROUTES },
    Right {
        group: "",
        resource: "secrets",
        verbs: &["get", "create", "patch"],
        place: Place::Watched,
        why: "logins that are referenced (get) or generated (create, patch); by name only, never listed",
    },
    Right {
        group: "",
        resource: "persistentvolumeclaims",
        verbs: &["get", "create", "patch"],
        place: Place::Watched,
        why: "volumes of persistent messages: server-side apply (create, patch), by name only; never deleted",
    },
    Right {
        group: "",
        resource: "pods",
        verbs: &["list", "watch", "patch"],
        place: Place::Watched,
        why: "where the admin ports are, and why a pod does not run; patch for the annotation that says which pods go first",
    },
    Right {
        group: "",
        resource: "pods/eviction",
        verbs: &["create"],
        place: Place::Watched,
        why: "NATS servers to be replaced, one at a time: the API server refuses what their disruption budget does not allow",
    },
    Right {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create", "patch"],
        place: Place::Watched,
        why: "events on StompBrokers; patch for one that repeats",
    },
    Right {
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["get", "create", "update"],
        place: Place::Own,
        why: "leader election",
    },
    Right {
        group: "authorization.k8s.io",
        resource: "subjectaccessreviews",
        verbs: &["create"],
        place: Place::CustomMetrics,
        why: "whether who asks for a custom metric may get it",
    },
    Right {
        group: "apiregistration.k8s.io",
        resource: "apiservices",
        verbs: &["get", "patch"],
        place: Place::CustomMetrics,
        why: "the authority of the serving certificates, for kube-apiserver; by name only",
    },
    Right {
        group: "",
        resource: "secrets",
        verbs: &["get", "update"],
        place: Place::CustomMetricsSecret,
        why: "the key of that authority; by name only",
    },
    Right {
        group: "",
        resource: "configmaps",
        verbs: &["get"],
        place: Place::Authentication,
        why: "which certificate kube-apiserver shows, and how it says for whom it asks; by name only",
    },
];

/// On routes of Gateway API.
const ROUTES: Right = Right {
    group: crate::plan::gateway::GROUP,
    resource: "",
    verbs: &["get", "create", "patch", "delete"],
    place: Place::Watched,
    why: "a child with spec.exposure: server-side apply (create, patch), what gateways say (get), prune (delete), by name only",
};

const fn child(group: &'static str, resource: &'static str) -> Right {
    Right { group, resource, verbs: CHILD, place: Place::Watched, why: CHILD_WHY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_listed_watched_or_deleted() {
        let secrets = RIGHTS.iter().find(|right| right.resource == "secrets").unwrap();
        assert_eq!(secrets.verbs, ["get", "create", "patch"]);
    }

    #[test]
    fn nothing_is_done_inside_of_containers_or_to_nodes() {
        let never = ["nodes", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy"];
        assert!(!RIGHTS.iter().any(|right| never.contains(&right.resource)));
    }

    #[test]
    fn volumes_are_never_deleted() {
        let claims = RIGHTS.iter().find(|right| right.resource == "persistentvolumeclaims").unwrap();
        assert_eq!(claims.verbs, ["get", "create", "patch"]);
    }

    #[test]
    fn no_right_is_a_wildcard_or_said_twice() {
        for (index, right) in RIGHTS.iter().enumerate() {
            assert!(!right.resource.contains('*') && !right.verbs.contains(&"*"), "{right:?}");
            let key = |right: &Right| (right.group, right.resource, right.place);
            let same = |other: &Right| key(other) == key(right);
            assert!(!RIGHTS[index + 1..].iter().any(same), "{right:?}");
        }
    }
}

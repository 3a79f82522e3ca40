//! What the chart lets the operator do is what the operator needs, no less and no more.
//!
//! Reads the chart as rendered in `tests/golden/chart`, which `make lint` keeps current.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step ends its test")]

use std::{collections::BTreeSet, fs, path::Path};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use stompbroker_operator::{
    plan::{MESSAGES_PER_SECOND, SESSIONS},
    rbac::{Place, RIGHTS},
};

/// (group, resource, verb)
type Rights = BTreeSet<(String, String, String)>;

fn rendered(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The rights of the role of this kind in this namespace.
fn granted(objects: &[Value], kind: &str, name: &str, namespace: Option<&str>) -> Rights {
    let role = objects
        .iter()
        .find(|object| {
            object["kind"] == kind
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"].as_str() == namespace
        })
        .unwrap_or_else(|| panic!("the chart has no {kind} {name} in {namespace:?}"));
    let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
    let mut rights = Rights::new();
    for rule in rules {
        assert_eq!(rule.resource_names.is_some(), by_name(&rule), "{rule:?}");
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let right = (group.clone(), resource.clone(), verb.clone());
                    assert!(rights.insert(right.clone()), "{right:?} is granted twice");
                }
            }
        }
    }
    rights
}

/// What may be done to a single object only.
fn by_name(rule: &PolicyRule) -> bool {
    let one = |of: &Option<Vec<String>>| of.as_ref().and_then(|of| of.first().cloned()).unwrap_or_default();
    one(&rule.resources) == "apiservices"
        || (one(&rule.resources) == "secrets" && rule.verbs.contains(&"update".to_owned()))
}

fn needed(place: Place) -> Rights {
    RIGHTS
        .iter()
        .filter(|right| right.place == place)
        .flat_map(|right| {
            right.verbs.iter().map(|verb| (right.group.to_owned(), right.resource.to_owned(), (*verb).to_owned()))
        })
        .collect()
}

#[test]
fn over_the_whole_cluster_the_chart_grants_what_is_needed() {
    let objects = rendered("default.yaml");
    assert_eq!(granted(&objects, "ClusterRole", "stompbroker-operator", None), needed(Place::Watched));
}

#[test]
fn in_chosen_namespaces_the_chart_grants_the_same_and_nothing_over_the_cluster() {
    let objects = rendered("two-namespaces.yaml");
    for namespace in ["markets", "back-office"] {
        let rights = granted(&objects, "Role", "stompbroker-operator", Some(namespace));
        assert_eq!(rights, needed(Place::Watched), "{namespace}");
    }
    let kinds: BTreeSet<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert!(!kinds.contains("ClusterRole") && !kinds.contains("ClusterRoleBinding"), "{kinds:?}");
}

#[test]
fn with_a_label_selector_nothing_outside_has_a_name_that_a_release_in_another_namespace_would_have() {
    let objects = rendered("labelled.yaml");
    let rights = granted(&objects, "Role", "stompbroker-operator-stompbroker-system", Some("markets"));
    assert_eq!(rights, needed(Place::Watched));
    let outside = objects.iter().filter(|object| object["metadata"]["namespace"] != "stompbroker-system");
    let names: Vec<_> = outside.map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
    assert!(names.len() >= 6, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("stompbroker-operator-stompbroker-system")), "{names:?}");
}

#[test]
fn with_chosen_namespaces_no_policy_has_a_name_that_a_release_in_another_namespace_would_have() {
    let objects = rendered("two-namespaces.yaml");
    let over_the_cluster = objects.iter().filter(|object| object["metadata"]["namespace"].is_null());
    let names: Vec<_> = over_the_cluster.map(|object| &object["metadata"]["name"]).collect();
    assert_eq!(names, ["stompbroker-operator-stompbroker-system-children"; 2]);
}

#[test]
fn policies_of_a_release_with_chosen_namespaces_hold_in_these_only() {
    let objects = rendered("labelled.yaml");
    let bindings: Vec<_> =
        objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicyBinding").collect();
    assert_eq!(bindings.len(), 2, "one of the children, one of the limits");
    for binding in bindings {
        let chosen = &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"];
        let expected = json!([{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["markets"]}]);
        assert_eq!(chosen, &expected, "{}", binding["metadata"]["name"]);
    }
}

/// Volumes hold the user's own messages. KEDA writes finalizers on its ScaledObjects, whatever its operator is called.
const UNPROTECTED: [(&str, &str); 2] = [("", "persistentvolumeclaims"), ("keda.sh", "scaledobjects")];

#[test]
fn what_the_operator_makes_is_protected_when_children_are() {
    let objects = rendered("admission.yaml");
    let policy = |object: &&Value| {
        object["kind"] == "ValidatingAdmissionPolicy"
            && object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-children"))
    };
    let policy = objects.iter().find(policy).unwrap();
    let mut protected = BTreeSet::new();
    for rule in policy["spec"]["matchConstraints"]["resourceRules"].as_array().unwrap() {
        for resource in rule["resources"].as_array().unwrap() {
            protected.insert((rule["apiGroups"][0].as_str().unwrap(), resource.as_str().unwrap()));
        }
    }
    let makes = RIGHTS.iter().filter(|right| right.place == Place::Watched && right.verbs.contains(&"create"));
    let made: BTreeSet<_> = makes.map(|right| (right.group, right.resource)).collect();
    let no_child = [("events.k8s.io", "events"), ("", "pods/eviction")];
    let expected = made.iter().copied().filter(|kind| !UNPROTECTED.contains(kind) && !no_child.contains(kind));
    assert_eq!(protected, expected.collect());
}

#[test]
fn leases_are_granted_where_the_operator_runs_and_nowhere_else() {
    let objects = rendered("default.yaml");
    let role = "stompbroker-operator-leader-election";
    assert_eq!(granted(&objects, "Role", role, Some("stompbroker-system")), needed(Place::Own));
}

#[test]
fn custom_metrics_need_a_secret_an_apiservice_and_who_may_ask_and_only_where_they_are_on() {
    let objects = rendered("custom-metrics.yaml");
    let name = "stompbroker-operator-custom-metrics";
    assert_eq!(granted(&objects, "ClusterRole", name, None), needed(Place::CustomMetrics));
    assert_eq!(granted(&objects, "Role", name, Some("stompbroker-system")), needed(Place::CustomMetricsSecret));
    let binding = objects.iter().find(|object| object["metadata"]["namespace"] == "kube-system").unwrap();
    assert_eq!(binding["roleRef"]["name"], "extension-apiserver-authentication-reader");
    for off in ["default.yaml", "two-namespaces.yaml"] {
        assert!(!rendered(off).iter().any(|object| object["metadata"]["name"] == name), "{off}");
    }
}

#[test]
fn the_autoscaler_of_the_cluster_may_read_the_metrics_that_are_served_and_nothing_else() {
    let objects = rendered("custom-metrics.yaml");
    let role = granted(&objects, "ClusterRole", "stompbroker-operator-custom-metrics-reader", None);
    let expected = [SESSIONS, MESSAGES_PER_SECOND]
        .map(|metric| ("custom.metrics.k8s.io".to_owned(), format!("pods/{metric}"), "get".to_owned()));
    assert_eq!(role, expected.into());
}

#[test]
fn every_role_is_bound_to_the_service_account_of_the_operator() {
    for file in ["default.yaml", "two-namespaces.yaml", "custom-metrics.yaml", "labelled.yaml"] {
        let objects = rendered(file);
        let ours = |object: &&Value| !object["metadata"]["name"].as_str().unwrap().ends_with("-reader");
        let roles =
            objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole").filter(ours);
        for role in roles {
            let binding = objects.iter().find(|object| {
                object["roleRef"]["kind"] == role["kind"]
                    && object["roleRef"]["name"] == role["metadata"]["name"]
                    && object["metadata"]["namespace"] == role["metadata"]["namespace"]
            });
            let subjects = &binding.unwrap_or_else(|| panic!("{} is not bound", role["metadata"]["name"]))["subjects"];
            let account = &objects.iter().find(|object| object["kind"] == "ServiceAccount").unwrap()["metadata"];
            assert_eq!(subjects.as_array().unwrap().len(), 1);
            assert_eq!(
                (&subjects[0]["kind"], &subjects[0]["name"], &subjects[0]["namespace"]),
                (&Value::from("ServiceAccount"), &account["name"], &account["namespace"])
            );
        }
    }
}

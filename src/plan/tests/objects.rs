//! What holds for every object.

use super::*;

#[test]
fn every_object_carries_our_labels_and_owner_and_nothing_of_the_users() {
    for object in everything(&relayed(", zones: [{name: a}, {name: b}], autoscaling: {maxReplicasPerZone: 3}")) {
        let metadata = &object["metadata"];
        let labels = &metadata["labels"];
        for (label, value) in [
            ("app.kubernetes.io/name", "stompbroker"),
            ("app.kubernetes.io/instance", "trading"),
            ("app.kubernetes.io/component", "broker"),
            ("app.kubernetes.io/managed-by", "stompbroker-operator"),
            ("app.kubernetes.io/part-of", "stompbroker"),
        ] {
            assert_eq!(labels[label], value, "{object}");
        }
        assert!(labels.get("argocd").is_none(), "{object}");
        let ours =
            |annotations: &Value| annotations.as_object().unwrap().keys().all(|key| key == super::super::REVISION);
        assert!(metadata.get("annotations").is_none_or(ours), "{object}");
        let owner = &metadata["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["controller"]), (&json!("StompBroker"), &json!(true)));
        assert!(owner.get("blockOwnerDeletion").is_none());
        assert_eq!(metadata["namespace"], "markets");
    }
}

#[test]
fn nothing_empty_is_sent_that_the_api_server_would_drop_and_count_as_a_change() {
    fn find_empty(path: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                assert!(!fields.is_empty(), "{path} is an empty object");
                fields.iter().for_each(|(name, value)| find_empty(&format!("{path}.{name}"), value));
            }
            Value::Array(items) => {
                assert!(!items.is_empty(), "{path} is an empty list");
                for item in items {
                    find_empty(path, item);
                }
            }
            Value::Null => panic!("{path} is null"),
            _ => {}
        }
    }
    for plan in [
        planned("{}"),
        planned("{resources: {}}"),
        relayed(", zones: [{name: a}]"),
        relayed(", autoscaling: {maxReplicasPerZone: 3}"),
    ] {
        for object in everything(&plan) {
            find_empty(object["kind"].as_str().unwrap(), &object);
        }
    }
}

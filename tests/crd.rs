//! The CustomResourceDefinition: the committed file is current, small, and nothing in it makes the API server complain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::fs;

use fixtures::{path, schema};
use serde_json::Value;
use stompbroker_operator::{
    api,
    cli::{CrdArgs, crd},
};

#[test]
fn the_committed_file_is_what_the_types_say() {
    let file = fs::read_to_string(path("crds/stompbrokers.yaml")).unwrap();
    let committed: Value = serde_saphyr::from_str(&file).unwrap();
    let current = serde_json::to_value(api::crd()).unwrap();
    assert_eq!(committed, current, "run `cargo run -p stompbroker-operator -- crd --output crds`");
}

#[test]
fn the_command_prints_what_it_writes() {
    let mut printed = Vec::new();
    crd(&CrdArgs { output: None }, &mut printed).unwrap();
    assert_eq!(String::from_utf8(printed).unwrap(), fs::read_to_string(path("crds/stompbrokers.yaml")).unwrap());
}

#[test]
fn it_fits_the_annotation_of_client_side_apply_with_room_to_spare() {
    let size = serde_json::to_vec(&api::crd()).unwrap().len();
    assert!(size < 200_000, "{size} octets");
}

#[test]
fn every_node_has_a_type_that_the_api_server_knows() {
    let mut nodes = 0;
    walk("", &schema(), &mut |path, node| {
        nodes += 1;
        let says = |extension: &str| node.get(extension) == Some(&Value::Bool(true));
        let any = says("x-kubernetes-int-or-string") || says("x-kubernetes-preserve-unknown-fields");
        let typed = node.get("type").is_some() || any;
        assert!(typed, "{path} has no type");
        let format = node.get("format").and_then(Value::as_str).unwrap_or_default();
        assert!(["", "int32", "int64", "date-time"].contains(&format), "{path} has format {format}");
        if node.get("type") == Some(&Value::from("array")) {
            assert!(node.get("x-kubernetes-list-type").is_some(), "{path} does not say how it is merged");
        }
    });
    assert!(nodes > 80, "{nodes}");
}

#[test]
fn every_field_is_described_and_bounded() {
    walk("", &schema()["properties"]["spec"], &mut |path, node| {
        let is_item = path.ends_with("[]") || path.ends_with("{}");
        assert!(is_item || path.is_empty() || node.get("description").is_some(), "{path} has no description");
        match node.get("type").and_then(Value::as_str) {
            Some("array") => assert!(node.get("maxItems").is_some(), "{path} has no maxItems"),
            Some("integer") => assert!(node.get("maximum").is_some(), "{path} has no maximum"),
            Some("string") => {
                assert!(node.get("maxLength").is_some() || node.get("enum").is_some(), "{path} has no maxLength");
            }
            _ => {}
        }
    });
}

#[test]
fn fields_with_alternatives_have_no_default_that_apply_would_merge_with() {
    let schema = schema();
    for field in ["engine", "listeners", "resources", "replicas", "zones", "authorization", "autoscaling"] {
        assert!(schema["properties"]["spec"]["properties"][field].get("default").is_none(), "{field}");
    }
}

#[test]
fn scale_reads_and_writes_fields_that_exist() {
    let crd = serde_json::to_value(api::crd()).unwrap();
    let scale = crd["spec"]["versions"][0]["subresources"]["scale"].clone();
    for (key, field) in [
        ("specReplicasPath", ".spec.replicas"),
        ("statusReplicasPath", ".status.replicas"),
        ("labelSelectorPath", ".status.selector"),
    ] {
        assert_eq!(scale[key], field);
        let pointer = field.replace('.', "/properties/");
        assert!(schema().pointer(&pointer).is_some(), "{field}");
    }
}

/// Calls `visit` for every node of a schema with its path.
fn walk(path: &str, node: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, node);
    for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if let Some(items) = node.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
    if let Some(values) = node.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, visit);
    }
}

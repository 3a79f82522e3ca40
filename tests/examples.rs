//! Every example is accepted by schema and operator, and leads to configurations that the broker loads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::fs;

use fixtures::{assume_references, examples, schema};
use kube::core::cel::Validator;
use serde_json::Value;
use stompbroker_config::Config;
use stompbroker_operator::{
    cli,
    plan::{self, Settings},
    validate::validate,
};

fn settings() -> Settings {
    Settings {
        image: "registry.example/stompbroker:1".to_owned(),
        nats_image: "registry.example/nats:2".to_owned(),
        operator_namespace: "operators".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        custom_metrics: true,
    }
}

#[test]
fn every_example_passes_the_rules_of_the_schema() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (name, file) in examples {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(file).unwrap()).unwrap();
        for document in documents.iter().filter(|document| document["kind"] == "StompBroker") {
            if let Err(errors) = Validator::new().validate(&schema(), document, None) {
                panic!("{name}: {errors}");
            }
        }
    }
}

#[test]
fn every_configuration_of_every_example_loads_in_the_broker() {
    for (name, file) in examples() {
        for mut broker in cli::brokers(&fs::read_to_string(file).unwrap()).unwrap() {
            broker.metadata.namespace = Some("markets".to_owned());
            let observed = assume_references(&broker);
            let validated = validate(&broker, &observed).unwrap();
            let plan = plan::plan(&validated, &observed, &settings()).unwrap();
            let texts: Vec<&String> =
                plan.objects.config_maps.iter().filter_map(|map| map.data.as_ref()?.get("broker.yaml")).collect();
            assert_eq!(texts.len(), validated.pools.len(), "{name}");
            for (text, pool) in texts.into_iter().zip(&validated.pools) {
                let config = Config::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
                assert_eq!(config.zone, pool.zone, "{name}");
                assert_eq!(plan.config_hashes[&pool.name], stompbroker_config::config_hash(text), "{name}");
            }
        }
    }
}

#[test]
fn every_example_begins_with_what_it_is_for() {
    for (name, file) in examples() {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("# "), "{name}");
    }
}

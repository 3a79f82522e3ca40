//! What holds for every spec that validation accepts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::collections::BTreeSet;

use fixtures::{assume_references, broker};
use proptest::prelude::*;
use serde_json::Value;
use stompbroker_config::Config;
use stompbroker_operator::{
    api::StompBroker,
    plan::{self, Plan, Settings},
    validate::{ValidatedBroker, validate},
};

fn planned(broker: &StompBroker) -> (ValidatedBroker, Plan) {
    let settings = Settings {
        image: "image".to_owned(),
        nats_image: "registry.example/nats:2".to_owned(),
        operator_namespace: "operators".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        custom_metrics: true,
    };
    let observed = assume_references(broker);
    let validated = validate(broker, &observed).unwrap();
    let plan = plan::plan(&validated, &observed, &settings).unwrap();
    (validated, plan)
}

/// A spec that is accepted, in YAML, and the number of pods it asks for when that is fixed.
fn spec() -> impl Strategy<Value = (String, Option<i32>)> {
    let zones = proptest::collection::btree_set("[a-z]([-a-z0-9]{0,8}[a-z0-9])?", 0..6);
    let listeners = prop_oneof![
        Just(""),
        Just(", listeners: {stomp: {port: 1024}}"),
        Just(", listeners: {websocket: {port: 65535, path: /, allowedOrigins: ['*']}}"),
    ];
    let upstreams = proptest::collection::btree_set("[a-z]{1,8}", 1..5);
    let size = prop_oneof![
        (0..50_i32).prop_map(|replicas| (format!(", replicas: {replicas}"), Some(replicas))),
        (1..9_i32, 0..9_i32).prop_map(|(min, more)| {
            let max = min + more;
            (format!(", autoscaling: {{minReplicasPerZone: {min}, maxReplicasPerZone: {max}}}"), None)
        }),
    ];
    let overrides = prop_oneof![
        Just(""),
        Just(
            ", overrides: [{target: {kind: Deployment}, patch: [{op: add, path: /spec/template/spec/containers/-, \
             value: {name: agent, image: agent}}, {op: add, path: /metadata/annotations/team, value: a}]}, \
             {target: {kind: ConfigMap}, patch: [{op: add, path: /metadata/labels/team, value: a}]}]"
        ),
    ];
    (zones, listeners, upstreams, size, any::<bool>(), 0..100_u32, overrides).prop_map(
        |(zones, listeners, upstreams, (size, pods), own_login, heartbeat, overrides)| {
            let zones: Vec<_> = zones.into_iter().map(|zone| format!("{{name: '{zone}'}}")).collect();
            let upstreams: Vec<_> = upstreams.into_iter().map(|host| format!("{{host: '{host}'}}")).collect();
            let credentials = if own_login { ", credentials: {client: {secretName: mine}}" } else { "" };
            let text = format!(
                "{{zones: [{}], engine: {{relay: {{upstreams: [{}], systemCredentials: {{secretName: s}}, \
                 clientCredentials: {{secretName: c}}}}}}{listeners}{credentials}{size}{overrides}, heartbeat: {heartbeat}ms}}",
                zones.join(", "),
                upstreams.join(", "),
            );
            (text, pods)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_spec_gives_the_same_octets_and_no_object_twice((text, _) in spec(), name in "[a-z][-a-z0-9]{0,33}[a-z0-9]") {
        let broker = broker(&name, &text);
        let yaml = planned(&broker).1.objects.to_yaml().unwrap();
        prop_assert_eq!(&yaml, &planned(&broker).1.objects.to_yaml().unwrap());
        let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
        let mut seen = BTreeSet::new();
        for document in documents {
            let (kind, name) = (document["kind"].to_string(), document["metadata"]["name"].as_str().unwrap().to_owned());
            prop_assert!(name.len() <= 63, "{}", name);
            prop_assert!(seen.insert((kind, name)), "{}", document["metadata"]);
        }
    }

    #[test]
    fn zones_get_all_pods_and_differ_by_one_at_most((text, pods) in spec()) {
        let (_, plan) = planned(&broker("trading", &text));
        let replicas: Vec<_> = plan.objects.deployments.iter().map(|d| d.spec.as_ref().unwrap().replicas).collect();
        match pods {
            Some(pods) => {
                let sizes: Vec<i32> = replicas.into_iter().map(Option::unwrap).collect();
                prop_assert_eq!(sizes.iter().sum::<i32>(), pods);
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
                prop_assert!(sizes.is_sorted_by(|a, b| a >= b), "{:?}", sizes);
            }
            // To begin with: all zones alike.
            None => prop_assert!(replicas.iter().all(|size| size.is_some() && *size == replicas[0]), "{:?}", replicas),
        }
    }

    #[test]
    fn every_configuration_loads_in_the_broker((text, _) in spec()) {
        let (validated, plan) = planned(&broker("trading", &text));
        let data = plan.objects.config_maps.iter().filter_map(|config_map| config_map.data.as_ref());
        let texts: Vec<_> = data.filter_map(|data| data.get("broker.yaml")).collect();
        prop_assert_eq!(texts.len(), validated.pools.len());
        for text in texts {
            prop_assert!(Config::parse(text).is_ok(), "{}", text);
        }
    }
}

//! What holds for every spec that validation accepts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::collections::{BTreeMap, BTreeSet};

use fixtures::{assume_references, broker};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use proptest::prelude::*;
use serde_json::Value;
use stompbroker_config::Config;
use stompbroker_operator::{
    api::{StompBroker, ZoneOutage},
    observed::Observed,
    plan::{self, Plan, Settings},
    validate::{PoolSize, ValidatedBroker, validate},
};

fn planned(broker: &StompBroker) -> (ValidatedBroker, Plan) {
    planned_in(broker, &assume_references(broker))
}

fn planned_in(broker: &StompBroker, observed: &Observed) -> (ValidatedBroker, Plan) {
    let settings = Settings {
        image: "image".to_owned(),
        nats_image: "registry.example/nats:2".to_owned(),
        operator_namespace: "operators".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        custom_metrics: true,
    };
    let validated = validate(broker, observed).unwrap();
    let plan = plan::plan(&validated, observed, &settings).unwrap();
    (validated, plan)
}

fn most(size: PoolSize) -> i32 {
    match size {
        PoolSize::Fixed(most) | PoolSize::Autoscaled { max: most, .. } | PoolSize::External { first: most } => most,
    }
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
    fn with_respread_as_many_pods_are_asked_for_in_zones_that_live_and_none_loses_any((text, pods) in spec(), lost in any::<u8>()) {
        let respread = broker("trading", &text.replacen('{', "{zoneOutagePolicy: Respread, ", 1));
        prop_assume!(respread.spec.zones.len() > 1);
        let zones = respread.spec.zones.iter().enumerate();
        let lost: BTreeMap<_, _> = zones
            .filter(|(index, _)| lost & (1 << index) != 0)
            .map(|(_, zone)| (zone.name.clone(), ZoneOutage { since: Time(Timestamp::UNIX_EPOCH), respread_since: None, back_since: None }))
            .collect();
        let all_lost = lost.len() == respread.spec.zones.len();
        let observed = Observed { outages: lost.clone(), now: Timestamp::from_second(10_000).unwrap(), ..assume_references(&respread) };
        let (validated, plan) = planned_in(&respread, &observed);
        let sizes = |plan: &Plan| -> Vec<i32> { plan.pools.iter().map(|pool| most(pool.size)).collect() };
        let own: Vec<i32> = validated.pools.iter().map(|pool| most(pool.size)).collect();
        let now = sizes(&plan);
        prop_assert!(now.iter().zip(&own).all(|(now, own)| now >= own), "{:?} of {:?}", now, own);
        let given_up = |zone: &str| plan.respread.outages.get(zone).is_some_and(|outage| outage.respread_since.is_some());
        let living: i32 = validated.pools.iter().zip(&now).filter(|(pool, _)| !given_up(pool.zone.as_deref().unwrap())).map(|(_, size)| size).sum();
        let wanted: i32 = own.iter().sum();
        prop_assert_eq!(living, wanted);
        if let Some(pods) = pods {
            prop_assert_eq!(wanted, pods);
        }
        if lost.is_empty() || all_lost && own.iter().all(|own| *own > 0) {
            prop_assert_eq!(now, own);
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

//! NATS servers that the operator runs: what they are made of, and when one is replaced.

use super::*;
use crate::{
    observed::{NatsReport, NatsServerView, PodView, StatefulSetView},
    plan::{
        gate::Act::{Keep, Roll},
        nats::NatsStep,
    },
};

const ZONES: &str = "zones: [{name: a}, {name: b}, {name: c}]";

fn spec(managed: &str) -> String {
    format!("{{{ZONES}, engine: {{jetStream: {{managed: {managed}}}}}}}")
}

/// A world in which all that the operator wanted has come about.
struct Cluster {
    observed: Observed,
    settings: Settings,
}

impl Cluster {
    fn new(spec: &str) -> Self {
        let mut cluster = Self { observed: Observed::assuming_references(&broker(spec)), settings: settings() };
        for _ in 0..2 {
            let plan = cluster.plan(spec);
            cluster.come_true(&plan);
        }
        cluster
    }

    fn plan(&self, spec: &str) -> Plan {
        let broker = broker(spec);
        plan(&validate(&broker, &self.observed).unwrap(), &self.observed, &self.settings).unwrap()
    }

    fn step(&self, spec: &str) -> NatsStep {
        self.plan(spec).nats.unwrap()
    }

    fn evicted(&self, spec: &str) -> Option<String> {
        self.step(spec).evicted.map(|evicted| evicted.pod)
    }

    /// The controllers see what was written. Pods stay as they are, but for those that were missing.
    fn come_true(&mut self, plan: &Plan) {
        for set in &plan.objects.stateful_sets {
            let name = set.metadata.name.clone().unwrap();
            let template = &set.spec.as_ref().unwrap().template;
            let revision = stompbroker_config::config_hash(&serde_json::to_string(template).unwrap());
            let annotation = set.metadata.annotations.as_ref().unwrap()[super::super::REVISION].clone();
            let view = StatefulSetView {
                current: true,
                update_revision: Some(revision),
                revision: Some(annotation),
                storage: Some("10Gi".to_owned()),
            };
            self.observed.stateful_sets.insert(name, view);
        }
        for server in &plan.nats.as_ref().unwrap().servers {
            if !self.observed.nats_servers.iter().any(|known| known.name == server.name) {
                self.start(&server.name);
            }
        }
        for (deployment, zone) in plan.objects.deployments.iter().zip(&plan.rollout.zones) {
            let name = deployment.metadata.name.clone().unwrap();
            let view = DeploymentView {
                current: true,
                desired: 1,
                replicas: 1,
                ready: 1,
                updated: 1,
                available: 1,
                revision: Some(zone.annotation.clone()),
                ..DeploymentView::default()
            };
            self.observed.deployments.insert(name.clone(), view);
            let zone = name.trim_start_matches("trading-").to_owned();
            self.observed.pods.retain(|pod| pod.name != name);
            self.observed.pods.push(PodView { name, zone, ready: true, ..PodView::default() });
        }
    }

    /// A new pod of the newest template, which has caught up.
    fn start(&mut self, name: &str) {
        let set = name.rsplit_once('-').unwrap().0;
        let revision = self.observed.stateful_sets[set].update_revision.clone();
        let leader = Some("trading-nats-a-0".to_owned());
        let report = Some(Ok(NatsReport { version: "2.15.2".to_owned(), unhealthy: None, leader }));
        let view = NatsServerView {
            name: name.to_owned(),
            uid: format!("uid of {name}"),
            ready: true,
            revision,
            report,
            ..NatsServerView::default()
        };
        self.observed.nats_servers.retain(|server| server.name != name);
        self.observed.nats_servers.push(view);
    }

    fn server(&mut self, name: &str) -> &mut NatsServerView {
        self.observed.nats_servers.iter_mut().find(|server| server.name == name).unwrap()
    }
}

fn json_of(objects: &[impl serde::Serialize]) -> Vec<Value> {
    objects.iter().map(|object| serde_json::to_value(object).unwrap()).collect()
}

#[test]
fn servers_are_spread_over_the_first_zones_and_bound_to_them() {
    let sizes = |spec: &str| -> Vec<(String, i64)> {
        let sets = json_of(&planned(spec).objects.stateful_sets);
        let of = |set: &Value| {
            (set["metadata"]["name"].as_str().unwrap().to_owned(), set["spec"]["replicas"].as_i64().unwrap())
        };
        sets.iter().map(of).collect()
    };
    let named = |sizes: &[(&str, i64)]| -> Vec<(String, i64)> {
        sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    };
    assert_eq!(sizes(&spec("{}")), named(&[("trading-nats-a", 1), ("trading-nats-b", 1), ("trading-nats-c", 1)]));
    let five = named(&[("trading-nats-a", 2), ("trading-nats-b", 2), ("trading-nats-c", 1)]);
    assert_eq!(sizes(&spec("{replicas: 5}")), five);
    assert_eq!(sizes("{engine: {jetStream: {managed: {}}}}"), named(&[("trading-nats", 3)]));
    let one = "{zones: [{name: a}, {name: b}], engine: {jetStream: {replicas: 1, managed: {replicas: 1}}}}";
    assert_eq!(sizes(one), named(&[("trading-nats-a", 1)]));
    let set = serde_json::to_value(&planned(&spec("{}")).objects.stateful_sets[1]).unwrap();
    let term = &set["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(term["values"], json!(["b"]));
}

#[test]
fn the_configuration_names_all_servers_and_no_secret() {
    let plan = planned(&spec("{}"));
    let config = plan.objects.config_maps.iter().find(|map| map.metadata.name.as_deref() == Some("trading.nats"));
    let text = &config.unwrap().data.as_ref().unwrap()["nats.conf"];
    for zone in ["a", "b", "c"] {
        let route = format!("tls://trading-nats-{zone}-0.trading-nats-peers.markets.svc.corp.example:6222");
        assert!(text.contains(&route), "{text}");
    }
    assert!(text.contains("verify: true") && text.contains("include accounts.conf"), "{text}");
    assert!(text.contains(&format!("max_file_store: {}", (10_u64 << 30) / 4 * 3)), "{text}");
    let alone = planned("{engine: {jetStream: {replicas: 1, managed: {replicas: 1}}}}");
    let text = alone.objects.config_maps.last().unwrap().data.as_ref().unwrap()["nats.conf"].clone();
    assert!(!text.contains("cluster {") && text.contains("sync_interval: always"), "{text}");
}

#[test]
fn brokers_log_in_over_tls_and_their_pods_get_no_key_of_an_authority_or_a_server() {
    let plan = planned(&spec("{}"));
    let config = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
    assert!(config.contains("tls://trading-nats.markets.svc:4222"), "{config}");
    let mounted = |template: &PodTemplateSpec| {
        let template = serde_json::to_value(template).unwrap();
        let sources = template["spec"]["volumes"][0]["projected"]["sources"].as_array().unwrap().clone();
        let ours = sources.iter().filter(|source| source["secret"]["name"] == "trading-nats");
        let items = ours.flat_map(|source| source["secret"]["items"].as_array().unwrap().clone());
        items.map(|item| item["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(mounted(&templates(&plan)[0]), ["nkey", "ca.crt"]);
    let servers = &plan.objects.stateful_sets[0].spec.as_ref().unwrap().template;
    assert_eq!(mounted(servers), ["accounts.conf", "ca.crt", "tls.crt", "tls.key"]);
}

#[test]
fn servers_meet_the_level_restricted_and_have_no_token() {
    let set = serde_json::to_value(&planned(&spec("{}")).objects.stateful_sets[0]).unwrap();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/nats:2");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
}

#[test]
fn only_brokers_reach_the_servers_and_only_administrators_their_state() {
    let policies = json_of(&planned(&spec("{}")).objects.network_policies);
    let nats = policies.iter().find(|policy| policy["metadata"]["name"] == "trading-nats").unwrap();
    let rules = nats["spec"]["ingress"].as_array().unwrap();
    let from = |port: i64| -> Value {
        let rule = rules.iter().find(|rule| rule["ports"][0]["port"] == port).unwrap();
        rule["from"].clone()
    };
    assert_eq!(from(4222)[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "broker");
    assert_eq!(from(6222)[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "nats");
    assert_eq!(from(8222)[0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "operators");
    let broker = &policies[0]["spec"]["egress"];
    assert_eq!(broker[1]["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "nats");
    assert_eq!(broker[1]["ports"], json!([{"port": 4222, "protocol": "TCP"}]));
}

#[test]
fn volumes_have_no_owner_and_grow_while_the_stateful_set_keeps_what_cannot_change() {
    let cluster = Cluster::new(&spec("{}"));
    let plan = cluster.plan(&spec("{storage: {size: 20Gi}}"));
    let claims = json_of(&plan.objects.persistent_volume_claims);
    let names: Vec<_> = claims.iter().map(|claim| claim["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["data-trading-nats-a-0", "data-trading-nats-b-0", "data-trading-nats-c-0"]);
    for claim in &claims {
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
        assert!(claim["metadata"].get("ownerReferences").is_none());
    }
    let set = serde_json::to_value(&plan.objects.stateful_sets[0]).unwrap();
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "10Gi");
}

#[test]
fn a_new_image_is_rolled_one_by_one_and_the_leader_goes_last() {
    let new = spec("{image: 'nats:3'}");
    let mut cluster = Cluster::new(&spec("{}"));
    assert_eq!(cluster.evicted(&new), None, "nothing goes before the StatefulSets are written");
    let plan = cluster.plan(&new);
    cluster.come_true(&plan);
    for name in ["trading-nats-b-0", "trading-nats-c-0", "trading-nats-a-0"] {
        assert_eq!(cluster.evicted(&new).as_deref(), Some(name));
        cluster.server(name).terminating = true;
        assert_eq!(cluster.evicted(&new), None, "{name} is on its way out");
        cluster.start(name);
        cluster.server(name).report =
            Some(Ok(NatsReport { unhealthy: Some("a stream".to_owned()), ..NatsReport::default() }));
        assert_eq!(cluster.evicted(&new), None, "{name} has not caught up");
        cluster.start(name);
    }
    assert_eq!(cluster.evicted(&new), None);
}

#[test]
fn a_server_that_does_not_come_up_holds_the_others_and_is_replaced_by_a_corrected_spec() {
    let (bad, good) = (spec("{image: 'nats:bad'}"), spec("{image: 'nats:good'}"));
    let mut cluster = Cluster::new(&spec("{}"));
    let plan = cluster.plan(&bad);
    cluster.come_true(&plan);
    cluster.start("trading-nats-b-0");
    let broken = cluster.server("trading-nats-b-0");
    (broken.ready, broken.failing, broken.report) = (false, Some("ImagePullBackOff".to_owned()), None);
    assert_eq!(cluster.evicted(&bad), None);
    let plan = cluster.plan(&good);
    cluster.come_true(&plan);
    assert_eq!(cluster.evicted(&good).as_deref(), Some("trading-nats-b-0"));
}

#[test]
fn servers_and_brokers_of_different_zones_are_not_replaced_at_once() {
    let new = spec("{image: 'nats:3'}");
    let mut cluster = Cluster::new(&spec("{}"));
    let plan = cluster.plan(&new);
    cluster.come_true(&plan);
    cluster.observed.deployments.get_mut("trading-b").unwrap().updated = 0;
    assert_eq!(cluster.evicted(&new).as_deref(), Some("trading-nats-b-0"), "the zone is disrupted already");
    cluster.observed.deployments.get_mut("trading-b").unwrap().updated = 1;
    cluster.observed.deployments.get_mut("trading-a").unwrap().ready = 0;
    assert_eq!(cluster.evicted(&new), None, "only the leader is there, and others come before it");

    let restart = new.replace("zones:", "rollout: {restart: now}, zones:");
    let acts =
        |cluster: &Cluster| -> Vec<_> { cluster.plan(&restart).rollout.zones.iter().map(|zone| zone.act).collect() };
    let mut cluster = Cluster::new(&spec("{}"));
    let hash =
        |cluster: &Cluster, zone: &str| cluster.plan(&spec("{}")).config_hashes[&format!("trading-{zone}")].clone();
    for (zone, pod) in ["a", "b", "c"].into_iter().zip(0..) {
        let mut answer = crate::controller::testing::report(0, 0.0);
        answer.config.hash = hash(&cluster, zone);
        cluster.observed.pods[pod].admin = Some(Ok(answer));
    }
    assert_eq!(acts(&cluster), [Roll, Keep, Keep]);
    cluster.server("trading-nats-c-0").ready = false;
    assert_eq!(acts(&cluster), [Keep, Keep, Keep]);
}

#[test]
fn a_newer_operator_replaces_no_server_unless_it_may() {
    let mut cluster = Cluster::new(&spec("{}"));
    cluster.settings.nats_image = "registry.example/nats:3".to_owned();
    let image = |plan: &Plan| {
        let set = serde_json::to_value(&plan.objects.stateful_sets[0]).unwrap();
        set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(image(&cluster.plan(&spec("{}"))), "registry.example/nats:2");
    let automatic = spec("{}").replace("zones:", "upgradePolicy: Automatic, zones:");
    assert_eq!(image(&cluster.plan(&automatic)), "registry.example/nats:3");
    let changed = spec("{resources: {limits: {memory: 1Gi}}}");
    assert_eq!(image(&cluster.plan(&changed)), "registry.example/nats:3");
}

#[test]
fn a_renewed_certificate_has_the_servers_replaced() {
    let mut cluster = Cluster::new(&spec("{}"));
    cluster.observed.nats_renewal = "x7".to_owned();
    let plan = cluster.plan(&spec("{}"));
    cluster.come_true(&plan);
    assert!(cluster.evicted(&spec("{}")).is_some());
}

#[test]
fn the_same_world_gives_the_same_objects() {
    let cluster = Cluster::new(&spec("{}"));
    assert_eq!(cluster.plan(&spec("{}")).objects, cluster.plan(&spec("{}")).objects);
    assert_eq!(cluster.evicted(&spec("{}")), None);
}

//! Effects of specs on objects. The broker is not called like the product, so that swapped labels show.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value, json};

use super::{Plan, Settings, plan};
use crate::{
    cli::brokers,
    observed::{DeploymentView, Observed, SecretView},
    validate::{LOGIN_KEYS, referenced_secrets, validate},
};

const RELAY: &str = "engine: {relay: {upstreams: [{host: rabbitmq, port: 61614}], \
                     systemCredentials: {secretName: up-system}, clientCredentials: {secretName: up-client}}}";

fn settings() -> Settings {
    Settings {
        image: "registry.example/stompbroker:1".to_owned(),
        operator_namespace: "operators".to_owned(),
        cluster_domain: "corp.example".to_owned(),
    }
}

/// The plan for a spec whose Secrets all exist, in a world with `deployments`.
fn planned_in(spec: &str, deployments: BTreeMap<String, DeploymentView>) -> Plan {
    let text = format!(
        "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\n\
         metadata: {{name: trading, namespace: markets, uid: 7f, labels: {{argocd: x}}, annotations: {{note: mine}}}}\nspec: {spec}\n"
    );
    let broker = brokers(&text).unwrap().remove(0);
    let referenced_secrets = referenced_secrets(&broker)
        .into_iter()
        .map(|used| (used.secret_name, SecretView::Present(LOGIN_KEYS.map(str::to_owned).into())))
        .collect();
    let observed = Observed { referenced_secrets, deployments, ..Observed::default() };
    plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap()
}

fn planned(spec: &str) -> Plan {
    planned_in(spec, BTreeMap::new())
}

fn relayed(more: &str) -> Plan {
    planned(&format!("{{{RELAY}{more}}}"))
}

fn templates(plan: &Plan) -> Vec<PodTemplateSpec> {
    plan.objects.deployments.iter().map(|deployment| deployment.spec.clone().unwrap().template).collect()
}

fn pod(plan: &Plan) -> PodSpec {
    templates(plan).remove(0).spec.unwrap()
}

fn replicas(plan: &Plan) -> Vec<Option<i32>> {
    plan.objects.deployments.iter().map(|deployment| deployment.spec.as_ref().unwrap().replicas).collect()
}

/// Every object of a plan, the Secrets without random values.
fn everything(plan: &Plan) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&plan.objects.to_yaml().unwrap()).unwrap();
    assert!(documents.len() >= 9, "{}", documents.len());
    documents
}

#[test]
fn what_pods_take_up_themselves_leaves_their_template_alone() {
    let before = relayed(", zones: [{name: a}, {name: b}]");
    for change in [
        "heartbeat: 5s",
        "sessionTimeout: 1m",
        "limits: {connectionsPerPod: 7, messageSize: 1Mi, messagesPerSecondPerPod: 9}",
        "authentication: {anonymous: true}",
        "authorization: {rules: []}",
        "listeners: {stomp: {}, websocket: {path: /chat, allowedOrigins: ['*']}}",
        "drain: {delay: 9s, connectionsPerSecond: 3}",
    ] {
        let after = relayed(&format!(", zones: [{{name: a}}, {{name: b}}], {change}"));
        assert_eq!(templates(&before), templates(&after), "{change}");
        assert_ne!(before.config_hashes, after.config_hashes, "{change}");
    }
    let spec = |upstream: &str, more: &str| {
        format!("{{{}}}", RELAY.replace("host: rabbitmq", upstream).replace("relay: {", &format!("relay: {{{more}")))
    };
    let (before, after) = (planned(&spec("host: a", "")), planned(&spec("host: b", "virtualHost: v, ")));
    assert_eq!(templates(&before), templates(&after), "an upstream");
    assert_ne!(before.config_hashes, after.config_hashes, "an upstream");
}

#[test]
fn a_number_of_pods_leaves_their_template_and_configuration_alone() {
    let (before, after) = (relayed(", replicas: 2"), relayed(", replicas: 5"));
    assert_eq!(templates(&before), templates(&after));
    assert_eq!(before.config_hashes, after.config_hashes);
    assert_eq!(replicas(&after), [Some(5)]);
}

#[test]
fn what_only_a_restart_brings_into_effect_changes_the_template() {
    let before = relayed("");
    for change in [
        "listeners: {stomp: {port: 61617}, websocket: {}}",
        "listeners: {stomp: {}}",
        "drain: {deadline: 1m}",
        "image: other",
        "resources: {requests: {cpu: 1}}",
        "credentials: {system: {secretName: mine}}",
        "imagePullSecrets: [{name: registry}]",
    ] {
        assert_ne!(templates(&before), templates(&relayed(&format!(", {change}"))), "{change}");
    }
}

#[test]
fn pods_are_spread_over_the_zones_of_the_spec_and_bound_to_them() {
    let plan = relayed(", replicas: 5, zones: [{name: a}, {name: b}]");
    assert_eq!(replicas(&plan), [Some(3), Some(2)]);
    for (deployment, zone) in plan.objects.deployments.iter().zip(["a", "b"]) {
        assert_eq!(deployment.metadata.name, Some(format!("trading-{zone}")));
        let value = serde_json::to_value(deployment).unwrap();
        let terms = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let expected = json!([{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}]);
        assert_eq!(value.pointer(terms), Some(&expected));
        assert_eq!(value["spec"]["selector"]["matchLabels"]["stompbroker.dev/zone"], zone);
        assert_eq!(value["spec"]["template"]["metadata"]["labels"]["stompbroker.dev/zone"], zone);
        let constraints = value["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
        assert_eq!(constraints.len(), 1);
        assert_eq!(constraints[0]["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(constraints[0]["labelSelector"], value["spec"]["selector"]);
    }
}

#[test]
fn without_zones_pods_run_anywhere_but_prefer_to_be_spread() {
    let pod = pod(&relayed(", replicas: 2"));
    assert_eq!(pod.affinity, None);
    let keys: Vec<_> =
        pod.topology_spread_constraints.unwrap().into_iter().map(|constraint| constraint.topology_key).collect();
    assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
}

#[test]
fn the_selector_picks_the_pods_of_its_own_template() {
    for deployment in relayed(", zones: [{name: a}, {name: b}]").objects.deployments {
        let spec = deployment.spec.unwrap();
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        for (key, value) in spec.selector.match_labels.unwrap() {
            assert_eq!(labels.get(&key), Some(&value));
        }
    }
}

#[test]
fn an_embedded_pod_is_gone_before_the_next_one_starts() {
    let strategy = |plan: Plan| serde_json::to_value(&plan.objects.deployments[0]).unwrap()["spec"]["strategy"].clone();
    assert_eq!(strategy(planned("{}")), json!({"type": "Recreate"}));
    assert_eq!(
        strategy(relayed("")),
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
}

#[test]
fn the_kubelet_waits_longer_than_the_drain_takes() {
    let grace = |spec: &str| pod(&planned(spec)).termination_grace_period_seconds.unwrap();
    assert_eq!(grace("{drain: {deadline: 5m}}"), 315);
    assert_eq!(grace("{drain: {deadline: 90s500ms}}"), 106);
}

#[test]
fn an_autoscaler_decides_the_number_of_pods() {
    let autoscaled =
        format!("{{{RELAY}, zones: [{{name: a}}], autoscaling: {{minReplicasPerZone: 2, maxReplicasPerZone: 6}}}}");
    let plan = planned(&autoscaled);
    assert_eq!(replicas(&plan), [None]);
    let scaler = serde_json::to_value(&plan.objects.horizontal_pod_autoscalers[0]).unwrap();
    assert_eq!(
        scaler["spec"]["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "trading-a"})
    );
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(2), &json!(6)));
    let target = &scaler["spec"]["metrics"][0]["resource"];
    assert_eq!(*target, json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}));
    assert!(relayed("").objects.horizontal_pod_autoscalers.is_empty());
}

#[test]
fn switching_to_an_autoscaler_does_not_scale_to_one_pod_in_between() {
    let autoscaled = format!("{{{RELAY}, autoscaling: {{minReplicasPerZone: 2, maxReplicasPerZone: 6}}}}");
    let number = |desired, owns_replicas| {
        let live = DeploymentView { desired, owns_replicas, ..DeploymentView::default() };
        replicas(&planned_in(&autoscaled, BTreeMap::from([("trading".to_owned(), live)])))
    };
    assert_eq!(number(4, true), [Some(4)]);
    assert_eq!(number(9, true), [Some(6)]);
    assert_eq!(number(1, true), [Some(2)]);
    assert_eq!(number(4, false), [None]);
}

#[test]
fn pods_keep_to_the_restricted_level_and_get_no_token() {
    let value = serde_json::to_value(pod(&relayed(""))).unwrap();
    assert_eq!(value["automountServiceAccountToken"], false);
    assert_eq!(value["serviceAccountName"], "trading");
    assert_eq!(value["securityContext"]["runAsNonRoot"], true);
    assert_eq!(value["securityContext"]["runAsUser"], 65532);
    assert_eq!(value["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &value["containers"][0]["securityContext"];
    assert_eq!(
        *container,
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
}

#[test]
fn probes_ask_the_admin_port() {
    let value = serde_json::to_value(pod(&planned("{}"))).unwrap();
    let container = &value["containers"][0];
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
    let ports = container["ports"].as_array().unwrap();
    assert!(ports.contains(&json!({"name": "admin", "containerPort": 15020, "protocol": "TCP"})));
}

#[test]
fn every_file_that_the_configuration_names_is_mounted() {
    for plan in [planned("{credentials: {client: {secretName: mine}}}"), relayed("")] {
        let pod = serde_json::to_value(pod(&plan)).unwrap();
        let root = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap().to_owned();
        let sources = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
        let items =
            |source: &Value| ["configMap", "secret"].iter().find_map(|kind| source[kind]["items"].as_array().cloned());
        let mounted: Vec<String> = sources
            .iter()
            .flat_map(|source| items(source).unwrap())
            .map(|item| format!("{root}/{}", item["path"].as_str().unwrap()))
            .collect();
        let text = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
        let named = text.lines().filter_map(|line| line.trim().strip_prefix("directory: "));
        for folder in named {
            for file in LOGIN_KEYS {
                assert!(mounted.contains(&format!("{folder}/{file}")), "{folder}/{file} is not in {mounted:?}");
            }
        }
        let token = text.lines().find_map(|line| line.trim().strip_prefix("tokenFile: ")).unwrap();
        assert!(mounted.iter().any(|file| file == token), "{token} is not in {mounted:?}");
        let argument = pod["containers"][0]["args"][1].as_str().unwrap();
        assert!(mounted.iter().any(|file| argument == format!("--config={file}")), "{argument}");
    }
}

#[test]
fn logins_are_generated_unless_the_spec_names_them() {
    let names = |plan: &Plan| {
        plan.objects.secrets.iter().map(|secret| secret.metadata.name.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(&planned("{}")), ["trading-system", "trading-client", "trading-admin"]);
    assert_eq!(names(&planned("{credentials: {system: {secretName: mine}}}")), ["trading-client", "trading-admin"]);
}

#[test]
fn generated_logins_have_the_keys_of_a_service_binding() {
    let secret = planned("{listeners: {websocket: {port: 8081}}}").objects.secrets.remove(0);
    assert_eq!(secret.type_, "servicebinding.io/stomp");
    let fixed: Vec<_> = secret.fixed.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("host", "trading.markets.svc.corp.example"),
        ("port", "8081"),
        ("provider", "stompbroker"),
        ("type", "stomp"),
        ("username", "system"),
    ];
    assert_eq!(fixed, expected);
    assert_eq!(secret.random, ["password"]);
}

#[test]
fn the_service_offers_the_listeners_that_there_are_within_the_zone() {
    let service = |spec: &str| serde_json::to_value(&planned(spec).objects.services[0]).unwrap();
    let both = service("{listeners: {stomp: {port: 61617}, websocket: {}}}");
    assert_eq!(both["spec"]["trafficDistribution"], "PreferClose");
    assert_eq!(both["spec"]["ports"][0]["port"], 61617);
    assert_eq!(both["spec"]["ports"][1]["appProtocol"], "kubernetes.io/ws");
    let one = service("{listeners: {websocket: {}}}");
    assert_eq!(one["spec"]["ports"].as_array().unwrap().len(), 1);
    assert!(one["spec"]["selector"].get("stompbroker.dev/zone").is_none());
}

#[test]
fn evictions_go_one_by_one_and_never_wait_for_ever() {
    let budget = serde_json::to_value(&planned("{}").objects.pod_disruption_budgets[0]).unwrap();
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert!(budget["spec"].get("minAvailable").is_none());
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
}

#[test]
fn the_admin_port_is_open_to_the_operator_and_to_monitoring_only() {
    let policy = serde_json::to_value(&relayed("").objects.network_policies[0]).unwrap();
    let ingress = policy["spec"]["ingress"].as_array().unwrap();
    let reaches_admin = |rule: &&Value| rule["ports"].as_array().unwrap().iter().any(|port| port["port"] == 15020);
    let admin: Vec<_> = ingress.iter().filter(reaches_admin).collect();
    assert_eq!(admin.len(), 1);
    assert_eq!(
        admin[0]["from"],
        json!([
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "operators"}}},
            {"namespaceSelector": {"matchLabels": {"stompbroker.dev/monitoring": "true"}}},
        ])
    );
}

#[test]
fn pods_reach_dns_and_their_upstreams_and_nothing_with_the_embedded_engine() {
    let policy = |plan: Plan| serde_json::to_value(&plan.objects.network_policies[0]).unwrap()["spec"].clone();
    let embedded = policy(planned("{}"));
    assert_eq!((&embedded["policyTypes"], embedded.get("egress")), (&json!(["Ingress", "Egress"]), None));
    let ports: Vec<_> =
        policy(relayed(""))["egress"].as_array().unwrap().iter().map(|rule| rule["ports"].clone()).collect();
    assert!(ports[0].as_array().unwrap().contains(&json!({"port": 53, "protocol": "UDP"})));
    assert_eq!(ports[1], json!([{"port": 61614, "protocol": "TCP"}]));
}

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
        assert!(labels.get("argocd").is_none() && metadata.get("annotations").is_none(), "{object}");
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
                items.iter().for_each(|item| find_empty(path, item));
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
        everything(&plan).iter().for_each(|object| find_empty(object["kind"].as_str().unwrap(), object));
    }
}

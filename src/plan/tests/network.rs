//! Who reaches whom, and who may be evicted.

use super::*;

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
fn pods_reach_the_issuers_of_tokens() {
    let issuers = "{authentication: {jwt: [{issuer: a, audiences: [x], jwksUrl: 'https://a.example.com/keys'}, \
                   {issuer: b, audiences: [x], jwksUrl: 'http://b:8081'}]}}";
    let policy = serde_json::to_value(&planned(issuers).objects.network_policies[0]).unwrap();
    let ports: Vec<_> =
        policy["spec"]["egress"][1]["ports"].as_array().unwrap().iter().map(|p| p["port"].clone()).collect();
    assert_eq!(ports, [443, 8081]);
}

#[test]
fn pods_reach_the_collector_of_spans() {
    let spec = "{monitoring: {tracing: {otlpEndpoint: 'http://otel.observability:4317'}}}";
    let policy = serde_json::to_value(&planned(spec).objects.network_policies[0]).unwrap();
    assert_eq!(policy["spec"]["egress"][1]["ports"], json!([{"port": 4317, "protocol": "TCP"}]));
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
fn pods_of_one_broker_reach_each_other_and_nobody_else_reaches_them_there() {
    let plan = relayed("");
    let policy = serde_json::to_value(&plan.objects.network_policies[0]).unwrap()["spec"].clone();
    let selector = json!({"app.kubernetes.io/name": "stompbroker", "app.kubernetes.io/instance": "trading",
                          "app.kubernetes.io/component": "broker"});
    let pods = json!([{"podSelector": {"matchLabels": selector}}]);
    let ports = json!([{"port": 15021, "protocol": "TCP"}]);
    let rules = |direction: &str| {
        let rules = policy[direction].as_array().unwrap().iter();
        rules.filter(|rule| rule["ports"].to_string().contains("15021")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(rules("ingress"), [json!({"from": pods, "ports": ports})]);
    assert_eq!(rules("egress"), [json!({"to": pods, "ports": ports})]);
    assert!(
        !everything(&planned("{}")).iter().any(|object| object.to_string().contains("15021")),
        "there is one pod only"
    );
}

#[test]
fn pods_find_each_other_by_dns_from_their_start_to_their_end() {
    let plan = relayed("");
    let service = serde_json::to_value(&plan.objects.services[1]).unwrap();
    assert_eq!(service["metadata"]["name"], "trading-peers");
    assert_eq!(
        (&service["spec"]["clusterIP"], &service["spec"]["publishNotReadyAddresses"]),
        (&json!("None"), &json!(true))
    );
    let config = plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"].clone();
    let peers = stompbroker_config::Config::parse(&config).unwrap().peers.unwrap();
    assert_eq!((peers.port, peers.dns_name.as_deref()), (15021, Some("trading-peers.markets.svc.corp.example.")));
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
fn pods_reach_the_pods_of_applications() {
    let spec = "{applications: [{name: a, prefix: /app/a, service: {name: a, targetPort: 8080}}, \
                {name: b, prefix: /app/b, service: {name: b, port: 8081}}, \
                {name: c, prefix: /app/c, url: 'https://c.example.com/api'}]}";
    let policy = serde_json::to_value(&planned(spec).objects.network_policies[0]).unwrap();
    let ports: Vec<_> =
        policy["spec"]["egress"][1]["ports"].as_array().unwrap().iter().map(|p| p["port"].clone()).collect();
    assert_eq!(ports, [443, 8080, 8081]);
}

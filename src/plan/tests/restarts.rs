//! What restarts pods and what does not.

use super::*;

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

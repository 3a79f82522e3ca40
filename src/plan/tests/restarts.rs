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
        "imagePullSecrets: [{name: registry}]",
    ] {
        assert_ne!(templates(&before), templates(&relayed(&format!(", {change}"))), "{change}");
    }
}

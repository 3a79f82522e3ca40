//! What Spring applications are given.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{planned, relayed};
use crate::plan::Plan;

fn data(plan: &Plan) -> Option<BTreeMap<String, String>> {
    let name = plan.spring_config_map.as_ref()?;
    let found = plan.objects.config_maps.iter().find(|object| object.metadata.name.as_ref() == Some(name));
    found.unwrap().data.clone()
}

fn properties(plan: &Plan) -> Value {
    serde_saphyr::from_str(&data(plan).unwrap()["stompbroker.yaml"]).unwrap()
}

#[test]
fn spring_applications_get_host_port_and_where_their_logins_are() {
    let plan = planned("{heartbeat: 1m30s, sessionTimeout: 4m, listeners: {stomp: {port: 2001}}}");
    assert_eq!(plan.spring_config_map.as_deref(), Some("trading.spring"));
    let expected = json!({
        "spring": {"config": {"import": "configtree:${SERVICE_BINDING_ROOT:/bindings}/"}},
        "stompbroker": {"relay": {
            "host": "trading.markets.svc.corp.example", "port": 2001, "tls": false,
            "destination-prefixes": ["/topic", "/queue"], "heartbeat": "90000ms",
            "system-login": "${trading-system.username}", "system-passcode": "${trading-system.password}",
            "client-login": "${trading-client.username}", "client-passcode": "${trading-client.password}",
        }},
    });
    assert_eq!(properties(&plan), expected);
}

#[test]
fn the_relay_engine_says_what_is_relayed_and_how_users_are_shared() {
    let relay = &properties(&relayed(""))["stompbroker"]["relay"];
    assert_eq!(relay.get("user-registry-broadcast"), None, "{relay}");
    let plan = planned(
        "{engine: {relay: {upstreams: [{host: rabbitmq}], systemCredentials: {secretName: a}, clientCredentials: {secretName: b}, \
         destinationPrefixes: [/topic, /exchange], userDestinationBroadcast: /topic/u, userRegistryBroadcast: /topic/r}}}",
    );
    let relay = &properties(&plan)["stompbroker"]["relay"];
    assert_eq!(relay["destination-prefixes"], json!(["/topic", "/exchange"]));
    assert_eq!(
        (&relay["user-destination-broadcast"], &relay["user-registry-broadcast"]),
        (&json!("/topic/u"), &json!("/topic/r"))
    );
}

#[test]
fn spring_applications_use_the_port_of_the_binding_by_tls_where_it_has_nothing_else() {
    for (stomp, port, tls) in [
        ("{port: 2001, tls: {secretName: c}}", 2001, true),
        ("{port: 2001, tls: {secretName: c, port: 2002}}", 2001, false),
    ] {
        let plan = planned(&format!("{{listeners: {{websocket: {{}}, stomp: {stomp}}}}}"));
        let relay = &properties(&plan)["stompbroker"]["relay"];
        assert_eq!((&relay["port"], &relay["tls"]), (&json!(port), &json!(tls)));
        assert_eq!(relay["trust-certificate"], "${STOMPBROKER_CA:}", "for whoever takes the other port, too");
        let login = plan.objects.logins[0].without_secrets().string_data.unwrap();
        assert_eq!(login["port"], port.to_string());
    }
}

#[test]
fn without_stomp_over_tcp_there_is_nothing_for_spring() {
    let plan = planned("{listeners: {websocket: {}}}");
    assert_eq!(plan.spring_config_map, None);
    assert!(plan.objects.config_maps.iter().all(|object| object.metadata.name.as_deref() == Some("trading")));
}

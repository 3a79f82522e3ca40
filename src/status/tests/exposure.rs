//! How clients outside the cluster come in, and what they lack.

use ConditionType::{Degraded, Exposed, Progressing, Ready};

use super::*;
use crate::{
    api::ExposureStatus,
    observed::{ExposedView, GatewayApi, RouteView},
};

const GATEWAY: &str = "parentRefs: [{name: edge}], hostnames: [a.example.com]";

fn exposed(exposure: &str) -> World {
    World::of(&format!(
        "{{listeners: {{stomp: {{tls: {{secretName: s, port: 61614}}}}, websocket: {{sockJs: {{}}}}}}, exposure: {{{exposure}}}}}"
    ))
}

fn way(world: &World) -> ExposureStatus {
    let [way] = world.status().exposure.try_into().unwrap();
    way
}

fn expect(world: &World, conditions: &[(ConditionType, &str, &str)]) {
    let status = world.status();
    for (kind, holds, reason) in conditions {
        let (is, why, message) = read(&status, *kind);
        assert_eq!((is.as_str(), why.as_str()), (*holds, *reason), "{kind}: {message}");
    }
}

#[test]
fn without_exposure_nothing_is_told_of_it() {
    let status = World::new().status();
    assert_eq!(status.exposure, []);
    assert!(!status.conditions.iter().any(|condition| condition.type_ == "Exposed"));
}

#[test]
fn a_load_balancer_is_waited_for_and_then_told_with_every_port() {
    let mut world = exposed("service: {type: LoadBalancer}");
    expect(&world, &[(Exposed, "False", "AddressPending"), (Progressing, "True", "AddressPending")]);
    expect(&world, &[(Ready, "False", "AddressPending"), (Degraded, "False", "AsExpected")]);
    world.observed.service = Some(ExposedView { addresses: vec!["2001:db8::1".to_owned()], ..ExposedView::default() });
    expect(&world, &[(Exposed, "True", "AsExpected"), (Ready, "True", "AsExpected")]);
    let urls = ["stomp://[2001:db8::1]:61613", "stomps://[2001:db8::1]:61614", "ws://[2001:db8::1]:8080/ws"];
    assert_eq!((way(&world).ready, way(&world).urls), (true, urls.map(str::to_owned).into()));
}

#[test]
fn ports_of_nodes_are_told() {
    let mut world = exposed("service: {type: NodePort}");
    let node_ports = vec![("stomp".to_owned(), 31613), ("websocket".to_owned(), 31080)];
    world.observed.service = Some(ExposedView { node_ports, ..ExposedView::default() });
    assert_eq!(way(&world).message.unwrap(), "every node takes stomp on 31613, websocket on 31080");
}

#[test]
fn an_ingress_is_told_with_what_its_name_has_to_lead_to() {
    let mut world = exposed("ingress: {host: a.example.com, tls: {}}");
    expect(&world, &[(Exposed, "True", "AsExpected")]);
    assert_eq!(way(&world).urls, ["wss://a.example.com/ws", "https://a.example.com/ws"]);
    world.observed.ingress = Some(ExposedView { addresses: vec!["192.0.2.1".to_owned()], ..ExposedView::default() });
    assert_eq!(way(&world).message.unwrap(), "a.example.com has to lead to 192.0.2.1");
    assert_eq!(way(&exposed("ingress: {host: a.example.com}")).urls[0], "ws://a.example.com/ws");
}

#[test]
fn a_route_is_waited_for_until_its_gateway_takes_it() {
    let mut world = exposed(&format!("httpRoute: {{{GATEWAY}}}"));
    expect(&world, &[(Exposed, "False", "RoutePending"), (Progressing, "True", "RoutePending")]);
    world.observed.routes.insert("HTTPRoute", RouteView { accepted: 1, refused: Vec::new() });
    expect(&world, &[(Exposed, "True", "AsExpected"), (Ready, "True", "AsExpected")]);
    assert_eq!(way(&world).urls, ["wss://a.example.com/ws", "https://a.example.com/ws"]);
}

#[test]
fn a_route_that_is_refused_degrades_with_the_gateways_words() {
    let mut world = exposed(&format!("tlsRoute: {{{GATEWAY}}}"));
    let refused = vec!["edge: NotAllowedByListeners: no".to_owned()];
    world.observed.routes.insert("TLSRoute", RouteView { accepted: 0, refused });
    expect(&world, &[(Exposed, "False", "RouteRefused"), (Degraded, "True", "RouteRefused")]);
    assert_eq!((way(&world).ready, way(&world).urls), (false, vec!["stomps://a.example.com:443".to_owned()]));
    assert!(way(&world).message.unwrap().contains("NotAllowedByListeners"));
}

#[test]
fn an_api_that_is_not_installed_is_told_before_what_passes_by_itself() {
    let mut world = exposed(&format!("service: {{type: LoadBalancer}}, httpRoute: {{{GATEWAY}}}"));
    world.observed.gateway_api = GatewayApi::default();
    expect(&world, &[(Exposed, "False", "GatewayApiMissing"), (Degraded, "True", "GatewayApiMissing")]);
    let message = read(&world.status(), Exposed).2;
    assert!(message.contains("HTTPRoute") && message.contains("install the CRDs"), "{message}");
}

#[test]
fn a_route_that_is_not_asked_for_any_more_is_told_of_until_a_pass_has_deleted_it() {
    let mut world = exposed(&format!("httpRoute: {{{GATEWAY}}}"));
    world.broker.status = Some(world.status());
    world.broker.spec.exposure = None;
    world.failure = Some(Failure { reason: Reason::ApplyFailed, message: "m".to_owned() });
    assert_eq!((way(&world).kind.as_str(), way(&world).ready), ("HTTPRoute", false));
    world.failure = None;
    assert_eq!(world.status().exposure, []);
    world.broker.spec.management_policy = ManagementPolicy::Observe;
    assert!(way(&world).message.unwrap().contains("still to be deleted"));
}

#[test]
fn a_gateway_with_a_port_of_its_own_is_told_with_it() {
    let urls = |port: u16| {
        way(&exposed(&format!("httpRoute: {{parentRefs: [{{name: e, port: {port}}}], hostnames: [a]}}"))).urls
    };
    assert_eq!(urls(8443), ["wss://a:8443/ws", "https://a:8443/ws"]);
    assert_eq!(urls(80), ["ws://a/ws", "http://a/ws"]);
}

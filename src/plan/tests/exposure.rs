//! What clients outside the cluster reach the broker by.

use super::*;
use crate::observed::{GatewayApi, TlsRoutes};

const GATEWAYS: &str = "parentRefs: [{name: edge, namespace: gateways, sectionName: https}]";

fn exposed(more: &str) -> Plan {
    planned(&format!("{{exposure: {{{more}}}}}"))
}

fn objects(plan: &Plan, kind: &str) -> Vec<Value> {
    everything(plan).into_iter().filter(|object| object["kind"] == kind).collect()
}

fn service(more: &str) -> Value {
    objects(&exposed(more), "Service").into_iter().find(|service| service["metadata"]["name"] == "trading").unwrap()
}

#[test]
fn the_service_is_what_the_spec_says_and_within_the_cluster_by_default() {
    let inside = service("");
    assert_eq!(
        (&inside["spec"]["type"], &inside["spec"]["trafficDistribution"]),
        (&json!("ClusterIP"), &json!("PreferClose"))
    );
    let outside = service(
        "service: {type: LoadBalancer, annotations: {a/b: c}, loadBalancerClass: l, loadBalancerSourceRanges: [10.0.0.0/8], \
         externalTrafficPolicy: Local, trafficDistribution: Any}",
    );
    assert_eq!(outside["metadata"]["annotations"], json!({"a/b": "c"}));
    let spec = &outside["spec"];
    assert_eq!((&spec["type"], &spec["loadBalancerClass"]), (&json!("LoadBalancer"), &json!("l")));
    assert_eq!(spec["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));
    assert_eq!((&spec["externalTrafficPolicy"], spec.get("trafficDistribution")), (&json!("Local"), None));
    assert_eq!(spec["ports"], inside["spec"]["ports"]);
}

#[test]
fn an_ingress_leads_the_path_to_the_websocket_port_and_with_sock_js_all_below_it() {
    let ingress = |listeners: &str| {
        let ingress =
            "exposure: {ingress: {className: nginx, host: a.example.com, annotations: {x: z}, tls: {secretName: s}}}";
        objects(&planned(&format!("{{{ingress}, listeners: {{websocket: {{path: /stomp{listeners}}}}}}}")), "Ingress")
            .remove(0)
    };
    let alone = ingress("");
    assert_eq!(
        (&alone["metadata"]["name"], &alone["metadata"]["annotations"]),
        (&json!("trading"), &json!({"x": "z"}))
    );
    assert_eq!(alone["spec"]["ingressClassName"], "nginx");
    assert_eq!(alone["spec"]["tls"], json!([{"hosts": ["a.example.com"], "secretName": "s"}]));
    let rule = &alone["spec"]["rules"][0];
    let path = |type_: &str| {
        json!({"path": "/stomp", "pathType": type_,
               "backend": {"service": {"name": "trading", "port": {"name": "websocket"}}}})
    };
    assert_eq!((&rule["host"], &rule["http"]["paths"]), (&json!("a.example.com"), &json!([path("Exact")])));
    let rule = &ingress(", sockJs: {}")["spec"]["rules"][0];
    assert_eq!(rule["http"]["paths"], json!([path("Prefix")]));
    let rule = &ingress(", sockJs: {enabled: false}")["spec"]["rules"][0];
    assert_eq!(rule["http"]["paths"], json!([path("Exact")]));
}

#[test]
fn an_http_route_ends_no_websocket_by_a_limit_of_time() {
    let plan = exposed(&format!("httpRoute: {{{GATEWAYS}, hostnames: [a.example.com, '*.b.example']}}"));
    let route = objects(&plan, "HTTPRoute").remove(0);
    assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{"namespace": "gateways", "name": "edge", "sectionName": "https"}],
            "hostnames": ["a.example.com", "*.b.example"],
            "rules": [{
                "matches": [{"path": {"type": "Exact", "value": "/ws"}}],
                "timeouts": {"request": "0s", "backendRequest": "0s"},
                "backendRefs": [{"name": "trading", "port": 8080}],
            }],
        })
    );
}

#[test]
fn tls_that_ends_at_the_edge_is_not_spoken_again_where_there_is_an_unencrypted_port() {
    let backend = |tls: &str| {
        let spec = format!(
            "{{exposure: {{httpRoute: {{{GATEWAYS}, hostnames: [a]}}}}, listeners: {{websocket: {{tls: {{secretName: s{tls}}}}}}}}}"
        );
        objects(&planned(&spec), "HTTPRoute").remove(0)["spec"]["rules"][0]["backendRefs"][0]["port"].clone()
    };
    assert_eq!((backend(", port: 8443"), backend("")), (json!(8080), json!(8080)));
}

#[test]
fn a_tls_route_leads_to_the_port_that_speaks_tls_in_the_version_that_is_known() {
    let broker = broker(&format!(
        "{{listeners: {{stomp: {{tls: {{secretName: s, port: 61614}}}}}}, exposure: {{tlsRoute: {{{GATEWAYS}, hostnames: [a]}}}}}}"
    ));
    for (version, written) in [(TlsRoutes::V1, "v1"), (TlsRoutes::V1Alpha2, "v1alpha2")] {
        let gateway_api = GatewayApi { http_routes: true, tls_routes: Some(version) };
        let observed = Observed { gateway_api, ..Observed::assuming_references(&broker) };
        let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
        let [route] = objects(&plan, "TLSRoute").try_into().unwrap();
        assert_eq!(route["apiVersion"], format!("gateway.networking.k8s.io/{written}"));
        assert_eq!(route["spec"]["rules"], json!([{"backendRefs": [{"name": "trading", "port": 61614}]}]));
    }
}

#[test]
fn what_the_api_server_does_not_know_is_not_written() {
    let broker = broker(&format!("{{exposure: {{httpRoute: {{{GATEWAYS}, hostnames: [a]}}, ingress: {{host: a}}}}}}"));
    let observed = Observed { gateway_api: GatewayApi::default(), ..Observed::assuming_references(&broker) };
    let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
    assert_eq!((objects(&plan, "HTTPRoute").len(), objects(&plan, "Ingress").len()), (0, 1));
}

//! Certificates that cert-manager is to issue.

use super::*;

fn certificates(spec: &str) -> Vec<Value> {
    everything(&planned(spec)).into_iter().filter(|object| object["kind"] == "Certificate").collect()
}

#[test]
fn a_certificate_is_for_the_names_of_the_service_and_of_what_leads_into_the_cluster() {
    let spec = "{listeners: {stomp: {tls: {issuerRef: {name: ca}, port: 61614}}, websocket: {tls: {issuerRef: {name: le, \
                kind: ClusterIssuer, group: example.org}, duration: 24h, renewBefore: 8h}}}, exposure: {ingress: {host: a.example}, \
                tlsRoute: {parentRefs: [{name: e}], hostnames: [b.example]}}}";
    let [stomp, websocket] = certificates(spec).try_into().unwrap();
    let inside =
        ["trading.markets.svc.corp.example", "trading.markets.svc", "trading.markets", "trading"].map(str::to_owned);
    let names = |host: &str| json!([inside.as_slice(), &[host.to_owned()]].concat());
    assert_eq!(
        (&stomp["apiVersion"], &stomp["metadata"]["name"]),
        (&json!("cert-manager.io/v1"), &json!("trading-stomp-tls"))
    );
    assert_eq!(
        stomp["spec"],
        json!({
            "secretName": "trading-stomp-tls",
            "dnsNames": names("b.example"),
            "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
            "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always"},
            "usages": ["digital signature", "server auth"],
        })
    );
    assert_eq!(websocket["spec"]["dnsNames"], names("a.example"));
    let issuer = json!({"name": "le", "kind": "ClusterIssuer", "group": "example.org"});
    assert_eq!(websocket["spec"]["issuerRef"], issuer);
    assert_eq!((&websocket["spec"]["duration"], &websocket["spec"]["renewBefore"]), (&json!("24h"), &json!("8h")));
}

#[test]
fn names_that_the_spec_gives_are_all_that_there_are() {
    let spec = "{listeners: {stomp: {tls: {issuerRef: {name: le}, dnsNames: [stomp.example.com]}}}}";
    assert_eq!(certificates(spec)[0]["spec"]["dnsNames"], json!(["stomp.example.com"]));
}

#[test]
fn pods_mount_the_secret_that_cert_manager_writes() {
    let plan = planned("{listeners: {stomp: {tls: {issuerRef: {name: ca}}}}}");
    let sources = pod(&plan).volumes.unwrap()[0].projected.clone().unwrap().sources.unwrap();
    let mounted = sources.iter().filter_map(|source| source.secret.as_ref());
    assert!(mounted.map(|secret| secret.name.as_str()).any(|name| name == "trading-stomp-tls"), "{sources:?}");
}

#[test]
fn a_secret_of_the_users_needs_no_certificate() {
    assert_eq!(certificates("{listeners: {stomp: {tls: {secretName: s}}}}"), [] as [Value; 0]);
}

//! What leads into the cluster: made, followed and taken away, with and without Gateway API.

use k8s_openapi::api::{
    core::v1::{Secret, Service},
    networking::v1::Ingress,
};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use stompbroker_operator::{
    api::{ExposureStatus, StompBroker},
    plan::{
        custom::CustomKind,
        gateway::{Http, Route, TlsAlpha},
    },
};

use tokio::sync::Mutex;

use crate::support::{Kind, Operator, World, check, define, eventually, install, uninstall};

fn gateway() -> Value {
    json!({"parentRefs": [{"name": "edge", "namespace": "gateways"}], "hostnames": ["stomp.example.com"]})
}

async fn told(world: &World, kind: &str, wanted: impl Fn(&ExposureStatus) -> bool) -> ExposureStatus {
    let api = world.api::<StompBroker>();
    eventually(&format!("what is told of the {kind}"), async || {
        let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let way = status.exposure.iter().find(|way| way.kind == kind);
        let way = way.ok_or_else(|| format!("{:?}", status.exposure))?;
        check(wanted(way), way).map(|()| way.clone())
    })
    .await
}

/// Plays the cloud or the controller that writes the status of `name`.
async fn say<K: Kind>(world: &World, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    world.api::<K>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn accept<K: CustomKind>(world: &World)
where
    Route<K>: Kind,
{
    let route: Route<K> = world.exists("chat").await;
    let accepted = json!({"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "observedGeneration": route.metadata.generation, "lastTransitionTime": "2026-01-02T03:04:05Z"});
    let parent = json!({"parentRef": route.spec["parentRefs"][0], "controllerName": "example.com/edge",
        "conditions": [accepted]});
    say::<Route<K>>(world, "chat", json!({"parents": [parent]})).await;
}

#[tokio::test]
async fn a_load_balancer_and_an_ingress_are_told_with_their_addresses_and_go_with_their_fields() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let exposure = json!({"service": {"type": "LoadBalancer", "annotations": {"cloud.example/internal": "true"}},
                          "ingress": {"host": "stomp.example.com"}});
    world.broker("chat", json!({"exposure": exposure})).await;
    world.condition("chat", "Exposed", "False", "AddressPending").await;
    say::<Service>(&world, "chat", json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).await;
    world.condition("chat", "Exposed", "True", "AsExpected").await;
    let way = told(&world, "Service", |way| way.ready).await;
    assert_eq!(way.urls, ["stomp://192.0.2.1:61613", "ws://192.0.2.1:8080/ws"]);
    assert_eq!(world.exists::<Service>("chat").await.annotations()["cloud.example/internal"], "true");

    world.exists::<Ingress>("chat").await;
    say::<Ingress>(&world, "chat", json!({"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}})).await;
    let way = told(&world, "Ingress", |way| way.message.is_some()).await;
    assert_eq!(
        (way.urls[0].as_str(), way.message.as_deref()),
        ("ws://stomp.example.com/ws", Some("stomp.example.com has to lead to lb.example"))
    );
    world.delete::<Ingress>("chat").await;
    world.exists::<Ingress>("chat").await;

    world.change("chat", json!({"exposure": null})).await;
    world.gone::<Ingress>("chat").await;
    eventually("a Service within the cluster", async || {
        let service = world.exists::<Service>("chat").await;
        let type_ = service.spec.as_ref().and_then(|spec| spec.type_.clone());
        check(type_.as_deref() == Some("ClusterIP") && service.annotations().is_empty(), service)
    })
    .await;
    operator.stop().await;
}

/// Kinds of Gateway API are there or not for all tests at once.
static GATEWAY_API: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn routes_wait_for_gateway_api_are_followed_and_go_with_their_fields() {
    let _alone = GATEWAY_API.lock().await;
    let world = World::new().await;
    uninstall(&world.client, &define::<Http>()).await;
    uninstall(&world.client, &define::<TlsAlpha>()).await;
    let operator = Operator::start(&world).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "stringData": {"tls.crt": "c", "tls.key": "k"}});
    world.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let listeners = json!({"stomp": {"tls": {"secretName": "cert", "port": 61614}}, "websocket": {"sockJs": {}}});
    let exposure = json!({"httpRoute": gateway(), "tlsRoute": gateway()});
    world.broker("chat", json!({"listeners": listeners, "exposure": exposure})).await;
    let missing = world.condition("chat", "Exposed", "False", "GatewayApiMissing").await;
    assert!(missing.message.contains("install the CRDs of Gateway API"), "{}", missing.message);
    world.exists::<Service>("chat").await;

    // An older Gateway API.
    install(&world.client, define::<Http>()).await;
    install(&world.client, define::<TlsAlpha>()).await;
    accept::<Http>(&world).await;
    world.condition("chat", "Exposed", "False", "RoutePending").await;
    accept::<TlsAlpha>(&world).await;
    world.condition("chat", "Exposed", "True", "AsExpected").await;
    let way = told(&world, "HTTPRoute", |way| way.ready).await;
    assert_eq!(way.urls, ["wss://stomp.example.com/ws", "https://stomp.example.com/ws"]);
    assert_eq!(told(&world, "TLSRoute", |way| way.ready).await.urls, ["stomps://stomp.example.com:443"]);

    // A change of the spec comes to the routes, and has to be accepted anew.
    world.change("chat", json!({"listeners": {"websocket": {"path": "/chat"}}})).await;
    eventually("the new path", async || {
        let route: Route<Http> = world.exists("chat").await;
        check(route.spec["rules"][0]["matches"][0]["path"]["value"] == "/chat", route.spec)
    })
    .await;
    world.condition("chat", "Exposed", "False", "RoutePending").await;

    world.change("chat", json!({"exposure": {"httpRoute": null}})).await;
    world.gone::<Route<Http>>("chat").await;
    world.exists::<Route<TlsAlpha>>("chat").await;
    world.change("chat", json!({"exposure": null})).await;
    world.gone::<Route<TlsAlpha>>("chat").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_filter_that_an_override_adds_to_a_route_is_there_from_the_first_and_goes_with_it() {
    let _alone = GATEWAY_API.lock().await;
    let world = World::new().await;
    install(&world.client, define::<Http>()).await;
    let operator = Operator::start(&world).await;
    let filters =
        json!([{"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Limit", "name": "a"}}]);
    let patch = json!([{"op": "add", "path": "/spec/rules/0/filters", "value": filters}]);
    let overrides = json!([{"target": {"kind": "HTTPRoute"}, "patch": patch}]);
    world.broker("chat", json!({"exposure": {"httpRoute": gateway()}, "overrides": overrides})).await;
    let route: Route<Http> = world.exists("chat").await;
    let rule = &route.spec["rules"][0];
    assert_eq!((&rule["filters"], &rule["backendRefs"][0]["name"]), (&filters, &json!("chat")));
    accept::<Http>(&world).await;
    world.condition("chat", "Exposed", "True", "AsExpected").await;

    world.change("chat", json!({"overrides": []})).await;
    eventually("the route without its filter", async || {
        let route: Route<Http> = world.exists("chat").await;
        check(route.spec["rules"][0].get("filters").is_none(), route.spec)
    })
    .await;
    operator.stop().await;
}

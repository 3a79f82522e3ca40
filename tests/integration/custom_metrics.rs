//! The API `custom.metrics.k8s.io`, asked through kube-apiserver as an autoscaler does, with the roles of the chart.

use std::net::SocketAddr;

use http::Request;
use k8s_openapi::{api::core::v1::Secret, kube_aggregator::pkg::apis::apiregistration::v1::APIService};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use stompbroker_operator::{plan::SESSIONS, settings::CustomMetrics};

use crate::support::{
    Kubelet, Operator, Wire, World,
    chart::{OPERATOR_NAMESPACE, apply, effective, rendered},
    check, eventually, free_address,
};

const NAME: &str = "stompbroker-operator-custom-metrics";
const API_SERVICE: &str = "v1beta2.custom.metrics.k8s.io";

/// Installs what the chart installs with `customMetrics.enabled`, but for a Service whose name is an address of this machine.
async fn install(world: &World, address: SocketAddr) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}});
    apply(&world.client, &namespace).await;
    // Of an earlier run on the same API server.
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), OPERATOR_NAMESPACE);
    let _ = secrets.delete(NAME, &DeleteParams::default()).await;
    let _ = Api::<APIService>::all(world.client.clone()).delete(API_SERVICE, &DeleteParams::default()).await;
    for mut object in rendered("custom-metrics.yaml") {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        match object["kind"].as_str().unwrap() {
            "APIService" => object["spec"]["service"]["port"] = json!(address.port()),
            "Service" if name == NAME => {
                object["spec"] = json!({"type": "ExternalName", "externalName": address.ip().to_string()});
            }
            "Secret" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" if name.starts_with(NAME) => {}
            _ => continue,
        }
        apply(&world.client, &object).await;
    }
    let own = Some(OPERATOR_NAMESPACE);
    effective(world, ("authorization.k8s.io", "subjectaccessreviews"), "create", None, "").await;
    effective(world, ("apiregistration.k8s.io", "apiservices"), "get", None, API_SERVICE).await;
    effective(world, ("", "secrets"), "get", own, NAME).await;
    effective(world, ("", "configmaps"), "get", Some("kube-system"), "extension-apiserver-authentication").await;
}

#[tokio::test]
async fn an_autoscaler_gets_the_sessions_of_pods_through_the_api_server() {
    let world = World::new().await;
    let address = free_address().await;
    install(&world, address).await;
    let operator = Operator::with(&world, Wire::default(), |settings| {
        settings.custom_metrics =
            Some(CustomMetrics { address, namespace: OPERATOR_NAMESPACE.to_owned(), service: NAME.to_owned() });
    })
    .await;
    world.broker("chat", json!({})).await;
    let pod = Kubelet(&world).run("chat", "chat").await;
    pod.say(|status| status.sessions.stomp = 7);
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/*/{SESSIONS}", world.namespace);
    eventually("the sessions", async || {
        let request = Request::get(&path).body(Vec::new()).unwrap();
        let answer: Value = world.client.request(request).await.map_err(|error| error.to_string())?;
        check(answer["items"][0]["value"] == "7", answer)
    })
    .await;
    operator.stop().await;
}

//! Objects that got past the schema: the CRD came late, or an older one let them in.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, CustomResourceExt as _,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use stompbroker_operator::{api::StompBroker, settings::Scope};

use crate::support::{
    ControlPlane, Operator, Wire, World,
    chart::{apply, effective, rendered},
    check, eventually, install,
};

#[tokio::test]
async fn a_late_crd_and_objects_that_nobody_checked_harm_no_other_broker() {
    let world = World::on(ControlPlane::own("loose").await).await;
    let everywhere = |object: &Value| object["kind"].as_str().unwrap_or_default().starts_with("ClusterRole");
    for object in rendered("default.yaml").iter().filter(|object| everywhere(object)) {
        apply(&world.client, object).await;
    }
    effective(&world, ("stompbroker.dev", "stompbrokers"), "list", None, "").await;
    let operator = Operator::with(&world, Wire::default(), |settings| settings.scope = Scope::Cluster).await;
    eventually("the reason", async || {
        let (status, body) = operator.get("/readyz").await;
        check(status == 503 && body.contains("install the CRD"), body)
    })
    .await;
    assert_eq!(operator.get("/livez").await.0, 200);
    assert_eq!(operator.metrics.crd_missing.get(), 1);

    let mut crd = StompBroker::crd();
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd.spec.versions[0].schema = Some(serde_json::from_value(json!({"openAPIV3Schema": anything})).unwrap());
    crd.spec.versions[0].additional_printer_columns = None;
    install(&world.client, crd).await;
    operator.ready().await;

    let resource = ApiResource::erase::<StompBroker>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let create = async |name: &str, spec: serde_json::Value| {
        let broker = json!({"apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
                            "metadata": {"name": name}, "spec": spec});
        api.create(&PostParams::default(), &serde_json::from_value(broker).unwrap()).await.unwrap();
    };
    create("unreadable", json!({"zones": "everywhere"})).await;
    create("refused", json!({"replicas": 3})).await;
    create("good", json!({})).await;
    world.exists::<Deployment>("good").await;
    for (name, words) in [("unreadable", "cannot be read"), ("refused", "engine.relay")] {
        eventually(name, async || {
            let broker = api.get_status(name).await.map_err(|error| error.to_string())?;
            let conditions = broker.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let said = conditions.iter().any(|condition| {
                condition["type"] == "Accepted"
                    && condition["status"] == "False"
                    && condition["message"].as_str().unwrap_or_default().contains(words)
            });
            check(said, conditions)
        })
        .await;
    }
    let names = world.names().await;
    assert!(names.iter().all(|name| name.contains("good")), "{names:?}");

    // The scope is the whole cluster: a namespace that comes later is looked after as well.
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let late = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(late).unwrap()).await.unwrap();
    let late = World { namespace: "late".to_owned(), ..world.clone() };
    late.broker("good", json!({})).await;
    late.exists::<Deployment>("good").await;
    operator.stop().await;
}

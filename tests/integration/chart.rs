//! What the chart installs beside the operator, on a real API server: rights in one namespace only, and admission policies.

use k8s_openapi::api::{apps::v1::Deployment, authorization::v1::ResourceAttributes, core::v1::ConfigMap};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use stompbroker_operator::api::StompBroker;

use crate::support::{
    Operator, World,
    chart::{apply, as_user, may, rendered},
    check, eventually,
};

/// Installs the chart's policies with bindings for the namespace of `world` alone, since other tests share the API server.
async fn install_policies(world: &World, file: &str) {
    let own = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}});
    for mut object in rendered(file) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        match object["kind"].as_str().unwrap() {
            "ValidatingAdmissionPolicy" => {}
            "ConfigMap" if name.contains("-limits-") => object["metadata"]["namespace"] = json!(world.namespace),
            "ValidatingAdmissionPolicyBinding" => {
                object["metadata"]["name"] = json!(format!("{name}-{}", world.namespace));
                object["spec"]["matchResources"] = own.clone();
                if object["spec"].get("paramRef").is_some() {
                    object["spec"]["paramRef"]["namespace"] = json!(world.namespace);
                }
            }
            _ => continue,
        }
        apply(&world.client, &object).await;
    }
}

fn words<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => String::new(),
        Err(Error::Api(status)) => status.message.clone(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_operator_with_the_charts_role_in_one_namespace_and_no_other_right_reconciles_there() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.exists::<Deployment>("chat").await;
    let list = |namespace: Option<&String>| ResourceAttributes {
        group: Some("stompbroker.dev".to_owned()),
        resource: Some("stompbrokers".to_owned()),
        verb: Some("list".to_owned()),
        namespace: namespace.cloned(),
        ..ResourceAttributes::default()
    };
    assert!(may(&world.client, list(Some(&world.namespace))).await);
    assert!(!may(&world.client, list(None)).await, "it may not look elsewhere");
    operator.stop().await;
}

#[tokio::test]
async fn with_protected_children_only_the_operator_changes_what_it_has_made() {
    let world = World::new().await;
    install_policies(&world, "admission.yaml").await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.exists::<Deployment>("chat").await;

    let deployments = world.api::<Deployment>();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    // A policy is in force some moments after it was written.
    let refusal = eventually("the refusal of an edit", async || {
        let refusal = words(deployments.patch("chat", &PatchParams::default(), &patch).await);
        check(!refusal.is_empty(), "it was taken").map(|()| refusal)
    })
    .await;
    let expected =
        "the Deployment chat belongs to the StompBroker chat, whose operator would undo this; change the StompBroker";
    assert!(refusal.contains(expected), "{refusal}");
    let refusal = words(world.api::<ConfigMap>().delete("chat", &DeleteParams::default()).await);
    assert!(refusal.contains("the ConfigMap chat belongs to the StompBroker chat"), "{refusal}");

    // The operator goes on to change them itself.
    world.change("chat", json!({"image": "registry.example.com/stompbroker:2"})).await;
    eventually("the new image", async || {
        let deployment = deployments.get("chat").await.map_err(|error| error.to_string())?;
        let image = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
        check(image.as_deref() == Some("registry.example.com/stompbroker:2"), image)
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn protected_children_may_be_changed_by_the_other_operators_that_are_named() {
    let world = World::new().await;
    install_policies(&world, "labelled.yaml").await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.exists::<Deployment>("chat").await;
    operator.stop().await;
    let edit_as = async |account: &str| {
        let client = Client::try_from(as_user(&world.plane.config, account)).unwrap();
        let deployments: Api<Deployment> = Api::namespaced(client, &world.namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"edited-by": account}}}));
        words(deployments.patch("chat", &PatchParams::default(), &patch).await)
    };
    eventually("the refusal of a stranger's edit", async || {
        let refusal = edit_as("system:serviceaccount:stompbroker-red:stompbroker-operator").await;
        check(refusal.contains("the Deployment chat belongs to the StompBroker chat"), refusal)
    })
    .await;
    assert_eq!(edit_as("system:serviceaccount:stompbroker-green:stompbroker-operator").await, "");
}

#[tokio::test]
async fn limits_of_the_platform_team_are_refused_with_what_is_asked_for_and_what_is_allowed() {
    let world = World::new().await;
    install_policies(&world, "admission.yaml").await;
    let api = world.api::<StompBroker>();
    let relay = json!({"relay": {"upstreams": [{"host": "rabbitmq"}],
        "systemCredentials": {"secretName": "a"}, "clientCredentials": {"secretName": "b"}}});
    let create = async |name: &str, spec: Value| {
        let broker = json!({"apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
                            "metadata": {"name": name}, "spec": spec});
        words(api.create(&PostParams::default(), &serde_json::from_value(broker).unwrap()).await)
    };
    // The policies are in force once the first one that they refuse is refused.
    eventually("the policy", async || {
        let refusal = create("probe", json!({"image": "docker.io/x:1"})).await;
        if refusal.is_empty() {
            world.delete::<StompBroker>("probe").await;
        }
        check(refusal.contains("spec.image is docker.io/x:1") && refusal.contains("registry.example.com/"), refusal)
    })
    .await;
    for (spec, part) in [
        (json!({"replicas": 5, "engine": relay}), "asks for up to 5 pods"),
        (
            json!({"zones": [{"name": "a", "replicas": 3}, {"name": "b"}, {"name": "c"}], "engine": relay}),
            "up to 5 pods",
        ),
        (
            json!({"zones": [{"name": "a"}, {"name": "b"}], "engine": relay,
                   "autoscaling": {"minReplicasPerZone": 1, "maxReplicasPerZone": 3}}),
            "up to 6 pods",
        ),
        (json!({"engine": {"jetStream": {"external": {"servers": ["nats://nats:4222"]}}}}), "spec.engine is jetStream"),
        (
            json!({"engine": relay, "overrides": [{"target": {"kind": "Deployment"},
                "patch": [{"op": "add", "path": "/metadata/labels/team", "value": "a"}]}]}),
            "the spec has overrides",
        ),
    ] {
        let refusal = create("chat", spec).await;
        let named = refusal.contains(part) && refusal.contains("stompbroker-operator-limits-teams allows");
        assert!(named, "{part}: {refusal}");
    }
    assert_eq!(create("chat", json!({"replicas": 4, "engine": relay})).await, "");
    let more = Patch::Merge(json!({"spec": {"replicas": 9}}));
    assert!(words(api.patch_scale("chat", &PatchParams::default(), &more).await).contains("up to 9 pods"));
    let broker = api.get("chat").await.unwrap();
    assert_eq!(broker.spec.replicas, Some(4), "{}", broker.name_any());
}

//! What the chart installs beside the operator, on a real API server: rights in one namespace only, and admission policies.

use k8s_openapi::api::{
    apps::v1::Deployment, authorization::v1::ResourceAttributes, core::v1::ConfigMap, rbac::v1::Role,
};
use kube::{
    Api, Client, Config, Error, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use stompbroker_operator::api::StompBroker;

use crate::support::{
    Operator, World,
    chart::{apply, as_user, as_who, may, rendered},
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
async fn protected_children_may_be_changed_by_operators_of_other_releases_and_by_who_is_named() {
    let world = World::new().await;
    install_policies(&world, "labelled.yaml").await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.exists::<Deployment>("chat").await;
    operator.stop().await;
    let config = &world.plane.config;
    let edit = async |who: Config| {
        let name = who.auth_info.impersonate.clone();
        let deployments: Api<Deployment> = Api::namespaced(Client::try_from(who).unwrap(), &world.namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"edited-by": name}}}));
        words(deployments.patch("chat", &PatchParams::default(), &patch).await)
    };
    // He may do everything else, and has the name that an operator would have.
    eventually("the refusal of a stranger's edit", async || {
        let refusal = edit(as_user(config, "system:serviceaccount:stompbroker-red:stompbroker-operator")).await;
        check(refusal.contains("the Deployment chat belongs to the StompBroker chat"), refusal)
    })
    .await;
    assert_eq!(edit(as_user(config, "on-call")).await, "");

    let role = "stompbroker-operator";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "green", "namespace": world.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "green", "namespace": "stompbroker-green"}],
    });
    apply(&world.client, &binding).await;
    eventually("an edit by the operator of another release", async || {
        let green = as_who(config, "system:serviceaccount:stompbroker-green:green", &["system:authenticated"]);
        let refusal = edit(green).await;
        check(refusal.is_empty(), refusal)
    })
    .await;
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

/// What Helm says to this release of the chart in the namespace `stompbroker-blue`.
async fn helm_says(world: &World, values: &[&str]) -> String {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/stompbroker-operator");
    let release = ["install", "blue", chart, "--namespace", "stompbroker-blue", "--dry-run=server"];
    let (_, said) = world.plane.helm(&[&release, values].concat()).await;
    said
}

#[tokio::test]
async fn what_there_can_be_once_is_refused_to_a_second_release_with_the_value_to_set() {
    let world = World::new().await;
    let own = format!("watchNamespaces={{{}}}", world.namespace);
    let without_crd = ["--set", own.as_str(), "--set", "crds.install=false"];
    let dashboard = "stompbroker-brokers-dashboard";
    let of_red = json!({"meta.helm.sh/release-name": "red", "meta.helm.sh/release-namespace": "stompbroker-red"});
    world.merge::<Role>("stompbroker-operator", json!({"metadata": {"annotations": of_red}})).await;
    let there = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata":
        {"name": dashboard, "namespace": world.namespace, "annotations": of_red}});
    apply(&world.client, &there).await;

    let said = helm_says(&world, &[]).await;
    let expected = "the CRD stompbrokers.stompbroker.dev belongs to no release of Helm; set crds.install to false";
    assert!(said.contains(expected), "{said}");
    let command = "kubectl label crd stompbrokers.stompbroker.dev --overwrite app.kubernetes.io/managed-by=Helm && kubectl annotate";
    assert!(said.contains(command), "{said}");

    let said = helm_says(&world, &without_crd).await;
    let role = "the Role stompbroker-operator belongs to the release red of the namespace stompbroker-red";
    assert!(said.contains(role) && said.contains("set watchLabelSelector or watchNamespaces here and there"), "{said}");
    let labelled = [&without_crd[..], &["--set", "watchLabelSelector=operator=blue"]].concat();
    let said = helm_says(&world, &labelled).await;
    assert!(said.contains(role) && said.contains("set watchLabelSelector or watchNamespaces there first"), "{said}");

    world.merge::<Role>("stompbroker-operator", json!({"metadata": {"annotations": null}})).await;
    let said = helm_says(&world, &labelled).await;
    assert!(said.contains("kind: Deployment"), "who is not known to look after all is no obstacle: {said}");
    let namespace = format!("monitoring.dashboards.namespace={}", world.namespace);
    let shown = [&labelled[..], &["--set", "monitoring.dashboards.enabled=true", "--set", &namespace]].concat();
    let said = helm_says(&world, &shown).await;
    let expected = format!("the dashboard {dashboard} in the namespace {} belongs to the release red", world.namespace);
    assert!(said.contains(&expected) && said.contains("set monitoring.dashboards.enabled to false"), "{said}");
}

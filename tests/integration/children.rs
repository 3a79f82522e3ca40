//! What a StompBroker gets, keeps and loses.

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt as _;
use serde_json::json;
use stompbroker_operator::api::StompBroker;

use crate::support::{Kind, Operator, World, check, eventually, rich_spec};

async fn rich(world: &World) -> StompBroker {
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let broker = world.broker("trading", rich_spec()).await;
    world.exists::<HorizontalPodAutoscaler>("trading-eu-1b").await;
    // The status is the last thing that a pass writes.
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    broker
}

#[tokio::test]
async fn one_manifest_gets_all_its_children_owned_by_it() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let broker = rich(&world).await;
    let expected = [
        "ConfigMap/trading-eu-1a",
        "ConfigMap/trading-eu-1b",
        "ConfigMap/trading.spring",
        "Deployment/trading-eu-1a",
        "Deployment/trading-eu-1b",
        "HorizontalPodAutoscaler/trading-eu-1a",
        "HorizontalPodAutoscaler/trading-eu-1b",
        "NetworkPolicy/trading",
        "PodDisruptionBudget/trading",
        "Secret/trading-admin",
        "Secret/trading-client",
        "Secret/trading-system",
        "Service/trading",
        "Service/trading-peers",
        "ServiceAccount/trading",
    ];
    assert_eq!(world.names().await, expected);
    let deployment: Deployment = world.exists("trading-eu-1a").await;
    let owner = &deployment.owner_references()[0];
    assert_eq!((&*owner.uid, owner.controller), (&*broker.uid().unwrap(), Some(true)));
    operator.stop().await;
}

#[tokio::test]
async fn passes_over_an_unchanged_world_write_nothing() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    rich(&world).await;
    operator.passes(3).await;
    let (children, writes) = (world.children().await, operator.wire.writes());
    operator.passes(5).await;
    assert_eq!(operator.wire.writes(), writes);
    assert_eq!(world.children().await, children);
    operator.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_operator_changes_nothing() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    rich(&world).await;
    operator.stop().await;
    let before = world.children().await;
    let operator = Operator::start(&world).await;
    operator.passes_since_its_start(1).await;
    assert_eq!(world.children().await, before, "UIDs and resourceVersions, those of the Secrets among them");
    operator.stop().await;
}

/// Changes a child by `patch` and waits until `healthy` holds again; then deletes it and waits for a new one.
async fn heals<K: Kind>(world: &World, name: &str, patch: serde_json::Value, healthy: impl Fn(&K) -> bool) {
    let before: K = world.exists(name).await;
    assert!(healthy(&before), "{before:?}");
    world.merge::<K>(name, patch).await;
    let api = world.api::<K>();
    let healed = async |uid: Option<String>| {
        eventually(&format!("the healing of {} {name}", K::kind(&())), async || {
            let now = api.get_opt(name).await.map_err(|error| error.to_string())?.ok_or("it is gone")?;
            check(healthy(&now) && uid != now.uid(), &now)
        })
        .await;
    };
    healed(None).await;
    let same: K = world.exists(name).await;
    assert_eq!(same.uid(), before.uid(), "healing replaced the object");
    world.delete::<K>(name).await;
    healed(before.uid()).await;
}

#[tokio::test]
async fn drift_of_every_kind_heals() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    rich(&world).await;
    heals::<ConfigMap>(&world, "trading-eu-1a", json!({"data": {"broker.yaml": "zone: wrong"}}), |object| {
        object.data.as_ref().is_some_and(|data| data["broker.yaml"].contains("eu-1a"))
    })
    .await;
    heals::<Service>(
        &world,
        "trading",
        json!({"spec": {"selector": {"app.kubernetes.io/instance": "wrong"}}}),
        |object| {
            let selector = object.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selector["app.kubernetes.io/instance"] == "trading")
        },
    )
    .await;
    heals::<ServiceAccount>(&world, "trading", json!({"automountServiceAccountToken": true}), |object| {
        object.automount_service_account_token == Some(false)
    })
    .await;
    heals::<NetworkPolicy>(&world, "trading", json!({"spec": {"ingress": null}}), |object| {
        object.spec.as_ref().is_some_and(|spec| spec.ingress.is_some())
    })
    .await;
    heals::<PodDisruptionBudget>(&world, "trading", json!({"spec": {"maxUnavailable": 7}}), |object| {
        let most = object.spec.as_ref().and_then(|spec| spec.max_unavailable.clone());
        most.is_some_and(|most| serde_json::to_value(most).unwrap() == json!(1))
    })
    .await;
    heals::<HorizontalPodAutoscaler>(&world, "trading-eu-1a", json!({"spec": {"maxReplicas": 99}}), |object| {
        object.spec.as_ref().is_some_and(|spec| spec.max_replicas == 4)
    })
    .await;
    let paused = json!({"spec": {"template": {"spec": {"automountServiceAccountToken": true}}}});
    heals::<Deployment>(&world, "trading-eu-1a", paused, |object| {
        let pod = object.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        pod.is_some_and(|pod| pod.automount_service_account_token == Some(false))
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_child_whose_labels_are_taken_away_gets_them_back() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    let before: Service = world.exists("chat").await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.merge::<Service>("chat", json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}})).await;
    let api = world.api::<Service>();
    eventually("the label", async || {
        let now = api.get("chat").await.map_err(|error| error.to_string())?;
        check(now.labels().contains_key("app.kubernetes.io/managed-by") && now.uid() == before.uid(), now.labels())
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_field_of_somebody_else_is_left_alone() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    world.merge::<Service>("chat", json!({"metadata": {"annotations": {"team": "markets"}}})).await;
    operator.passes(3).await;
    let writes = operator.wire.writes();
    operator.passes(3).await;
    assert_eq!(operator.wire.writes(), writes);
    assert_eq!(world.exists::<Service>("chat").await.annotations()["team"], "markets");
    operator.stop().await;
}

#[tokio::test]
async fn the_children_of_a_zone_that_is_no_longer_wanted_go() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    rich(&world).await;
    let kept: Deployment = world.exists("trading-eu-1a").await;
    world.change("trading", json!({"zones": [{"name": "eu-1a"}]})).await;
    world.gone::<Deployment>("trading-eu-1b").await;
    world.gone::<HorizontalPodAutoscaler>("trading-eu-1b").await;
    world.gone::<ConfigMap>("trading-eu-1b").await;
    assert_eq!(world.exists::<Deployment>("trading-eu-1a").await.uid(), kept.uid());
    operator.stop().await;
}

#[tokio::test]
async fn what_spring_applications_are_given_is_named_in_the_status_and_goes_with_the_listener() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.exists::<ConfigMap>("chat.spring").await;
    let named = async |expected: Option<&str>| {
        let api = world.api::<StompBroker>();
        eventually("the ConfigMap in the status", async || {
            let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status;
            let name = status.ok_or("no status")?.spring_config_map;
            check(name.as_deref() == expected, name)
        })
        .await;
    };
    named(Some("chat.spring")).await;
    world.change("chat", json!({"listeners": {"websocket": {}, "stomp": null}})).await;
    world.gone::<ConfigMap>("chat.spring").await;
    named(None).await;
    world.exists::<ConfigMap>("chat").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_deleting_broker_gets_no_children_again() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    // Somebody else's finalizer keeps the object while its children go, as a foreground deletion does.
    world.merge::<StompBroker>("chat", json!({"metadata": {"finalizers": ["tests.example.com/wait"]}})).await;
    world.delete::<StompBroker>("chat").await;
    world.delete::<ConfigMap>("chat").await;
    // When a later broker is done, whatever the deletion led to is done as well.
    world.broker("later", json!({})).await;
    world.condition("later", "Accepted", "True", "AsExpected").await;
    assert!(!world.names().await.contains(&"ConfigMap/chat".to_owned()));
    world.merge::<StompBroker>("chat", json!({"metadata": {"finalizers": null}})).await;
    world.gone::<StompBroker>("chat").await;
    operator.stop().await;
}

//! What the pods say becomes status.

use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use kube::ResourceExt as _;
use serde_json::json;
use stompbroker_config::admin::{RelayStatus, UpstreamState, UpstreamStatus};
use stompbroker_operator::api::StompBroker;

use crate::support::{AdminServer, Kubelet, Operator, World, check, eventually, rich_spec};

#[tokio::test]
async fn a_broker_is_ready_when_its_pod_runs_the_configuration() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let pod = Kubelet(&world).run("chat", "chat").await;
    world.condition("chat", "Ready", "True", "AsExpected").await;
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;

    pod.say(|status| status.sessions.stomp = 5);
    let api = world.api::<StompBroker>();
    eventually("five sessions", async || {
        let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        check(status.sessions == 5, status.sessions)
    })
    .await;

    let writes = operator.wire.writes();
    operator.polls(6).await;
    assert_eq!(operator.wire.writes(), writes, "at rest nothing is written");
    pod.say(|status| status.config.rejected = Some("listeners.stomp.port: taken".to_owned()));
    let condition = world.condition("chat", "ConfigApplied", "False", "ConfigRejected").await;
    assert!(condition.message.contains("listeners.stomp.port: taken"), "{}", condition.message);
    operator.stop().await;
}

#[tokio::test]
async fn a_new_configuration_counts_when_the_pod_has_taken_it_up() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let kubelet = Kubelet(&world);
    let pod = kubelet.run("chat", "chat").await;
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;
    world.change("chat", json!({"limits": {"connectionsPerPod": 77}})).await;
    world.condition("chat", "ConfigApplied", "False", "ConfigPending").await;
    let now = kubelet.healthy("chat").await;
    pod.say(|status| *status = now);
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;
    operator.stop().await;
}

#[tokio::test]
async fn the_relays_word_for_its_upstream_is_the_reason() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    world.broker("trading", rich_spec()).await;
    world.condition("trading", "Accepted", "True", "AsExpected").await;
    let kubelet = Kubelet(&world);
    let pods = [kubelet.run("trading", "trading-eu-1a").await, kubelet.run("trading", "trading-eu-1b").await];
    let upstream = |state, connected| RelayStatus {
        connected,
        client_connections: 0,
        upstreams: vec![UpstreamStatus {
            host: "rabbitmq.upstreams".to_owned(),
            port: 61613,
            state,
            message: Some("as the test says".to_owned()),
        }],
    };
    for pod in &pods {
        pod.say(|status| status.relay = Some(upstream(UpstreamState::AuthFailed, false)));
    }
    world.condition("trading", "RelayConnected", "False", "AuthFailed").await;
    for pod in &pods {
        pod.say(|status| status.relay = Some(upstream(UpstreamState::Connected, true)));
    }
    let api = world.api::<StompBroker>();
    eventually("the relay", async || {
        let status = api.get_status("trading").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let relay = status.conditions.iter().find(|condition| condition.type_ == "RelayConnected").cloned();
        check(relay.as_ref().is_some_and(|relay| relay.status == "True"), relay)
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_new_admin_token_is_read_when_pods_refuse_the_old_one() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    world.broker("chat", json!({})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let pod = Kubelet(&world).run("chat", "chat").await;
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;
    let token = serde_json::to_value(ByteString(b"another-token".to_vec())).unwrap();
    world.merge::<Secret>("chat-admin", json!({"data": {"token": token}})).await;
    pod.know("another-token");
    operator.polls(3).await;
    world.condition("chat", "ConfigApplied", "True", "AsExpected").await;
    operator.stop().await;
}

#[tokio::test]
async fn of_two_pods_the_one_with_fewer_sessions_is_to_go_first() {
    let world = World::new().await;
    world.login("rabbit-system").await;
    world.login("rabbit-client").await;
    let operator = Operator::start(&world).await;
    let mut spec = rich_spec();
    let relay = spec["engine"].take();
    world.broker("chat", json!({"replicas": 2, "engine": relay})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let kubelet = Kubelet(&world);
    let (status, token) = (kubelet.healthy("chat").await, kubelet.token("chat").await);
    let mut pods = Vec::new();
    for sessions in [10, 500] {
        let admin = AdminServer::start(status.clone(), token.clone()).await;
        admin.say(|status| status.sessions.stomp = sessions);
        let name = kubelet.pod("chat", admin.address).await.name_any();
        pods.push((name, sessions.to_string(), admin));
    }
    kubelet.rolled_out("chat").await;
    let api = world.api::<StompBroker>();
    eventually("all sessions", async || {
        let status = api.get_status("chat").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        check(status.sessions == 510, status.sessions)
    })
    .await;
    world.change("chat", json!({"replicas": 1})).await;
    for (name, sessions, _) in &pods {
        eventually("the order in which pods go", async || {
            let pod = world.api::<Pod>().get(name).await.map_err(|error| error.to_string())?;
            let cost = pod.annotations().get("controller.kubernetes.io/pod-deletion-cost").cloned();
            check(cost.as_ref() == Some(sessions), (name, cost))
        })
        .await;
    }
    operator.stop().await;
}

//! Logins get new values while clients go on logging in to real brokers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde_json::json;
use stompbroker_operator::api::{RotationPhase, RotationStatus, StompBroker};
use tokio::task::JoinHandle;

use crate::support::{BrokerPod, Operator, World, check, eventually};

const OVERLAP: Duration = Duration::from_secs(4);

fn value(secret: &Secret, key: &str) -> String {
    secret
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .map_or_else(String::new, |value| String::from_utf8(value.0.clone()).unwrap())
}

async fn password(world: &World, secret: &str) -> String {
    value(&world.exists::<Secret>(secret).await, "password")
}

async fn rotation(world: &World, login: &str) -> RotationStatus {
    let status = world.api::<StompBroker>().get_status("chat").await.unwrap().status.unwrap_or_default();
    let credentials = status.credentials.unwrap_or_default();
    let login = if login == "system" { credentials.system } else { credentials.client };
    login.rotation.unwrap_or_default()
}

async fn annotate(world: &World, name: &str, text: &str) {
    world.merge::<StompBroker>("chat", json!({"metadata": {"annotations": {name: text}}})).await;
}

/// How often logins went well, and what went wrong.
type Logins = Arc<Mutex<(usize, Vec<String>)>>;

/// Logs in to every pod with what consumers read, again and again.
fn clients(world: &World, pods: &Arc<[BrokerPod; 2]>) -> (Logins, JoinHandle<()>) {
    let seen = Logins::default();
    let (world, pods, results) = (world.clone(), pods.clone(), seen.clone());
    let task = tokio::spawn(async move {
        loop {
            for name in ["chat-system", "chat-client"] {
                let read = Instant::now();
                let Ok(secret) = world.api::<Secret>().get(name).await else { continue };
                for pod in &*pods {
                    let answer = pod.log_in(&value(&secret, "username"), &value(&secret, "password")).await;
                    let mut results = results.lock().unwrap();
                    match answer.as_str() {
                        "CONNECTED" => results.0 += 1,
                        // What was read too long ago may be refused; only a very slow machine gets here.
                        _ if read.elapsed() >= OVERLAP => {}
                        other => results.1.push(format!("{name} was answered {other}")),
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    (seen, task)
}

async fn two_pods(world: &World) -> Arc<[BrokerPod; 2]> {
    world.broker("chat", json!({"credentials": {"rotation": {"overlap": "4s"}}})).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    let lags = [Duration::from_millis(100), Duration::from_millis(900)];
    Arc::new([BrokerPod::start(world, "chat", lags[0]).await, BrokerPod::start(world, "chat", lags[1]).await])
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_over_twenty_rotations_though_the_operator_is_killed_in_every_state() {
    let world = World::new().await;
    let mut operator = Operator::start(&world).await;
    let pods = two_pods(&world).await;
    let (seen, task) = clients(&world, &pods);
    let first = password(&world, "chat-client").await;
    // Each wish rotates both logins.
    for round in 0..10 {
        let before = [password(&world, "chat-system").await, password(&world, "chat-client").await];
        annotate(&world, "stompbroker.dev/rotate-credentials", &round.to_string()).await;
        let states = [RotationPhase::Staged, RotationPhase::Active, RotationPhase::Draining, RotationPhase::Retired];
        let state = states[round % states.len()];
        let begun = async || {
            let rotation = rotation(&world, "system").await;
            // A state may pass between two looks.
            let over = rotation.phase == RotationPhase::Idle && password(&world, "chat-system").await != before[0];
            check(rotation.phase == state || over, rotation)
        };
        eventually("the state to kill the operator in", begun).await;
        operator.kill().await;
        operator = Operator::start(&world).await;
        eventually("the end of the rotation", async || {
            let [system, client] = [rotation(&world, "system").await, rotation(&world, "client").await];
            let idle = system.phase == RotationPhase::Idle && client.phase == RotationPhase::Idle;
            let now = [password(&world, "chat-system").await, password(&world, "chat-client").await];
            check(idle && now[0] != before[0] && now[1] != before[1], (system, client))
        })
        .await;
    }
    task.abort();
    let (good, bad) = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(bad, [""; 0]);
    assert!(good > 40, "{good}");
    for pod in &*pods {
        assert_eq!(pod.log_in("client", &first).await, "ERROR", "the first password counts no longer");
        assert_eq!(pod.log_in("client", &password(&world, "chat-client").await).await, "CONNECTED");
    }
    let secret: Secret = world.exists("chat-client").await;
    let keys: Vec<_> = secret.data.as_ref().unwrap().keys().filter(|key| key.contains('.')).collect();
    assert_eq!(keys, [""; 0], "no further value is left");
    assert!(value(&secret, "uri").contains(&value(&secret, "password")), "the URI has the password in use");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_taken_back_before_and_after_consumers_have_the_new_password() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let pods = two_pods(&world).await;
    let (seen, task) = clients(&world, &pods);
    let old = password(&world, "chat-system").await;
    annotate(&world, "stompbroker.dev/rotate-credentials", "1").await;
    eventually("a staged value", async || {
        let secret: Secret = world.exists("chat-system").await;
        check(!value(&secret, "next.password").is_empty() || value(&secret, "password") != old, secret.annotations())
    })
    .await;
    annotate(&world, "stompbroker.dev/revert-credentials", "1").await;
    eventually("the old password and no other", async || {
        let secret: Secret = world.exists("chat-system").await;
        let only = value(&secret, "next.password").is_empty() && value(&secret, "previous.password").is_empty();
        let rotation = rotation(&world, "system").await;
        check(only && value(&secret, "password") == old && rotation.phase == RotationPhase::Idle, rotation)
    })
    .await;

    annotate(&world, "stompbroker.dev/rotate-credentials", "2").await;
    eventually("the new password", async || check(password(&world, "chat-system").await != old, "the old one")).await;
    annotate(&world, "stompbroker.dev/revert-credentials", "2").await;
    eventually("the old password again", async || {
        let rotation = rotation(&world, "system").await;
        check(password(&world, "chat-system").await == old && rotation.phase == RotationPhase::Idle, rotation)
    })
    .await;
    task.abort();
    assert_eq!(seen.lock().unwrap().1, [""; 0]);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_follows_the_users_secret_when_its_content_changes_and_only_then() {
    let world = World::new().await;
    let operator = Operator::restless(&world).await;
    world.login("mine").await;
    let spec = json!({"credentials": {"client": {"secretName": "mine"}, "rotation": {"overlap": "4s"}}});
    world.broker("chat", spec).await;
    world.condition("chat", "Accepted", "True", "AsExpected").await;
    assert_eq!(password(&world, "chat-client").await, "p");
    let pods = BrokerPod::start(&world, "chat", Duration::from_millis(100)).await;
    assert_eq!(pods.log_in("u", "p").await, "CONNECTED");
    let settled: Secret = world.exists("chat-client").await;
    world.merge::<Secret>("mine", json!({"metadata": {"labels": {"touched": "true"}}})).await;
    world.merge::<Secret>("mine", json!({"stringData": {"password": "new"}})).await;
    eventually("the new password", async || check(password(&world, "chat-client").await == "new", "the old one")).await;
    assert_eq!(pods.log_in("u", "new").await, "CONNECTED", "consumers have it after the pods");
    let now: Secret = world.exists("chat-client").await;
    assert_eq!(now.uid(), settled.uid());
    operator.stop().await;
}

//! Pods of one broker, each asked for what all of them know.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, config_of_peers, start_pod},
    support::{BrokerUnderTest, Peer as _, eventually, request},
};

async fn ids(pod: &BrokerUnderTest, path: &str) -> (Value, BTreeSet<String>) {
    let answer = pod.admin("GET", path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    let ids = list["sessions"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap().to_owned());
    let ids = ids.collect();
    (list, ids)
}

#[tokio::test]
async fn every_pod_tells_the_sessions_of_a_user_in_all_pods() {
    let cluster = Cluster::start("").await;
    let mut clients = Vec::new();
    for pod in &cluster.pods {
        clients.push(pod.tcp_session().await);
    }
    for pod in &cluster.pods[1..] {
        let mut client = pod.tcp().await;
        client.log_in("login:ann\npasscode:pa:ss\n").await;
        clients.push(client);
    }
    for pod in &cluster.pods {
        let (list, ids) = ids(pod, "/users/ann/sessions").await;
        assert!(list["total"] == 2 && ids.len() == 2 && list.get("incomplete").is_none(), "{list}");
        assert!(list["sessions"].as_array().unwrap().iter().all(|session| session["user"] == "ann"), "{list}");
    }
    assert_eq!(ids(&cluster.pods[0], "/users/ann/sessions?scope=pod").await.0["total"], 0);
    let (list, everywhere) = ids(&cluster.pods[0], "/sessions?scope=cluster").await;
    assert!(list["total"] == 5 && everywhere.len() == 5 && list.get("incomplete").is_none(), "{list}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(list["sessions"].as_array().unwrap().iter().all(|session| session["pod"] == host.trim()), "{list}");
    for pod in &cluster.pods {
        assert_eq!(ids(pod, "/sessions?scope=cluster").await.1, everywhere);
        assert_eq!(ids(pod, "/users/nobody/sessions").await.0["total"], 0);
    }
    assert_eq!(ids(&cluster.pods[1], "/sessions").await.1.len(), 2, "of this pod alone");

    let (mut seen, mut path) = (BTreeSet::new(), "/sessions?scope=cluster&limit=3".to_owned());
    loop {
        let (page, ids) = ids(&cluster.pods[2], &path).await;
        seen.extend(ids);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/sessions?scope=cluster&limit=3&after={next}");
    }
    assert_eq!(seen, everywhere, "page by page");
}

#[tokio::test]
async fn a_session_is_told_of_and_ended_through_any_pod() {
    let cluster = Cluster::start("").await;
    let mut client = cluster.pods[0].tcp_session().await;
    let (_, here) = ids(&cluster.pods[0], "/sessions").await;
    let path = format!("/sessions/{}", here.first().unwrap());
    let elsewhere = &cluster.pods[1];
    assert_eq!(elsewhere.admin("GET", &path).await.json()["id"].as_str(), here.first().map(String::as_str));
    assert_eq!(elsewhere.admin("GET", &format!("{path}?scope=pod")).await.status, 404);
    assert_eq!(elsewhere.admin("DELETE", &path).await.status, 202);
    assert_eq!(client.frame().await.command, "ERROR");
    let gone = async || (elsewhere.admin("GET", &path).await.status == 404).then_some(());
    eventually("the session to be over", gone).await;
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let addresses = ["127.0.0.1:9".to_owned(), silent_address.clone()];
    let pod = start_pod(&config_of_peers(&addresses, ""));
    let _client = pod.tcp_session().await;
    let both_are_known = async || (pod.metric("stompbroker_peers").await == 2).then_some(());
    eventually("the addresses to be known", both_are_known).await;
    let (list, _) = ids(&pod, "/sessions?scope=cluster").await;
    let mut named: Vec<_> = list["incomplete"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    named.sort_unstable();
    let mut expected = ["127.0.0.1:9", &silent_address];
    expected.sort_unstable();
    assert_eq!((list["total"].as_u64(), named), (Some(1), expected.to_vec()), "{list}");
    assert!(pod.metric("stompbroker_peer_requests_failed_total").await >= 2);
    let missing = pod.admin("GET", "/sessions/none-1").await;
    assert!(missing.status == 404 && missing.body.contains(&silent_address), "{missing:?}");
}

#[tokio::test]
async fn strangers_and_the_admin_token_itself_are_refused() {
    let cluster = Cluster::start("").await;
    let admin_token = format!("Authorization: Bearer {}\r\n", BrokerUnderTest::TOKEN);
    for headers in ["", "Authorization: Bearer wrong\r\n", &admin_token] {
        for path in ["/sessions", "/sockjs/a", "/nothing"] {
            let answer = request(cluster.pods[0].peers(), "GET", path, headers).await;
            assert_eq!(answer.status, 401, "{path} {headers}");
            assert!(!answer.body.contains("total"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn pods_with_another_token_are_no_peers() {
    let cluster = Cluster::start("").await;
    let _client = cluster.pods[0].tcp_session().await;
    let other = &cluster.pods[2];
    std::fs::write(other.folder.path().join("token"), "another").unwrap();
    let headers = "Authorization: Bearer another\r\n";
    let admin = ([127, 0, 0, 1], other.addresses.admin.port()).into();
    let list = eventually("the other token to count", async || {
        let answer = request(admin, "GET", "/sessions?scope=cluster", headers).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!((list["total"].as_u64(), list["incomplete"].as_array().map(Vec::len)), (Some(0), Some(2)), "{list}");
}

#[tokio::test]
async fn a_drained_process_ends_although_its_peers_stay_connected() {
    let mut cluster = Cluster::start("drain: {delay: 0s, deadline: 10s}").await;
    // They keep the connections of this answer.
    ids(&cluster.pods[0], "/sessions?scope=cluster").await;
    let mut pod = cluster.pods.remove(2);
    pod.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), pod.ended()).await.unwrap();
}

//! What the admin port tells of single sessions, and how it closes a session.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::{BrokerUnderTest, Peer, StompClient, config, eventually};

const USERS: &str = "credentials: {system: {directory: FOLDER/system}}";

/// A broker with the user `sven` besides anonymous ones.
fn broker() -> BrokerUnderTest {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let secret = folder.path().join("system");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("username"), "sven olof").unwrap();
    std::fs::write(secret.join("password"), "never-shown").unwrap();
    BrokerUnderTest::start_in(folder, &config(USERS))
}

async fn sven(broker: &BrokerUnderTest) -> StompClient {
    let mut client = broker.tcp().await;
    client.log_in("login:sven olof\npasscode:never-shown\n").await;
    client
}

pub(crate) async fn list(broker: &BrokerUnderTest, path: &str) -> Value {
    let answer = broker.admin("GET", path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_session_is_told_with_its_user_its_address_and_what_it_moved() {
    let broker = broker();
    let mut client = sven(&broker).await;
    let _not_logged_in = broker.tcp().await;
    client.subscribe("0", "/topic/a").await;
    client.send("/topic/a", "x").await;
    client.message().await;
    // The numbers of a turn are there when its octets have left, or a moment later.
    let session = eventually("what the session moved", async || {
        let mut sessions = list(&broker, "/sessions").await;
        Some(sessions["sessions"][0].take()).filter(|session| session["framesSent"] == 3)
    })
    .await;
    for (field, value) in [
        ("user", json!("sven olof")),
        ("address", json!(client.stream.local_addr().unwrap().to_string())),
        ("transport", json!("tcp")),
        ("version", json!("1.2")),
        ("subscriptions", json!(1)),
        ("framesReceived", json!(3)),
        ("octetsWaiting", json!(0)),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    assert!(session["octetsReceived"].as_u64() > Some(100) && session["octetsSent"].as_u64() > Some(100), "{session}");
    let since: jiff::Timestamp = session["connectedSince"].as_str().unwrap().parse().unwrap();
    assert!(SystemTime::from(since) <= SystemTime::now(), "{since}");
    let id = session["id"].as_str().unwrap();
    assert_eq!(list(&broker, &format!("/sessions/{id}")).await["id"], id);
    let everything = broker.admin("GET", "/sessions").await.body;
    assert!(!everything.contains("never-shown"), "{everything}");
}

#[tokio::test]
async fn sessions_come_page_by_page_and_by_user() {
    let broker = broker();
    let mut clients = vec![sven(&broker).await];
    for _ in 0..3 {
        clients.push(broker.tcp_session().await);
    }
    clients.push(sven(&broker).await);
    let first = list(&broker, "/sessions?limit=3").await;
    assert_eq!((&first["total"], first["sessions"].as_array().unwrap().len()), (&json!(5), 3));
    let next = first["next"].as_str().unwrap();
    assert_eq!(next, first["sessions"][2]["id"]);
    let last = list(&broker, &format!("/sessions?limit=3&after={next}")).await;
    assert_eq!((last["sessions"].as_array().unwrap().len(), last.get("next")), (2, None));
    assert!(first["sessions"].as_array().unwrap().iter().all(|session| session["id"] != last["sessions"][0]["id"]));
    for path in ["/sessions?user=sven+olof", "/sessions?user=sven%20olof", "/users/sven%20olof/sessions"] {
        let found = list(&broker, path).await;
        assert_eq!(found["total"], 2, "{path}");
        assert!(found["sessions"].as_array().unwrap().iter().all(|session| session["user"] == "sven olof"), "{found}");
    }
    assert_eq!(list(&broker, "/users/nobody/sessions").await["total"], 0);
    assert_eq!(list(&broker, "/sessions?user=").await["total"], 3, "anonymous ones");
}

#[tokio::test]
async fn a_query_that_cannot_be_understood_is_refused_in_words() {
    let broker = broker();
    for (path, words) in [
        ("/sessions?limit=0", "from 1 to 1000"),
        ("/sessions?limit=many", "from 1 to 1000"),
        ("/sessions?usr=sven", "limit, after, user"),
        ("/sessions?after=somewhere", "next of the page before"),
        ("/users/sven/sessions?user=ann", "limit, after"),
        ("/destinations?user=ann", "limit, after"),
    ] {
        let answer = broker.admin("GET", path).await;
        assert!(answer.status == 400 && answer.body.contains(words), "{path} {answer:?}");
    }
    for method in ["GET", "DELETE"] {
        assert_eq!(broker.admin(method, "/sessions/none-1").await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn a_session_is_closed_by_its_id_and_no_other() {
    let broker = broker();
    let (mut unwanted, mut neighbour) = (sven(&broker).await, broker.websocket_client().await);
    neighbour.log_in("").await;
    let id = list(&broker, "/users/sven%20olof/sessions").await["sessions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(broker.admin("DELETE", &format!("/sessions/{id}")).await.status, 202);
    unwanted.frame().await.assert_error("operator");
    unwanted.end().await;
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"closed_by_operator\"}").await, 1);
    neighbour.subscribe("0", "/topic/a").await;
    let id = list(&broker, "/sessions").await["sessions"][0]["id"].as_str().unwrap().to_owned();
    broker.admin("DELETE", &format!("/sessions/{id}")).await;
    neighbour.frame().await.assert_error("operator");
    assert_eq!(neighbour.close().await.0, 1008);
    eventually("the list to be empty", async || (list(&broker, "/sessions").await["total"] == 0).then_some(())).await;
}

#[tokio::test]
async fn stats_tell_abnormal_ends_by_reason() {
    let broker = broker();
    let mut orderly = broker.tcp_session().await;
    orderly.send_frame("DISCONNECT\n\n").await;
    orderly.end().await;
    let mut wrong = broker.tcp_session().await;
    wrong.send_frame("NONSENSE\n\n").await;
    wrong.frame().await;
    wrong.end().await;
    let stats = list(&broker, "/websocket-stats").await;
    assert_eq!(stats["closedAbnormallyByReason"], json!({"protocol_error": 1}));
}

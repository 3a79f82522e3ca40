//! `/user/...`: for one session, for all sessions of a user, and for nobody.

use crate::support::{BrokerUnderTest, Peer, StompClient, config};

/// A broker that Ann and services can log in to; only services may send to users.
fn broker() -> BrokerUnderTest {
    let folder = tempfile::tempdir().unwrap();
    for (login, user) in [("client", "ann"), ("system", "service")] {
        let directory = folder.path().join(login);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("username"), user).unwrap();
        std::fs::write(directory.join("password"), "secret").unwrap();
    }
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let rules = "credentials: {client: {directory: FOLDER/client}, system: {directory: FOLDER/system}}\n\
                 userDestinations: {unresolvedTopic: /topic/unresolved-user}\n\
                 authorization: {rules: [\
                 {actions: [Send], destinations: [/user/**], allow: {roles: [system]}}, \
                 {actions: [Send, Subscribe], destinations: [/topic/secret/**], allow: {nobody: {}}}, \
                 {actions: [Subscribe], destinations: [/user/**, /topic/**], allow: {authenticated: {}}}, \
                 {actions: [Send, Subscribe], destinations: ['/exchange/**'], allow: {authenticated: {}}}]}";
    BrokerUnderTest::start_in(folder, &config(rules))
}

async fn log_in(broker: &BrokerUnderTest, user: &str) -> (StompClient, String) {
    let mut client = broker.tcp().await;
    let connected = client.log_in(&format!("login:{user}\npasscode:secret\n")).await;
    let session = connected.header("session").unwrap().to_owned();
    (client, session)
}

#[tokio::test]
async fn a_service_reaches_every_session_of_a_user_or_one_of_them() {
    let broker = broker();
    let ((mut first, id), (mut second, _)) = (log_in(&broker, "ann").await, log_in(&broker, "ann").await);
    for client in [&mut first, &mut second] {
        client.subscribe("0", "/user/queue/replies").await;
    }
    let (mut service, _) = log_in(&broker, "service").await;
    service.send("/user/ann/queue/replies", "to all").await;
    service.send(&format!("/user/{id}/queue/replies"), "to one").await;
    service.send("/user/ann/queue/replies", "to all again").await;
    let mut texts = Vec::new();
    for _ in 0..3 {
        let frame = first.frame().await;
        assert_eq!(frame.header("destination"), Some("/user/queue/replies"));
        texts.push(frame.text().to_owned());
    }
    // What was sent to another destination has an order of its own.
    let one = texts.iter().position(|text| text == "to one").unwrap();
    texts.remove(one);
    assert_eq!(texts, ["to all", "to all again"]);
    assert_eq!([second.message().await, second.message().await], ["to all", "to all again"]);
}

#[tokio::test]
async fn what_reaches_no_session_goes_to_the_configured_topic_and_leaves_no_queue() {
    let broker = broker();
    let (mut watcher, _) = log_in(&broker, "ann").await;
    watcher.subscribe("0", "/topic/unresolved-user").await;
    let (mut service, _) = log_in(&broker, "service").await;
    service.send("/user/carol/queue/a", "hello").await;
    let frame = watcher.frame().await;
    assert_eq!((frame.text(), frame.header("simpOrigDestination")), ("hello", Some("/user/carol/queue/a")));
    assert_eq!(broker.metric("stompbroker_unresolved_user_messages_total").await, 1);
    let stats = broker.admin("GET", "/websocket-stats").await.body;
    assert!(!stats.contains("carol"), "{stats}");
}

#[tokio::test]
async fn sending_to_users_has_to_be_allowed() {
    let broker = broker();
    let (mut ann, _) = log_in(&broker, "ann").await;
    ann.send("/user/bob/queue/a", "psst").await;
    ann.frame().await.assert_error("Access refused");
    ann.end().await;
}

#[tokio::test]
async fn an_alias_leads_around_no_rule() {
    let broker = broker();
    for frame in [
        "SEND\ndestination:/exchange/amq.topic/secret.a\n\nx",
        "SUBSCRIBE\nid:0\ndestination:/exchange/amq.topic/secret.a\n\n",
        "SUBSCRIBE\nid:0\ndestination:/exchange/amq.topic/#\n\n",
    ] {
        let (mut ann, _) = log_in(&broker, "ann").await;
        ann.send_frame(frame).await;
        ann.frame().await.assert_error("Access refused");
    }
}

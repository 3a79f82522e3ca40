//! What the application gets.

use super::{broker_with, receipt};
use crate::support::{Application, BrokerUnderTest, Peer, Reply, config, eventually, secrets_with_token};

#[tokio::test]
async fn a_send_is_a_cloud_event_with_the_body_as_it_was() {
    let application = Application::start(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "path: '/stomp{path}?by={session}'");
    let mut client = broker.tcp().await;
    let session = client.log_in("").await.header("session").unwrap().to_owned();
    let head = "SEND\ndestination:/app/orders/a b\ncontent-type:application/octet-stream\ncontent-length:6\n\
                colour:grün \"50%\"\nweird name:x\nreceipt:1\n\n";
    client.write(&[head.as_bytes(), b"\x00\xff\r\n\x00z\x00"].concat()).await;
    receipt(&mut client, "1").await;
    let [request] = &application.received()[..] else { panic!("{:?}", application.received()) };
    assert_eq!((request.method.as_str(), &request.body[..]), ("POST", &b"\x00\xff\r\n\x00z"[..]));
    assert_eq!(request.path, format!("/stomp/orders/a%20b?by={session}"));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &*format!("{session}-1")),
        ("ce-source", "/stompbroker"),
        ("ce-type", "dev.stompbroker.send"),
        ("ce-subject", "/app/orders/a%20b"),
        ("ce-authtype", "unauthenticated"),
        ("ce-stompsession", &*session),
        ("content-type", "application/octet-stream"),
        ("stomp-colour", "gr%C3%BCn%20%2250%25%22"),
        ("stomp-weird%20name", "x"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(request.header("ce-time").unwrap().ends_with('Z'));
    for absent in ["ce-authid", "authorization", "stomp-receipt", "stomp-destination", "stomp-content-length"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn no_client_can_say_what_the_broker_says_of_it() {
    let application = Application::start(|_| Reply::status(204)).await;
    let mut config = config(&format!(
        "credentials: {{client: {{directory: FOLDER/client}}}}\n\
         applications:\n- {{name: shop, prefix: /app, url: '{}', source: /brokers/trading}}",
        application.url()
    ));
    config = config.replace("authentication: {anonymous: true}\n", "");
    let broker = BrokerUnderTest::start_in(secrets_with_token(), &config);
    let mut client = broker.websocket_client().await;
    client.log_in("login:ann\npasscode:pa:ss\n").await;
    client.send_frame("SEND\ndestination:/app/a\nce-authid:root\nauthorization:Bearer x\nreceipt:1\n\n").await;
    receipt(&mut client, "1").await;
    let request = &application.received()[0];
    for (name, value) in [
        ("ce-authtype", "app_user"),
        ("ce-authid", "ann"),
        ("ce-stomproles", "client"),
        ("ce-source", "/brokers/trading"),
        ("stomp-ce-authid", "root"),
        ("stomp-authorization", "Bearer%20x"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn the_trace_of_the_sender_goes_on() {
    let application = Application::start(|_| Reply::status(204)).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send_frame(&format!("SEND\ndestination:/app/a\ntraceparent:{parent}\ntracestate:v=1\nreceipt:1\n\n")).await;
    receipt(&mut client, "1").await;
    let request = &application.received()[0];
    assert_eq!((request.header("traceparent"), request.header("tracestate")), (Some(parent), Some("v=1")));
}

#[tokio::test]
async fn rules_hold_for_applications_and_no_destination_leaves_their_address() {
    let application = Application::start(|_| Reply::status(204)).await;
    let broker = BrokerUnderTest::start(&config(&format!(
        "applications: [{{name: shop, prefix: /app, url: '{}'}}]\nauthorization: {{rules: [{{actions: [Send], \
         destinations: ['/app/open/**'], allow: {{anyone: {{}}}}}}]}}",
        application.url()
    )));
    for (destination, error) in [
        ("/app/closed", "the destination rules do not let"),
        ("/app/open/../closed", "segments that are not empty"),
        ("/app/open//x", "segments that are not empty"),
    ] {
        let mut client = broker.tcp_session().await;
        client.send(destination, "x").await;
        client.frame().await.assert_error(error);
    }
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/app/open/x\nreceipt:1\n\n").await;
    receipt(&mut client, "1").await;
    assert_eq!(application.received().len(), 1, "nothing of what was refused was posted");
}

#[tokio::test]
async fn requests_are_counted_by_outcome() {
    let application = Application::start(|request| Reply::status(if request.path == "/bad" { 422 } else { 204 })).await;
    let broker = broker_with(&application, "");
    let mut client = broker.tcp_session().await;
    client.send("/app/bad", "").await;
    client.send_frame("SEND\ndestination:/app/good\nreceipt:1\n\n").await;
    receipt(&mut client, "1").await;
    for (outcome, count) in [("ok", 1), ("client_error", 1)] {
        let name = format!("stompbroker_application_requests_total{{application=\"shop\",outcome=\"{outcome}\"}}");
        eventually(&name, async || (broker.metric(&name).await == count).then_some(())).await;
    }
}
